//! The list of used keys, on one thread. Not inside `dirty_list.rs`, which `tests/it/memory/` compiles too.

use super::dirty_list::{DirtyList, Mark};

#[test]
fn each_is_taken_once_however_often_it_was_marked() {
    let (list, marks) = (DirtyList::new(), [(); 4].map(|()| Mark::default()));
    for number in [2_u32, 0, 2, 3, 2] {
        list.mark(number, &marks[number as usize]);
    }
    let mut taken = Vec::new();
    list.take(|number| marks.get(number as usize), |number| taken.push(number));
    taken.sort_unstable();
    assert_eq!(taken, [0, 2, 3]);
    list.take(|number| marks.get(number as usize), |_| panic!("the list is empty"));
    list.mark(2, &marks[2]);
    let mut again = 0;
    list.take(|number| marks.get(number as usize), |_| again += 1);
    assert_eq!(again, 1);
}
