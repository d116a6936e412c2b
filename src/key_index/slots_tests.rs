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
