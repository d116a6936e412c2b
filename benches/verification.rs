//! What a verification costs: `cargo bench --bench verification`, or one section of it: `… -- memory`.
//!
//! The result is the ratio to a bare actix-web handler, measured in turns on the same machine, not the absolute figure.
//! "Bare" is always `GET` + SHA-256 + std `HashMap` + empty 200 and nothing else (`support/bare.rs`), asked with the
//! very same requests; what a `POST` costs by itself is printed beside it.
//!
//! Linux only. Writes to temporary folders alone.

mod support;

/// In a folder of their own; cargo would take files beside this one for benchmarks.
mod verification {
    pub mod compare;
    pub mod in_process;
    pub mod memory;
    pub mod stage;
}

use std::process::ExitCode;

use support::{bare, cores, sections};
use verification::{
    compare, in_process, memory,
    stage::{MANY, Stage},
};

fn main() -> ExitCode {
    if let Some(keys) = bare::asked_for() {
        bare::serve(keys);
        return ExitCode::SUCCESS;
    }
    println!("{}; {} connections; medians, and beside them the half of all around it", cores::described(), 32);
    let stage = Stage::default();
    sections::run(&mut [
        ("forward-auth", &mut || compare::forward_auth(&stage)),
        ("verify", &mut || compare::verify(&stage)),
        ("size", &mut || compare::size(&stage)),
        ("unknown", &mut || compare::unknown(&stage)),
        ("batch", &mut || compare::batch(&stage)),
        ("in-process", &mut || in_process::in_process(&stage.place(MANY))),
        ("memory", &mut || memory::memory(&stage)),
        ("ready", &mut || memory::ready(&stage)),
    ])
}
