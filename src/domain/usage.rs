//! How much a key is used, and when it was used last.

use std::{iter::Sum, net::IpAddr, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{api_key::ApiKey, code::Code, ids::NodeId, key_record::KeyNumber};

/// Days that the page shows.
pub const DAYS_SHOWN: usize = 30;
/// How late a use is written at most, also by a slow database.
const WRITTEN_WITHIN: TimeDelta = TimeDelta::minutes(1);
/// Without a verification for this many days a key is called unused.
pub const UNUSED_AFTER_DAYS: i64 = 90;

/// Verifications in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that were let through.
    pub valid: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
}

impl Count {
    /// Counts so many more verifications of this code.
    pub fn add(&mut self, code: &str, count: u64) {
        let part = if code == Code::Valid.word() { &mut self.valid } else { &mut self.refused };
        *part = part.saturating_add(count);
    }

    /// Let through or not.
    pub fn total(self) -> u64 {
        self.valid.saturating_add(self.refused)
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, count| Self {
            valid: sum.valid.saturating_add(count.valid),
            refused: sum.refused.saturating_add(count.refused),
        })
    }
}

/// The last verification that named a key, whatever its answer: a refused one is a use that somebody wonders about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUsed {
    /// When, to the millisecond.
    pub at: DateTime<Utc>,
    /// The caller's, as a trusted proxy reported it.
    pub address: Option<IpAddr>,
    /// The caller's `User-Agent`, cut to [`super::actor::MAX_USER_AGENT`] characters.
    pub user_agent: Option<Arc<str>>,
}

/// What the page shows of a key's use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Counts of the last [`DAYS_SHOWN`] days (UTC), the oldest first, today last.
    pub days: [Count; DAYS_SHOWN],
    /// Counts of the last 24 hours and of the rest of the hour before them.
    pub last_24_hours: Count,
    /// `None` if nobody came with the key since uses are counted.
    pub last_used: Option<LastUsed>,
    /// Whether a node saw the key since what is counted here.
    pub has_uncounted: bool,
    /// Whether uses were counted for as long as the key exists. If not, silence is no evidence.
    pub is_complete: bool,
}

/// What a key's use says about ending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Within the last 24 hours.
    InUse,
    /// Not since yesterday, but within the last [`UNUSED_AFTER_DAYS`] days: a job that runs now and then may need it.
    Quiet,
    /// Not within the last [`UNUSED_AFTER_DAYS`] days.
    Unused,
    /// Never since the key was made.
    Never,
    /// Not since uses are counted; before that nobody knows.
    Unknown,
}

impl KeyUsage {
    /// Takes into account when a node last saw the key, which may not be written yet. Where a use is written that is hardly older,
    /// that one stays: it knows who came.
    pub fn seen(&mut self, at: Option<DateTime<Utc>>) {
        let Some(at) = at else { return };
        if self.last_used.as_ref().is_none_or(|known| at - known.at > WRITTEN_WITHIN) {
            self.last_used = Some(LastUsed { at, address: None, user_agent: None });
            self.has_uncounted = true;
        }
    }

    /// What this says about ending the key.
    pub fn activity(&self, now: DateTime<Utc>) -> Activity {
        match &self.last_used {
            _ if self.last_24_hours.total() > 0 => Activity::InUse,
            Some(used) if now - used.at <= TimeDelta::hours(24) => Activity::InUse,
            Some(used) if now - used.at < TimeDelta::days(UNUSED_AFTER_DAYS) => Activity::Quiet,
            Some(_) => Activity::Unused,
            None if self.is_complete => Activity::Never,
            None => Activity::Unknown,
        }
    }

    /// Whether nobody came with a key made at this time for [`UNUSED_AFTER_DAYS`] days, as far as that is known.
    pub fn is_unused(&self, created_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        match self.activity(now) {
            Activity::Unused => true,
            Activity::Never => now - created_at >= TimeDelta::days(UNUSED_AFTER_DAYS),
            Activity::InUse | Activity::Quiet | Activity::Unknown => false,
        }
    }
}

