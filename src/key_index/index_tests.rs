//! What the index answers, and what it counts.

use chrono::TimeDelta;

use super::*;
use crate::domain::{
    ids::{KeyId, OrgId},
    name::Name,
};

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
        name: Name::parse(name).unwrap(),
        is_revoked: false,
        expires_at: None,
        secrets: secrets.iter().map(secret).collect(),
    }
}

fn code(index: &KeyIndex, number: u8) -> &'static str {
    index.judge(&digest(number), now(), Caller::default()).code()
}

#[test]
fn a_key_is_found_by_each_of_its_secrets() {
    let index = KeyIndex::default();
    let record = record("Zürich", &[1, 2]);
    index.put(&record);
    let Verdict::Valid(key) = index.judge(&digest(2), now(), Caller::default()) else { panic!("not valid") };
    assert_eq!(
        (key.id(), key.organization_id, key.name()),
        (record.id.as_str(), record.organization_id.as_str(), "Zürich")
    );
    assert_eq!((code(&index, 1), code(&index, 3)), ("VALID", "NOT_FOUND"));
    assert_eq!((index.keys(), index.secrets()), (1, 2));
}

#[test]
fn what_was_taken_away_is_refused_for_its_reason() {
    let index = KeyIndex::default();
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
    let index = KeyIndex::default();
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
    let index = KeyIndex::default();
    let mut record = record("Production", &[1, 2]);
    record.secrets[0].is_replaced = true;
    index.put(&record);
    let caller = Caller { address: Some([203, 0, 113, 80].into()), user_agent: Some("curl/8\u{7}") };
    index.judge(&digest(2), now(), caller);
    index.judge(&digest(2), now() + TimeDelta::seconds(1), caller);
    index.judge(&digest(1), now(), Caller::default());
    index.judge(&digest(9), now(), caller);

    let taken = index.take_usage();
    assert_eq!(taken.deltas.len(), 1);
    assert_eq!(taken.deltas[0].key, record.number);
    assert_eq!(taken.deltas[0].counts, [("VALID", 2), ("ROTATED", 1)]);
    let last = taken.deltas[0].last_used.as_ref().unwrap();
    assert_eq!(last.at, now() + TimeDelta::seconds(1));
    assert!(index.take_usage().deltas.is_empty());

    index.judge(&digest(2), now(), caller);
    index.put_usage_back(&taken, 1);
    assert!(index.take_usage().deltas.len() == 1, "what was written stays out");
    index.judge(&digest(2), now(), caller);
    index.put_usage_back(&taken, 0);
    let again = index.take_usage().deltas;
    assert_eq!(again[0].counts, [("VALID", 3), ("ROTATED", 1)]);
    let last = again[0].last_used.as_ref().unwrap();
    assert_eq!(last.at, now() + TimeDelta::seconds(1), "the newer of the two");
}

#[test]
fn readers_find_every_key_while_others_are_added() {
    let index = KeyIndex::default();
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
