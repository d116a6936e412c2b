//! Devices that signed in before: what a cookie remembers of them, signed for each account.
//!
//! Whoever guesses at an account from elsewhere makes others wait, and must not make its owner wait. A cookie that only a
//! right password brings tells the owner's device from all others.

use std::fmt;

use chrono::{DateTime, Utc};
use rand::{TryRng, rngs::SysRng};
use subtle::ConstantTimeEq;

use super::{email::Email, hex, pepper::Pepper, secret::EntropyError};

/// How long a device is remembered after its last sign-in; browsers keep no cookie longer.
pub const KEPT_DAYS: i64 = 400;
/// Accounts that one device remembers: colleagues who share a computer.
const MAX_ACCOUNTS: usize = 8;

/// A random name of 128 bits for a device, new with each sign-in.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceId(String);

impl DeviceId {
    /// # Errors
    /// [`EntropyError`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = [0_u8; 16];
        SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(hex::encode(&bytes)))
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A device that signed in to an account before, if the account still says so.
pub struct DeviceClaim {
    /// The random name that the device got when it signed in last.
    pub id: DeviceId,
    /// The account's device epoch at that time; when it has moved on, the device was forgotten.
    pub epoch: i64,
}

/// The cookie: for each account a day, an epoch, a device and a signature. It does not say which account.
#[derive(Clone, Default)]
pub struct DeviceCookie(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    day: i64,
    epoch: i64,
    id: DeviceId,
    tag: String,
}

impl DeviceCookie {
    /// Reads what a browser sent; what is none of ours is passed over.
    pub fn parse(text: &str) -> Self {
        Self(text.split('-').take(MAX_ACCOUNTS).filter_map(Entry::parse).collect())
    }

    /// What this device claims to be to an account, with a good signature. Asks no database: for strangers, who have no
    /// signature, known and unknown accounts must cost the same, also when they are turned away.
    pub fn claim(&self, pepper: &Pepper, email: &Email, now: DateTime<Utc>) -> Option<DeviceClaim> {
        let today = day_of(now);
        let entry = self.0.iter().find(|entry| today - entry.day <= KEPT_DAYS && entry.is_of(pepper, email))?;
        Some(DeviceClaim { id: entry.id.clone(), epoch: entry.epoch })
    }

    /// Remembers that this device has signed in to the account just now, and forgets what it knew of it before.
    ///
    /// # Errors
    /// [`EntropyError`] when the operating system gives no random bytes.
    pub fn remember(
        &self,
        pepper: &Pepper,
        email: &Email,
        epoch: i64,
        now: DateTime<Utc>,
    ) -> Result<Self, EntropyError> {
        let mut entry = Entry { day: day_of(now), epoch, id: DeviceId::generate()?, tag: String::new() };
        entry.tag = entry.expected_tag(pepper, email);
        let others = self.0.iter().filter(|other| !other.is_of(pepper, email)).cloned();
        Ok(Self(std::iter::once(entry).chain(others).take(MAX_ACCOUNTS).collect()))
    }
}

impl fmt::Display for DeviceCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Entry { day, epoch, id, tag }) in self.0.iter().enumerate() {
            let between = if n == 0 { "" } else { "-" };
            write!(f, "{between}{day}.{epoch}.{}.{tag}", id.as_str())?;
        }
        Ok(())
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut number = || parts.next()?.parse().ok().filter(|&number: &i64| number >= 0);
        let (day, epoch) = (number()?, number()?);
        let mut digits = || parts.next().filter(|text| hex::is_of(text, 16)).map(str::to_owned);
        let (id, tag) = (DeviceId(digits()?), digits()?);
        parts.next().is_none().then_some(Self { day, epoch, id, tag })
    }

    fn is_of(&self, pepper: &Pepper, email: &Email) -> bool {
        self.tag.as_bytes().ct_eq(self.expected_tag(pepper, email).as_bytes()).into()
    }

    fn expected_tag(&self, pepper: &Pepper, email: &Email) -> String {
        // The address stands last, since it alone may hold any character.
        let signed = format!("{}.{}.{}.{}", self.day, self.epoch, self.id.as_str(), email.folded());
        pepper.device_tag(&signed)
    }
}

fn day_of(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn pepper() -> Pepper {
        Pepper::new([7; 32])
    }

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    fn after(days: i64) -> DateTime<Utc> {
        START + chrono::TimeDelta::days(days)
    }

    /// The cookie of a device on which these people signed in, one after the other.
    fn cookie(people: &[&str]) -> String {
        let mut cookie = DeviceCookie::default();
        for person in people {
            cookie = cookie.remember(&pepper(), &email(person), 3, START).unwrap();
        }
        cookie.to_string()
    }

    fn epoch_of(cookie: &str, person: &str, now: DateTime<Utc>) -> Option<i64> {
        DeviceCookie::parse(cookie).claim(&pepper(), &email(person), now).map(|claim| claim.epoch)
    }

    #[test]
    fn a_device_is_known_to_who_signed_in_on_it_and_to_nobody_else() {
        let cookie = cookie(&["maya@acme.example", "jonas@acme.example"]);
        assert_eq!(epoch_of(&cookie, "MAYA@acme.example", START), Some(3));
        assert_eq!(epoch_of(&cookie, "jonas@acme.example", START), Some(3));
        assert_eq!(epoch_of(&cookie, "olga@umbrella.example", START), None);
    }

    #[test]
    fn a_device_is_forgotten_after_400_days_without_signing_in() {
        let cookie = cookie(&["maya@acme.example"]);
        assert_eq!(epoch_of(&cookie, "maya@acme.example", after(400)), Some(3));
        assert_eq!(epoch_of(&cookie, "maya@acme.example", after(401)), None);
    }

    #[test]
    fn every_sign_in_gives_a_new_name_and_the_oldest_accounts_go() {
        let maya = "maya@acme.example";
        let mut cookie = DeviceCookie::parse(&cookie(&[maya]));
        let first = cookie.claim(&pepper(), &email(maya), START).unwrap().id;
        cookie = cookie.remember(&pepper(), &email(maya), 4, START).unwrap();
        let second = cookie.claim(&pepper(), &email(maya), START).unwrap();
        assert!(second.id != first && second.epoch == 4 && cookie.0.len() == 1);
        for n in 0..MAX_ACCOUNTS {
            assert!(cookie.claim(&pepper(), &email(maya), START).is_some(), "{n}");
            cookie = cookie.remember(&pepper(), &email(&format!("p{n}@acme.example")), 0, START).unwrap();
        }
        assert!(cookie.claim(&pepper(), &email(maya), START).is_none());
        assert!(cookie.to_string().len() < 1000);
    }

    #[test]
    fn what_was_changed_or_made_up_is_known_to_nobody() {
        let good = cookie(&["maya@acme.example"]);
        assert_eq!(epoch_of(&good, "maya@acme.example", START), Some(3));
        let other_pepper = DeviceCookie::parse(&good).claim(&Pepper::new([8; 32]), &email("maya@acme.example"), START);
        assert!(other_pepper.is_none());
        for at in 0..good.len() {
            for with in ["0", "9", "a", ".", "-", ""] {
                let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
                if changed != good {
                    assert_eq!(epoch_of(&changed, "maya@acme.example", START), None, "{changed}");
                }
            }
        }
        for made_up in ["", ".", "-", "0.3", "x", &format!("{good}.0"), &"-".repeat(4000)] {
            assert_eq!(epoch_of(made_up, "maya@acme.example", START), None, "{made_up}");
        }
    }
}
