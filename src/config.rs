//! Configuration: flags and their variables, read once, checked, and refused with one clear line.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

mod public_url;

pub use public_url::PublicUrl;

use crate::domain::{
    name::Name,
    secret::{KeyPrefix, PrefixError},
};

/// Flags and variables as they were given. `--help` shows these texts, so they are plain.
#[derive(clap::Args, Clone, Debug)]
#[allow(rustdoc::bare_urls)]
pub struct Settings {
    /// Address and port to listen on
    #[arg(long, env = "KEYSTEAD_LISTEN", default_value = "127.0.0.1:8080", global = true, value_name = "ADDRESS:PORT")]
    pub listen: String,

    /// Address and port of GET /metrics, for Prometheus; apart from the site, for whoever may read it [default: none]
    #[arg(long, env = "KEYSTEAD_METRICS_LISTEN", global = true, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<String>,

    /// Where people open the site, such as https://keys.example.com; decides links, cookie security and which posts are
    /// accepted [default: http://localhost:PORT, and every loopback name of that port]
    #[arg(long, env = "KEYSTEAD_PUBLIC_URL", global = true, value_name = "URL")]
    pub public_url: Option<String>,

    /// sqlite:PATH or postgres://… [default: sqlite:DATA_DIR/keystead.db]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// Folder of the database and the pepper
    #[arg(long, env = "KEYSTEAD_DATA_DIR", default_value = "./keystead-data", global = true, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// File of 32 secret bytes, the same on every node [default: DATA_DIR/pepper, made on first start]
    #[arg(long, env = "KEYSTEAD_PEPPER_FILE", global = true, value_name = "FILE")]
    pub pepper_file: Option<PathBuf>,

    /// Name of your product, as the page shows it
    #[arg(long, env = "KEYSTEAD_BRAND", default_value = "Talvin AI", global = true, value_name = "NAME")]
    pub brand: String,

    /// What new keys begin with
    #[arg(long, env = "KEYSTEAD_KEY_PREFIX", default_value = "talvin_live", global = true, value_name = "PREFIX")]
    pub key_prefix: String,

    /// Proxies whose X-Forwarded-For is believed, as CIDRs separated by commas
    #[arg(long, env = "KEYSTEAD_TRUSTED_PROXIES", default_value = "", global = true, value_name = "CIDRS")]
    pub trusted_proxies: String,

    /// With several nodes: the longest a node that is cut off may go on answering, and the longest a revocation may wait
    /// for one; seconds, the same on every node
    #[arg(long, env = "KEYSTEAD_LEASE_SECS", default_value = "10", global = true, value_name = "SECONDS")]
    pub lease_secs: String,

    /// error, warn, info, debug, trace, or a tracing filter
    #[arg(long, env = "KEYSTEAD_LOG", default_value = "info", global = true, value_name = "LEVEL")]
    pub log: String,

    /// text, or json for machines
    #[arg(long, env = "KEYSTEAD_LOG_FORMAT", default_value = "text", global = true, value_name = "FORMAT")]
    pub log_format: String,
}

/// Every variable of ours; another one that begins with `KEYSTEAD_` is a typing error and refused.
const VARIABLES: [&str; 11] = [
    "KEYSTEAD_LISTEN",
    "KEYSTEAD_METRICS_LISTEN",
    "KEYSTEAD_PUBLIC_URL",
    "KEYSTEAD_DATA_DIR",
    "KEYSTEAD_PEPPER_FILE",
    "KEYSTEAD_BRAND",
    "KEYSTEAD_KEY_PREFIX",
    "KEYSTEAD_TRUSTED_PROXIES",
    "KEYSTEAD_LEASE_SECS",
    "KEYSTEAD_LOG",
    "KEYSTEAD_LOG_FORMAT",
];

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen: the first of these that can be had.
    pub listen: Vec<SocketAddr>,
    /// The same for metrics; without it nothing is counted.
    pub metrics_listen: Option<Vec<SocketAddr>>,
    /// What was given for the public URL.
    pub public_url: Option<PublicUrl>,
    /// Where the database is.
    pub database: DatabaseUrl,
    /// Folder of the database and the pepper.
    pub data_dir: PathBuf,
    /// Where the pepper is.
    pub pepper_file: PathBuf,
    /// Name of the product.
    pub brand: Name,
    /// What new keys begin with.
    pub key_prefix: KeyPrefix,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a node may answer from memory after it last knew that its memory was true.
    pub lease: Duration,
    /// What tests may switch off.
    pub safeguards: Safeguards,
}

/// What makes revocations true and fast; a test switches one off to see what it is for. A release build has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safeguards {
    /// Whether a node without a lease refuses to answer.
    pub lease: bool,
    /// Whether Postgres' notifications are listened to.
    pub notifications: bool,
}

