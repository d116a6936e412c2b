//! The installation's pepper: 32 secret bytes outside the database, and everything derived from them.
//!
//! With a plain hash, whoever can write to the database could mint keys; with the pepper they cannot.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{hex, secret::PresentedKey};

/// Length of the pepper, in bytes.
pub const PEPPER_BYTES: usize = 32;

/// The name of [`Pepper::digest`] in the database, so that another scheme can follow it one day.
pub const DIGEST_SCHEME: &str = "apikey/v1";

/// 32 secret bytes that never enter the database, as the state of an HMAC that has read them: that is a third of the work of
/// a digest, done once.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

/// What is stored of a key: `HMAC-SHA-256(pepper, "apikey/v1" 0x00 key)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest(pub [u8; 32]);

impl Pepper {
    /// Takes the bytes of the pepper file.
    pub fn new(bytes: [u8; PEPPER_BYTES]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Hmac::new_from_slice(bytes.as_slice()).expect("HMAC takes a key of any length"))
    }

    /// The digest a key is stored and found by.
    pub fn digest(&self, key: PresentedKey<'_>) -> SecretDigest {
        SecretDigest(self.mac(DIGEST_SCHEME, key.expose().as_bytes()))
    }

    /// A value that tells one pepper from another and gives neither away; kept in the database.
    pub fn check_value(&self) -> [u8; 32] {
        self.mac("pepper-check/v1", b"")
    }

    /// The 64 bytes that sign session cookies, the same on every node.
    pub fn cookie_key(&self) -> Zeroizing<[u8; 64]> {
        let mut key = Zeroizing::new([0; 64]);
        key[..32].copy_from_slice(&self.mac("cookie/v1", b"1"));
        key[32..].copy_from_slice(&self.mac("cookie/v1", b"2"));
        key
    }

    /// The token of the set-up link: the same on every node and after a restart, another for another installation.
    pub fn set_up_token(&self, installation_id: &str) -> String {
        hex::encode(&self.mac("set-up/v1", installation_id.as_bytes())[..16])
    }

    /// Signs what a device's cookie says to an account; 32 hexadecimal digits.
    pub fn device_tag(&self, said: &str) -> String {
        hex::encode(&self.mac("device/v1", said.as_bytes())[..16])
    }

    /// One MAC a purpose: the purpose and a zero byte stand before the data, so that no two uses can meet.
    fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(data);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another program. Another value would end every session, link or cookie that there is, and one that is
    /// the same under each pepper could be made by anybody.
    #[test]
    fn what_is_derived_is_hmac_sha_256_of_the_purpose_and_the_data() {
        let pepper = Pepper::new([7; PEPPER_BYTES]);
        let cookie_key = hex::encode(&*pepper.cookie_key());
        assert_eq!(cookie_key[..64], *"26f0e004b54d60a4f96116c67bc2d5ad90ff504bfaef2f1d351fe6fa4015741b");
        assert_eq!(cookie_key[64..], *"bb24005c080cfcf768ea8fee49e367beeed24e44032a9a8fc85f8cb8b3f0522e");
        let check_value = hex::encode(&pepper.check_value());
        assert_eq!(check_value, "51ac4bde2c30d790fabfe82718c1103a4cf94569f62005432b6b16f5599e3bc8");
        assert_eq!(pepper.set_up_token("a"), "90a18d13571fd96896d97f107cb2987b");
        assert_eq!(pepper.device_tag("a"), "0087905afe7a1beacfee7f5b57cf95c8");
    }

    #[test]
    fn debug_shows_nothing_of_them() {
        let pepper = Pepper::new([7; PEPPER_BYTES]);
        let digest = SecretDigest(pepper.check_value());
        assert_eq!(format!("{pepper:?} {digest:?}"), "Pepper(…) SecretDigest(…)");
    }
}
