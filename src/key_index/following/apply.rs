//! From the database into the index: every key, or those that changed.

use std::{collections::HashSet, ops::ControlFlow};

use super::Thread;
use crate::{
    domain::{key_record::Epoch, position::Position},
    key_index::Forgotten,
    store::{
        Conn, StoreError,
        key_changes::{self, Change},
        key_records::{self, Scanned},
        wholeness::{self, KeysAlone},
    },
};

/// How often everything is read again at once because secrets came back to life meanwhile.
const LOADS_AGAIN: u32 = 3;
/// Rows of a scan between two looks at whether the server stops.
const LOOK_UP_AFTER: u32 = 1_000;

impl Thread {
    /// Ends again what the log of revocations knows to have ended (or refuses the database, if this process has never had its
    /// keys), reads every key, and forgets what is in memory and not in
    /// the database any more. What is committed meanwhile is either read here or has an epoch after the one noted first, so
    /// that it is applied after this: reading a key twice does no harm.
    pub(super) fn load(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let begun = self.membership.now();
        let tables = wholeness::check(conn)?;
        if !self.may_end_again
            && let Some(revived) = self.keeper.find_revived(conn)?
        {
            self.progress.send_modify(|progress| (progress.is_loaded, progress.refused) = (false, Some(revived)));
            return Ok(());
        }
        self.wait_for_secrets(conn)?;
        let logged = self.keeper.end_again(conn)?;
        let position = key_changes::current(conn)?;
        let (keys, secrets) = key_records::estimate(conn)?;
        self.index.reserve(keys, secrets);
        let (stopping, keeper) = (&self.stopping, &mut self.keeper);
        let mut reload = self.index.reload();
        let (mut rows, mut revived, mut alone) = (0_u32, 0_usize, KeysAlone::default());
        key_records::scan(conn, |scanned| {
            match scanned {
                Scanned::Key(record) => reload.key(&record),
                Scanned::Unreadable(id) => reload.refuse(id),
                Scanned::Alone(found) => alone = found,
                Scanned::Secret(key_id, mut secret) => {
                    // Ended above, and alive again: the database went back meanwhile. It must not be alive in memory too.
                    if logged.contains(&secret.digest) && !secret.is_replaced {
                        secret.is_replaced = true;
                        revived += 1;
                    }
                    if let Some(ending) = reload.secret(key_id, &secret) {
                        keeper.note(&logged, key_id, secret.digest, ending);
                    }
                }
            }
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(LOOK_UP_AFTER) && *stopping.borrow() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if self.is_stopping() {
            return Ok(());
        }
        wholeness::check_still(conn, &tables)?;
        let forgotten = reload.finish();
        self.keeper.write();
        self.must_load = self.is_to_load_again(revived);
        self.may_end_again |= revived == 0;
        self.progress.send_modify(|progress| {
            (progress.is_loaded, progress.applied, progress.seen) = (true, position, position.epoch);
        });
        tracing::info!(
            keys = self.index.keys(),
            secrets = self.index.secrets(),
            forgotten_keys = forgotten.keys,
            forgotten_secrets = forgotten.secrets,
            "the index is loaded"
        );
        let is_empty = self.db.has_nodes() && position.epoch > Epoch(0) && self.index.keys() == 0;
        self.note_missing(alone, is_empty, self.membership.now().saturating_sub(begun));
        Ok(())
    }

    /// Where secrets came back to life between the log of revocations and the reading they are ended again by another load, but
    /// not for ever: in memory they have ended.
    fn is_to_load_again(&mut self, revived: usize) -> bool {
        if revived == 0 {
            self.loads_again = 0;
            return false;
        }
        self.loads_again += 1;
        tracing::error!(
            revived,
            "secrets that had ended are alive again in the database (a restore under a running server?); they are refused"
        );
        self.loads_again <= LOADS_AGAIN
    }

    /// Brings the keys of these changes into the index, as they now stand in the database; the log first.
    ///
    /// What had ended stays so: a database that went back as a whole has another history and is loaded, but somebody may have
    /// restored a table alone, in which this change then found its key. A load ends it there again. Of a secret that memory
    /// does not know only a load can tell what the log says.
    pub(super) fn apply(&mut self, conn: &mut Conn, changes: &[Change], applied: Position) -> Result<(), StoreError> {
        let mut ids: Vec<&str> = changes.iter().map(|change| change.key_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        self.filling.forget(&ids);
        let mut found = key_records::find(conn, &ids)?;
        let revived = found.records.iter_mut().map(|record| self.index.keep_ended(record)).sum();
        if revived > 0 {
            self.must_load = self.is_to_load_again(revived);
        }
        found.records.iter().for_each(|record| self.keeper.note_changes(&self.index, record));
        found.records.iter().for_each(|record| self.index.put(record));
        found.unreadable.iter().for_each(|id| self.index.refuse(id));
        let there: HashSet<&str> = found.records.iter().map(|record| record.id.as_str()).collect();
        ids.retain(|id| !there.contains(id) && !found.unreadable.iter().any(|unreadable| unreadable == id));
        let is_new = |change: &&Change| change.is_removal && change.position.epoch > applied.epoch;
        let removed: HashSet<&str> = changes.iter().filter(is_new).map(|change| change.key_id.as_str()).collect();
        let fewer: Vec<_> = found.records.iter().filter(|record| removed.contains(record.id.as_str())).collect();
        let forgotten = self.index.forget(&ids, &fewer);
        if forgotten != Forgotten::default() {
            tracing::debug!(keys = forgotten.keys, secrets = forgotten.secrets, "forgot what the database has no more");
        }
        self.keeper.write();
        Ok(())
    }
}
