//! `keystead keys`: the actions on keys without a browser, also while servers run on the database.

use std::{io::Write, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::CliError;
use crate::{
    actions::{
        command_authority::command_authority,
        create_key::{CreateKey, NewKey, create_key},
        error_code::{ErrorCode, NOT_FOUND, OUTCOME_UNKNOWN},
        find_key::find_key,
        follow_change::{Reach, follow_revocation, reach},
        list_keys::list_keys,
        revoke_key::{RevokeKey, revoke_key},
        rotate_key::{RotateKey, rotate_key},
    },
    app::{Keys, open_keys},
    clock::SystemClock,
    config::Config,
    domain::{
        authority::Authority,
        form_token::FormToken,
        ids::{KeyId, OrgId},
        name::Name,
        usage::KeyWithUsage,
    },
    key_index::{Receipt, ReceiptProgress},
};

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
    /// Revoke a key for good, and wait until no server answers yes to it any more
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

/// How long the command waits for a receipt before it says how far it is, and then again.
const A_WHILE: Duration = Duration::from_secs(1);

/// Does it. With `--json` a refusal is `{"code": …, "detail": …}` on standard output, beside the line on standard error.
pub async fn run(config: &Config, command: KeysCommand) -> Result<(), CliError> {
    let is_json = command.of().json;
    let done = act(config, command).await;
    if let (true, Err(CliError::Refused(code, detail))) = (is_json, &done) {
        print(&json!({ "code": code, "detail": detail }).to_string());
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

async fn act(config: &Config, command: KeysCommand) -> Result<(), CliError> {
    let of = command.of();
    let organization_id = OrgId::parse(&of.organization)
        .ok_or_else(|| CliError::Argument("--organization: not an organization's id".to_owned()))?;
    let is_json = of.json;
    // What is written wrong is refused before anything is opened.
    let name = match &command {
        KeysCommand::Create { name, .. } => {
            Some(Name::parse(name).map_err(|error| CliError::Argument(format!("--name: {error}")))?)
        }
        _ => None,
    };
    let key_id = match &command {
        KeysCommand::Rotate(one) | KeysCommand::Revoke(one) => {
            Some(KeyId::parse(&one.key).ok_or_else(|| CliError::Argument("not a key's id".to_owned()))?)
        }
        _ => None,
    };
    let keys = open_keys(config, Arc::new(SystemClock)).await?;
    let authority = command_authority(&keys, organization_id).await.map_err(failed)?;
    match (command, name, key_id) {
        (KeysCommand::Create { .. }, Some(name), _) => create(&keys, &authority, name, is_json).await,
        (KeysCommand::Rotate(_), _, Some(key_id)) => rotate(&keys, &authority, key_id, is_json).await,
        (KeysCommand::Revoke(_), _, Some(key_id)) => revoke(&keys, &authority, key_id, is_json).await,
        _ => list(&keys, &authority, is_json).await,
    }
}

async fn list(keys: &Keys, authority: &Authority, is_json: bool) -> Result<(), CliError> {
    let (mut all, mut damaged, mut page) = (Vec::new(), 0, 1);
    loop {
        let part = list_keys(keys, authority, page).await.map_err(failed)?;
        all.extend(part.keys);
        damaged += part.damaged;
        if page >= part.pages {
            break;
        }
        page += 1;
    }
    if is_json {
        print(&json!({ "data": all.iter().map(as_json).collect::<Vec<_>>() }).to_string());
    } else {
        for KeyWithUsage { key, .. } in &all {
            let made = key.created_at.format("%Y-%m-%d");
            print(&format!("{}  {}_…{}  {made}  {}", key.id, key.prefix.as_str(), key.hint.as_str(), key.name));
        }
    }
    if damaged > 0 {
        note(&format!("{damaged} more keys cannot be shown: their rows in the database are damaged"));
    }
    Ok(())
}

fn as_json(KeyWithUsage { key, .. }: &KeyWithUsage) -> Value {
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

async fn create(keys: &Keys, authority: &Authority, name: Name, is_json: bool) -> Result<(), CliError> {
    let input = CreateKey { name, form_token: FormToken::generate().map_err(failed)? };
    let made = create_key(keys, authority, input).await.map_err(failed)?;
    hand_over(&made, is_json);
    if !made.is_known_here && !is_json {
        note("Not every server has confirmed yet that it knows the key.");
    }
    Ok(())
}

async fn rotate(keys: &Keys, authority: &Authority, key_id: KeyId, is_json: bool) -> Result<(), CliError> {
    let version = version_of(keys, authority, &key_id).await?;
    let input = RotateKey { key_id, version, form_token: FormToken::generate().map_err(failed)? };
    let made = rotate_key(keys, authority, input).await.map_err(failed)?;
    // At once: it must not be lost while other nodes are waited for.
    hand_over(&made, is_json);
    loop {
        match reach(keys, made.change, A_WHILE).await {
            Reach::Everywhere(receipt) if is_json => break print(&receipt_json(&receipt).to_string()),
            Reach::Everywhere(receipt) => break note(&format!("The old key no longer works. {}", words_of(&receipt))),
            Reach::SoFar(progress) => note(&format!("The old key stops working. {}", so_far(&progress))),
        }
    }
    Ok(())
}

async fn revoke(keys: &Keys, authority: &Authority, key_id: KeyId, is_json: bool) -> Result<(), CliError> {
    let version = version_of(keys, authority, &key_id).await?;
    let mut revoking = Box::pin(revoke_key(keys, authority, RevokeKey { key_id: key_id.clone(), version }));
    let (key, receipt) = loop {
        if let Ok(done) = tokio::time::timeout(A_WHILE, &mut revoking).await {
            break done.map_err(failed)?;
        }
        if let Ok(Some(progress)) = follow_revocation(keys, authority, key_id.clone()).await {
            note(&so_far(&progress));
        }
    };
    if is_json {
        print(&json!({ "key_id": key.id.as_str(), "receipt": receipt_json(&receipt) }).to_string());
    } else {
        print(&format!("{} is revoked. {}", key.name, words_of(&receipt)));
    }
    let lost = || CliError::Refused(OUTCOME_UNKNOWN, "the revocation may be lost; do it again".to_owned());
    if receipt.is_lost { Err(lost()) } else { Ok(()) }
}

/// The newest version: whoever types a command has seen no other.
async fn version_of(keys: &Keys, authority: &Authority, key_id: &KeyId) -> Result<i64, CliError> {
    let found = find_key(keys, authority, key_id.clone()).await.map_err(failed)?;
    let words = || format!("the organization has no key {key_id}; it may have been revoked before");
    found.map(|found| found.key.version).ok_or_else(|| CliError::Refused(NOT_FOUND, words()))
}

/// The secret alone on standard output, so that a script can take it from there; everything else beside it.
fn hand_over(made: &NewKey, is_json: bool) {
    if is_json {
        let key = json!({ "id": made.id.as_str(), "name": made.name.as_str() });
        return print(&json!({ "key": key, "secret": made.secret.expose() }).to_string());
    }
    note(&format!("{} ({}); its secret is shown only now:", made.name, made.id));
    print(made.secret.expose());
}

fn receipt_json(receipt: &Receipt) -> Value {
    let Receipt { confirmed, nodes, after, is_lost } = receipt;
    json!({ "everywhere": !is_lost, "confirmed": confirmed, "nodes": nodes, "after_ms": after.as_millis() as u64 })
}

fn words_of(receipt: &Receipt) -> String {
    match receipt.nodes {
        _ if receipt.is_lost => receipt.to_string(),
        None => "The database cannot be asked which servers refuse it; those that do not answer nobody.".to_owned(),
        Some(0) => "No server runs on this database, so nobody answers.".to_owned(),
        Some(_) if receipt.confirmed == 0 => {
            "No server has confirmed it; one that cannot read the change answers nobody any more.".to_owned()
        }
        Some(_) => receipt.to_string(),
    }
}

fn so_far(progress: &ReceiptProgress) -> String {
    match progress.nodes {
        None => "The database cannot be asked which servers refuse it.".to_owned(),
        Some(_) => progress.to_string(),
    }
}

fn failed(error: impl std::fmt::Display + ErrorCode) -> CliError {
    CliError::Refused(error.code(), error.to_string())
}

/// A closed pipe is nobody's fault.
fn print(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
