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
