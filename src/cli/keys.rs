//! `keystead keys`: the actions on keys without a browser, also while servers run on the database.

mod output;

use std::{cell::Cell, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::CliError;
use crate::{
    actions::{
        command_authority::command_authority,
        create_key::{CreateKey, NewKey, create_key},
        error_code::{ErrorCode, NOT_FOUND, OUTCOME_UNKNOWN},
        find_key::find_key,
        follow_change::{Reach, find_revocation, follow_revocation, reach},
        list_keys::list_all_keys,
        revoke_key::{RevokeKey, RevokeKeyError, revoke_key},
        rotate_key::{RotateKey, rotate_key},
    },
    app::{Keys, open_keys},
    clock::SystemClock,
    config::{Config, DatabaseUrl, LogFormat},
    domain::{
        api_key::ApiKey,
        authority::Authority,
        form_token::FormToken,
        ids::{KeyId, OrgId},
        name::Name,
        position::Position,
    },
    key_index::Receipt,
};
use output::Output;

#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// List an organization's keys, the newest first
    List(Organization),
    /// Create a key; prints its secret, once, on standard output
    Create {
        #[command(flatten)]
        of: Organization,
        /// A name that no other key of the organization has
        #[arg(long)]
        name: String,
    },
    /// Give a key a new secret and print it, once, on standard output; the old one stops working at once
    Rotate(OneKey),
    /// Revoke a key for good, and wait until no server answers yes to it any more; may be repeated
    Revoke(OneKey),
}

#[derive(Debug, clap::Args)]
pub struct Organization {
    /// Id of the organization, org_…
    #[arg(long, value_name = "ID")]
    organization: String,
    /// Print one JSON document instead of lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct OneKey {
    /// Id of the key, key_…
    key: String,
    #[command(flatten)]
    of: Organization,
}

/// The word for what is written wrong.
pub const INVALID: &str = "invalid";

/// How long the command waits for a receipt before it says how far it is, and then again.
const A_WHILE: Duration = Duration::from_secs(1);

/// Does it. With `--json`, or where everything that is logged is JSON, a refusal is `{"code": …, "detail": …}` on standard output,
/// beside the line on standard error.
pub async fn run(config: &Config, command: KeysCommand) -> Result<(), CliError> {
    let is_json = command.of().json || config.log_format == LogFormat::Json;
    let is_one_server = matches!(config.database, DatabaseUrl::Sqlite(_));
    let output = Output { is_json, format: config.log_format, has_begun: Cell::new(false), is_one_server };
    let done = act(config, command, &output).await;
    if let (true, Err(CliError::Refused(code, detail))) = (is_json && !output.has_begun.get(), &done) {
        output.document(&json!({ "code": code, "detail": detail }));
    }
    done
}

impl KeysCommand {
    const fn of(&self) -> &Organization {
        match self {
            Self::List(of) | Self::Create { of, .. } => of,
            Self::Rotate(one) | Self::Revoke(one) => &one.of,
        }
    }
}

async fn act(config: &Config, command: KeysCommand, output: &Output) -> Result<(), CliError> {
    let wrong = |words: &str| CliError::Refused(INVALID, words.to_owned());
    let organization_id = OrgId::parse(&command.of().organization);
    let organization_id = organization_id.ok_or_else(|| wrong("--organization: not an organization's id"))?;
    let key_id = |one: &OneKey| KeyId::parse(&one.key).ok_or_else(|| wrong("not a key's id"));
    // What is written wrong is refused before anything is opened.
    match command {
        KeysCommand::List(_) => {
            let (keys, authority) = open(config, organization_id).await?;
            list(&keys, &authority, output).await
        }
        KeysCommand::Create { name, .. } => {
            let name = Name::parse(&name).map_err(|error| wrong(&format!("--name: {error}")))?;
            output.refuse_nowhere()?;
            let (keys, authority) = open(config, organization_id).await?;
            let input = CreateKey { name, form_token: FormToken::generate().map_err(failed)? };
            let made = create_key(&keys, &authority, input).await.map_err(failed)?;
            hand_over(&keys, &made, output).await
        }
        KeysCommand::Rotate(one) => {
            let key_id = key_id(&one)?;
            output.refuse_nowhere()?;
            let (keys, authority) = open(config, organization_id).await?;
            let version = version_of(&keys, &authority, &key_id).await?;
            let input = RotateKey { key_id, version, form_token: FormToken::generate().map_err(failed)? };
            let made = rotate_key(&keys, &authority, input).await.map_err(failed)?;
            hand_over(&keys, &made, output).await
        }
        KeysCommand::Revoke(one) => {
            let key_id = key_id(&one)?;
            let (keys, authority) = open(config, organization_id).await?;
            revoke(&keys, &authority, key_id, output).await
        }
    }
}

