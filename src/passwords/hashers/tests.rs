//! Who is served when, by how many threads, and what happens to them.

use std::sync::mpsc;

use super::*;

fn tell<T: Send + 'static>(to: &mpsc::Sender<T>, what: T) -> Job {
    let to = to.clone();
    Box::new(move |_| to.send(what).unwrap())
}

#[test]
fn whoever_goes_first_overtakes_the_queue_of_all_others() {
    let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    let (hold, held) = (Arc::new(std::sync::Barrier::new(hashers.at_once + 1)), Arc::new(Mutex::new(())));
    let waiting = held.lock().unwrap();
    for _ in 0..hashers.at_once {
        let (hold, held) = (Arc::clone(&hold), Arc::clone(&held));
        let busy = Box::new(move |_: &mut Memory| {
            hold.wait();
            drop(held.lock());
        });
        hashers.submit(busy, Turn::Later).unwrap();
    }
    // Every thread is busy now.
    hold.wait();
    // The lock is given up after the order was read, so one thread does all that follows.
    hashers.submit(tell(&done, "a stranger"), Turn::Later).unwrap();
    hashers.submit(tell(&done, "somebody known"), Turn::First).unwrap();
    assert_eq!(hashers.shared.lock().threads, hashers.at_once, "however much there is to do");
    let next = || hashers.shared.next().map(|job| job(&mut Memory::default()));
    next();
    next();
    assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["somebody known", "a stranger"]);
    drop(waiting);
}

#[test]
fn a_thread_without_memory_leaves_the_work_to_one_that_has_some() {
    let shared = Shared::default();
    shared.lock().threads = 3;
    assert!(shared.is_needed(false), "the first stays, to say what is missing");
    assert!(shared.is_needed(true));
    assert!(!shared.is_needed(false));
    assert_eq!(shared.lock().threads, 2);
}

#[test]
fn a_thread_that_cannot_be_started_is_a_fault_where_no_other_one_runs() {
    let (mut work, refused) = (Work::default(), || Err(std::io::ErrorKind::OutOfMemory.into()));
    assert!(work.started(refused()).is_err());
    work.started(Ok(())).unwrap();
    work.started(refused()).unwrap();
    assert_eq!(work.threads, 1);
}

#[test]
fn there_is_a_core_without_a_hash_where_there_are_two_or_more() {
    assert_eq!([1, 2, 3, 4, 64].map(at_once), [1, 1, 1, 2, 2]);
    let (mut hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    hashers.at_once = 1;
    (0..20).for_each(|_| hashers.submit(tell(&done, ()), Turn::Later).unwrap());
    assert_eq!(hashers.shared.lock().threads, 1);
    (0..20).for_each(|_| told.recv().unwrap());
}

#[test]
fn one_after_the_other_needs_one_thread() {
    let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    for _ in 0..20 {
        hashers.submit(tell(&done, ()), Turn::Later).unwrap();
        told.recv().unwrap();
        // It has told, and is on its way back to wait.
        while hashers.shared.lock().idle == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(hashers.shared.lock().threads, 1);
}

#[test]
fn a_job_that_the_idle_threads_have_no_time_for_gets_another_one() {
    for turn in [Turn::First, Turn::Later] {
        let (mut hashers, (done, told)) = (Hashers::default(), mpsc::channel());
        hashers.at_once = 2;
        {
            // One thread that waits, as far as is known, and is about to be woken for the job that is there.
            let mut work = hashers.shared.lock();
            (work.threads, work.idle) = (1, 1);
            let queue = if turn == Turn::First { &mut work.first } else { &mut work.later };
            queue.push_back(tell(&done, "the first"));
        }
        hashers.submit(tell(&done, "the second"), turn).unwrap();
        assert_eq!(hashers.shared.lock().threads, 2);
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["the first", "the second"]);
    }
}

#[test]
fn a_thread_that_was_idle_and_works_again_is_none_that_waits() {
    let (mut hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    hashers.at_once = 2;
    hashers.submit(tell(&done, ()), Turn::Later).unwrap();
    told.recv().unwrap();
    while hashers.shared.lock().idle == 0 {
        thread::yield_now();
    }
    let (hold, held) = (Arc::new(std::sync::Barrier::new(2)), mpsc::channel::<()>());
    let (holding, let_go) = (Arc::clone(&hold), held.1);
    let busy = move |_: &mut Memory| {
        holding.wait();
        let _ = let_go.recv();
    };
    hashers.submit(Box::new(busy), Turn::Later).unwrap();
    hold.wait();
    assert_eq!(hashers.shared.lock().idle, 0);
    hashers.submit(tell(&done, ()), Turn::Later).unwrap();
    told.recv().unwrap();
    drop(held.0);
}

#[test]
fn the_threads_end_when_nobody_can_ask_them_any_more() {
    let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    hashers.submit(tell(&done, ()), Turn::Later).unwrap();
    told.recv().unwrap();
    let shared = Arc::downgrade(&hashers.shared);
    drop(hashers);
    let begun = std::time::Instant::now();
    while shared.strong_count() > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "a thread still waits for work");
        thread::yield_now();
    }
}

#[test]
fn a_panic_ends_one_hash_and_no_thread() {
    let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    for _ in 0..hashers.at_once * 3 {
        hashers.submit(Box::new(|_| panic!("a test's own")), Turn::Later).unwrap();
    }
    hashers.submit(tell(&done, ()), Turn::Later).unwrap();
    told.recv().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn hashes_give_way_to_everything_else() {
    let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
    let to = done.clone();
    let ask = move |_: &mut Memory| to.send(rustix::process::getpriority_process(None).unwrap()).unwrap();
    let before = rustix::process::getpriority_process(None).unwrap();
    hashers.submit(Box::new(ask), Turn::Later).unwrap();
    assert_eq!(told.recv().unwrap(), (before + NICE).min(19));
    assert_eq!(rustix::process::getpriority_process(None).unwrap(), before, "and nobody else does");
}