/// A key, and how much it is used.
#[derive(Clone, Debug)]
pub struct KeyWithUsage {
    /// The key as its organization sees it.
    pub key: ApiKey,
    /// How much it was used, as far as that is counted.
    pub usage: KeyUsage,
}

/// By which the database knows a flush of what was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushId {
    /// The process that counted.
    pub writer: NodeId,
    /// Grows with each of its flushes.
    pub number: i64,
}

/// How many verifications these are.
pub fn verifications(deltas: &[UsageDelta]) -> u64 {
    deltas.iter().flat_map(|delta| &delta.counts).map(|(_, count)| *count).sum()
}

/// What a node has counted since it last wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageDelta {
    /// The key that was used, by its number in the database.
    pub key: KeyNumber,
    /// The stable word of the verdict, such as `VALID`.
    pub counts: Vec<(&'static str, u64)>,
    /// The newest of these verifications.
    pub last_used: Option<LastUsed>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(ago: Option<TimeDelta>, is_complete: bool) -> KeyUsage {
        let last_used = ago.map(|ago| LastUsed { at: NOW - ago, address: None, user_agent: None });
        KeyUsage { last_used, is_complete, ..KeyUsage::default() }
    }

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn what_a_node_saw_counts_before_it_is_written() {
        let written = |seconds| KeyUsage {
            last_used: Some(LastUsed {
                at: NOW - TimeDelta::seconds(seconds),
                address: None,
                user_agent: Some("curl".into()),
            }),
            is_complete: true,
            ..KeyUsage::default()
        };
        let seen = |mut usage: KeyUsage, at| {
            usage.seen(at);
            usage
        };
        let never = KeyUsage { is_complete: true, ..KeyUsage::default() };
        assert_eq!(seen(never.clone(), None).activity(NOW), Activity::Never);
        assert_eq!(seen(never, Some(NOW)).activity(NOW), Activity::InUse);
        let long_ago = 100 * 86_400;
        assert_eq!(seen(written(long_ago), Some(NOW)).activity(NOW), Activity::InUse);
        assert_eq!(seen(written(10), Some(NOW)), written(10), "who came is known");
        assert_eq!(seen(written(10), Some(NOW - TimeDelta::days(1))), written(10), "it was earlier");
    }

    #[test]
    fn what_a_use_says() {
        for (ago, activity) in [
            (TimeDelta::minutes(-5), Activity::InUse),
            (TimeDelta::hours(24), Activity::InUse),
            (TimeDelta::hours(24) + TimeDelta::milliseconds(1), Activity::Quiet),
            (TimeDelta::days(90) - TimeDelta::milliseconds(1), Activity::Quiet),
            (TimeDelta::days(90), Activity::Unused),
        ] {
            for is_complete in [true, false] {
                assert_eq!(used(Some(ago), is_complete).activity(NOW), activity, "{ago}");
            }
        }
        let last_24_hours = Count { valid: 0, refused: 1 };
        let refused = KeyUsage { last_24_hours, ..used(Some(TimeDelta::minutes(24 * 60 + 20)), true) };
        assert_eq!(refused.activity(NOW), Activity::InUse, "never beside a number that says otherwise");
    }

    #[test]
    fn a_young_key_and_one_from_before_the_counting_are_not_called_unused() {
        let (old, young) = (NOW - TimeDelta::days(90), NOW - TimeDelta::days(89));
        assert!(used(None, true).is_unused(old, NOW));
        assert!(!used(None, true).is_unused(young, NOW));
        assert!(!used(None, false).is_unused(old, NOW));
        assert_eq!(used(None, false).activity(NOW), Activity::Unknown);
        assert!(used(Some(TimeDelta::days(90)), false).is_unused(old, NOW));
    }
}
