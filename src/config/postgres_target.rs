//! The settings of a Postgres URL, checked: where to connect, as whom, and what to believe there.

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use super::postgres_url::{PostgresUrl, PostgresUrlError};

/// Where to connect, and how. It holds a password, so it has no `Debug`.
#[derive(Clone)]
pub struct PostgresTarget {
    /// Tried in this order (or any, with `load_balance_hosts=random`); at least one.
    pub hosts: Vec<PostgresHost>,
    pub is_order_random: bool,
    /// Without one, the account that runs the process.
    pub user: Option<String>,
    pub password: Option<String>,
    pub passfile: Option<PathBuf>,
    /// Without one, named like the user.
    pub database: Option<String>,
    pub options: Option<String>,
    pub application_name: String,
    pub tls: PostgresTls,
    pub channel_binding: ChannelBinding,
    pub wants: SessionWanted,
    /// Of one attempt with one address.
    pub connect_timeout: Option<Duration>,
    pub keepalive: Option<Keepalive>,
    pub tcp_user_timeout: Option<Duration>,
}

/// One of the hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresHost {
    /// A name or an address; a path is the folder of a socket; without one, the usual folder of sockets.
    pub name: Option<String>,
    /// `hostaddr`: where to connect, whatever the name means.
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// What is encrypted, and what is verified; the order is that of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    Disable,
    /// Without TLS first.
    Allow,
    /// With TLS first.
    Prefer,
    /// Encrypted; verified only where a root certificate is at hand, as libpq does.
    Require,
    /// The certificate comes from a root that is named.
    VerifyCa,
    /// And it is the host's.
    VerifyFull,
}

/// TLS towards the database.
#[derive(Clone, Debug)]
pub struct PostgresTls {
    pub mode: TlsMode,
    pub root: TlsRoot,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub sends_name: bool,
    pub is_1_2_allowed: bool,
    pub is_1_3_allowed: bool,
}

/// Who may vouch for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsRoot {
    /// The public authorities.
    Public,
    /// Those in a file of PEM. Below `verify-ca` a file that does not exist is none, as in libpq.
    File(PathBuf),
    None,
}

/// `channel_binding`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// `target_session_attrs`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionWanted {
    Any,
    ReadWrite,
    Primary,
}

/// When the operating system asks whether the other end is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<u32>,
}

impl PostgresTarget {
    /// Checks what a URL says.
    ///
    /// # Errors
    /// A value that is none of its setting's, by name, or that Keystead cannot work with.
    pub fn of(url: &PostgresUrl) -> Result<Self, PostgresUrlError> {
        refuse_what_cannot_be_done(url)?;
        let wants = match url.get("target_session_attrs") {
            None | Some("any") => SessionWanted::Any,
            Some("read-write") => SessionWanted::ReadWrite,
            Some("primary") => SessionWanted::Primary,
            Some("read-only" | "standby" | "prefer-standby") => {
                return Err(PostgresUrlError::new(
                    "target_session_attrs: Keystead writes, and needs the primary; use read-write",
                ));
            }
            Some(other) => return Err(unknown("target_session_attrs", other)),
        };
        let channel_binding = match url.get("channel_binding") {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(other) => return Err(unknown("channel_binding", other)),
        };
        let is_order_random = match url.get("load_balance_hosts") {
            None | Some("disable") => false,
            Some("random") => true,
            Some(other) => return Err(unknown("load_balance_hosts", other)),
        };
        let name = url.get("application_name").or_else(|| url.get("fallback_application_name"));
        Ok(Self {
            hosts: hosts(url)?,
            is_order_random,
            user: url.get("user").map(str::to_owned),
            password: url.get("password").map(str::to_owned),
            passfile: url.get("passfile").map(PathBuf::from),
            database: url.get("dbname").map(str::to_owned),
            options: url.get("options").map(str::to_owned),
            application_name: name.unwrap_or("keystead").to_owned(),
            tls: tls(url)?,
            channel_binding,
            wants,
            connect_timeout: seconds(url, "connect_timeout")?,
            keepalive: keepalive(url)?,
            tcp_user_timeout: number::<u64>(url, "tcp_user_timeout")?.filter(|ms| *ms > 0).map(Duration::from_millis),
        })
    }

    /// The same for a URL that `config` has completed: no variable counts any more.
    ///
    /// # Errors
    /// As [`PostgresTarget::of`].
    pub fn of_completed(url: &str) -> Result<Self, PostgresUrlError> {
        PostgresUrl::parse(url, |_| None).and_then(|url| Self::of(&url))
    }
}

const NO_PORT: &str = "a port is no number from 1 to 65535 (in a password, write %2F for a slash)";

fn unknown(setting: &str, value: &str) -> PostgresUrlError {
    // One with an @ may be the end of a password in which / and ? were not encoded.
    let value = if value.contains('@') { String::new() } else { format!("{value:?} ") };
    PostgresUrlError(format!("{setting}: {value}is not a value that psql knows"))
}

fn number<T: FromStr>(url: &PostgresUrl, setting: &str) -> Result<Option<T>, PostgresUrlError> {
    let parsed = url.get(setting).map(|text| text.trim().parse().map_err(|_| unknown(setting, text)));
    parsed.transpose()
}

/// Zero and less mean "no limit" to libpq.
fn seconds(url: &PostgresUrl, setting: &str) -> Result<Option<Duration>, PostgresUrlError> {
    let seconds = number::<i64>(url, setting)?;
    Ok(seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|n| *n > 0).map(Duration::from_secs))
}