/// A setting that cannot be used. Each message names the variable and says what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown variable {0}; known are {known}", known = VARIABLES.join(", "))]
    UnknownVariable(String),
    #[error("{0}: {1:?} is not an address and port such as 127.0.0.1:8080 ({2})")]
    Listen(&'static str, String, String),
    #[error("KEYSTEAD_PUBLIC_URL: {0:?} is not an address such as https://keys.example.com, without a path")]
    PublicUrl(String),
    #[error("DATABASE_URL must be sqlite:PATH, with the path of a file, or postgres://…")]
    Database,
    #[error("KEYSTEAD_BRAND: {0}")]
    Brand(crate::domain::name::NameError),
    #[error("KEYSTEAD_KEY_PREFIX: {0}")]
    KeyPrefix(PrefixError),
    #[error("KEYSTEAD_TRUSTED_PROXIES: {0:?} is not an address or network such as 10.0.0.0/8")]
    TrustedProxies(String),
    #[error("KEYSTEAD_LEASE_SECS: {0:?} is not a number of seconds from 1 to 300")]
    Lease(String),
}

impl Settings {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<Config, ConfigError> {
        refuse_unknown_variables()?;
        let listen = parse_addresses("KEYSTEAD_LISTEN", &self.listen)?;
        let metrics_listen = self.metrics_listen.as_deref();
        let metrics_listen = metrics_listen.map(|text| parse_addresses("KEYSTEAD_METRICS_LISTEN", text)).transpose()?;
        let public_url = self.public_url.as_deref().map(PublicUrl::parse).transpose()?;
        let database = match &self.database_url {
            None => DatabaseUrl::Sqlite(self.data_dir.join("keystead.db")),
            Some(url) => parse_database_url(url)?,
        };
        Ok(Config {
            listen,
            metrics_listen,
            public_url,
            database,
            data_dir: self.data_dir.clone(),
            pepper_file: self.pepper_file.clone().unwrap_or_else(|| self.data_dir.join("pepper")),
            brand: Name::parse(&self.brand).map_err(ConfigError::Brand)?,
            key_prefix: KeyPrefix::parse(&self.key_prefix).map_err(ConfigError::KeyPrefix)?,
            trusted_proxies: parse_networks(&self.trusted_proxies)?,
            lease: parse_lease(&self.lease_secs)?,
            safeguards: safeguards(),
        })
    }
}

#[allow(clippy::disallowed_methods)] // this is the one room
fn refuse_unknown_variables() -> Result<(), ConfigError> {
    let given = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let unknown = given
        .filter(|name| {
            name.starts_with("KEYSTEAD_") && !VARIABLES.contains(&name.as_str()) && Some(name.as_str()) != TEST_OFF
        })
        .min();
    unknown.map_or(Ok(()), |name| Err(ConfigError::UnknownVariable(name)))
}

/// Names of [`Safeguards`], separated by commas; known to debug builds, and to release builds made for measuring.
const TEST_OFF: Option<&str> =
    if cfg!(any(debug_assertions, feature = "test-switches")) { Some("KEYSTEAD_TEST_OFF") } else { None };

#[allow(clippy::disallowed_methods)] // this is the one room
fn safeguards() -> Safeguards {
    let off = TEST_OFF.and_then(|name| std::env::var(name).ok()).unwrap_or_default();
    let is_on = |name| !off.split(',').any(|word| word == name);
    Safeguards { lease: is_on("lease"), notifications: is_on("notifications") }
}

fn parse_addresses(variable: &'static str, text: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let addresses = text.to_socket_addrs();
    addresses.map(Iterator::collect).map_err(|error| ConfigError::Listen(variable, text.to_owned(), error.to_string()))
}

fn parse_lease(text: &str) -> Result<Duration, ConfigError> {
    let seconds = text.trim().parse().ok().filter(|seconds| (1..=300).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| ConfigError::Lease(text.to_owned()))
}

fn parse_database_url(url: &str) -> Result<DatabaseUrl, ConfigError> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(":memory:") || path.starts_with("file:") || path.contains('?') {
            return Err(ConfigError::Database);
        }
        return Ok(DatabaseUrl::Sqlite(path.into()));
    }
    let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    postgres.then(|| DatabaseUrl::Postgres(url.to_owned())).ok_or(ConfigError::Database)
}

fn parse_networks(text: &str) -> Result<Vec<IpNet>, ConfigError> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let address = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse::<IpNet>().or_else(|_| address()).map_err(|_| ConfigError::TrustedProxies(entry.to_owned()))
        })
        .collect()
}

/// Where the database is, from `DATABASE_URL`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// Path of the database file.
    Sqlite(std::path::PathBuf),
    /// A `postgres://` URL; it may hold a password, so it is never shown.
    Postgres(String),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://…"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(parse_networks(" 10.0.0.0/8, ::1 ,").map(|n| n.len()).ok(), Some(2));
        assert!(parse_networks("10.0.0.0/33").is_err());
    }

    #[test]
    fn databases() {
        assert_eq!(parse_database_url("sqlite:/var/lib/k.db").ok(), Some(DatabaseUrl::Sqlite("/var/lib/k.db".into())));
        assert_eq!(
            parse_database_url("sqlite:///var/lib/k.db").ok(),
            Some(DatabaseUrl::Sqlite("/var/lib/k.db".into()))
        );
        assert!(parse_database_url("mysql://x").is_err());
        for no_file in ["sqlite:", "sqlite::memory:", "sqlite:file:x.db", "sqlite:x.db?mode=ro"] {
            assert!(parse_database_url(no_file).is_err(), "{no_file}");
        }
    }
}
