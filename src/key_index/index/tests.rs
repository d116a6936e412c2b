//! Entries that others take the place of: what is known and what is counted stays, whoever reads meanwhile.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use chrono::TimeDelta;

use super::*;
use crate::domain::{
    ids::OrgId,
    key_record::{KeyNumber, SecretRecord},
    policy::Policy,
    usage::{UsageDelta, verifications},
};

mod any_order;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn digest(number: u64) -> SecretDigest {
    let word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    SecretDigest(std::array::from_fn(|n| word[n % 8]))
}

fn record(number: u64) -> KeyRecord {
    KeyRecord {
        id: KeyId::generate(now()),
        number: KeyNumber(i64::try_from(number).unwrap()),
        organization_id: OrgId::generate(now()),
        name: format!("Key {number}"),
        is_revoked: false,
        expires_at: None,
        policy: Policy::default(),
        secrets: vec![SecretRecord { digest: digest(number), is_replaced: false }],
    }
}

fn ask<'a>(reading: &'a Reading, number: u64) -> Verdict<'a> {
    reading.judge(&digest(number), now(), Caller::default())
}

fn code(index: &KeyIndex, number: u64) -> &'static str {
    ask(&index.read(), number).code().word()
}

/// An index of so many keys, of which nobody wants this many.
fn index_of(keys: u64, gone: u64) -> (KeyIndex, Vec<KeyRecord>) {
    let index = KeyIndex::default();
    let mut records: Vec<_> = (0..keys).map(record).collect();
    records.iter().for_each(|record| index.put(record));
    let gone: Vec<_> = records.drain(..usize::try_from(gone).unwrap()).collect();
    index.forget(&gone.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), &[]);
    (index, records)
}

/// As often as it takes; how often it took.
fn tidy(index: &KeyIndex) -> usize {
    (1..1_000).find(|_| index.tidy()).expect("nothing is given back")
}

fn counts(index: &KeyIndex) -> HashMap<i64, u64> {
    let sum = |delta: &UsageDelta| (delta.key.0, verifications(std::slice::from_ref(delta)));
    index.take_usage().deltas.iter().map(sum).collect()
}

#[test]
fn what_is_of_no_use_leaves_memory_and_the_rest_is_as_it_was() {
    let (index, mut records) = index_of(100, 30);
    let [revoked, rotated, renamed, unreadable, ..] = &mut records[..] else { panic!("too few") };
    revoked.is_revoked = true;
    rotated.secrets[0].is_replaced = true;
    rotated.secrets.push(SecretRecord { digest: digest(1_000), is_replaced: false });
    renamed.name = "Renamed".to_owned();
    [&*revoked, rotated, renamed].into_iter().for_each(|record| index.put(record));
    index.refuse(unreadable.id.as_str());
    let all = || (0..100).chain([1_000]).map(|number| code(&index, number)).collect::<Vec<_>>();
    let (before, made) = (all(), index.current.load().made());

    index.take_usage();
    assert_eq!(tidy(&index), 7, "16 keys a step");
    assert_eq!((made, index.current.load().made()), ((100, 1), (70, 1)));
    assert_eq!((all(), index.keys(), index.secrets()), (before, 70, 71));
    assert_eq!(ask(&index.read(), 32).key().map(|key| key.name()), Some("Renamed"));
    index.put(unreadable);
    assert_eq!(code(&index, 33), "VALID");
    assert!(!index.tidy() && lock(&index.left).is_empty(), "nobody has the entries of before");
    assert!((0..100).all(|_| !index.tidy()), "there is nothing more to be given back");
}

#[test]
fn for_little_nothing_is_done() {
    for (keys, gone) in [(7, 7), (100, 24)] {
        let (index, _) = index_of(keys, gone);
        assert!((0..100).all(|_| !index.tidy()), "{gone} of {keys}");
    }
    // What may be too much are also facts that do not hold any more.
    let (index, mut records) = index_of(9, 0);
    for n in 0..8 {
        records[0].name = format!("Name {n}");
        index.put(&records[0]);
    }
    tidy(&index);
    assert_eq!(ask(&index.read(), 0).key().map(|key| key.name()), Some("Name 7"));
}

#[test]
fn what_changes_while_others_are_built_is_in_them() {
    // Before anything was copied, and after everything was but the last step.
    for steps in [1, 6] {
        let (index, mut records) = index_of(100, 30);
        assert!((0..steps).all(|_| !index.tidy()));
        for at in [0, 60] {
            let [revoked, rotated, gone, unreadable, ..] = &mut records[at..] else { panic!("too few") };
            revoked.is_revoked = true;
            index.put(revoked);
            rotated.secrets.insert(0, SecretRecord { digest: digest(1_000 + at as u64), is_replaced: false });
            rotated.secrets.pop();
            index.put(rotated);
            index.forget(&[gone.id.as_str()], &[rotated]);
            index.refuse(unreadable.id.as_str());
        }
        let new = record(2_000);
        index.put(&new);
        tidy(&index);
        for at in [30, 90] {
            let codes = [at, at + 1, at + 970, at + 2, at + 3, at + 4].map(|number| code(&index, number));
            assert_eq!(
                codes,
                ["REVOKED", "NOT_FOUND", "VALID", "NOT_FOUND", "NOT_FOUND", "VALID"],
                "{at} after {steps}"
            );
        }
        assert_eq!((code(&index, 2_000), index.keys(), index.secrets()), ("VALID", 69, 69));
    }
}

