//! What `keystead keys` prints: what a script takes on standard output, everything else beside it.

use std::{
    cell::Cell,
    io::{self, Write},
};

use serde_json::{Value, json};

use crate::{
    actions::create_key::NewKey,
    cli::CliError,
    config::LogFormat,
    key_index::{Receipt, ReceiptProgress},
    store::nodes::LONGEST_LEASE,
    telemetry,
};

/// How it is printed.
pub struct Output {
    /// One JSON document instead of lines.
    pub is_json: bool,
    /// Of what stands beside it.
    pub format: LogFormat,
    /// Whether a document was begun that is all there is on standard output.
    pub has_begun: Cell<bool>,
    /// Whether one server of a SQLite file is all there can be.
    pub is_one_server: bool,
}

impl Output {
    /// Refuses to make a secret that nobody could read: standard output is closed, or thrown away.
    pub fn refuse_nowhere(&self) -> Result<(), CliError> {
        let is_device = |stat: &rustix::fs::Stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device();
        let null = rustix::fs::stat("/dev/null");
        let own = rustix::fs::fstat(io::stdout());
        match (own, null) {
            (Ok(own), Ok(null)) if is_device(&own) && own.st_rdev == null.st_rdev => {
                let words = "standard output is closed or /dev/null: the secret would be lost, so nothing was changed";
                Err(CliError::Refused("secret_lost", words.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The secret, at once. In JSON it is the beginning of the document, which [`Self::after_secret`] ends.
    ///
    /// # Errors
    /// When it cannot be written: then nobody has it.
    pub fn secret(&self, made: &NewKey) -> io::Result<()> {
        let secret = made.secret.expose();
        let mut output = io::stdout().lock();
        if self.is_json {
            self.has_begun.set(true);
            let key = json!({ "id": made.id.as_str(), "name": made.name.as_str() });
            write!(output, "{{\"key\":{key},\"secret\":\"{secret}\",\"receipt\":")?;
            return output.flush();
        }
        writeln!(output, "{secret}")?;
        output.flush()?;
        self.note(&format!("That is the secret of {} ({}); it is not shown again.", made.name, made.id));
        Ok(())
    }

    /// Ends what the secret began.
    pub fn after_secret(&self, receipt: &Value) {
        if self.is_json {
            self.line(&format!("{receipt}}}"));
        }
    }

    /// A document of its own.
    pub fn document(&self, document: &Value) {
        self.line(&document.to_string());
    }

    /// The line, or this document instead.
    pub fn line_or(&self, line: &str, document: impl FnOnce() -> Value) {
        if self.is_json { self.document(&document()) } else { self.line(line) }
    }

    /// A line that may be lost: a closed pipe is nobody's fault.
    pub fn line(&self, line: &str) {
        let mut output = io::stdout().lock();
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }

    /// For whoever watches.
    pub fn note(&self, line: &str) {
        telemetry::note(self.format, line);
    }
}

/// A receipt, from outside of the servers.
pub fn words_of(receipt: &Receipt) -> String {
    match receipt.nodes {
        None => "The database cannot be asked which servers refuse it. Any that has not learned of it answers nobody any more.".to_owned(),
        Some(0) => "No server runs on this database, so nobody answers.".to_owned(),
        Some(_) if receipt.confirmed == 0 => {
            "No server has confirmed it; one that cannot read the change answers nobody any more.".to_owned()
        }
        Some(_) => receipt.to_string(),
    }
}

impl Output {
    /// How far it is.
    pub fn so_far(&self, progress: &ReceiptProgress) -> String {
        match progress.nodes {
            None => "The database cannot be asked which servers refuse it.".to_owned(),
            // As long as only somebody may have who says nothing.
            Some(1) if self.is_one_server && progress.at_most > LONGEST_LEASE / 2 => format!(
                "A server runs and does not say how far it is (has it just started, is it an older version?). {progress}"
            ),
            Some(_) => progress.to_string(),
        }
    }
}