async fn open(config: &Config, organization_id: OrgId) -> Result<(Keys, Authority), CliError> {
    let keys = open_keys(config, Arc::new(SystemClock)).await?;
    let authority = command_authority(&keys, organization_id).await.map_err(failed)?;
    Ok((keys, authority))
}

async fn list(keys: &Keys, authority: &Authority, output: &Output) -> Result<(), CliError> {
    let (all, damaged) = list_all_keys(keys, authority).await.map_err(failed)?;
    if output.is_json {
        output.document(&json!({ "data": all.iter().map(as_json).collect::<Vec<_>>(), "damaged": damaged }));
    } else {
        for key in &all {
            let (prefix, hint, made) = (key.prefix.as_str(), key.hint.as_str(), key.created_at.format("%Y-%m-%d"));
            output.line(&format!("{}  {prefix}_…{hint}  {made}  {}", key.id, key.name));
        }
    }
    if damaged > 0 {
        output.note(&format!("{damaged} more keys cannot be shown: their rows in the database are damaged"));
    }
    Ok(())
}

fn as_json(key: &ApiKey) -> Value {
    json!({
        "id": key.id.as_str(),
        "organization_id": key.organization_id.as_str(),
        "name": key.name.as_str(),
        "prefix": key.prefix.as_str(),
        "hint": key.hint.as_str(),
        "created_at": key.created_at.to_rfc3339(),
        "created_by": key.created_by.label(),
        "version": key.version,
    })
}

/// The secret first, for it must not be lost while nodes are waited for; then where the change is true. A new key is waited for a
/// second at most, the end of an old secret until it has ended everywhere.
async fn hand_over(keys: &Keys, made: &NewKey, output: &Output) -> Result<(), CliError> {
    output.secret(made).map_err(|error| {
        let words = format!(
            "{} ({}) has a new secret, and it could not be written to standard output ({error}): it is lost. Rotate the key to get \
             another one",
            made.name, made.id
        );
        CliError::Refused("secret_lost", words)
    })?;
    if !made.is_rotation {
        let reach = reach(keys, made.change, A_WHILE).await;
        if let Reach::SoFar(_) = reach {
            output.note("Not every server has confirmed yet that it knows the key.");
        }
        output.after_secret(&match reach {
            Reach::Everywhere(receipt) => receipt_json(made.change, &receipt),
            Reach::SoFar(_) => Value::Null,
        });
        return Ok(());
    }
    let receipt = wait(keys, made.change, "The old key stops working.", output).await;
    output.after_secret(&receipt_json(made.change, &receipt));
    if receipt.is_lost {
        return Err(CliError::Refused(OUTCOME_UNKNOWN, LOST.to_owned()));
    }
    output.note(&format!("The old key no longer works. {}", output::words_of(&receipt)));
    Ok(())
}

/// What is said of a change that the database may not have.
const LOST: &str = "the database was restored or replaced meanwhile, and this change may not be in it; list the keys to see what \
    holds, and do it again if it is not there";

