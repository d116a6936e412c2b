//! What the program says: logs, structured, to stderr, never with a secret (CONTRIBUTING.md lists what never to log); and
//! the few lines outside of the log. With `KEYSTEAD_LOG_FORMAT=json` each of them is JSON.

mod log_writer;

use std::{
    io::{IsTerminal, Write},
    sync::OnceLock,
};

use serde_json::{Map, Value};
use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use log_writer::LogWriter;

use crate::{
    clock::{Clock, SystemClock},
    config::{LogFilter, LogFormat},
};

/// Where lines go once logging has started.
static LOG: OnceLock<LogWriter> = OnceLock::new();

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
    let tell = match format {
        LogFormat::Text => |lines| left_out(LogFormat::Text, lines),
        LogFormat::Json => |lines| left_out(LogFormat::Json, lines),
    };
    let to = match LogWriter::start(std::io::stderr(), tell) {
        Ok(writer) => BoxMakeWriter::new(LOG.get_or_init(|| writer).clone()),
        // Without a thread for it, a line waits for its reader.
        Err(_) => BoxMakeWriter::new(std::io::stderr),
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

/// One line on standard output, at once, with these facts beside it for machines. Nobody need be listening: `println!`
/// would panic when a pipe was closed.
pub fn say(format: LogFormat, line: &str, facts: &[(&str, &str)]) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{}", written(format, "INFO", line, facts)).and_then(|()| output.flush());
}

/// One line on standard error that tells why the program ends, whatever a database put into the message.
pub fn fail(format: LogFormat, message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = match format {
        LogFormat::Text => format!("keystead: {line}"),
        LogFormat::Json => written(format, "ERROR", &line, &[]),
    };
    match LOG.get() {
        Some(log) => log.write_line(format!("{line}\n").as_bytes()),
        None => drop(writeln!(std::io::stderr(), "{line}")),
    }
}

/// The line of the log that stands for those which nobody read.
fn left_out(format: LogFormat, lines: u64) -> String {
    let words = format!("nobody read the log; {lines} lines of it were left out here");
    match format {
        LogFormat::Text => format!("{}  WARN {words}\n", timestamp()),
        LogFormat::Json => written(format, "WARN", &words, &[]) + "\n",
    }
}

/// In JSON a panic is one line too. The text of one is several, and for people.
pub fn log_panics(format: LogFormat) {
    if format == LogFormat::Json {
        std::panic::set_hook(Box::new(move |panic| fail(format, &panic.to_string())));
    }
}

fn written(format: LogFormat, level: &str, line: &str, facts: &[(&str, &str)]) -> String {
    if format == LogFormat::Text {
        return line.to_owned();
    }
    // As the log names what is common to all lines.
    let mut object = Map::new();
    for (name, value) in [("timestamp", timestamp().as_str()), ("level", level), ("message", line)].iter().chain(facts)
    {
        object.insert((*name).to_owned(), Value::from(*value));
    }
    Value::Object(object).to_string()
}

fn timestamp() -> String {
    SystemClock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
