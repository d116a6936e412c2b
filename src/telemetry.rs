//! Logs: structured, to stderr, never with a secret (CONTRIBUTING.md lists what never to log).

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// A log setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("KEYSTEAD_LOG: {0:?} is not error, warn, info, debug, trace or off, nor a filter such as keystead=debug")]
    Filter(String),
    /// No such format.
    #[error("KEYSTEAD_LOG_FORMAT: {0:?} is neither text nor json")]
    Format(String),
}

/// Starts logging for this process.
///
/// # Errors
/// [`TelemetryError`] when a setting cannot be used.
pub fn start(filter: &str, format: &str) -> Result<(), TelemetryError> {
    // A word that is no level would be taken for the name of a module, and silence everything else.
    let is_known = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
    let refused = || TelemetryError::Filter(filter.to_owned());
    if !filter.split(',').all(is_known) {
        return Err(refused());
    }
    let filter = EnvFilter::try_new(filter).map_err(|_| refused())?;
    // At debug it logs every statement's parameters: digests, password hashes, addresses.
    let filter = filter.add_directive("tokio_postgres=info".parse().map_err(|_| refused())?);
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A log that cannot be written would be complained of on stderr, which panics when that is what broke: every
        // request would fail for want of a log line.
        .log_internal_errors(false);
    match format {
        "text" => logs.with_target(false).init(),
        "json" => logs.json().flatten_event(true).init(),
        _ => return Err(TelemetryError::Format(format.to_owned())),
    }
    Ok(())
}
