//! What a `postgres://` URL says, read as libpq reads it: the URL first, then the service file that it names, then the
//! variables `PG…`, then defaults. What libpq knows and Keystead cannot do is refused by name; nothing is passed over.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A URL, or a setting in it, that cannot be used. The sentence names the setting and never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PostgresUrlError(pub(super) String);

impl PostgresUrlError {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// Every connection setting of libpq up to version 18 that is not refused outright, with the variable that gives it.
const SETTINGS: [(&str, &str); 38] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("fallback_application_name", ""),
    ("gssdelegation", "PGGSSDELEGATION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("keepalives", ""),
    ("keepalives_count", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("service", "PGSERVICE"),
    ("servicefile", "PGSERVICEFILE"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcompression", "PGSSLCOMPRESSION"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("tcp_user_timeout", ""),
    ("user", "PGUSER"),
];

/// What libpq knows and Keystead does not do, with the reason.
const REFUSED: [(&str, &str, &str); 17] = [
    ("replication", "", "Keystead is no replica"),
    ("require_auth", "PGREQUIREAUTH", "name the method in pg_hba.conf"),
    ("requirepeer", "PGREQUIREPEER", "protect the socket's folder instead"),
    ("sslcrl", "PGSSLCRL", "revocation lists are not read"),
    ("sslcrldir", "PGSSLCRLDIR", "revocation lists are not read"),
    ("sslkeylogfile", "", "Keystead writes no TLS keys down"),
    ("sslpassword", "", "decrypt the file named by sslkey and give it mode 0600"),
    ("scram_client_key", "", "give the password"),
    ("scram_server_key", "", "give the password"),
    ("oauth_issuer", "", "Keystead signs on with a password or a certificate"),
    ("oauth_client_id", "", "Keystead signs on with a password or a certificate"),
    ("oauth_client_secret", "", "Keystead signs on with a password or a certificate"),
    ("oauth_scope", "", "Keystead signs on with a password or a certificate"),
    ("authtype", "", "libpq does not know it any more either"),
    ("tty", "", "libpq does not know it any more either"),
    ("requiressl", "PGREQUIRESSL", "use sslmode=require"),
    ("", "PGSYSCONFDIR", "use PGSERVICEFILE"),
];

/// Every variable that libpq looks at, and where it looks for files.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let settings = SETTINGS.iter().map(|(_, name)| *name).chain(REFUSED.iter().map(|(_, name, _)| *name));
    settings.filter(|name| !name.is_empty()).chain(["HOME"])
}

/// The settings that were given, by libpq's names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PostgresUrl {
    settings: BTreeMap<&'static str, String>,
}

impl PostgresUrl {
    /// Reads a URL; `variable` gives the environment's variables (none for a URL that was completed before).
    ///
    /// # Errors
    /// What psql refuses too, and what Keystead cannot do, by name.
    pub fn parse(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, PostgresUrlError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut parsed = Self::default();
        parsed.read_url(url)?;
        for (_, name, reason) in REFUSED.iter().filter(|(_, name, _)| !name.is_empty()) {
            if variable(name).is_some() {
                return Err(PostgresUrlError(format!("{name} is set, which Keystead cannot do: {reason}")));
            }
        }
        let home = variable("HOME").map(PathBuf::from);
        if let Some(service) = parsed.settings.get("service").cloned().or_else(|| variable("PGSERVICE")) {
            let named = parsed.settings.get("servicefile").cloned().or_else(|| variable("PGSERVICEFILE"));
            let named = named.map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".pg_service.conf")));
            parsed.read_service(&service, named)?;
        }
        for (setting, name) in SETTINGS.iter().filter(|(_, name)| !name.is_empty()) {
            if let Some(value) = variable(name) {
                parsed.settings.entry(setting).or_insert(value);
            }
        }
        // Consumed: the text of a completed URL needs no service file.
        parsed.settings.remove("service");
        parsed.settings.remove("servicefile");
        if let Some(home) = home {
            parsed.add_files_of(&home);
        }
        Ok(parsed)
    }

    /// The value of a setting.
    pub fn get(&self, setting: &str) -> Option<&str> {
        self.settings.get(setting).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A URL with every setting in it, which means the same in any environment. It may hold a password.
    pub fn complete(&self) -> String {
        let mut url = "postgres:///".to_owned();
        for (n, (setting, value)) in self.settings.iter().enumerate() {
            let mark = if n == 0 { '?' } else { '&' };
            let _ = write!(url, "{mark}{setting}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        url
    }

    /// Whether both are one but for the user and the password. A database without a name is called like the user.
    pub fn differs_in_credentials_only(&self, other: &Self) -> bool {
        let others = |url: &Self| {
            let mut settings = url.settings.clone();
            settings.retain(|_, value| !value.is_empty());
            settings.remove("password");
            if let Some(user) = settings.remove("user") {
                settings.entry("dbname").or_insert(user);
            }
            settings
        };
        others(self) == others(other)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), PostgresUrlError> {
        // As JDBC writes it, which libpq takes too.
        let (name, value) =
            if (name, &*value) == ("ssl", "true") { ("sslmode", "require".into()) } else { (name, value) };
        if let Some((_, _, reason)) = REFUSED.iter().find(|(setting, _, _)| *setting == name && !name.is_empty()) {
            return Err(PostgresUrlError(format!("{name} is something Keystead cannot do: {reason}")));
        }
        let known = SETTINGS.iter().find(|(setting, _)| *setting == name);
        let (setting, _) = known.ok_or_else(|| {
            // Anything else may be a part of a password in which a character was not encoded.
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
            PostgresUrlError(format!("{} is no setting that psql knows", if is_name { name } else { "a name after ?" }))
        })?;
        self.settings.insert(setting, value);
        Ok(())
    }

    fn read_url(&mut self, url: &str) -> Result<(), PostgresUrlError> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| PostgresUrlError::new("it does not begin with postgres://"))?;
        // As libpq: up to the first @, unless a / comes before it, are credentials, whatever else is in them.
        let hosts_at = rest.find(['@', '/']).filter(|at| rest[*at..].starts_with('@')).map_or(0, |at| at + 1);
        if let Some(credentials) = rest[..hosts_at].strip_suffix('@') {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            self.set_unless_empty("user", user)?;
            self.set_unless_empty("password", password)?;
        }
        let (place, query) = rest[hosts_at..].split_once('?').unwrap_or((&rest[hosts_at..], ""));
        let (hosts, dbname) = place.split_once('/').unwrap_or((place, ""));
        self.read_hosts(hosts)?;
        self.set_unless_empty("dbname", dbname)?;
        // A password in which / and ? were not encoded ends here: its parts look like settings.
        let may_be_password = query.contains('@');
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').filter(|(_, value)| !value.contains('=')).ok_or_else(|| {
                PostgresUrlError::new("each setting after ? is NAME=VALUE, with %3D for = in a value")
            })?;
            let set = self.set(&decode(name)?, decode(value)?);
            if may_be_password && set.is_err() {
                return Err(PostgresUrlError::new(
                    "something after ? is no setting that Keystead can use (in a password, write %2F for a slash, %3F for ?)",
                ));
            }
            set?;
        }
        Ok(())
    }

    fn set_unless_empty(&mut self, name: &str, encoded: &str) -> Result<(), PostgresUrlError> {
        if encoded.is_empty() { Ok(()) } else { self.set(name, decode(encoded)?) }
    }

    /// Several hosts, each with its port, become two lists, as libpq keeps them.
    fn read_hosts(&mut self, text: &str) -> Result<(), PostgresUrlError> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for entry in text.split(',') {
            let (host, port) = match entry.strip_prefix('[') {
                Some(rest) => {
                    let (address, after) = rest
                        .split_once(']')
                        .filter(|(address, after)| !address.is_empty() && (after.is_empty() || after.starts_with(':')))
                        .ok_or_else(|| PostgresUrlError::new("an IPv6 address stands in [ ], a port after it"))?;
                    (address, after.strip_prefix(':').unwrap_or_default())
                }
                None => entry.split_once(':').unwrap_or((entry, "")),
            };
            hosts.push(decode(host)?);
            ports.push(decode(port)?);
        }
        for (name, list) in [("host", hosts), ("port", ports)] {
            if list.iter().any(|value| !value.is_empty()) {
                self.set(name, list.join(","))?;
            }
        }
        Ok(())
    }

    fn read_service(&mut self, service: &str, named: Option<PathBuf>) -> Result<(), PostgresUrlError> {
        let everywhere = ["/etc/postgresql-common/pg_service.conf", "/etc/pg_service.conf"].map(PathBuf::from);
        for file in named.into_iter().chain(everywhere) {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let mut found = false;
            for line in lines.skip_while(|line| *line != format!("[{service}]")) {
                if line.starts_with('[') {
                    if found {
                        break;
                    }
                    found = true;
                    continue;
                }
                let (name, value) = line.split_once('=').ok_or_else(|| {
                    PostgresUrlError(format!("service {service:?} in {}: a line is not NAME=VALUE", file.display()))
                })?;
                // The URL comes first.
                if !self.settings.contains_key(name) {
                    self.set(name, value.to_owned())?;
                }
            }
            if found {
                return Ok(());
            }
        }
        Err(PostgresUrlError(format!("service {service:?} stands in no service file that can be read")))
    }

    /// The files that libpq looks for without being told.
    fn add_files_of(&mut self, home: &std::path::Path) {
        let files = [
            ("passfile", ".pgpass"),
            ("sslrootcert", ".postgresql/root.crt"),
            ("sslcert", ".postgresql/postgresql.crt"),
            ("sslkey", ".postgresql/postgresql.key"),
        ];
        for (setting, file) in files {
            let path = home.join(file);
            if let (Some(text), true) = (path.to_str(), path.is_file()) {
                self.settings.entry(setting).or_insert_with(|| text.to_owned());
            }
        }
    }
}

fn decode(text: &str) -> Result<String, PostgresUrlError> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let is_code = after.get(..2).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !is_code || after.starts_with("00") {
            return Err(PostgresUrlError::new("a % is not followed by two hexadecimal digits; write %25 for % itself"));
        }
        rest = after;
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| PostgresUrlError::new("a %-code is not UTF-8"))
}

#[cfg(test)]
mod tests;
