//! `keystead check`: every setting as it holds, where it comes from, and what is wrong with it; and what would keep a
//! server from starting.

use std::{process::ExitCode, time::Duration};

use super::process;
use crate::{
    app::{self, StartError},
    config::{DatabaseUrl, LogFormat, OlderDatabase, Settings},
    pepper_file,
    store::{
        Fault, StoreError,
        migrations::{self, MigrationError, Standing},
    },
    telemetry::say,
};

/// How long a database may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// That it does not answer now is nobody's mistake.
const NOT_ASKED: &str = "Note: the database was not asked";

/// Prints it; nothing is made or changed.
pub fn check(settings: &Settings, format: LogFormat) -> ExitCode {
    let (mut rows, config) = settings.examine();
    // What is in the file counts as much as its path: the start refuses one that holds no pepper.
    if let Some(Err(error)) = config.as_ref().map(|config| pepper_file::look(&config.pepper_file))
        && let Some(row) = rows.iter_mut().find(|row| row.variable == "KEYSTEAD_PEPPER_FILE")
    {
        row.problem = Some(error.to_string());
    }
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let names = width(&mut rows.iter().map(|row| row.variable.len()));
    let values = width(&mut rows.iter().map(|row| row.value.chars().count())).min(60);
    for row in &rows {
        let value = if row.value.is_empty() { "-" } else { &row.value };
        let source = row.source.to_string();
        let mut line = format!("{:names$}  {value:values$}  {source}", row.variable);
        let texts = [("setting", &row.variable), ("value", &row.value), ("source", &source)];
        let mut facts = texts.map(|(name, text)| (name, text.as_str().into())).to_vec();
        if let Some(problem) = &row.problem {
            line += &format!("  WRONG: {problem}");
            facts.push(("problem", problem.as_str().into()));
        }
        say(format, &line.replace(char::is_control, " "), &facts);
    }
    for warning in settings.warnings() {
        say(format, &format!("Note: {warning}"), &[("warning", warning.as_str().into())]);
    }
    let wrong = rows.iter().filter(|row| row.problem.is_some()).count();
    if wrong > 0 {
        say(format, &format!("Settings that cannot be used: {wrong}."), &[]);
    } else {
        say(format, "Every setting can be used.", &[]);
    }
    let Some(config) = config else { return ExitCode::FAILURE };
    if let Err(error) = process::can_have_threads(process::threads_of_a_server()) {
        // A database is asked on threads.
        let words = error.to_string();
        say(format, &format!("WRONG: {words}"), &[("problem", words.as_str().into())]);
        return ExitCode::FAILURE;
    }
    let mut problems = app::inspect_files(&config);
    let database = look_at_schema(&config.database, format);
    if let Database::Ours = database {
        let (wrong, revived) = match app::inspect_database(&config) {
            Err(StartError::Database(_, error)) if is_away(&config.database, &error) => {
                let line = format!("{NOT_ASKED} for its pepper and its revocations: {error}");
                say(format, &line.replace(char::is_control, " "), &[("schema", "unknown".into())]);
                (None, None)
            }
            looked => looked.unwrap_or_else(|error| (Some(error), None)),
        };
        problems.extend(wrong);
        match revived {
            Some(revived) if config.older_database == OlderDatabase::Accept => {
                let line =
                    format!("Note: the database is older than revocations.log: the next start ends again {revived}");
                say(format, &line, &[("revived", revived.to_string().into())]);
            }
            revived => problems.extend(revived.map(|revived| app::refusal(&config, revived))),
        }
    }
    for problem in &problems {
        let words = problem.to_string().replace(char::is_control, " ");
        say(format, &format!("WRONG: {words}"), &[("problem", words.as_str().into())]);
    }
    if wrong == 0 && problems.is_empty() && database != Database::Unusable {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is known of the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Database {
    /// It has tables of ours.
    Ours,
    /// It is empty, or does not answer now, which is nobody's mistake.
    NotYet,
    Unusable,
}

/// Says how the schema stands.
fn look_at_schema(url: &DatabaseUrl, format: LogFormat) -> Database {
    let looked = url.connect_to_look(PATIENCE).map_err(MigrationError::from);
    let looked = looked.and_then(|conn| conn.map_or(Ok(Standing::Missing), |mut conn| migrations::look(&mut conn)));
    let (word, line) = match &looked {
        Ok(Standing::Missing) => {
            let line = match url {
                DatabaseUrl::Sqlite(_) => "Note: there is no database yet; the first start makes it.",
                DatabaseUrl::Postgres(_) => "Note: the database is empty; the first start makes its tables.",
            };
            ("missing", line.to_owned())
        }
        Ok(Standing::Current) => ("current", "The database has this version's schema.".to_owned()),
        Ok(Standing::Behind(count)) => (
            "older",
            format!("Note: the database's schema is older; the next start brings it up to date ({count} migrations)."),
        ),
        Ok(Standing::Newer(version)) => (
            "newer",
            format!("Note: the database has schema {version} of a newer version; this version can go on with it."),
        ),
        Err(MigrationError::Store(error)) if is_passing(url, error) => {
            ("unknown", format!("{NOT_ASKED} for its schema: {error}"))
        }
        Err(error) => ("unusable", format!("WRONG: the database cannot be used: {error}")),
    };
    say(format, &line.replace(char::is_control, " "), &[("schema", word.into())]);
    match &looked {
        Ok(Standing::Missing) => Database::NotYet,
        Ok(_) => Database::Ours,
        Err(MigrationError::Store(error)) if is_passing(url, error) => Database::NotYet,
        Err(_) => Database::Unusable,
    }
}

fn is_away(url: &DatabaseUrl, error: &StoreError) -> bool {
    is_passing(url, error)
        && matches!(error, StoreError::Fault(Fault::Busy | Fault::Unreachable | Fault::NoConnection, _))
}

/// Whether another time may be better. A file that cannot be opened stays one.
fn is_passing(url: &DatabaseUrl, error: &StoreError) -> bool {
    matches!(url, DatabaseUrl::Postgres(_)) || matches!(error, StoreError::Fault(Fault::Busy, _))
}
