//! What is looked at in every order: two or three threads, each in a handful of steps.
//!
//! Where `index.rs` does something between the parts that are compiled here, it is repeated in the same order.

use std::time::Duration;

use loom::{sync::Arc, thread};

use super::{
    dirty_list::{DirtyList, Mark},
    lease::Lease,
    place::Place,
    secret_entry::{LIVING as ENTRY_LIVING, REPLACED as ENTRY_REPLACED, SecretEntry},
    slots::Slots,
    sync::{AtomicU32, AtomicU64, AtomicUsize, OnceLock, Ordering},
    version::{FIRST, Version},
};

// Look-up against growth

/// A table of secrets, like that of the index.
struct Secrets {
    slots: Slots,
    entries: [Secret; 3],
}

struct Secret {
    digest: AtomicU64,
    key: AtomicU32,
}

/// All want the same place, so that they lie behind each other.
fn digest(number: u32) -> u64 {
    u64::from(number + 1) << 32 | 1
}

fn key(number: u32) -> u32 {
    number + 100
}

impl Secrets {
    fn insert(&self, number: u32) {
        let Secret { digest: place, key: of } = &self.entries[number as usize];
        place.store(digest(number), Ordering::Relaxed);
        of.store(key(number), Ordering::Relaxed);
        self.slots.insert(digest(number), number, |number| self.digest_of(number));
    }

    fn find(&self, digest: u64) -> Option<u32> {
        let number = self.slots.find(digest, |number| self.digest_of(number) == digest)?;
        Some(self.entries[number as usize].key.load(Ordering::Relaxed))
    }

    fn digest_of(&self, number: u32) -> u64 {
        self.entries[number as usize].digest.load(Ordering::Relaxed)
    }
}

fn secrets(slots: Slots) -> Arc<Secrets> {
    let entries = [(); 3].map(|()| Secret { digest: AtomicU64::new(0), key: AtomicU32::new(0) });
    Arc::new(Secrets { slots, entries })
}

/// Two slots hold one number: each one inserted after it makes the table grow.
pub fn a_look_up_while_the_table_grows() {
    let secrets = secrets(Slots::new(1));
    secrets.insert(0);
    let writer = thread::spawn({
        let secrets = Arc::clone(&secrets);
        move || {
            secrets.insert(1);
            secrets.insert(2);
        }
    });
    let before = secrets.find(digest(0)) == Some(key(0));
    let first = secrets.find(digest(1)).unwrap_or(key(1));
    let second = secrets.find(digest(2));
    // Whoever has seen the second sees the first, and the one of before anyhow.
    let then = second.is_none_or(|second| second == key(2) && secrets.find(digest(1)) == Some(key(1)));
    assert!(before && first == key(1) && then, "a key is not found, or not fully written");
    writer.join().unwrap();
}

/// What lies behind a removed number is found, also while another one takes that place.
pub fn a_look_up_while_a_number_is_removed() {
    let secrets = secrets(Slots::new(3));
    secrets.insert(0);
    secrets.insert(1);
    let writer = thread::spawn({
        let secrets = Arc::clone(&secrets);
        move || {
            secrets.slots.remove(digest(0), 0);
            secrets.insert(2);
        }
    });
    let behind = secrets.find(digest(1)) == Some(key(1));
    let second = secrets.find(digest(2)).unwrap_or(key(2));
    assert!(behind && second == key(2), "a key is not found, or not fully written");
    writer.join().unwrap();
    assert_eq!([0, 1, 2].map(|number| secrets.find(digest(number))), [None, Some(key(1)), Some(key(2))]);
}

/// A replaced secret of key 1 is forgotten, and its entry gets a living secret of key 2, while somebody comes with the first.
pub fn a_look_up_while_an_entry_is_filled_anew() {
    let (first, second) = ([11, 12, 13, 14], [21, 22, 23, 24]);
    let entry = Arc::new(SecretEntry::default());
    entry.fill(first, 1, true);
    let writer = thread::spawn({
        let entry = Arc::clone(&entry);
        move || {
            entry.empty();
            entry.fill(second, 2, false);
        }
    });
    if entry.has(first) {
        let key = entry.key();
        let found = entry.state_of(first).map(|state| (key, state));
        let is_first = found.is_none_or(|(key, state)| key == 1 && state >= ENTRY_REPLACED);
        assert!(is_first, "a forgotten secret is taken for another one");
    }
    writer.join().unwrap();
}

// Look-up against other facts

/// A key whose secret is replaced, and that gets other facts: whoever has these finds the secret replaced.
pub fn a_look_up_while_other_facts_take_their_place() {
    let digest = [11, 12, 13, 14];
    let key = Arc::new((Version::default(), [(); 2].map(|()| OnceLock::<u32>::new()), SecretEntry::default()));
    key.1[0].get_or_init(|| 10);
    key.2.fill(digest, 1, false);
    let writer = thread::spawn({
        let key = Arc::clone(&key);
        move || {
            let (version, facts, secret) = &*key;
            secret.set(true);
            facts[1].get_or_init(|| 20);
            version.set(1);
        }
    });
    let (version, facts, secret) = &*key;
    let holds = version.get();
    let facts = facts[holds as usize].get().copied();
    assert!(facts == Some(if holds == FIRST { 10 } else { 20 }), "facts hold that are not written");
    let state = secret.state_of(digest);
    assert!(holds == FIRST || state != Some(ENTRY_LIVING), "facts hold before what was taken away with them");
    writer.join().unwrap();
}

// Look-up against other entries

