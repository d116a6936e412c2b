//! The environment variables, which are read here and nowhere else.

use std::{collections::BTreeMap, ffi::OsString};

use super::{Problem, Safeguards, Settings, Source, TABLE, parse, postgres_url, text};

/// The variables of a process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

/// Where settings come from, and what else was found there.
#[derive(Clone, Default)]
pub(super) struct Given {
    /// Where each setting comes from, by the name of its variable; those left out have their default.
    pub sources: BTreeMap<&'static str, Source>,
    /// What cannot be used, whatever the table says of it.
    pub problems: Vec<Problem>,
    /// Variables of ours by their names only.
    pub passed_over: Vec<String>,
    /// The variables of libpq.
    pub postgres: PgVariables,
    /// Names of [`Safeguards`], separated by commas.
    off: String,
}

/// Names of [`Safeguards`], separated by commas; known to debug builds, and to release builds made for measuring.
const TEST_OFF: Option<&str> =
    if cfg!(any(debug_assertions, feature = "test-switches")) { Some("KEYSTEAD_TEST_OFF") } else { None };

impl Environment {
    /// This process' variables.
    #[allow(clippy::disallowed_methods)] // read here and nowhere else
    pub fn of_process() -> Self {
        Self(std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value)).collect())
    }

    /// A variable that is set, and not empty; `None` also if it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().filter(|value| !value.is_empty())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

impl Settings {
    /// Takes from the environment, and from the file it names, what no flag gave.
    #[must_use]
    pub fn completed_from(mut self, environment: &Environment) -> Self {
        for (name, value) in environment.0.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(setting) = TABLE.iter().find(|setting| setting.variable == name) {
                self.take(setting.variable, value);
            } else if TEST_OFF == Some(name.as_str()) {
                self.given.off = value.to_string_lossy().into_owned();
            } else if name.starts_with("KEYSTEAD_") {
                if is_service_link(name, &value.to_string_lossy()) {
                    self.given.passed_over.push(name.clone());
                } else {
                    let known = TABLE.iter().map(|setting| setting.variable).collect::<Vec<_>>().join(", ");
                    self.refuse(name, format!("unknown variable; known are {known}"));
                }
            }
        }
        self.given.postgres = PgVariables::of(environment);
        self.read_database_url_file();
        self
    }

    fn take(&mut self, variable: &'static str, value: &OsString) {
        let Some(text) = self.text_mut(variable).filter(|text| text.is_empty()) else { return };
        match value.to_str() {
            Some(value) => value.clone_into(text),
            None => self.refuse(variable, "the value is not UTF-8".to_owned()),
        }
        self.given.sources.insert(variable, Source::Variable);
    }

    fn refuse(&mut self, variable: &str, reason: String) {
        self.given.problems.push(Problem { variable: variable.to_owned(), reason });
    }

    /// What is in the file that `DATABASE_URL_FILE` names becomes the database's URL. A flag counts before a variable.
    fn read_database_url_file(&mut self) {
        const FILE: &str = "DATABASE_URL_FILE";
        if self.database_url_file.is_empty() {
            return;
        }
        if !self.database.is_empty() {
            let is_flag = |given: &Given, variable| given.sources.get(variable) == Some(&Source::Flag);
            match (is_flag(&self.given, "DATABASE_URL"), is_flag(&self.given, FILE)) {
                (true, false) => return self.database_url_file.clear(),
                (false, true) => self.database.clear(),
                _ => return self.refuse(FILE, "DATABASE_URL is set too; set one of the two".to_owned()),
            }
        }
        let path = match parse::path(&self.database_url_file) {
            Ok(path) => path,
            Err(reason) => return self.refuse(FILE, reason),
        };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return self.refuse(FILE, format!("cannot read {}: {error}", path.display())),
        };
        match text(&bytes).map(str::trim) {
            Ok("") => self.refuse(FILE, format!("{} is empty", path.display())),
            Ok(text) => {
                text.clone_into(&mut self.database);
                self.given.sources.insert("DATABASE_URL", Source::File(path));
            }
            Err(reason) => self.refuse(FILE, format!("{} {reason}", path.display())),
        }
    }
}

impl Given {
    /// What is switched on.
    pub fn safeguards(&self) -> Safeguards {
        let is_on = |name| !self.off.split(',').any(|word| word == name);
        let [lease, notifications, purge, look_first] = ["lease", "notifications", "purge", "look_first"].map(is_on);
        Safeguards { lease, notifications, purge, look_first }
    }
}

/// Whether Kubernetes sets this variable in every pod beside a Service called `keystead` or `keystead-…`
/// (`enableServiceLinks`, which is on by default). The value counts too: `KEYSTEAD_PORT=8080` is somebody's mistake.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    // KEYSTEAD_SERVICE_PORT, and with the name of a port behind it.
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return name.ends_with("_SERVICE_HOST") || is_port(value);
    }
    let is_of_port = |words: &[&str]| matches!(words, [.., "PORT", number, "TCP" | "UDP" | "SCTP"] if is_port(number));
    match name.split('_').collect::<Vec<_>>().as_slice() {
        // KEYSTEAD_PORT_8080_TCP, and what it is made of.
        [of_port @ .., "PROTO" | "PORT" | "ADDR"] if is_of_port(of_port) => true,
        of_port if is_of_port(of_port) => is_url,
        [.., "PORT"] => is_url,
        _ => false,
    }
}

/// The variables that say to programs with libpq where Postgres is. What they mean beside a URL is in `postgres_url.rs`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PgVariables(BTreeMap<String, String>);

impl PgVariables {
    fn of(environment: &Environment) -> Self {
        let given = |name: &str| Some((name.to_owned(), environment.get(name)?.to_owned()));
        Self(postgres_url::variables().filter_map(given).collect())
    }

    /// The value of a variable that is set, and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// For `keystead check`, without the password.
    pub(super) fn shown(&self) -> impl Iterator<Item = (String, String)> {
        let hide = |name: &str, value: &str| if name == "PGPASSWORD" { "***".to_owned() } else { value.to_owned() };
        self.0.iter().filter(|(name, _)| *name != "HOME").map(move |(name, value)| (name.clone(), hide(name, value)))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for PgVariables {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self::of(&Environment::from(variables))
    }
}

impl std::fmt::Debug for PgVariables {
    /// Only the names: one of the values is a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
