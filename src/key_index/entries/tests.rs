//! What the index answers, and what it counts.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use chrono::TimeDelta;

use super::*;
use crate::domain::{
    ids::{KeyId, OrgId},
    key_record::{KeyNumber, KeyRecord, SecretRecord},
    policy::Policy,
};

mod copy;
mod facts;
mod forgetting;

thread_local! {
    /// What the test wants to do between any two things that the writer stores.
    static MEANWHILE: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// The writer has stored something that a reader can see.
pub fn stored() {
    MEANWHILE.with_borrow(|meanwhile| meanwhile.iter().for_each(|look| look()));
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn digest(number: u8) -> SecretDigest {
    SecretDigest(std::array::from_fn(|n| number.wrapping_mul(31).wrapping_add(n as u8)))
}

fn record(name: &str, secrets: &[u8]) -> KeyRecord {
    let secret = |number: &u8| SecretRecord { digest: digest(*number), is_replaced: false };
    KeyRecord {
        id: KeyId::generate(now()),
        number: KeyNumber(7),
        organization_id: OrgId::generate(now()),
        name: name.to_owned(),
        is_revoked: false,
        expires_at: None,
        policy: Policy::default(),
        secrets: secrets.iter().map(secret).collect(),
    }
}

fn take(index: &Arc<Entries>) -> TakenUsage {
    index.take_due(&mut Rounds::default(), Round::All)
}

fn code(index: &Entries, number: u8) -> &'static str {
    index.judge(&digest(number), now(), Caller::default()).code().word()
}

#[test]
fn a_key_is_found_by_each_of_its_secrets() {
    let index = Arc::new(Entries::default());
    let record = record("Zürich", &[1, 2]);
    index.put(&record);
    let verdict = index.judge(&digest(2), now(), Caller::default());
    let key = verdict.key().filter(|_| verdict.is_valid()).expect("not valid");
    assert_eq!(
        (key.id(), key.organization_id, key.name()),
        (record.id.as_str(), record.organization_id.as_str(), "Zürich")
    );
    assert_eq!((code(&index, 1), code(&index, 3)), ("VALID", "NOT_FOUND"));
    assert_eq!((index.keys(), index.secrets()), (1, 2));
}

/// The tables grow while keys are created; what was in them is found in the larger ones, by its secret and by its id.
#[test]
fn what_was_put_before_the_tables_grew_is_found_after() {
    let digest =
        |number: u32| SecretDigest(std::array::from_fn(|n| number.wrapping_mul(0x9E37_79B1).to_be_bytes()[n % 4]));
    let index = Arc::new(Entries::default());
    let mut records: Vec<KeyRecord> = (0..2000).map(|_| record("Production", &[0])).collect();
    for (record, number) in records.iter_mut().zip(0..) {
        record.secrets[0].digest = digest(number);
        index.put(record);
    }
    let codes = || (0..2000).map(|number| index.judge(&digest(number), now(), Caller::default()).code().word());
    assert!(codes().all(|code| code == "VALID"));
    for record in &mut records {
        record.is_revoked = true;
        index.put(record);
    }
    assert!(codes().all(|code| code == "REVOKED"));
    assert_eq!((index.keys(), index.secrets()), (2000, 2000), "the same entries");
}

#[test]
fn what_was_taken_away_is_refused_for_its_reason() {
    let index = Arc::new(Entries::default());
    let mut record = record("Production", &[1, 2]);
    index.put(&record);
    record.secrets[0].is_replaced = true;
    index.put(&record);
    assert_eq!((code(&index, 1), code(&index, 2)), ("ROTATED", "VALID"));
    record.expires_at = Some(now());
    index.put(&record);
    assert_eq!((code(&index, 1), code(&index, 2)), ("ROTATED", "EXPIRED"), "the end itself is no longer valid");
    record.expires_at = Some(now() + TimeDelta::milliseconds(1));
    index.put(&record);
    assert_eq!(code(&index, 2), "VALID");
    record.is_revoked = true;
    index.put(&record);
    assert_eq!((code(&index, 1), code(&index, 2)), ("REVOKED", "REVOKED"));
    assert_eq!((index.keys(), index.secrets()), (1, 2), "the same entries");
}

#[test]
fn a_key_that_cannot_be_read_any_more_is_refused_until_it_can() {
    let index = Arc::new(Entries::default());
    let record = record("Production", &[1]);
    index.put(&record);
    index.refuse(record.id.as_str());
    assert_eq!(code(&index, 1), "NOT_FOUND");
    index.put(&record);
    assert_eq!(code(&index, 1), "VALID");
    index.refuse("key_that nobody knows");
}

#[test]
fn counts_and_the_last_use_are_taken_once_and_can_be_put_back() {
    let index = Arc::new(Entries::default());
    let mut record = record("Production", &[1, 2]);
    record.secrets[0].is_replaced = true;
    index.put(&record);
    let caller = Caller { address: Some([203, 0, 113, 80].into()), user_agent: Some("curl/8\u{7}") };
    index.judge(&digest(2), now(), caller);
    index.judge(&digest(2), now() + TimeDelta::seconds(1), caller);
    index.judge(&digest(1), now(), Caller::default());
    index.judge(&digest(9), now(), caller);

    let taken = take(&index);
    assert_eq!(taken.deltas.len(), 1);
    assert_eq!(taken.deltas[0].key, record.number);
    assert_eq!(taken.deltas[0].counts, [("VALID", 2), ("ROTATED", 1)]);
    let last = taken.deltas[0].last_used.as_ref().unwrap();
    assert_eq!(last.at, now() + TimeDelta::seconds(1));
    assert!(take(&index).deltas.is_empty());

    index.judge(&digest(2), now(), caller);
    taken.put_back(1, &mut Rounds::default());
    assert!(take(&index).deltas.len() == 1, "what was written stays out");
    index.judge(&digest(2), now(), caller);
    taken.put_back(0, &mut Rounds::default());
    let again = take(&index).deltas;
    assert_eq!(again[0].counts, [("VALID", 3), ("ROTATED", 1)]);
    let last = again[0].last_used.as_ref().unwrap();
    assert_eq!(last.at, now() + TimeDelta::seconds(1), "the newer of the two");
}

#[test]
fn readers_find_every_key_while_others_are_added() {
    let index = Arc::new(Entries::default());
    let records: Vec<KeyRecord> = (0..200).map(|n| record("Production", &[n])).collect();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                // Secrets are added in order: once one is found, so are those before it.
                while index.secrets() < 200 {
                    let added = index.secrets();
                    for number in 0..added {
                        assert_eq!(code(&index, number as u8), "VALID");
                    }
                }
            });
        }
        records.iter().for_each(|record| index.put(record));
    });
}

