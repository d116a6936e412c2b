//! Every setting, one entry each: what `--help` says of it, its name and type in [`Config`], its variable, what its value
//! is called, its default, and what reads it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::TimeDelta;
use ipnet::IpNet;

use super::{
    DatabaseUrl, DefaultValue, Effective, PublicUrl, Safeguards, Setting,
    environment::{Given, PgVariables},
    parse::{self, LogFilter, LogFormat, OlderDatabase, optional},
};
use crate::domain::{name::Name, secret::KeyPrefix};

/// Where everything is kept unless somebody says otherwise.
pub(super) const DATA_DIR: &str = "./keystead-data";

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty = $variable:literal, $value_name:literal, $default:expr, $parse:expr;)+) => {
        /// Settings as they were given, in text; an empty one was not given.
        #[derive(Clone, Default)]
        #[allow(missing_docs, rustdoc::bare_urls)]
        pub struct Settings {
            $($(#[doc = $help])+ pub $field: String,)+
            pub(super) given: Given,
        }

        /// The configuration, checked.
        #[derive(Clone, Debug)]
        #[allow(rustdoc::bare_urls)]
        pub struct Config {
            $($(#[doc = $help])+ pub $field: $type,)+
            /// The variables of libpq, such as `PGHOST`.
            pub postgres: PgVariables,
            /// What tests may switch off.
            pub safeguards: Safeguards,
        }

        /// Every setting, in the order in which people read about them.
        pub const TABLE: &[Setting] = &[
            $(Setting { variable: $variable, value_name: $value_name, default: $default, help: concat!($($help),+) },)+
        ];

        impl Settings {
            /// The text of the setting with this variable.
            pub(super) fn text_mut(&mut self, variable: &str) -> Option<&mut String> {
                match variable {
                    $($variable => Some(&mut self.$field),)+
                    _ => None,
                }
            }

            /// Checks each setting, in order, and notes in `rows` how it holds; `None` when one cannot be used.
            pub(super) fn check_all(&self, rows: &mut Vec<Effective>) -> Option<Config> {
                let mut table = TABLE.iter();
                $(let $field = self.look(table.next()?, &self.$field, $parse, rows);)+
                Some(Config {
                    $($field: $field?,)+
                    postgres: self.given.postgres.clone(),
                    safeguards: self.given.safeguards(),
                })
            }
        }
    };
}

settings! {
    /// Address and port to listen on
    listen: Vec<SocketAddr> =
        "KEYSTEAD_LISTEN", "ADDRESS:PORT", DefaultValue::Text("127.0.0.1:8080"), parse::addresses;

    /// Address and port of GET /metrics, for Prometheus; apart from the site, for whoever may read it
    metrics_listen: Option<Vec<SocketAddr>> =
        "KEYSTEAD_METRICS_LISTEN", "ADDRESS:PORT", DefaultValue::None, optional(parse::addresses);

    /// Where people open the site, such as https://keys.example.com; decides links, cookie security and which posts are
    /// accepted; while it is not set: http://localhost:PORT, and every loopback name of that port
    public_url: Option<PublicUrl> =
        "KEYSTEAD_PUBLIC_URL", "URL", DefaultValue::None, optional(PublicUrl::parse);

    /// sqlite:PATH or postgres://…
    database: DatabaseUrl =
        "DATABASE_URL", "URL", DefaultValue::InDataDir("sqlite:", "keystead.db"), DatabaseUrl::parse;

    /// File that holds the database's URL, such as a mounted secret; instead of DATABASE_URL
    database_url_file: Option<PathBuf> =
        "DATABASE_URL_FILE", "FILE", DefaultValue::None, optional(parse::path);

    /// Folder of the database and the pepper
    data_dir: PathBuf =
        "KEYSTEAD_DATA_DIR", "DIR", DefaultValue::Text(DATA_DIR), parse::folder_of_database;

    /// File of 32 secret bytes, the same on every node; made on first start
    pepper_file: PathBuf =
        "KEYSTEAD_PEPPER_FILE", "FILE", DefaultValue::InDataDir("", "pepper"), parse::path;

    /// Name of your product, as the page shows it
    brand: Name =
        "KEYSTEAD_BRAND", "NAME", DefaultValue::Text("Talvin AI"), parse::domain(Name::parse);

    /// What new keys begin with
    key_prefix: KeyPrefix =
        "KEYSTEAD_KEY_PREFIX", "PREFIX", DefaultValue::Text("talvin_live"), parse::domain(KeyPrefix::parse);

    /// The most living keys of one organization; the next one is refused
    max_keys: u64 =
        "KEYSTEAD_MAX_KEYS", "NUMBER", DefaultValue::Text("10000"), parse::number(1..=10_000_000);

    /// The most rotations of one organization on one day (UTC)
    max_rotations_per_day: u64 =
        "KEYSTEAD_MAX_ROTATIONS_PER_DAY", "NUMBER", DefaultValue::Text("100"), parse::number(1..=10_000_000);

    /// How long audit events are kept, in days, or never to remove none; failed sign-ins go after 90 days in any case
    audit_kept: Option<TimeDelta> =
        "KEYSTEAD_AUDIT_KEPT_DAYS", "DAYS", DefaultValue::Text("never"), parse::days_or_never;

    /// How long revoked keys and replaced secrets are known as such, in days, or never to forget none; then they are NOT_FOUND
    ended_keys_kept: Option<TimeDelta> =
        "KEYSTEAD_ENDED_KEYS_KEPT_DAYS", "DAYS", DefaultValue::Text("90"), parse::days_or_never;

    /// What a start does with a database that is older than revocations.log: accept it and end again what had ended, or refuse
    /// it until keystead restore --accept says which revocations are kept
    older_database: OlderDatabase =
        "KEYSTEAD_OLDER_DATABASE", "accept|refuse", DefaultValue::Text("accept"), OlderDatabase::parse;

    /// Proxies whose X-Forwarded-For is believed, as addresses or networks separated by commas
    trusted_proxies: Vec<IpNet> =
        "KEYSTEAD_TRUSTED_PROXIES", "CIDRS", DefaultValue::None, parse::networks;

    /// With several nodes: the longest a node that is cut off may go on answering, and the longest a revocation may wait
    /// for one; seconds, the same on every node
    lease: Duration =
        "KEYSTEAD_LEASE_SECS", "SECONDS", DefaultValue::Text("10"), parse::seconds(1..=300);

    /// How long the head of a request, and its body, may take to come; and how long a client may take nothing of its answer
    request_time: Duration =
        "KEYSTEAD_REQUEST_SECS", "SECONDS", DefaultValue::Text("10"), parse::seconds(1..=300);

    /// How long a connection is kept between two requests; longer than whatever stands in front keeps it
    keep_alive: Duration =
        "KEYSTEAD_KEEP_ALIVE_SECS", "SECONDS", DefaultValue::Text("75"), parse::seconds(1..=3_600);

    /// The most connections at once; never more than there are descriptors (ulimit -Hn)
    max_connections: u64 =
        "KEYSTEAD_MAX_CONNECTIONS", "NUMBER", DefaultValue::Text("10000"), parse::number(16..=1_000_000);

    /// How long requests are still answered after SIGTERM, while /readyz says no
    drain: Duration =
        "KEYSTEAD_DRAIN_SECS", "SECONDS", DefaultValue::Text("5"), parse::seconds(0..=300);

    /// error, warn, info, debug, trace, or a tracing filter
    log: LogFilter =
        "KEYSTEAD_LOG", "LEVEL", DefaultValue::Text("info"), LogFilter::parse;

    /// text, or json for machines: then every line on standard output and standard error is JSON
    log_format: LogFormat =
        "KEYSTEAD_LOG_FORMAT", "FORMAT", DefaultValue::Text("text"), LogFormat::parse;
}
