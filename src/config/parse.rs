//! What reads the text of a setting. Each says what the value should be, in words that follow the variable's name.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use chrono::TimeDelta;
use ipnet::IpNet;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Makes a reader of a setting that may be left out.
pub fn optional<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// Makes a reader of a domain value's own.
pub fn domain<T, E: std::fmt::Display>(parse: impl Fn(&str) -> Result<T, E>) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).map_err(|error| error.to_string())
}

/// Refuses what only a mistake of the file it was written in explains: `docker --env-file` and Kubernetes take values as
/// they stand, with quotes and carriage returns.
pub fn as_written(text: &str) -> Result<(), String> {
    let quote = |c: char| matches!(c, '"' | '\'');
    if text.chars().count() > 1 && text.starts_with(quote) && text.ends_with(quote) {
        return Err(
            "the value stands in quotes, and whoever set it does not take them away; write it without".to_owned()
        );
    }
    if text.contains(char::is_control) {
        return Err("the value holds a control character, such as the end of a line; write it without".to_owned());
    }
    Ok(())
}

/// What addresses begin with that are no paths, also without slashes.
const URL_SCHEMES: [&str; 5] = ["file:", "sqlite:", ":memory:", "postgres:", "postgresql:"];

/// The path of a file or folder. A shell would have taken quotes away and replaced `~` and `$HOME`; here nobody does, and a
/// folder of that very name would be made under the working directory.
pub fn path(text: &str) -> Result<PathBuf, String> {
    let refused = |what: &str| Err(format!("{text:?} {what}; write the whole path, as it is"));
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return refused("begins or ends with a quote, which nobody takes away here");
    }
    if text.starts_with('~') || text.ends_with('~') {
        return refused("begins or ends with ~, which nobody replaces here");
    }
    if text.starts_with('$') || text.contains("${") || text.contains("$(") {
        return refused("holds a variable, which nobody replaces here");
    }
    if text.trim() != text {
        return refused("begins or ends with a blank");
    }
    // SQLite takes some of them for an address, and of others a folder of that name would be made.
    if text.contains("://") || URL_SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        return refused("is an address, where a path belongs");
    }
    Ok(PathBuf::from(text))
}

/// The path of the folder of the database, in which nothing may stand that begins the settings of a URL.
pub fn folder_of_database(text: &str) -> Result<PathBuf, String> {
    if text.contains('?') {
        return Err(format!("{text:?} holds a question mark, which the path of a database must not"));
    }
    path(text)
}

/// Addresses with a port; a name may have several.
pub fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let addresses = text.to_socket_addrs().map(Iterator::collect);
    addresses.map_err(|error| format!("{text:?} is not an address and port such as 127.0.0.1:8080 ({error})"))
}

/// Networks and addresses, separated by commas or blanks; `localhost` is this machine.
pub fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    let mut networks = Vec::new();
    for entry in entries {
        if entry.eq_ignore_ascii_case("localhost") {
            networks.extend(["127.0.0.0/8", "::1/128"].iter().filter_map(|loopback| loopback.parse::<IpNet>().ok()));
            continue;
        }
        let words = "is not an address or network such as 10.0.0.0/8, ::1 or localhost; names are not looked up";
        networks.push(network(entry).ok_or_else(|| format!("{entry:?} {words}"))?);
    }
    Ok(networks)
}

/// `10.0.0.0/8`, `10.1.2.3/8` (the same), `10.0.0.1`, `::1`, `[::1]`, `fe80::1%eth0`, and IPv4 written as IPv6.
fn network(entry: &str) -> Option<IpNet> {
    let (address, length) = entry.split_once('/').map_or((entry, None), |(address, length)| (address, Some(length)));
    let address = address.trim_matches(['[', ']']).split('%').next()?.parse::<IpAddr>().ok()?;
    let written_long = address != address.to_canonical();
    let address = address.to_canonical();
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => longest,
        Some(length) if written_long => length.parse::<u8>().ok()?.checked_sub(96)?,
        Some(length) => length.parse().ok()?,
    };
    IpNet::new(address, length).ok().map(|network| network.trunc())
}

/// Makes a reader of a whole number in these bounds.
pub fn number(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let refused = || format!("{text:?} is not a number from {} to {}", bounds.start(), bounds.end());
        text.trim().parse().ok().filter(|number| bounds.contains(number)).ok_or_else(refused)
    }
}

