//! Keys as text: the frozen vectors, and what must hold for every key.

use keystead::domain::{
    pepper::Pepper,
    secret::{BODY_CHARS, KeyHint, KeyPrefix, MalformedKey, PresentedKey, Secret},
};
use proptest::prelude::*;
use rand::{TryRng, rngs::SysRng};
use serde::Deserialize;

const KEY_CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

#[derive(Deserialize)]
struct Vectors {
    pepper_hex: String,
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct Valid {
    key: String,
    prefix: String,
    body: String,
    checksum: String,
    digest_hmac_sha256: String,
}

#[derive(Deserialize)]
struct Invalid {
    case: String,
    key: String,
    reason: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/key_v1.json")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key_of(prefix: &str) -> String {
    Secret::generate(&KeyPrefix::parse(prefix).unwrap()).unwrap().expose().to_owned()
}

#[test]
fn every_valid_vector_is_read_and_digested_as_frozen() {
    let vectors = vectors();
    let pepper: Vec<u8> =
        (0..32).map(|n| u8::from_str_radix(&vectors.pepper_hex[2 * n..2 * n + 2], 16).unwrap()).collect();
    let pepper = Pepper::new(pepper.try_into().unwrap());
    assert_eq!(vectors.valid.len(), 6);
    for vector in vectors.valid {
        assert_eq!(vector.key, format!("{}_{}{}", vector.prefix, vector.body, vector.checksum));
        assert_eq!(vector.body.len(), BODY_CHARS);
        let secret = Secret::parse(&vector.key).unwrap();
        assert_eq!(secret.expose(), vector.key);
        assert_eq!(secret.hint().as_str(), &vector.body[BODY_CHARS - 4..]);
        assert!(KeyPrefix::parse(&vector.prefix).is_ok(), "{}", vector.prefix);
        assert_eq!(hex(&pepper.digest(secret.as_presented()).0), vector.digest_hmac_sha256, "{}", vector.key);
    }
}

#[test]
fn every_invalid_vector_is_refused_for_its_reason() {
    let vectors = vectors();
    assert_eq!(vectors.invalid.len(), 13);
    for vector in vectors.invalid {
        let reason = match vector.reason.as_str() {
            "checksum" => MalformedKey::Checksum,
            "shape" => MalformedKey::Shape,
            "charset" => MalformedKey::Charset,
            other => panic!("unknown reason {other}"),
        };
        assert_eq!(Secret::parse(&vector.key).err(), Some(reason), "{}", vector.case);
    }
}

#[test]
fn what_is_longer_than_any_key_is_not_looked_at() {
    assert_eq!(Secret::parse(&"a".repeat(96)).err(), Some(MalformedKey::Shape));
    assert_eq!(Secret::parse(&"a".repeat(97)).err(), Some(MalformedKey::Length));
    assert_eq!(Secret::parse(&"é".repeat(1_000_000)).err(), Some(MalformedKey::Length));
}

#[test]
fn every_single_character_change_of_a_key_is_refused() {
    for prefix in ["talvin_live", "ab", "acme0123456789ab_staging1_eu000001"] {
        let key = key_of(prefix).into_bytes();
        for at in 0..key.len() {
            for &character in KEY_CHARACTERS.iter().filter(|&&character| character != key[at]) {
                let mut changed = key.clone();
                changed[at] = character;
                let changed = String::from_utf8(changed).unwrap();
                assert!(Secret::parse(&changed).is_err(), "{changed}");
            }
        }
    }
}

#[test]
fn every_swap_of_neighbours_in_a_key_is_refused() {
    for prefix in ["talvin_live", "ab", "sk9_live_eu"].repeat(50) {
        let key = key_of(prefix).into_bytes();
        for at in 1..key.len() {
            let mut swapped = key.clone();
            swapped.swap(at - 1, at);
            if swapped != key {
                let swapped = String::from_utf8(swapped).unwrap();
                assert!(Secret::parse(&swapped).is_err(), "{swapped}");
            }
        }
    }
}

#[test]
fn a_hundred_thousand_random_texts_are_no_keys() {
    let mut bytes = [0_u8; 62];
    for round in 0..100_000 {
        SysRng.try_fill_bytes(&mut bytes).unwrap();
        let text: String = match round % 3 {
            // Anything.
            0 => String::from_utf8_lossy(&bytes).into_owned(),
            // The right characters.
            1 => {
                bytes.iter().map(|byte| char::from(KEY_CHARACTERS[usize::from(*byte) % KEY_CHARACTERS.len()])).collect()
            }
            // The right shape, and a checksum that is right once in four thousand million.
            _ => {
                let body = bytes[..49].iter().map(|byte| char::from(KEY_CHARACTERS[usize::from(*byte) % 62]));
                format!("talvin_live_{}", body.collect::<String>())
            }
        };
        assert!(Secret::parse(&text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_key_that_is_made_can_be_read_back(prefix in "[a-z][a-z0-9]{1,15}(_[a-z0-9]{1,8}){0,2}") {
        let key = key_of(&prefix);
        let read = Secret::parse(&key).unwrap();
        prop_assert_eq!(read.expose(), &key);
        prop_assert!(key.len() <= 96);
        prop_assert_eq!(&key[..prefix.len()], &prefix);
    }

    #[test]
    fn whatever_is_sent_is_read_or_refused_and_never_a_panic(text in any::<String>()) {
        prop_assert!(Secret::parse(&text).is_err());
        let _ = KeyPrefix::parse(&text);
    }

    #[test]
    fn what_is_read_as_a_prefix_makes_keys(text in "[a-zA-Z0-9_-]{0,40}") {
        if KeyPrefix::parse(&text).is_ok() {
            prop_assert!(Secret::parse(&key_of(&text)).is_ok());
        }
    }
}

#[test]
fn a_key_is_not_printed_by_accident() {
    let Valid { key, body, .. } = vectors().valid.remove(0);
    let presented = PresentedKey::parse(&key).unwrap();
    let shown = format!("{presented:?} {:?}", Secret::parse(&key).unwrap());
    assert!(!shown.contains(&body) && !shown.contains(&body[..8]), "{shown}");
}

#[test]
fn debug_shows_nothing_of_a_key() {
    let secret = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap();
    assert_eq!(format!("{secret:?} {:?}", secret.as_presented()), "Secret(…) PresentedKey(…)");
}

#[test]
fn a_stored_hint_is_four_characters_of_a_key() {
    assert_eq!(KeyHint::parse("6QaE").unwrap().as_str(), "6QaE");
    for damaged in ["", "6Qa", "6QaE1", "6Qa_", "6Qä"] {
        assert_eq!(KeyHint::parse(damaged), None, "{damaged}");
    }
}