/// It was stopped between taking the entries and looking the key up; meanwhile somebody got a receipt.
#[test]
fn whoever_still_has_the_entries_of_before_learns_what_changes_and_keeps_them_in_memory() {
    let (index, mut records) = index_of(100, 30);
    let reading = index.read();
    tidy(&index);
    records[0].is_revoked = true;
    index.put(&records[0]);
    index.refuse(records[1].id.as_str());
    index.forget(&[records[2].id.as_str()], &[]);
    let codes = [30, 31, 32, 33].map(|number| ask(&reading, number).code().word());
    assert_eq!(codes, ["REVOKED", "NOT_FOUND", "NOT_FOUND", "VALID"]);
    // The same when everything is read again.
    let mut reload = index.reload();
    records.truncate(3);
    records[1].is_revoked = true;
    records.iter().for_each(|record| reload.key(&KeyRecord { secrets: Vec::new(), ..record.clone() }));
    for record in &records {
        let ending = reload.secret(record.id.as_str(), &record.secrets[0]);
        assert_eq!(ending.is_some(), record.is_revoked);
    }
    assert_eq!(reload.finish(), Forgotten { keys: 67, secrets: 67 });
    let codes = [30, 31, 32, 33].map(|number| ask(&reading, number).code().word());
    assert_eq!(codes, ["REVOKED", "REVOKED", "VALID", "NOT_FOUND"]);
    index.tidy();
    assert_eq!(lock(&index.left).len(), 1);
    drop(reading);
    index.tidy();
    assert!(lock(&index.left).is_empty());
}

#[test]
fn a_reading_of_everything_begins_anew_with_what_is_to_be_given_back() {
    let (index, records) = index_of(100, 30);
    assert!(!index.tidy() && !index.tidy());
    let mut reload = index.reload();
    reload.key(&KeyRecord { is_revoked: true, ..records[0].clone() });
    reload.secret(records[0].id.as_str(), &records[0].secrets[0]);
    reload.finish();
    tidy(&index);
    assert_eq!((code(&index, 30), code(&index, 31), index.keys()), ("REVOKED", "NOT_FOUND", 1));
}

#[test]
fn every_use_is_taken_once_whenever_others_take_the_place() {
    let (index, records) = index_of(100, 30);
    let id = &records[0].id;
    let at = |seconds| now() + TimeDelta::seconds(seconds);
    let reading = index.read();
    ask(&reading, 40);
    index.take_usage();
    reading.judge(&digest(30), at(1), Caller::default());
    ask(&reading, 31);
    let taken = index.take_usage();
    reading.judge(&digest(30), at(2), Caller::default());
    tidy(&index);
    assert_eq!(index.last_seen(id), Some(at(2)), "it was seen in the entries of before");
    // Somebody who began before, one who begins now, and what could not be written.
    reading.judge(&digest(30), at(3), Caller::default());
    assert_eq!(index.last_seen(id), Some(at(3)));
    index.read().judge(&digest(30), at(0), Caller { address: None, user_agent: Some("curl/8") });
    taken.put_back(1, &mut Rounds::default());
    drop(taken);
    index.forget(&[records[2].id.as_str()], &[]);
    let taken = index.take_usage();
    assert_eq!(taken.deltas[0].counts, [("VALID", 3)]);
    assert_eq!(taken.deltas[0].last_used.as_ref().map(|last| last.at), Some(at(3)));
    assert_eq!((taken.deltas[1].key, &taken.deltas[1].counts), (KeyNumber(31), &vec![("VALID", 1)]));
    assert_eq!(taken.deltas.len(), 2);
    ask(&reading, 33);
    drop(reading);
    assert!(!index.tidy() && lock(&index.left).is_empty());
    assert_eq!(counts(&index), HashMap::from([(33, 1)]), "the last of them too");
    let last_seen = [0, 10].map(|at| index.last_seen(&records[at].id));
    assert_eq!(last_seen, [Some(at(3)), Some(now())], "one was written long before");
}

/// Its number may be that of a key which is used all the time.
#[test]
fn who_is_idle_is_written_at_once_also_after_others_took_the_place() {
    let (index, _) = index_of(100, 30);
    let mut rounds = Rounds::default();
    for number in 30..100 {
        code(&index, number);
    }
    index.take_due(&mut rounds, Round::All);
    tidy(&index);
    code(&index, 99);
    assert_eq!(index.take_due(&mut rounds, Round::Idle).deltas.len(), 1);
}

/// Readers, who is writing usage, and the writer, all at once.
#[test]
fn nothing_is_lost_between_threads() {
    const KEPT: u64 = 20;
    let index = KeyIndex::default();
    let kept: Vec<_> = (0..KEPT).map(record).collect();
    kept.iter().for_each(|record| index.put(record));
    let (is_over, asked, taken) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let take = |put_back: bool| {
        let usage = index.take_usage();
        let from = if put_back { usage.deltas.len() / 2 } else { usage.deltas.len() };
        usage.put_back(from, &mut Rounds::default());
        taken.fetch_add(verifications(&usage.deltas[..from]), Ordering::Relaxed);
    };
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for number in 0..KEPT {
                        assert!(ask(&index.read(), number).is_valid());
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        threads.spawn(|| {
            for n in 0.. {
                take(n % 3 == 0);
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let (mut times, mut number) = (0, KEPT);
        while times < 20 {
            let passing = record(number);
            index.put(&passing);
            index.forget(&[passing.id.as_str()], &[]);
            number += 1;
            times += u64::from(index.tidy());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    index.tidy();
    assert!(lock(&index.left).is_empty());
    take(false);
    assert_eq!(taken.into_inner(), asked.into_inner());
}
