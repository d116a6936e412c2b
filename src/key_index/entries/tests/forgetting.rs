//! What the database does not have any more.

use super::{super::forget::Forgotten, *};

/// Reads these keys with all their secrets, as the follower does: all keys first.
fn read_again(index: &Arc<Entries>, records: &[&KeyRecord]) -> (usize, usize) {
    let mut reload = index.reload();
    for record in records {
        reload.key(&KeyRecord { secrets: Vec::new(), ..(*record).clone() });
    }
    for record in records {
        for secret in &record.secrets {
            reload.secret(record.id.as_str(), secret);
        }
    }
    let forgotten = reload.finish();
    (forgotten.keys, forgotten.secrets)
}

#[test]
fn what_is_not_read_again_is_not_found_and_the_rest_is_as_it_was_read() {
    let index = Arc::new(Entries::default());
    let (mut kept, gone, mut revoked) = (record("Kept", &[1, 2, 3]), record("Gone", &[4, 5]), record("Revoked", &[6]));
    revoked.is_revoked = true;
    [&kept, &gone, &revoked].into_iter().for_each(|record| index.put(record));
    code(&index, 5);
    // One secret less, one replaced; and what memory has as revoked lives.
    kept.secrets.pop();
    kept.secrets[0].is_replaced = true;
    revoked.is_revoked = false;
    let new = record("New", &[7]);
    assert_eq!(read_again(&index, &[&kept, &revoked, &new]), (1, 3));
    assert_eq!([1, 2, 3].map(|number| code(&index, number)), ["ROTATED", "VALID", "NOT_FOUND"]);
    assert_eq!([4, 5, 6, 7].map(|number| code(&index, number)), ["NOT_FOUND", "NOT_FOUND", "VALID", "VALID"]);
    let uses: Vec<_> = take(&index).deltas.iter().map(|delta| delta.counts.clone()).collect();
    assert!(uses.iter().all(|counts| counts.iter().all(|(_, count)| *count == 1)), "{uses:?}");
    assert_eq!(uses.len(), 3, "uses of a key that is gone are nobody's");
    // And everything may come back.
    kept.secrets.push(SecretRecord { digest: digest(3), is_replaced: false });
    assert_eq!(read_again(&index, &[&kept, &gone, &revoked, &new]), (0, 0));
    assert_eq!([1, 3, 4, 5, 6].map(|number| code(&index, number)), ["ROTATED", "VALID", "VALID", "VALID", "VALID"]);
}

/// Nor are its uses anybody else's.
#[test]
fn a_key_that_is_there_and_cannot_be_read_is_refused_and_not_forgotten() {
    let index = Arc::new(Entries::default());
    let damaged = record("Damaged", &[1]);
    index.put(&damaged);
    code(&index, 1);
    let mut reload = index.reload();
    reload.refuse(damaged.id.as_str());
    reload.secret(damaged.id.as_str(), &damaged.secrets[0]);
    reload.refuse("key_that was never read");
    assert_eq!(reload.finish(), Forgotten::default());
    assert_eq!((code(&index, 1), index.keys(), index.secrets()), ("NOT_FOUND", 1, 1));
    assert_eq!(take(&index).deltas[0].counts, [("VALID", 1)]);
    assert_eq!(read_again(&index, &[&damaged]), (0, 0));
    assert_eq!(code(&index, 1), "VALID");
}

/// Everything in memory that could be a digest, of secrets that are there or were.
fn digests_in_memory(index: &Entries) -> usize {
    let apart = (0..100).filter_map(|number| index.secrets.get(number));
    let first = (0..100).filter_map(|number| index.keys.get(number).map(|key| &key.secret));
    apart.chain(first).filter(|secret| !secret.is_empty()).count()
}

#[test]
fn what_is_forgotten_is_not_found_and_leaves_no_digest() {
    let index = Arc::new(Entries::default());
    let (mut rotated, gone, other) = (record("Rotated", &[1, 2, 3]), record("Gone", &[4, 5]), record("Other", &[6, 7]));
    [&rotated, &gone, &other].into_iter().for_each(|record| index.put(record));
    code(&index, 4);
    // The first of a key lies with it, the others apart.
    rotated.secrets.remove(0);
    rotated.secrets.remove(0);
    index.put(&rotated);
    assert_eq!(
        index.forget(&[gone.id.as_str(), "key_that nobody knows"], &[&rotated]),
        Forgotten { keys: 1, secrets: 4 }
    );
    let codes = [1, 2, 3, 4, 5, 6, 7].map(|number| code(&index, number));
    assert_eq!(codes, ["NOT_FOUND", "NOT_FOUND", "VALID", "NOT_FOUND", "NOT_FOUND", "VALID", "VALID"]);
    assert_eq!((index.keys(), index.secrets(), digests_in_memory(&index)), (2, 3, 3));
    let uses: Vec<_> = take(&index).deltas.iter().map(|delta| delta.counts.clone()).collect();
    assert_eq!(uses, [[("VALID", 1)], [("VALID", 2)]], "its own uses are nobody's");
    assert_eq!(index.forget(&[gone.id.as_str()], &[&rotated]), Forgotten::default());
    // It comes back, as from a copy of the database, refused first and then read.
    index.refuse(gone.id.as_str());
    assert_eq!((index.keys(), code(&index, 4)), (3, "NOT_FOUND"));
    index.forget(&[gone.id.as_str()], &[]);
    index.put(&gone);
    assert_eq!((index.keys(), code(&index, 4), code(&index, 5)), (3, "VALID", "VALID"));
}

#[test]
fn the_place_of_a_forgotten_secret_is_anothers() {
    let index = Arc::new(Entries::default());
    let mut record = record("Production", &[0]);
    let other = self::record("Other", &[255, 254, 253]);
    index.put(&other);
    index.put(&record);
    for number in 1..250 {
        record.secrets[0].is_replaced = true;
        record.secrets.push(SecretRecord { digest: digest(number), is_replaced: false });
        index.put(&record);
        assert_eq!((code(&index, number - 1), code(&index, number)), ("ROTATED", "VALID"));
        record.secrets.remove(0);
        index.put(&record);
        index.forget(&[], &[&record]);
        assert_eq!((code(&index, number - 1), code(&index, number)), ("NOT_FOUND", "VALID"));
    }
    assert!(index.secrets.get(4096).is_none() && index.secrets() == 4 && digests_in_memory(&index) == 4);
    assert_eq!(index.writer.lock().unwrap().apart, 3, "two of the other key, one for each second secret of this one");
    assert_eq!([253, 254, 255].map(|number| code(&index, number)), ["VALID"; 3]);
}
