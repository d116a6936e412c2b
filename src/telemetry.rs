//! What the program says: logs, structured, to stderr, never with a secret (CONTRIBUTING.md lists what never to log); and
//! the few lines outside of the log. With `KEYSTEAD_LOG_FORMAT=json` each of them is JSON.

mod log_writer;

use std::{
    backtrace::BacktraceStatus,
    io::{IsTerminal, Write},
    sync::OnceLock,
};

use serde_json::{Map, Value};
use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use log_writer::LogWriter;

use crate::{
    clock::{Clock, SystemClock},
    config::{LogFilter, LogFormat},
    supervision,
};

/// What writes to standard error; none where the system gives no thread.
static LOG: OnceLock<Option<LogWriter>> = OnceLock::new();
/// What writes to standard output while a server runs.
static OUTPUT: OnceLock<Option<LogWriter>> = OnceLock::new();

/// Starts logging for this process.
pub fn start(filter: &LogFilter, format: LogFormat) {
    let mut filter = EnvFilter::builder().parse_lossy(filter.as_str());
    // At debug it logs every statement's parameters: digests, password hashes, addresses.
    if let Ok(quiet) = "tokio_postgres=info".parse() {
        filter = filter.add_directive(quiet);
    }
    // It has a line at ERROR for whatever malformed bytes a stranger sends.
    if let Ok(quiet) = "actix_http::h1::dispatcher=off".parse() {
        filter = filter.add_directive(quiet);
    }
    let to = match log(format) {
        Some(writer) => BoxMakeWriter::new(writer.clone()),
        // Without a thread for it, a line waits for its reader.
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(to)
        .with_ansi(std::io::stderr().is_terminal())
        // A log that cannot be written would be complained of on stderr, which panics when that is what broke: every
        // request would fail for want of a log line.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

fn log(format: LogFormat) -> Option<&'static LogWriter> {
    LOG.get_or_init(|| start_writer(std::io::stderr(), format)).as_ref()
}

fn start_writer(to: impl Write + Send + 'static, format: LogFormat) -> Option<LogWriter> {
    let tell = match format {
        LogFormat::Text => |lines| left_out(LogFormat::Text, lines),
        LogFormat::Json => |lines| left_out(LogFormat::Json, lines),
    };
    LogWriter::start(to, tell).ok()
}

/// One line on standard output, at once, with these facts beside it for machines (a number stays a number in JSON): what a
/// command answers to whoever waits for it. Nobody need be listening: `println!` would panic when a pipe was closed.
pub fn say(format: LogFormat, line: &str, facts: &[(&str, Value)]) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{}", written(format, "INFO", line, facts)).and_then(|()| output.flush());
}

/// The same from a server, which waits for nobody who reads: its pipe may be full for ever.
pub fn announce(format: LogFormat, line: &str, facts: &[(&str, Value)]) {
    match OUTPUT.get_or_init(|| start_writer(std::io::stdout(), format)) {
        Some(output) => output.write_line(format!("{}\n", written(format, "INFO", line, facts)).as_bytes()),
        None => say(format, line, facts),
    }
}

/// One line on standard error, at once: how far a command is.
pub fn note(format: LogFormat, line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", written(format, "INFO", line, &[]));
}

/// One line on standard error that tells why the program ends, whatever a database put into the message.
pub fn fail(format: LogFormat, message: &str) {
    let line = in_one_line(message);
    let line = match format {
        LogFormat::Text => format!("keystead: {line}"),
        LogFormat::Json => written(format, "ERROR", &line, &[]),
    };
    match log(format) {
        Some(log) => log.write_last_line(format!("{line}\n").as_bytes()),
        None => drop(writeln!(std::io::stderr(), "{line}")),
    }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line of the log that stands for those which nobody read.
fn left_out(format: LogFormat, lines: u64) -> String {
    let words = format!("nobody read the log; {lines} lines of it were left out here");
    match format {
        LogFormat::Text => format!("{}  WARN {words}\n", timestamp()),
        LogFormat::Json => written(format, "WARN", &words, &[]) + "\n",
    }
}

/// From now on a panic is a line of the log, which waits for nobody who reads it; where RUST_BACKTRACE asks for it, with the way
/// there. Rust's own words are several lines, and go straight to standard error.
pub fn log_panics(format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let said = supervision::words_of(panic.payload());
        // Where tokio has no thread; whoever asked for it goes on with that (`supervision/threads.rs`).
        let words = match said.strip_prefix("OS can't spawn worker thread: ") {
            Some(why) => format!("{}: {why}", supervision::NO_THREAD),
            None => in_one_line(&format!("thread '{}' {panic}", thread.name().unwrap_or("without a name"))),
        };
        let way = std::backtrace::Backtrace::capture();
        let way = (way.status() == BacktraceStatus::Captured).then(|| way.to_string());
        let line = match format {
            LogFormat::Text => {
                format!("{} ERROR {words}{}", timestamp(), way.map(|way| format!("\n{way}")).unwrap_or_default())
            }
            LogFormat::Json => {
                let facts: Vec<_> = way.into_iter().map(|way| ("backtrace", way.into())).collect();
                written(format, "ERROR", &words, &facts)
            }
        };
        match log(format) {
            Some(log) => log.write_line(format!("{line}\n").as_bytes()),
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }));
}

fn written(format: LogFormat, level: &str, line: &str, facts: &[(&str, Value)]) -> String {
    if format == LogFormat::Text {
        return line.to_owned();
    }
    // As the log names what is common to all lines.
    let mut object = Map::new();
    let common = [("timestamp", timestamp().into()), ("level", level.into()), ("message", line.into())];
    for (name, value) in common.iter().chain(facts) {
        object.insert((*name).to_owned(), value.clone());
    }
    Value::Object(object).to_string()
}

fn timestamp() -> String {
    SystemClock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
