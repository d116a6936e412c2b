//! Slows down guessing: buckets of tries, given back when the try was right; and whoever makes very many changes.
//!
//! Rate-limit libraries count every try; here a right password must cost nothing, or an office behind one address would
//! lock itself out. Who is kept out by whom is in `docs/decisions/0007-sign-in-throttle.md`.

mod buckets;

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use buckets::{Buckets, Quota};

use crate::domain::{device::DeviceId, ids::UserId};

/// Wrong tries at one account from one address.
const PLACE: Quota = Quota { tries: 10, one_every: Duration::from_secs(30) };
/// Wrong tries at one account from everywhere, known devices aside: whoever has many addresses.
const ACCOUNT: Quota = Quota { tries: 50, one_every: Duration::from_secs(10) };
/// Wrong tries from one address at all accounts. Many, because an office shares an address, and behind a proxy whose
/// headers are not believed everybody does.
const ADDRESS: Quota = Quota { tries: 1000, one_every: Duration::from_secs(2) };
/// Wrong tries of a device that signed in to the account before.
const DEVICE: Quota = Quota { tries: 10, one_every: Duration::from_secs(30) };
/// Changes one person makes to keys. Nobody clicks that fast; a script that runs wild does.
const CHANGES: Quota = Quota { tries: 1000, one_every: Duration::from_secs(1) };

/// Wrong sign-ins by account, address and device. Times are since boot: a clock that is set back
/// must keep nobody waiting for hours.
#[derive(Default)]
pub struct Throttle {
    places: Buckets,
    accounts: Buckets,
    addresses: Buckets,
    devices: Buckets,
    /// What is typed is as long as its author likes; a bucket is known by 64 bits that nobody outside can compute.
    hasher: RandomState,
}

/// Who tries to sign in.
#[derive(Clone, Copy, Default)]
pub struct Caller<'a> {
    /// The folded email address, if it can be one.
    pub account: Option<&'a str>,
    /// The address of the client; `None` when it is not known.
    pub address: Option<IpAddr>,
    /// The device, if it signed in to this account before.
    pub device: Option<&'a DeviceId>,
}

/// A try was taken; give it back when the password was right, or could not be checked.
#[must_use]
pub struct Try(Vec<(Kind, u64)>);

#[derive(Clone, Copy)]
enum Kind {
    Place,
    Account,
    Address,
    Device,
}

impl Throttle {
    /// Takes a try. A known device has tries of its own, so that nobody else can use them up; without one left it has
    /// those of anybody.
    ///
    /// # Errors
    /// The seconds to wait, at least 1, when there is none left.
    pub fn take(&self, caller: Caller<'_>, now: Duration) -> Result<Try, i64> {
        if let (Some(account), Some(device)) = (caller.account, caller.device) {
            let taken = self.take_all(&[(Kind::Device, self.key((account, device.as_str())))], now);
            if taken.is_ok() {
                return taken;
            }
        }
        let address = caller.address.map(network_of);
        let mut wanted = Vec::with_capacity(3);
        if let Some(account) = caller.account {
            wanted.push((Kind::Place, self.key((account, address))));
            wanted.push((Kind::Account, self.key(account)));
        }
        if let Some(address) = address {
            wanted.push((Kind::Address, self.key(address)));
        }
        self.take_all(&wanted, now)
    }

    /// From each bucket or from none: a throttled account must not also cost its address, nor the other way round.
    fn take_all(&self, wanted: &[(Kind, u64)], now: Duration) -> Result<Try, i64> {
        let mut taken = Try(Vec::with_capacity(wanted.len()));
        for &(kind, key) in wanted {
            let (buckets, quota) = self.of(kind);
            if let Err(wait) = buckets.take(key, quota, now) {
                self.give_back(&taken, now);
                return Err(in_seconds(wait));
            }
            taken.0.push((kind, key));
        }
        Ok(taken)
    }

    /// The password was right, or could not be checked: the try does not count.
    pub fn give_back(&self, taken: &Try, now: Duration) {
        for &(kind, key) in &taken.0 {
            let (buckets, quota) = self.of(kind);
            buckets.give_back(key, quota, now);
        }
    }

    /// Forgets buckets that are full again.
    pub fn purge(&self, now: Duration) {
        for buckets in [&self.places, &self.accounts, &self.addresses, &self.devices] {
            buckets.purge(now);
        }
    }

    const fn of(&self, kind: Kind) -> (&Buckets, Quota) {
        match kind {
            Kind::Place => (&self.places, PLACE),
            Kind::Account => (&self.accounts, ACCOUNT),
            Kind::Address => (&self.addresses, ADDRESS),
            Kind::Device => (&self.devices, DEVICE),
        }
    }

    fn key(&self, of: impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }
}

/// Changes by person.
#[derive(Default)]
pub struct ChangeThrottle {
    people: Buckets,
    hasher: RandomState,
}

impl ChangeThrottle {
    /// Counts a change that this person makes.
    ///
    /// # Errors
    /// The seconds to wait, at least 1, when they made very many.
    pub fn take(&self, user: &UserId, now: Duration) -> Result<(), i64> {
        self.people.take(self.hasher.hash_one(user.as_str()), CHANGES, now).map_err(in_seconds)
    }

    /// Forgets buckets that are full again.
    pub fn purge(&self, now: Duration) {
        self.people.purge(now);
    }
}

/// Rounded up, as `Retry-After` wants them.
fn in_seconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Whoever has one IPv6 address has its whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests;