fn keepalive(url: &PostgresUrl) -> Result<Option<Keepalive>, PostgresUrlError> {
    let keepalive = Keepalive {
        idle: seconds(url, "keepalives_idle")?,
        interval: seconds(url, "keepalives_interval")?,
        count: number::<u32>(url, "keepalives_count")?.filter(|count| *count > 0),
    };
    Ok((number::<i64>(url, "keepalives")?.unwrap_or(1) != 0).then_some(keepalive))
}

fn hosts(url: &PostgresUrl) -> Result<Vec<PostgresHost>, PostgresUrlError> {
    let list = |setting| url.get(setting).map(|text| text.split(',').map(str::trim).collect::<Vec<_>>());
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    let fits = |list: &Option<Vec<&str>>| list.as_ref().is_none_or(|list| list.len() == count);
    if !fits(&names) {
        return Err(PostgresUrlError::new("host and hostaddr are lists of the same length"));
    }
    if !fits(&ports) && ports.as_ref().is_some_and(|ports| ports.len() != 1) {
        return Err(PostgresUrlError::new("port is one number, or one for each host"));
    }
    let given = |list: &Option<Vec<&str>>, n: usize| {
        let value = list.as_ref().and_then(|list| list.get(n).copied());
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    (0..count)
        .map(|n| {
            let port = given(&ports, if ports.as_ref().is_some_and(|ports| ports.len() == 1) { 0 } else { n });
            let port = port.map_or(Ok(5432), |text| {
                // Not shown: it is the beginning of a password that holds a slash.
                text.parse().ok().filter(|port| *port > 0).ok_or_else(|| PostgresUrlError::new(NO_PORT))
            })?;
            let address = given(&addresses, n).map(|text| text.parse().map_err(|_| unknown("hostaddr", &text)));
            let name = given(&names, n);
            if name.as_ref().is_some_and(|name| name.starts_with('@')) {
                return Err(PostgresUrlError::new("host: abstract sockets (@…) are not supported; name the folder"));
            }
            Ok(PostgresHost { name, address: address.transpose()?, port })
        })
        .collect()
}

fn tls(url: &PostgresUrl) -> Result<PostgresTls, PostgresUrlError> {
    let given = url.get("sslrootcert");
    let mode = match url.get("sslmode") {
        // As libpq from version 16.
        None if given == Some("system") => TlsMode::VerifyFull,
        None | Some("prefer") => TlsMode::Prefer,
        Some("disable") => TlsMode::Disable,
        Some("allow") => TlsMode::Allow,
        Some("require") => TlsMode::Require,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(other) => return Err(unknown("sslmode", other)),
    };
    let root = match given {
        Some("system") if mode < TlsMode::VerifyFull => {
            return Err(PostgresUrlError::new("sslrootcert=system needs sslmode=verify-full"));
        }
        Some("system") => TlsRoot::Public,
        Some(path) => TlsRoot::File(path.into()),
        None if mode == TlsMode::VerifyFull => TlsRoot::Public,
        None if mode == TlsMode::VerifyCa => {
            return Err(PostgresUrlError::new("sslmode=verify-ca needs sslrootcert: any public authority would do"));
        }
        None => TlsRoot::None,
    };
    let version = |setting, missing: &'static str| match url.get(setting).unwrap_or(missing) {
        "" => Ok(u8::MAX),
        "TLSv1" => Ok(0),
        "TLSv1.1" => Ok(1),
        "TLSv1.2" => Ok(2),
        "TLSv1.3" => Ok(3),
        other => Err(unknown(setting, other)),
    };
    let (least, most) = (version("ssl_min_protocol_version", "TLSv1.2")?, version("ssl_max_protocol_version", "")?);
    if most < 2 || least > most {
        return Err(PostgresUrlError::new(
            "ssl_max_protocol_version leaves no version: Keystead speaks TLSv1.2 and TLSv1.3",
        ));
    }
    let offers_certificate = match url.get("sslcertmode") {
        None | Some("allow") => true,
        Some("disable") => false,
        Some("require") => {
            return Err(PostgresUrlError::new(
                "sslcertmode=require cannot be done: let pg_hba.conf ask (clientcert=verify-ca)",
            ));
        }
        Some(other) => return Err(unknown("sslcertmode", other)),
    };
    let file = |setting| url.get(setting).filter(|_| offers_certificate).map(PathBuf::from);
    Ok(PostgresTls {
        mode,
        root,
        certificate: file("sslcert"),
        key: file("sslkey"),
        sends_name: url.get("sslsni") != Some("0"),
        is_1_2_allowed: least <= 2,
        is_1_3_allowed: most >= 3,
    })
}

fn refuse_what_cannot_be_done(url: &PostgresUrl) -> Result<(), PostgresUrlError> {
    let one_of = |setting: &str, can: &[&str], cannot: &[(&str, &str)]| match url.get(setting) {
        Some(value) if !can.contains(&value) => Err(match cannot.iter().find(|(word, _)| *word == value) {
            Some((_, reason)) => PostgresUrlError(format!("{setting}={value} cannot be done: {reason}")),
            None => unknown(setting, value),
        }),
        _ => Ok(()),
    };
    one_of("gssencmode", &["disable", "prefer"], &[("require", "Keystead does not speak Kerberos")])?;
    one_of("sslnegotiation", &["postgres"], &[("direct", "leave it out; the server understands both")])?;
    one_of("min_protocol_version", &["3.0"], &[("3.2", "Keystead speaks 3.0"), ("latest", "Keystead speaks 3.0")])?;
    one_of("max_protocol_version", &["3.0", "3.2", "latest"], &[])?;
    match url.get("client_encoding") {
        Some(encoding) if !["utf8", "utf-8", "unicode", "auto"].contains(&&*encoding.to_ascii_lowercase()) => {
            Err(PostgresUrlError(format!("client_encoding: Keystead speaks UTF8, not {encoding:?}")))
        }
        _ => Ok(()),
    }
}
