//! What the process asks of the operating system.

/// What is in memory stays there: the pepper, passwords that are being checked, keys that are being shown. No core file is
/// written when the process dies, and no other process of the same user may read its memory.
pub fn allow_no_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Only a kernel that does not know of it refuses.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// What would make a file larger than `ulimit -f` (`LimitFSIZE`) allows is a write that fails, as on a full disk. By default the
/// signal for it ends the process, without a word.
pub fn bear_limit_of_files() -> Result<(), super::CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    let mut reached = signal(kind).map_err(super::CliError::Runtime)?;
    tokio::spawn(async move {
        if reached.recv().await.is_some() {
            tracing::error!(
                "a file has reached the limit that is set for files (ulimit -f, LimitFSIZE); what it has no room for fails"
            );
        }
    });
    Ok(())
}

/// Threads of a server when it has started: two for each processor (a worker, and one for what waits), hashing as many, and for its
/// database, connections, metrics and log.
pub fn threads_of_a_server() -> usize {
    3 * std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) + 12
}

/// Whether this process may have so many threads now. Libraries below cannot be asked: they panic when they get none.
///
/// # Errors
/// When the operating system refuses one of them.
pub fn can_have_threads(count: usize) -> Result<(), super::CliError> {
    let (mut held, mut threads) = (Vec::new(), Vec::new());
    let mut start = || {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("trial".to_owned()).spawn(move || _ = wait.recv())?;
        held.push(release);
        threads.push(thread);
        Ok(())
    };
    let started = (0..count).try_for_each(|_| start());
    drop(held);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    started.map_err(|error| super::CliError::Threads(count, error))
}
