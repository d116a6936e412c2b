//! The follower's part in the log of revocations: it writes down what it learns has ended, and ends again what a database
//! that went back in time has alive.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::KeyIndex;
use crate::{
    clock::Clock,
    domain::{
        ended_secret::{EndedSecret, Ending},
        ids::KeyId,
        key_record::KeyRecord,
        pepper::SecretDigest,
    },
    revocation_log::{RevocationLog, RevocationLogError},
    store::{
        Conn, Fault, StoreError,
        ended_again::{EndedAgain, end_again, is_too_old},
        in_transaction,
        revived::{Revived, find_revived},
    },
};

/// How many are held against the database in one transaction, and written with one call while the index is loaded.
const AT_ONCE: usize = 2_000;
const LINES_AT_ONCE: usize = 50_000;

pub struct RevocationKeeper {
    log: Arc<RevocationLog>,
    clock: Arc<dyn Clock>,
    /// To be written by the next [`RevocationKeeper::write`].
    ended: Vec<EndedSecret>,
    /// While the index is loaded: what the log knows and the database was not seen to have, with the time.
    only_logged: Option<HashMap<SecretDigest, DateTime<Utc>>>,
    is_failing: bool,
}

impl RevocationKeeper {
    pub fn new(log: Arc<RevocationLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock, ended: Vec::new(), only_logged: None, is_failing: false }
    }

    /// What the log says has ended and the database has alive. Nothing is changed.
    pub fn find_revived(&self, conn: &mut Conn) -> Result<Option<Revived>, StoreError> {
        find_revived(conn, &self.entries()?)
    }

    fn entries(&self) -> Result<Vec<EndedSecret>, StoreError> {
        self.log.entries().map_err(|error| StoreError::Fault(Fault::Other, error.to_string()))
    }

    /// Ends in the database what the log says has ended, and returns the digests that the log knows. To be called before
    /// the index is loaded, so that nothing is alive for a moment.
    pub fn end_again(&mut self, conn: &mut Conn) -> Result<HashSet<SecretDigest>, StoreError> {
        let entries = self.entries()?;
        let now = self.clock.now();
        let mut all = EndedAgain::default();
        for some in entries.chunks(AT_ONCE) {
            let done = in_transaction::<_, StoreError>(conn, |conn| end_again(conn, some, now))?;
            (all.keys, all.secrets) = (all.keys + done.keys, all.secrets + done.secrets);
        }
        if all != EndedAgain::default() {
            tracing::warn!(
                keys = all.keys,
                secrets = all.secrets,
                log = %self.log.path().display(),
                "the database is older than the log of revocations (a backup was restored?): keys that had been revoked and \
                 secrets that had been replaced since were ended again; a key whose newest secret came after the backup \
                 has to be rotated"
            );
        }
        if let Some(too_old) = is_too_old(conn, self.log.complete_from())? {
            tracing::error!(log = %self.log.path().display(), "{too_old}");
        }
        let logged = entries.iter().map(|entry| entry.digest).collect();
        self.only_logged = Some(entries.into_iter().map(|entry| (entry.digest, entry.at)).collect());
        Ok(logged)
    }

    /// Notes a secret that has ended, unless it is among those that the log knows.
    pub fn note(&mut self, logged: &HashSet<SecretDigest>, key_id: &str, digest: SecretDigest, ending: Ending) {
        if let Some(only_logged) = &mut self.only_logged {
            only_logged.remove(&digest);
        }
        if !logged.contains(&digest) {
            self.note_again(key_id, digest, ending);
        }
    }

    fn note_again(&mut self, key_id: &str, digest: SecretDigest, ending: Ending) {
        let Some(key_id) = KeyId::parse(key_id) else { return };
        self.ended.push(EndedSecret { at: self.clock.now(), ending, key_id, digest });
        if self.ended.len() >= LINES_AT_ONCE {
            self.append();
        }
    }

    /// Writes the log anew, from what the index knows to have ended, if it was moved, removed or emptied: not only at the next
    /// revocation, for a restore may come first. To be called before each look at the database, and before the index is loaded
    /// again from one that may have gone back in time.
    pub fn keep_whole(&mut self, index: &KeyIndex) {
        let looked = self.log.look(self.clock.now());
        let is_emptied = matches!(looked, Ok(true));
        self.is_written(looked.map(drop));
        if is_emptied {
            index.each_ended(|key_id, digest, ending| self.note_again(key_id, digest, ending));
            self.append();
        }
    }

    /// Notes what a change ends that the index has alive, or has never seen. To be called before the index takes it over.
    pub fn note_changes(&mut self, index: &KeyIndex, record: &KeyRecord) {
        for secret in &record.secrets {
            let ending = match (record.is_revoked, secret.is_replaced) {
                (true, _) => Ending::Revoked,
                (false, true) => Ending::Rotated,
                (false, false) => continue,
            };
            if index.ending_of(&secret.digest).is_none() {
                let (at, key_id) = (self.clock.now(), record.id.clone());
                self.ended.push(EndedSecret { at, ending, key_id, digest: secret.digest });
            }
        }
    }

    /// Writes down what was noted. A disk that refuses does not make a node refuse its keys: what it has learned is true in
    /// its memory and in the database, and the log keeps the lines until it can write them.
    pub fn write(&mut self) {
        if let Some(only_logged) = self.only_logged.take() {
            self.log.note_newest_only_here(only_logged.into_values().max());
        }
        self.append();
    }

    fn append(&mut self) {
        let written = self.log.append(&std::mem::take(&mut self.ended));
        self.is_written(written);
    }

    fn is_written(&mut self, written: Result<(), RevocationLogError>) {
        match written {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("revocations are written to their log again");
            }
            Ok(()) => {}
            Err(_) if self.is_failing => {}
            Err(error) => {
                self.is_failing = true;
                tracing::error!(%error, "revocations are not in their log; they hold, but a restored backup would undo them");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Mutex};

    use super::*;
    use crate::{clock::Hand, revocation_log::FILE_NAME};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged meanwhile on this thread.
    fn logged(work: impl FnOnce()) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// The log is moved away, and nothing can be made in its place.
    #[test]
    fn a_log_that_cannot_be_written_is_told_once_and_so_is_its_recovery() {
        let folder = tempfile::tempdir().unwrap();
        let (data, away) = (folder.path().join("data"), folder.path().join("away"));
        std::fs::create_dir(&data).unwrap();
        let log = Arc::new(RevocationLog::open(&data.join(FILE_NAME)).unwrap());
        let mut keeper = RevocationKeeper::new(Arc::clone(&log), Hand::new());
        let key_id = KeyId::generate(keeper.clock.now());
        let mut write = |n: u8| {
            keeper.note(&HashSet::new(), key_id.as_str(), SecretDigest([n; 32]), Ending::Revoked);
            logged(|| keeper.write())
        };
        assert_eq!(write(0), "");
        for n in [10, 20] {
            std::fs::rename(&data, &away).unwrap();
            assert!(write(n + 2).contains("revocations are not in their log"));
            assert_eq!(write(n + 3), "", "once");
            std::fs::rename(&away, &data).unwrap();
            assert!(write(n + 4).contains("written to their log again"));
            assert_eq!(write(n + 5), "");
        }
        assert_eq!(log.entries().unwrap().len(), 9);
    }
}