/// Of an unreadable key the secrets come long after the key; one may have been replaced meanwhile.
#[test]
fn a_key_that_can_be_read_again_is_refused_until_its_secrets_were_read() {
    let index = Arc::new(Entries::default());
    let mut record = record("Production", &[1, 2]);
    index.put(&record);
    index.refuse(record.id.as_str());
    record.secrets[0].is_replaced = true;
    let mut reload = index.reload();
    reload.key(&KeyRecord { secrets: Vec::new(), ..record.clone() });
    assert_eq!((code(&index, 1), code(&index, 2)), ("NOT_FOUND", "NOT_FOUND"));
    for secret in &record.secrets {
        reload.secret(record.id.as_str(), secret);
    }
    reload.finish();
    assert_eq!((code(&index, 1), code(&index, 2)), ("ROTATED", "VALID"));
}

/// What takes something away does not wait for the end of a reading that may take minutes.
#[test]
fn a_key_that_ends_earlier_ends_as_soon_as_it_is_read_again() {
    let index = Arc::new(Entries::default());
    let mut record = record("Production", &[1]);
    index.put(&record);
    record.expires_at = Some(now());
    let mut reload = index.reload();
    reload.key(&KeyRecord { secrets: Vec::new(), ..record.clone() });
    assert_eq!(code(&index, 1), "EXPIRED");
    reload.secret(record.id.as_str(), &record.secrets[0]);
    reload.finish();
    assert_eq!(code(&index, 1), "EXPIRED");
}

/// What a reader may meet between any two things that `put` stores, beginning with a key in this state.
fn met_during(before: &KeyRecord, after: &KeyRecord, is_unreadable: bool, number: u8) -> Vec<&'static str> {
    let index = Arc::new(Entries::default());
    index.put(before);
    if is_unreadable {
        index.refuse(before.id.as_str());
    }
    let met = Rc::new(RefCell::new(Vec::new()));
    let (reader, noted) = (Arc::clone(&index), Rc::clone(&met));
    let look = move || noted.borrow_mut().push(code(&reader, number));
    MEANWHILE.with_borrow_mut(|meanwhile| *meanwhile = Some(Box::new(look)));
    index.put(after);
    MEANWHILE.with_borrow_mut(Option::take);
    met.take()
}

#[test]
fn whatever_put_stores_no_reader_meets_a_key_that_ended_as_valid() {
    let before = record("Production", &[1]);
    let mut rotated = before.clone();
    rotated.secrets[0].is_replaced = true;
    rotated.secrets.push(SecretRecord { digest: digest(2), is_replaced: false });
    let mut revoked = rotated.clone();
    revoked.is_revoked = true;
    for is_unreadable in [false, true] {
        // Rotated and revoked at once: neither the old secret nor the new one is good for a moment.
        for number in [1, 2] {
            let met = met_during(&before, &revoked, is_unreadable, number);
            assert!(met.len() >= 3 && !met.contains(&"VALID"), "{number}: {met:?}");
        }
        let met = met_during(&before, &rotated, is_unreadable, 1);
        assert!(!met.contains(&"VALID"), "{met:?}");
        assert_eq!(met.last(), Some(&"ROTATED"));
        assert_eq!(met_during(&before, &rotated, is_unreadable, 2).last(), Some(&"VALID"));
    }
}

#[test]
fn a_writer_that_died_halfway_leaves_nothing_that_another_key_would_take_over() {
    let index = Arc::new(Entries::default());
    let (first, second) = (record("First", &[1, 2]), record("Second", &[3]));
    let (writer, half) = (Arc::clone(&index), first.clone());
    // It ends after the first thing it stored, and leaves the lock poisoned.
    let died = std::thread::spawn(move || {
        MEANWHILE.with_borrow_mut(|meanwhile| *meanwhile = Some(Box::new(|| panic!("a test ends the writer"))));
        writer.put(&half);
    });
    died.join().unwrap_err();
    index.put(&second);
    let verdict = index.judge(&digest(3), now(), Caller::default());
    let key = verdict.key().filter(|_| verdict.is_valid()).expect("not valid");
    assert_eq!((key.id(), key.name()), (second.id.as_str(), "Second"));
    index.put(&first);
    let verdict = index.judge(&digest(2), now(), Caller::default());
    let key = verdict.key().filter(|_| verdict.is_valid()).expect("not valid");
    assert_eq!((key.id(), key.name()), (first.id.as_str(), "First"));
    assert_eq!(code(&index, 1), "VALID");
}

/// Two ids with one hash would still be told apart, but a table of them all in one place is a list.
#[test]
fn ids_are_spread_by_their_hash() {
    let mut hashes: Vec<u64> = (0..100).map(|n| super::hash_of_id(&format!("key_{n:027}"))).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 100);
}