async fn revoke(keys: &Keys, authority: &Authority, key_id: KeyId, output: &Output) -> Result<(), CliError> {
    let found = find_key(keys, authority, key_id.clone()).await.map_err(failed)?;
    let Some(version) = found.map(|found| found.key.version) else {
        return revoked_before(keys, authority, key_id, output).await;
    };
    let mut revoking = Box::pin(revoke_key(keys, authority, RevokeKey { key_id: key_id.clone(), version }));
    let done = loop {
        if let Ok(done) = tokio::time::timeout(A_WHILE, &mut revoking).await {
            break done;
        }
        if let Ok(Some(progress)) = follow_revocation(keys, authority, key_id.clone()).await {
            output.note(&output.so_far(&progress));
        }
    };
    match done {
        Ok((key, receipt)) => {
            let revocation = find_revocation(keys, authority, key_id).await.ok().flatten();
            say_revoked(&key, revocation.and_then(|(_, change)| change), &receipt, output)
        }
        // Another one was faster.
        Err(RevokeKeyError::NotFound) => revoked_before(keys, authority, key_id, output).await,
        Err(error) => Err(failed(error)),
    }
}

/// Whoever repeats it wants to know the same: that no server answers yes any more.
async fn revoked_before(keys: &Keys, authority: &Authority, key_id: KeyId, output: &Output) -> Result<(), CliError> {
    let (key, change) = find_revocation(keys, authority, key_id.clone())
        .await
        .map_err(failed)?
        .ok_or_else(|| CliError::Refused(NOT_FOUND, format!("the organization has no key {key_id}")))?;
    let Some(change) = change else {
        // It is so long ago that every server has long read it.
        let receipt = Receipt { confirmed: 0, nodes: Some(0), after: Duration::ZERO, is_lost: false };
        output.line_or(&format!("{} was revoked long ago.", key.name), || revoked_json(&key, None, &receipt));
        return Ok(());
    };
    let receipt = wait(keys, change, "It was revoked before.", output).await;
    say_revoked(&key, Some(change), &receipt, output)
}

fn say_revoked(key: &ApiKey, change: Option<Position>, receipt: &Receipt, output: &Output) -> Result<(), CliError> {
    if receipt.is_lost {
        return Err(CliError::Refused(OUTCOME_UNKNOWN, LOST.to_owned()));
    }
    let line = format!("{} is revoked. {}", key.name, output::words_of(receipt));
    output.line_or(&line, || revoked_json(key, change, receipt));
    Ok(())
}

fn revoked_json(key: &ApiKey, change: Option<Position>, receipt: &Receipt) -> Value {
    let receipt = change.map(|change| receipt_json(change, receipt));
    json!({ "key": { "id": key.id.as_str(), "name": key.name.as_str() }, "receipt": receipt })
}

/// Until the change is true everywhere; says how far it is meanwhile.
async fn wait(keys: &Keys, change: Position, what: &str, output: &Output) -> Receipt {
    loop {
        match reach(keys, change, A_WHILE).await {
            Reach::Everywhere(receipt) => break receipt,
            Reach::SoFar(progress) => output.note(&format!("{what} {}", output.so_far(&progress))),
        }
    }
}

fn receipt_json(change: Position, receipt: &Receipt) -> Value {
    let Receipt { confirmed, nodes, after, is_lost } = receipt;
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    json!({
        "epoch": change.epoch.0,
        "everywhere": !is_lost,
        "confirmed": confirmed,
        "nodes": nodes,
        "after_ms": after_ms,
    })
}

/// The newest version: whoever types a command has seen no other.
async fn version_of(keys: &Keys, authority: &Authority, key_id: &KeyId) -> Result<i64, CliError> {
    let found = find_key(keys, authority, key_id.clone()).await.map_err(failed)?;
    let words = || format!("the organization has no living key {key_id}");
    found.map(|found| found.key.version).ok_or_else(|| CliError::Refused(NOT_FOUND, words()))
}

fn failed(error: impl std::fmt::Display + ErrorCode) -> CliError {
    CliError::Refused(error.code(), error.to_string())
}
