//! A benchmark in sections: a word on the command line runs those whose name holds it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use super::report;

/// Its name, and what it does.
pub type Section<'a> = (&'a str, &'a mut dyn FnMut());

/// Runs what was asked for. A section that fails does not keep the others from running, but the program ends with an
/// error; a goal that was missed is said and is no error.
pub fn run(sections: &mut [Section<'_>]) -> ExitCode {
    // cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let mut chosen = 0;
    let mut failed = Vec::new();
    for (name, section) in sections.iter_mut() {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        chosen += 1;
        println!("\n{name}");
        if catch_unwind(AssertUnwindSafe(section)).is_err() {
            println!("  FAILED (the message is on stderr)");
            failed.push(*name);
        }
    }
    if chosen == 0 {
        let names: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
        eprintln!("no section of that name; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    println!();
    if report::some_missed() {
        println!("some goals were NOT MET (above)");
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: {}", failed.join(", "));
    ExitCode::FAILURE
}
