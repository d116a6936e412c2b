//! Which cores drive and which serve.
//!
//! On one core the driver would push the server aside in the middle of an answer, and both would find the caches full of
//! the other's data. So the permitted cores are halved, where there are two.

use std::{
    process::{Child, Command},
    sync::LazyLock,
    thread,
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub struct Cores {
    driver: Vec<usize>,
    server: Vec<usize>,
}

/// Driver threads beyond this drive nothing faster over 32 connections.
const MOST_DRIVERS: usize = 4;

static CORES: LazyLock<Cores> = LazyLock::new(|| {
    let permitted = sched_getaffinity(None).expect("the kernel tells which cores we may use");
    let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| permitted.is_set(core)).collect();
    let drivers = (all.len() / 2).min(MOST_DRIVERS);
    Cores { driver: all[..drivers].to_vec(), server: all[drivers..].to_vec() }
});

impl Cores {
    fn are_apart(&self) -> bool {
        !self.driver.is_empty()
    }
}

/// Who runs where, in words.
pub fn described() -> String {
    let Cores { driver, server } = &*CORES;
    if CORES.are_apart() {
        format!("driver pinned to cores {driver:?}, servers to {server:?} (a worker a core)")
    } else {
        "NOT pinned: one core for driver and server, so throughput and latency say little".to_owned()
    }
}

/// How many threads drive.
pub fn drivers() -> usize {
    CORES.driver.len().max(1)
}

/// From here on this thread runs on the driver's core of that number.
pub fn pin_driver(number: usize) {
    if CORES.are_apart() {
        pin(&CORES.driver[number..=number]);
    }
}

/// Starts a process on the servers' cores: it inherits them from the thread that starts it.
pub fn spawn_on_server_cores(mut command: Command) -> std::io::Result<Child> {
    let starting = thread::spawn(move || {
        if CORES.are_apart() {
            pin(&CORES.server);
        }
        command.spawn()
    });
    starting.join().expect("starting a process does not panic")
}

fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).expect("a thread may be pinned to permitted cores");
}
