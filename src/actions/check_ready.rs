//! Check whether requests can be served. Verification needs every key in memory and the lease, and no database; pages need
//! the database too.

use crate::{
    app::Site,
    key_index::{Progress, Trouble},
};

/// Why requests should go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The first scan goes on.
    #[error("loading the keys")]
    Loading,
    /// It is not known whether the keys in memory are still true.
    #[error("no lease: the database cannot be followed")]
    NoLease,
    /// They are not true, and are read anew.
    #[error(
        "the database has another history than before: it was restored, or a standby took its place; reading every key again"
    )]
    LostHistory,
    /// They may not be true, and are read anew.
    #[error("the thread that follows the database failed; reading every key again")]
    FollowerFailed,
    /// Pages cannot be served.
    #[error("the database does not answer")]
    Database,
}

/// Whether keys can be verified: looks at the index and the lease, and asks nobody.
///
/// # Errors
/// See [`NotReady`].
pub fn check_ready(site: &Site) -> Result<(), NotReady> {
    judge(site.follower.progress(), site.keys.lease.is_held(site.clock.since_boot()))
}

fn judge(Progress { is_loaded, trouble, .. }: Progress, has_lease: bool) -> Result<(), NotReady> {
    match (is_loaded, trouble) {
        (true, _) if has_lease => Ok(()),
        (_, Some(Trouble::LostHistory)) => Err(NotReady::LostHistory),
        (_, Some(Trouble::Failed)) => Err(NotReady::FollowerFailed),
        (true, _) => Err(NotReady::NoLease),
        (false, _) => Err(NotReady::Loading),
    }
}

/// Whether pages can be served too: reads one row, and waits for it for a fraction of a second.
///
/// # Errors
/// See [`NotReady`].
pub async fn check_ready_for_pages(site: &Site) -> Result<(), NotReady> {
    check_ready(site)?;
    if site.database_answers().await { Ok(()) } else { Err(NotReady::Database) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_one_that_says_what_to_do() {
        let judge =
            |is_loaded, trouble, has_lease| judge(Progress { is_loaded, trouble, ..Progress::default() }, has_lease);
        for trouble in [None, Some(Trouble::Database)] {
            assert_eq!(judge(false, trouble, false), Err(NotReady::Loading));
            assert_eq!(judge(false, trouble, true), Err(NotReady::Loading), "a lease over keys that are not there");
            assert_eq!(judge(true, trouble, false), Err(NotReady::NoLease));
            assert_eq!(judge(true, trouble, true), Ok(()), "until the lease is over they are true");
        }
        for is_loaded in [false, true] {
            assert_eq!(judge(is_loaded, Some(Trouble::LostHistory), false), Err(NotReady::LostHistory));
            assert_eq!(judge(is_loaded, Some(Trouble::Failed), false), Err(NotReady::FollowerFailed));
        }
    }
}