/// Other entries take the place of the first, then a revocation is applied, and somebody gets a receipt for it. Whoever looks the
/// key up after that, in whichever entries it has, finds it revoked.
pub fn a_look_up_in_the_entries_of_before(feeds_all: bool) {
    let node = Arc::new((AtomicUsize::new(0), [(); 2].map(|()| AtomicU32::new(LIVING)), AtomicU32::new(0)));
    let follower = thread::spawn({
        let node = Arc::clone(&node);
        move || {
            let (current, states, receipt) = &*node;
            current.store(1, Ordering::Release);
            if feeds_all {
                states[0].store(REVOKED, Ordering::Release);
            }
            states[1].store(REVOKED, Ordering::Release);
            receipt.store(1, Ordering::Release);
        }
    });
    let (current, states, receipt) = &*node;
    let entries = current.load(Ordering::Acquire);
    let is_given = receipt.load(Ordering::Acquire) == 1;
    let is_valid = states[entries].load(Ordering::Acquire) == LIVING;
    assert!(!(is_given && is_valid), "a revoked key is VALID after its receipt");
    follower.join().unwrap();
}

/// A use is counted in entries that others took the place of. They are given up when nobody had them before their counts were
/// taken over.
pub fn a_use_in_entries_that_are_given_up(looks_first: bool) {
    let mut left = Keys::new();
    left.count(0);
    let user = thread::spawn({
        let left = Arc::clone(&left);
        move || left.count(0)
    });
    let mut taken = 0;
    let is_unread = if looks_first {
        let is_unread = Arc::get_mut(&mut left).is_some();
        taken += left.take();
        is_unread
    } else {
        taken += left.take();
        Arc::get_mut(&mut left).is_some()
    };
    user.join().unwrap();
    if !is_unread {
        taken += left.take();
    }
    assert_eq!(taken, 2, "a use is given up with the entries");
}

// Refusals of a key that was never refused before

/// Two are the first to be refused by one key: both count in one place.
pub fn two_who_make_a_place_at_once() {
    let key = Arc::new((Place::default(), [(); 2].map(|()| AtomicU64::new(0)), [(); 2].map(|()| AtomicU32::new(0))));
    let count = |own: u32| {
        let key = Arc::clone(&key);
        move || {
            let (place, made, counts) = &*key;
            let number = place.get().unwrap_or_else(|| {
                made[own as usize].store(1, Ordering::Relaxed);
                place.give(own)
            });
            assert_eq!(made[number as usize].load(Ordering::Relaxed), 1, "a place is given before it is made");
            counts[number as usize].fetch_add(1, Ordering::Relaxed);
        }
    };
    let other = thread::spawn(count(1));
    count(0)();
    other.join().unwrap();
    let place = key.0.get().unwrap();
    assert_eq!(key.2[place as usize].load(Ordering::Relaxed), 2, "a refusal is lost");
}

// Look-up against revocation

const LIVING: u32 = 0;
const REVOKED: u32 = 1;

/// The lease is over at 10, it is 20, and the follower comes back: it applies a revocation, then holds the lease until 30.
pub fn a_request_during_a_revocation(lease_first: bool) {
    let at = Duration::from_nanos;
    let node = Arc::new((Lease::new(true), AtomicU32::new(LIVING)));
    node.0.hold_until(at(10));
    let follower = thread::spawn({
        let node = Arc::clone(&node);
        move || {
            let (lease, state) = &*node;
            state.store(REVOKED, Ordering::Release);
            lease.hold_until(at(30));
        }
    });
    let (lease, state) = &*node;
    let is_held = || lease.is_held(at(20));
    let lives = || state.load(Ordering::Acquire) == LIVING;
    let is_valid = if lease_first {
        let is_held = is_held();
        is_held && lives()
    } else {
        let lives = lives();
        lives && is_held()
    };
    assert!(!is_valid, "a revoked key is VALID under the new lease");
    follower.join().unwrap();
}

// Counting against taking

/// Keys with one counter each.
struct Keys {
    used: DirtyList,
    keys: [(AtomicU32, Mark); 2],
}

impl Keys {
    fn new() -> Arc<Self> {
        Arc::new(Self { used: DirtyList::new(), keys: [(); 2].map(|()| (AtomicU32::new(0), Mark::default())) })
    }

    fn count(&self, number: u32) {
        let (count, mark) = &self.keys[number as usize];
        count.fetch_add(1, Ordering::Relaxed);
        self.used.mark(number, mark);
    }

    fn take(&self) -> u32 {
        let mut taken = 0;
        let mark_of = |number| self.keys.get(number as usize).map(|(_, mark)| mark);
        self.used.take(mark_of, |number| taken += self.keys[number as usize].0.swap(0, Ordering::Relaxed));
        taken
    }
}

/// A key was used once; it is used again while that is taken.
pub fn a_use_while_the_list_is_taken() {
    let keys = Keys::new();
    keys.count(0);
    let user = thread::spawn({
        let keys = Arc::clone(&keys);
        move || keys.count(0)
    });
    let taken = keys.take();
    user.join().unwrap();
    assert_eq!(taken + keys.take(), 2, "a use was never taken");
}

/// Two keys want to be the head of the list while it is taken.
pub fn uses_of_two_keys_while_the_list_is_taken() {
    let keys = Keys::new();
    let users = [0, 1].map(|number| {
        let keys = Arc::clone(&keys);
        thread::spawn(move || keys.count(number))
    });
    let taken = keys.take();
    users.into_iter().for_each(|user| user.join().unwrap());
    assert_eq!(taken + keys.take(), 2, "a use was never taken");
}
