//! Changes, readers and entries that take the place of others, in many orders.

use super::*;

/// Whatever happens in whatever order: every reader, whichever entries it has, is told what is so.
#[test]
fn every_reader_is_told_what_is_so_whatever_happens() {
    for seed in 0..8 {
        any_order(seed);
    }
}

fn any_order(seed: u64) {
    let mut state = seed;
    let mut any = |below: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % below
    };
    let index = KeyIndex::default();
    // What the database says, and whether it can be read; and every digest there was.
    let mut keys: Vec<(KeyRecord, bool)> = Vec::new();
    let mut gone: Vec<KeyRecord> = Vec::new();
    let mut readings: Vec<Reading> = vec![index.read()];
    let mut digests = 0;
    for step in 0..300 {
        let at = any(keys.len().max(1));
        let what = if keys.is_empty() { 0 } else { any(12) };
        match what {
            0 => {
                keys.push((record(digests), true));
                digests += 1;
            }
            1 => keys[at].0.is_revoked = !keys[at].0.is_revoked,
            2 => {
                let secrets = &mut keys[at].0.secrets;
                secrets.iter_mut().for_each(|secret| secret.is_replaced = true);
                secrets.push(SecretRecord { digest: digest(digests), is_replaced: false });
                digests += 1;
            }
            3 => keys[at].0.name = format!("Name {step}"),
            4 => keys[at].1 = !keys[at].1,
            5 => drop(keys[at].0.secrets.remove(0)),
            6 => {
                gone.push(keys.swap_remove(at).0);
                index.forget(&[gone[gone.len() - 1].id.as_str()], &[]);
            }
            7 => readings.push(index.read()),
            8 => drop(readings.swap_remove(any(readings.len()))),
            9 => read_everything(&index, &keys),
            10 => {
                // It is back, as from a copy of the database.
                gone.pop().into_iter().for_each(|record| keys.push((record, true)));
                keys.last().filter(|key| key.1).into_iter().for_each(|(record, _)| index.put(record));
            }
            _ => {}
        }
        let changed = if what == 0 { keys.len() - 1 } else { at };
        match keys.get(changed).filter(|_| what < 6) {
            Some((record, _)) if record.secrets.is_empty() => {
                let (gone, _) = keys.swap_remove(changed);
                index.forget(&[gone.id.as_str()], &[]);
            }
            Some((record, true)) => {
                index.put(record);
                index.forget(&[], &[record]);
            }
            Some((record, false)) => index.refuse(record.id.as_str()),
            None => {}
        }
        if readings.is_empty() {
            readings.push(index.read());
        }
        index.tidy();
        let mut expected: HashMap<[u8; 32], (&str, &str)> = HashMap::new();
        for (record, _) in keys.iter().filter(|(_, can_be_read)| *can_be_read) {
            for secret in &record.secrets {
                let code = match secret.is_replaced {
                    _ if record.is_revoked => "REVOKED",
                    true => "ROTATED",
                    false => "VALID",
                };
                expected.insert(secret.digest.0, (code, &record.name));
            }
        }
        for reading in readings.iter().chain([&index.read()]) {
            for number in 0..digests {
                let verdict = ask(reading, number);
                let told = (verdict.code().word(), verdict.key().map_or("", |key| key.name()));
                let expected = expected.get(&digest(number).0).copied().unwrap_or(("NOT_FOUND", ""));
                assert_eq!(told, expected, "secret {number} in step {step} of {seed}");
            }
        }
    }
    assert!(index.generation() > 0, "nothing was ever given back: {seed}");
}

fn read_everything(index: &KeyIndex, keys: &[(KeyRecord, bool)]) {
    let mut reload = index.reload();
    for (record, can_be_read) in keys {
        let id = record.id.as_str();
        let without = KeyRecord { secrets: Vec::new(), ..record.clone() };
        if *can_be_read { reload.key(&without) } else { reload.refuse(id) }
    }
    for (record, _) in keys {
        for secret in &record.secrets {
            reload.secret(record.id.as_str(), secret);
        }
    }
    reload.finish();
}
