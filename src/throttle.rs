//! Slows down guessing: a bucket of tries for each account and each address, given back when the try was right.
//!
//! Rate-limit libraries count every try; here a right password must cost nothing, or an office behind one address would
//! lock itself out (`docs/decisions/0007-sign-in-throttle.md`).

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Wrong tries an account has before it must wait, and how fast they come back.
const ACCOUNT: Quota = Quota { tries: 10, one_every: TimeDelta::seconds(30) };
/// Wrong tries an address has. More than an account's, because offices share an address.
const ADDRESS: Quota = Quota { tries: 50, one_every: TimeDelta::seconds(6) };

#[derive(Clone, Copy)]
struct Quota {
    tries: i32,
    one_every: TimeDelta,
}

impl Quota {
    /// When a bucket that is full at `full_at` has a try left; a bucket is only the time at which it will be full again.
    fn has_try_at(self, full_at: DateTime<Utc>) -> DateTime<Utc> {
        full_at - self.one_every * (self.tries - 1)
    }
}

/// Wrong sign-ins, by account and by address.
#[derive(Default)]
pub struct SignInThrottle {
    accounts: Buckets<String>,
    addresses: Buckets<IpAddr>,
}

/// A try was taken; give it back when the password was right, or could not be checked.
#[must_use]
pub struct Try {
    account: Option<String>,
    address: Option<IpAddr>,
}

impl SignInThrottle {
    /// Takes a try for this account (folded email address, if it can be one) from this network address.
    ///
    /// # Errors
    /// The seconds to wait, at least 1, when there is none left.
    pub fn take(&self, account: Option<String>, address: Option<IpAddr>, now: DateTime<Utc>) -> Result<Try, i64> {
        let address = address.map(network_of);
        if let Some(address) = address {
            self.addresses.take(address, ADDRESS, now)?;
        }
        let taken = account.clone().map_or(Ok(()), |account| self.accounts.take(account, ACCOUNT, now));
        if let (Err(_), Some(address)) = (&taken, &address) {
            self.addresses.give_back(address, ADDRESS);
        }
        taken.map(|()| Try { account, address })
    }

    /// The password was right: the try does not count.
    pub fn give_back(&self, taken: &Try) {
        if let Some(account) = &taken.account {
            self.accounts.give_back(account, ACCOUNT);
        }
        if let Some(address) = &taken.address {
            self.addresses.give_back(address, ADDRESS);
        }
    }

    /// Forgets buckets that are full again.
    pub fn purge(&self, now: DateTime<Utc>) {
        self.accounts.purge(now);
        self.addresses.purge(now);
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// For each key the time at which its bucket is full again; a full bucket needs no entry.
struct Buckets<K>(Mutex<HashMap<K, DateTime<Utc>>>);

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn take(&self, key: K, quota: Quota, now: DateTime<Utc>) -> Result<(), i64> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.entry(key).or_insert(now);
        let wait = quota.has_try_at(*full_at) - now;
        if wait > TimeDelta::zero() {
            return Err((wait.num_milliseconds() + 999) / 1000);
        }
        *full_at = (*full_at).max(now) + quota.one_every;
        Ok(())
    }

    fn give_back(&self, key: &K, quota: Quota) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = buckets.get_mut(key) {
            *full_at -= quota.one_every;
        }
    }

    fn purge(&self, now: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, full_at| *full_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn wrong(throttle: &SignInThrottle, account: &str, now: DateTime<Utc>) -> Result<(), i64> {
        throttle.take(Some(account.to_owned()), HERE, now).map(drop)
    }

    #[test]
    fn ten_wrong_tries_then_one_every_thirty_seconds() {
        let (throttle, start) = (SignInThrottle::default(), DateTime::UNIX_EPOCH);
        for _ in 0..10 {
            assert_eq!(wrong(&throttle, "maya", start), Ok(()));
        }
        assert_eq!(wrong(&throttle, "maya", start), Err(30));
        assert_eq!(wrong(&throttle, "maya", start + TimeDelta::seconds(29)), Err(1));
        assert_eq!(wrong(&throttle, "maya", start + TimeDelta::seconds(30)), Ok(()));
        assert_eq!(wrong(&throttle, "jonas", start), Ok(()));
    }

    #[test]
    fn right_tries_cost_nothing() {
        let (throttle, now) = (SignInThrottle::default(), DateTime::UNIX_EPOCH);
        for _ in 0..1000 {
            let taken = throttle.take(Some("maya".to_owned()), HERE, now).unwrap();
            throttle.give_back(&taken);
        }
    }

    #[test]
    fn an_address_runs_out_over_many_accounts() {
        let (throttle, now) = (SignInThrottle::default(), DateTime::UNIX_EPOCH);
        for n in 0..50 {
            assert_eq!(wrong(&throttle, &n.to_string(), now), Ok(()));
        }
        assert!(wrong(&throttle, "another", now).is_err());
    }

    #[test]
    fn what_is_full_again_is_forgotten() {
        let (throttle, now) = (SignInThrottle::default(), DateTime::UNIX_EPOCH);
        let _ = wrong(&throttle, "maya", now);
        throttle.purge(now + TimeDelta::seconds(31));
        assert!(throttle.accounts.0.lock().unwrap().is_empty());
        assert!(throttle.addresses.0.lock().unwrap().is_empty());
    }
}
