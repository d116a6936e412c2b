//! `keystead backup` and `keystead restore`.

use std::path::PathBuf;

use super::CliError;
use crate::{
    actions::{
        back_up::back_up,
        restore_backup::{Kept, Revocations, accept_revocations, restore_backup},
    },
    app::open_database,
    clock::SystemClock,
    config::{Config, DatabaseUrl},
    telemetry::say,
};

#[derive(Debug, clap::Args)]
pub struct BackupArguments {
    /// The new file; one that exists is never overwritten
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["file", "accept"]))]
pub struct RestoreArguments {
    /// A file that keystead backup made, to be put in the place of the SQLite database
    file: Option<PathBuf>,
    /// Which revocations of revocations.log hold for the restored database: all, or none of them
    #[arg(long, value_name = "WHICH", num_args = 0..=1, default_missing_value = "all", value_parser = parse_kept)]
    accept: Option<Kept>,
}

fn parse_kept(text: &str) -> Result<Kept, String> {
    match text {
        "all" => Ok(Kept::All),
        "none" => Ok(Kept::None),
        _ => Err("all or none".to_owned()),
    }
}

pub fn backup(config: &Config, arguments: &BackupArguments) -> Result<(), CliError> {
    let keys = back_up(config, &arguments.file)?;
    let file = arguments.file.display().to_string();
    let line = format!("The database, with {keys} keys, is in {file}. Its pepper is not: keep that apart.");
    say(config.log_format, &line, &[("file", file.into()), ("keys", keys.into())]);
    Ok(())
}

pub async fn restore(config: &Config, arguments: &RestoreArguments) -> Result<(), CliError> {
    let format = config.log_format;
    if let Some(file) = &arguments.file {
        let (kept, keys) = restore_backup(config, &SystemClock, file)?;
        let file = file.display().to_string();
        let line = format!("The database is now what {file} holds, with {keys} keys.");
        say(format, &line, &[("file", file.into()), ("keys", keys.into())]);
        if let Some(kept) = kept.map(|kept| kept.display().to_string()) {
            say(format, &format!("The one before is kept as {kept}."), &[("kept", kept.into())]);
        }
    }
    let db = open_database(config).await?;
    let which = arguments.accept.unwrap_or(Kept::All);
    match accept_revocations(config, &db, &SystemClock, which).await? {
        Revocations::Kept(done, too_old) => {
            let (keys, secrets) = (done.keys, done.secrets);
            let line = format!(
                "What was revoked or rotated since stays so: ended again were {keys} keys and {secrets} secrets of living keys."
            );
            say(format, &line, &[("keys", keys.into()), ("secrets", secrets.into())]);
            if let Some(too_old) = too_old.map(|too_old| too_old.to_string()) {
                say(format, &format!("But {too_old}."), &[("too_old", too_old.into())]);
            }
        }
        Revocations::GivenUp(None) => say(format, "There is no revocations.log: nothing is ended again.", &[]),
        Revocations::GivenUp(Some(log)) => {
            let log = log.display().to_string();
            let line = format!(
                "What was revoked or rotated since is given up: what is alive in the database works. The log is kept as {log}."
            );
            say(format, &line, &[("log", log.into())]);
            if matches!(config.database, DatabaseUrl::Postgres(_)) {
                let line =
                    "Other nodes have logs of their own: run this with the data directory of each before one starts.";
                say(format, line, &[]);
            }
        }
    }
    Ok(())
}