/// Makes a reader of a number of seconds in these bounds.
pub fn seconds(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    let refused = format!("is not a number of seconds from {} to {}", bounds.start(), bounds.end());
    let number = number(bounds);
    move |text| number(text).map(Duration::from_secs).map_err(|_| format!("{text:?} {refused}"))
}

/// A number of days after which something goes; none when it never does.
pub fn days_or_never(text: &str) -> Result<Option<TimeDelta>, String> {
    const LONGEST: i64 = 36_500;
    match text.trim() {
        "never" => Ok(None),
        days => match days.parse() {
            Ok(days @ 1..=LONGEST) => Ok(Some(TimeDelta::days(days))),
            _ => Err(format!("{text:?} is not a number of days from 1 to {LONGEST}, nor never")),
        },
    }
}

/// What is logged: a level, or a filter as `tracing` reads it.
#[derive(Clone, Debug)]
pub struct LogFilter(String);

impl LogFilter {
    /// Reads `KEYSTEAD_LOG`.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A word that is no level would be taken for the name of a module, and silence everything else.
        let is_known = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
        if text.split(',').all(is_known) && EnvFilter::try_new(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} is not error, warn, info, debug, trace or off, nor a filter such as keystead=debug"))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How lines on standard output and standard error are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One sentence a line, for people.
    #[default]
    Text,
    /// For machines: every line is a JSON object.
    Json,
}

impl LogFormat {
    /// Reads `KEYSTEAD_LOG_FORMAT`.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither text nor json")),
        }
    }
}

/// What a start does with a database that is older than the log of revocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OlderDatabase {
    /// Ends again what had ended, and says so in the log.
    #[default]
    Accept,
    /// Refuses it, until somebody has said which revocations are kept.
    Refuse,
}

impl OlderDatabase {
    /// Reads `KEYSTEAD_OLDER_DATABASE`.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "accept" => Ok(Self::Accept),
            _ => Err(format!("{text:?} is neither refuse nor accept")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_networks() {
        assert_eq!(networks(" 10.0.0.0/8, ::1 ,").map(|n| n.len()).ok(), Some(2));
        let written =
            |text| networks(text).map(|all| all.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")).ok();
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.1 10.0.0.2,10.0.0.3", "10.0.0.1/32 10.0.0.2/32 10.0.0.3/32"),
            ("[::1]", "::1/128"),
            ("[2001:db8::]/32", "2001:db8::/32"),
            ("fe80::1%eth0", "fe80::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("localhost", "127.0.0.0/8 ::1/128"),
            ("", ""),
        ] {
            assert_eq!(written(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["10.0.0.0/33", "proxy", "10.0.0.1:80", "*", "::ffff:10.0.0.0/64", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(networks(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_or_none_at_all() {
        assert_eq!(days_or_never("never"), Ok(None));
        assert_eq!(days_or_never(" 1 "), Ok(Some(TimeDelta::days(1))));
        assert_eq!(days_or_never("36500"), Ok(Some(TimeDelta::days(36_500))));
        for mistake in ["0", "-1", "36501", "1.5", "90d", "Never", "", "9223372036854775807"] {
            assert!(days_or_never(mistake).is_err(), "{mistake}");
        }
    }

    #[test]
    fn paths_as_a_shell_would_have_changed_them() {
        for meant in ["/var/lib/keystead", "./keystead-data", "data", "a~b", "C'est", "100$", "a:b", "./file:rel"] {
            assert_eq!(path(meant), Ok(PathBuf::from(meant)));
        }
        for mistake in [
            "\"/data\"",
            "'/data'",
            "/data\"",
            "~/data",
            "~",
            "~ada/data",
            "/data~",
            "$HOME/data",
            "/srv/${NAME}",
            " /d",
            "file:rel",
            "file:///data",
            "sqlite:/data",
            ":memory:",
            "https://keys.example.com",
        ] {
            assert!(path(mistake).is_err(), "{mistake}");
        }
    }

    #[test]
    fn values_in_quotes_and_with_ends_of_lines() {
        for mistake in ["\"10\"", "'info'", "10\r", "a\nb"] {
            assert!(as_written(mistake).is_err(), "{mistake}");
        }
        assert_eq!(as_written("Talvin's \"AI\" tools"), Ok(()));
    }
}
