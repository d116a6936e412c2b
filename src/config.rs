//! Configuration: flags, variables and files, read once, checked, and refused with one clear line.
//!
//! `config/table.rs` has every setting, one entry each: whoever adds one adds it there.

mod database_address;
mod database_url;
mod environment;
mod flags;
mod parse;
pub mod postgres_target;
pub mod postgres_url;
mod public_url;
mod table;
mod text;

use std::net::SocketAddr;

pub use database_address::DatabaseAddress;
pub use database_url::DatabaseUrl;
pub use environment::{Environment, PgVariables};
pub use parse::{LogFilter, LogFormat, OlderDatabase};
pub use public_url::PublicUrl;
pub use table::{Config, Settings, TABLE};
pub use text::{NoText, text};

/// One setting: its names, its default, and its line in `--help`.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable, such as `KEYSTEAD_LISTEN`. The flag is derived from it: `--listen`.
    pub variable: &'static str,
    /// What `--help` calls its value, such as `ADDRESS:PORT`.
    pub value_name: &'static str,
    /// What holds when it is not given.
    pub default: DefaultValue,
    /// What it is for, in plain words.
    pub help: &'static str,
}

/// What holds when a setting is not given.
#[derive(Clone, Copy, Debug)]
pub enum DefaultValue {
    /// It is not set, and what it is for does not happen.
    None,
    /// This text, read as if somebody had given it.
    Text(&'static str),
    /// A file in the data directory: what stands before its path, and its name.
    InDataDir(&'static str, &'static str),
}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// A variable of the environment.
    Variable,
    /// A file that another setting named.
    File(std::path::PathBuf),
    /// Nobody gave it.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Variable => f.write_str("variable"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting as it holds, for `keystead check`.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The environment variable that sets it.
    pub variable: String,
    /// Its value, with passwords hidden; empty is none.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Settings that cannot be used. The message names the first one's variable and says what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.line())]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// A variable, and why its value cannot be used.
#[derive(Clone, Debug)]
struct Problem {
    variable: String,
    reason: String,
}

impl ConfigError {
    fn line(&self) -> String {
        let first = self.problems.first().map(|problem| format!("{}: {}", problem.variable, problem.reason));
        let more = match self.problems.len() {
            0 | 1 => String::new(),
            many => format!(" ({} more: see `keystead check`)", many - 1),
        };
        first.unwrap_or_default() + &more
    }
}

/// What a test switches off to see what it is for, or what becomes of the rest. A release build has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safeguards {
    /// Whether a node without a lease refuses to answer.
    pub lease: bool,
    /// Whether Postgres' notifications are listened to.
    pub notifications: bool,
    /// Whether the task that removes what has expired works; without, it panics whenever it begins.
    pub purge: bool,
    /// Whether a start looks for what an older database revives before it does anything else; the first load of the index does.
    pub look_first: bool,
}

impl Settings {
    /// Checks every setting.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn check(&self) -> Result<Config, ConfigError> {
        let (rows, config) = self.examine();
        let problems: Vec<Problem> = rows
            .into_iter()
            .filter_map(|row| row.problem.map(|reason| Problem { variable: row.variable, reason }))
            .collect();
        config.filter(|_| problems.is_empty()).ok_or(ConfigError { problems })
    }

    /// Every setting as it holds, the variables that are none of ours, and the configuration if nothing is wrong.
    pub fn examine(&self) -> (Vec<Effective>, Option<Config>) {
        let mut rows = Vec::new();
        for Problem { variable, reason } in &self.given.problems {
            if !TABLE.iter().any(|setting| setting.variable == variable) {
                let problem = Some(reason.clone());
                rows.push(Effective {
                    variable: variable.clone(),
                    value: String::new(),
                    source: Source::Variable,
                    problem,
                });
            }
        }
        let config = self.check_all(&mut rows);
        if config.is_none()
            && rows.iter().all(|row| row.problem.is_none())
            && let Some(row) = rows.iter_mut().find(|row| row.variable == "KEYSTEAD_DATA_DIR")
        {
            // Whatever else: a default in this folder cannot be used.
            row.problem = Some("cannot be the folder of the database and the pepper".to_owned());
        }
        let config = config.and_then(|mut config| {
            if meet(&config.listen, config.metrics_listen.as_deref().unwrap_or_default()) {
                let row = rows.iter_mut().find(|row| row.variable == "KEYSTEAD_METRICS_LISTEN")?;
                row.problem = Some("the site is there (KEYSTEAD_LISTEN); metrics need a port of their own".to_owned());
                return None;
            }
            match config.database.completed(&config.postgres) {
                Ok(database) => config.database = database,
                Err(reason) => {
                    let row = rows.iter_mut().find(|row| row.variable == "DATABASE_URL")?;
                    row.problem = Some(reason);
                    return None;
                }
            }
            Some(config)
        });
        for (variable, value) in self.given.postgres.shown() {
            rows.push(Effective { variable, value, source: Source::Variable, problem: None });
        }
        (rows, config)
    }

    /// What should be said of the environment although nothing in it is wrong.
    pub fn warnings(&self) -> Vec<String> {
        let passed_over = self.given.passed_over.join(", ");
        let words = format!(
            "passed over what Kubernetes sets for a Service of this name: {passed_over} (`enableServiceLinks: false` in the pod keeps them away)"
        );
        if passed_over.is_empty() { Vec::new() } else { vec![words] }
    }

    /// The text of a setting, and where it comes from.
    fn effective(&self, setting: &Setting, given: &str) -> (String, Source) {
        if !given.is_empty() {
            let source = self.given.sources.get(setting.variable).cloned();
            return (given.to_owned(), source.unwrap_or(Source::Flag));
        }
        let text = match setting.default {
            DefaultValue::None => String::new(),
            DefaultValue::Text(text) => text.to_owned(),
            DefaultValue::InDataDir(before, name) => {
                let folder = if self.data_dir.is_empty() { table::DATA_DIR } else { &self.data_dir };
                // A second slash at the beginning would be taken for the one of `sqlite://`.
                let path: std::path::PathBuf = std::path::Path::new(folder).join(name).components().collect();
                format!("{before}{}", path.display())
            }
        };
        (text, Source::Default)
    }

    /// Checks one setting, and notes how it holds.
    fn look<T>(
        &self,
        setting: &Setting,
        given: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        rows: &mut Vec<Effective>,
    ) -> Option<T> {
        let (text, source) = self.effective(setting, given);
        let noted = self.given.problems.iter().find(|problem| problem.variable == setting.variable);
        let result = match noted {
            Some(problem) => Err(problem.reason.clone()),
            None if source == Source::Default => parse(&text),
            None => parse::as_written(&text).and_then(|()| parse(&text)),
        };
        let value = if setting.variable == "DATABASE_URL" { database_url::without_password(&text) } else { text };
        let (found, problem) = match result {
            Ok(found) => (Some(found), None),
            // A default fails only with the data directory it is in, and that is said there.
            Err(reason) => (None, (source != Source::Default || noted.is_some()).then_some(reason)),
        };
        rows.push(Effective { variable: setting.variable.to_owned(), value, source, problem });
        found
    }
}

/// Whether two listeners would want the same port; 0 is any free one.
fn meet(some: &[SocketAddr], others: &[SocketAddr]) -> bool {
    let is_everywhere = |address: &SocketAddr| address.ip().is_unspecified();
    let is_same = |a: &SocketAddr, b: &SocketAddr| {
        a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || is_everywhere(a) || is_everywhere(b))
    };
    some.iter().any(|a| others.iter().any(|b| is_same(a, b)))
}
