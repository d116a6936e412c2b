//! What is known of a key and of its organization changes as a whole.

use super::*;

/// Everything that a verification answers, in one line.
fn answer(index: &Entries, number: u8) -> String {
    let verdict = index.judge(&digest(number), now(), Caller::default());
    let key = verdict.key().expect("not known");
    format!("{} {} {}", verdict.code().word(), key.name(), key.organization_id)
}

#[test]
fn a_known_key_takes_another_name_number_and_organization_and_what_was_lent_stays() {
    let index = Arc::new(Entries::default());
    let mut record = record("Production", &[1]);
    index.put(&record);
    let digest = digest(1);
    let lent = index.judge(&digest, now(), Caller::default()).key().unwrap();
    let before = answer(&index, 1);
    record.name = "Zürich".to_owned();
    record.number = KeyNumber(8);
    record.organization_id = OrgId::generate(now() + TimeDelta::days(1));
    for _ in 0..2 {
        index.put(&record);
        assert_eq!(answer(&index, 1), format!("VALID Zürich {}", record.organization_id.as_str()));
    }
    assert_eq!(take(&index).deltas[0].key, KeyNumber(8), "its uses are written by its new number");
    assert_eq!((lent.name(), lent.id()), ("Production", record.id.as_str()));
    assert!(before.contains("Production") && index.facts.made() == 1, "the same again is nothing new");
    // Refused for a moment, it comes back as it is, and with its first name too.
    index.refuse(record.id.as_str());
    record.name = "Production".to_owned();
    index.put(&record);
    assert!(answer(&index, 1).contains("Production"));
}

/// A narrow key that lives becomes a wide one that ended: of both together somebody would pass whom neither lets pass.
#[test]
fn no_reader_meets_parts_of_what_was_and_of_what_is() {
    let index = Arc::new(Entries::default());
    let before = record("Before", &[1]);
    let mut after = KeyRecord { name: "After".to_owned(), organization_id: OrgId::generate(now()), ..before.clone() };
    after.expires_at = Some(now());
    index.put(&before);
    let met = Rc::new(RefCell::new(Vec::new()));
    for records in [[&before, &after], [&after, &before]] {
        let expected: Vec<_> = records
            .map(|record| {
                index.put(record);
                answer(&index, 1)
            })
            .into();
        index.put(records[0]);
        let (reader, noted) = (Arc::clone(&index), Rc::clone(&met));
        let look = move || noted.borrow_mut().push(answer(&reader, 1));
        MEANWHILE.with_borrow_mut(|meanwhile| *meanwhile = Some(Box::new(look)));
        index.put(records[1]);
        MEANWHILE.with_borrow_mut(Option::take);
        let met = met.take();
        assert!(!met.is_empty() && met.iter().all(|met| expected.contains(met)), "{met:?}, not {expected:?}");
    }
}

/// The secrets come long after the key. One that was replaced while the key was refused must not pass meanwhile, for whatever
/// reason it was refused.
#[test]
fn who_could_not_pass_before_a_reload_cannot_before_the_secrets_were_read() {
    for refused in ["REVOKED", "EXPIRED", "NOT_FOUND"] {
        let index = Arc::new(Entries::default());
        let living = record("Production", &[1, 2]);
        let mut ended = living.clone();
        match refused {
            "REVOKED" => ended.is_revoked = true,
            "EXPIRED" => ended.expires_at = Some(now()),
            _ => {}
        }
        index.put(&ended);
        if refused == "NOT_FOUND" {
            // It was gone, and is back: from another history, or a copy of the database.
            index.forget(&[ended.id.as_str()], &[]);
        }
        let mut reload = index.reload();
        reload.key(&KeyRecord { secrets: Vec::new(), ..living.clone() });
        assert_eq!(code(&index, 1), refused);
        let replaced = SecretRecord { is_replaced: true, ..living.secrets[0] };
        for secret in [replaced, living.secrets[1]] {
            reload.secret(living.id.as_str(), &secret);
        }
        reload.finish();
        assert_eq!((code(&index, 1), code(&index, 2), index.keys()), ("ROTATED", "VALID", 1));
    }
}
