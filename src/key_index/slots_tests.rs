//! The table of numbers, on one thread. Not inside `slots.rs`, which `tests/it/memory/` compiles too.

use super::slots::Slots;

/// Spreads small numbers over all bits; a few of them to one place and tag.
fn hash_of(number: u32) -> u64 {
    if number.is_multiple_of(97) { 7 } else { u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

#[test]
fn what_is_added_is_found_and_nothing_else_over_many_growths() {
    let slots = Slots::new(2);
    for number in 0..5_000 {
        assert_eq!(slots.find(hash_of(number), |found| found == number), None);
        slots.insert(hash_of(number), number, hash_of);
    }
    assert_eq!(slots.len(), 5_000);
    for number in 0..5_000 {
        assert_eq!(slots.find(hash_of(number), |found| found == number), Some(number));
    }
    assert_eq!(slots.find(hash_of(9_999), |found| found == 9_999), None);
}

#[test]
fn room_made_beforehand_is_one_table() {
    let slots = Slots::new(2);
    slots.reserve(1_000, hash_of);
    let bytes = slots.bytes();
    for number in 0..1_000 {
        slots.insert(hash_of(number), number, hash_of);
    }
    assert_eq!(slots.bytes(), bytes);
    assert_eq!(bytes, (4 + 2048) * 8);
}

#[test]
fn what_is_removed_is_not_found_and_all_behind_it_is() {
    let slots = Slots::new(2);
    let is = |wanted: u32| move |found: u32| found == wanted;
    for number in 0..1_000 {
        slots.insert(hash_of(number), number, hash_of);
    }
    for number in (0..1_000).step_by(2) {
        slots.remove(hash_of(number), number);
        slots.remove(hash_of(number), number);
    }
    slots.remove(hash_of(5_000), 5_000);
    assert_eq!(slots.len(), 500);
    for growth in [0, 5_000] {
        slots.reserve(growth, hash_of);
        for number in 0..1_000 {
            let expected = (number % 2 == 1).then_some(number);
            assert_eq!(slots.find(hash_of(number), is(number)), expected);
        }
    }
    slots.insert(hash_of(0), 0, hash_of);
    assert_eq!((slots.find(hash_of(0), is(0)), slots.len()), (Some(0), 501));
}

/// A thousand come and go a hundred times; a table for all of them would have 1 MB.
#[test]
fn what_comes_takes_the_places_of_what_went() {
    let slots = Slots::new(10);
    for round in 0..100 {
        (0..1_000).for_each(|n| slots.insert(hash_of(round * 1_000 + n), round * 1_000 + n, hash_of));
        (0..1_000).for_each(|n| slots.remove(hash_of(round * 1_000 + n), round * 1_000 + n));
    }
    assert_eq!(slots.len(), 0);
    assert!(slots.bytes() <= 32 * 1024, "{}", slots.bytes());
}

/// The word of a removed slot has the tag 0, like every 2^32nd hash.
#[test]
fn a_removed_slot_is_nobodys() {
    let slots = Slots::new(2);
    slots.insert(1, 7, |_| 1);
    slots.remove(1, 7);
    assert_eq!(slots.find(1, |number| panic!("asked for {number}")), None);
}

#[test]
fn in_the_smallest_table_too_a_search_comes_to_its_end() {
    let slots = Slots::new(0);
    for number in 0..5 {
        slots.insert(hash_of(number), number, hash_of);
        assert_eq!(slots.find(hash_of(7), |found| found == 7), None);
    }
}

/// Whoever has another one need not look at its digest.
#[test]
fn only_numbers_with_the_whole_hash_are_asked_for() {
    let slots = Slots::new(6);
    let tag = |tag: u64| tag << 32 | 3;
    slots.insert(tag(5), 1, tag_of);
    slots.insert(tag(6), 2, tag_of);
    slots.insert(tag(7), 3, tag_of);
    slots.remove(tag(6), 2);
    let asked = std::cell::RefCell::new(Vec::new());
    let find = |hash| {
        slots.find(hash, |found| {
            asked.borrow_mut().push(found);
            false
        })
    };
    assert_eq!([tag(7), tag(0), tag(6)].map(find), [None; 3]);
    assert_eq!(asked.take(), [3]);
}

/// Half of the hash says where a number lies: whoever looks for one does not come by all others.
#[test]
fn each_number_lies_at_a_place_of_its_own() {
    let slots = Slots::new(8);
    let hash = |number: u32| 5 << 32 | u64::from(number);
    (0..100).for_each(|number| slots.insert(hash(number), number, hash));
    for number in 0..100 {
        let asked = std::cell::RefCell::new(Vec::new());
        slots.find(hash(number), |found| {
            asked.borrow_mut().push(found);
            found == number
        });
        assert_eq!(asked.take(), [number]);
    }
}

fn tag_of(number: u32) -> u64 {
    u64::from(number + 4) << 32 | 3
}
