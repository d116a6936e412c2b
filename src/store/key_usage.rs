//! Tables `key_usage_open`, `key_usage` and `key_last_used`: how often keys were verified, and when last.

use std::{collections::HashMap, net::IpAddr};

use super::{
    Conn, StoreError,
    columns::Millis,
    installation, usage_reads,
    usage_rows::{self, Counts, LastUse, Newest, OpenRow},
};
use crate::domain::{
    ids::{KeyId, OrgId},
    usage::{DAYS_SHOWN, KeyUsage, LastUsed, UsageDelta},
};
use chrono::{DateTime, TimeDelta, Utc};

/// Length of an hour's row, in seconds.
const HOUR: i64 = 3600;
/// Length of a day's row, in seconds.
const DAY: i64 = 86400;
/// Hours that are kept by themselves: the page reads 24 and what remains of the one before them. One more, for a node whose
/// clock is behind the one that forgets.
const HOURS_KEPT: TimeDelta = TimeDelta::hours(25);
/// Days that are kept: more than a year, so that a month can be held against the same one of the year before.
const DAYS_KEPT: TimeDelta = TimeDelta::days(400);
/// Rows that one call of [`close_hours`] or [`forget_old`] takes: some hundredths of a second in which nobody else
/// writes.
const AT_ONCE: i64 = 2000;

/// Adds what a node counted to the rows of this hour, and moves each key's last use forward, never back. A use without a
/// count is none.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn add(conn: &mut Conn, hour: DateTime<Utc>, deltas: &[UsageDelta]) -> Result<(), StoreError> {
    let starts_at = starts_at(hour, HOUR);
    let addresses = texts_of_addresses(deltas);
    let mut rows = Vec::with_capacity(deltas.len());
    for delta in deltas {
        let last_use = delta.last_used.as_ref().map(|last| LastUse {
            at: last.at.timestamp_millis(),
            address: last.address.and_then(|address| addresses.get(&address)).map(String::as_str),
            user_agent: last.user_agent.as_deref(),
        });
        for (code, count) in delta.counts.iter().filter(|(_, count)| *count > 0) {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            rows.push(OpenRow { starts_at, key: delta.key, code, count, last_use });
        }
    }
    rows.sort_by_key(|row| (row.key, row.code));
    rows.dedup_by(|again, row| {
        let is_same = (again.key, again.code) == (row.key, row.code);
        if is_same {
            row.count = row.count.saturating_add(again.count);
            row.last_use = newer(row.last_use, again.last_use);
        }
        is_same
    });
    usage_rows::add_open(conn, &rows)?;
    Ok(())
}

/// Few gateways bring many keys, so each address is written down once.
fn texts_of_addresses(deltas: &[UsageDelta]) -> HashMap<IpAddr, String> {
    let mut texts = HashMap::new();
    for address in deltas.iter().filter_map(|delta| delta.last_used.as_ref()?.address) {
        texts.entry(address).or_insert_with(|| address.to_string());
    }
    texts
}

/// The newer of two uses.
fn newer<'a>(one: Option<LastUse<'a>>, other: Option<LastUse<'a>>) -> Option<LastUse<'a>> {
    one.into_iter().chain(other).max_by_key(|last| last.at)
}

/// What the page shows of these keys, as far as they are the organization's.
///
/// # Errors
/// [`StoreError`].
pub fn of_keys(
    conn: &mut Conn,
    organization_id: &OrgId,
    key_ids: &[KeyId],
    now: DateTime<Utc>,
) -> Result<HashMap<KeyId, KeyUsage>, StoreError> {
    let counted_after = installation::find(conn, installation::LAST_UNCOUNTED_KEY_AT)?;
    let counted_after = counted_after.map(|at| at.parse::<i64>()).transpose();
    let counted_after = counted_after.map_err(|_| StoreError::damaged("installation.value"))?;

    let mut found = HashMap::new();
    let mut own = Vec::new();
    for key in usage_reads::last_uses(conn, organization_id.as_str(), key_ids.iter().map(KeyId::as_str))? {
        let is_complete = counted_after.is_none_or(|last| key.created_at > last);
        let last_used = last_used(key.at, key.address, key.user_agent)?;
        found.insert(parse_id(&key.id)?, KeyUsage { last_used, is_complete, ..KeyUsage::default() });
        own.push(key.id);
    }

    let today = starts_at(now, DAY);
    let first_day = today - (DAYS_SHOWN as i64 - 1) * DAY * 1000;
    // Whole hours, the one that began 24 hours ago included: what was in use must not look idle.
    let recent = starts_at(now - TimeDelta::hours(24), HOUR);
    for row in usage_reads::counts(conn, &own, (DAY, first_day), (HOUR, recent))? {
        let Some(usage) = found.get_mut(&parse_id(&row.key_id)?) else { continue };
        let count = u64::try_from(row.count).map_err(|_| StoreError::damaged("key_usage.count"))?;
        // What is open counts for its day and for its hour.
        if row.seconds != DAY && row.starts_at >= recent {
            usage.last_24_hours.add(&row.code, count);
        }
        if row.seconds != HOUR {
            // Tomorrow, for a clock that is ahead, is today.
            let days_ago = usize::try_from((today - row.starts_at + DAY * 1000 - 1) / (DAY * 1000)).unwrap_or(0);
            if let Some(day) = (DAYS_SHOWN - 1).checked_sub(days_ago) {
                usage.days[day].add(&row.code, count);
            }
        }
        if let Some(last) = last_used(row.at, row.address, row.user_agent)?
            && usage.last_used.as_ref().is_none_or(|known| known.at < last.at)
        {
            usage.last_used = Some(last);
        }
    }
    Ok(found)
}

/// Moves hours that are over from the open ones to their day and their hour, some thousand rows in a call; how many went.
/// Nothing is counted twice when two nodes do it at once: a row that was deleted was deleted by one of them.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn close_hours(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let taken = usage_rows::take_open(conn, starts_at(now, HOUR), AT_ONCE)?;
    // What was counted of a key that is gone goes too.
    let of_keys: Vec<_> = taken.iter().filter_map(|row| Some((row.key_id.as_deref()?, row))).collect();
    for (seconds, kept_from) in kept(now) {
        let mut counts = Counts::new();
        for (key_id, row) in &of_keys {
            let start = row.starts_at.div_euclid(seconds * 1000) * seconds * 1000;
            if start >= kept_from {
                let sum: &mut i64 = counts.entry((key_id, start, row.code.as_str())).or_default();
                *sum = sum.saturating_add(row.count);
            }
        }
        usage_rows::add_closed(conn, seconds, &counts)?;
    }
    let mut newest = Newest::new();
    for (key_id, row) in &of_keys {
        if let Some(last) = newer(newest.get(key_id).copied(), row.last_use()) {
            newest.insert(key_id, last);
        }
    }
    usage_rows::move_last_used(conn, &newest)?;
    Ok(taken.len())
}

/// Forgets hours that no page reads any more, whose days have their counts, and days older than 400; some thousand rows in a
/// call, and how many went.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn forget_old(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let mut gone = 0;
    for (seconds, kept_from) in kept(now) {
        gone += usage_rows::forget_closed(conn, seconds, kept_from, AT_ONCE)?;
    }
    Ok(gone)
}

/// Each length of span with the beginning of the oldest that is kept, in milliseconds.
fn kept(now: DateTime<Utc>) -> [(i64, i64); 2] {
    [(HOUR, starts_at(now - HOURS_KEPT, HOUR)), (DAY, starts_at(now - DAYS_KEPT, DAY))]
}

/// Beginning of the span of this many seconds that holds a time, in milliseconds.
fn starts_at(time: DateTime<Utc>, seconds: i64) -> i64 {
    let length = seconds * 1000;
    time.timestamp_millis().div_euclid(length) * length
}

fn parse_id(id: &str) -> Result<KeyId, StoreError> {
    KeyId::parse(id).ok_or_else(|| StoreError::damaged("key_usage.key_id"))
}

fn last_used(
    at: Option<i64>,
    address: Option<String>,
    user_agent: Option<String>,
) -> Result<Option<LastUsed>, StoreError> {
    let Some(at) = at else { return Ok(None) };
    let address = address.map(|address| address.parse()).transpose();
    Ok(Some(LastUsed {
        at: Millis(at).try_into()?,
        address: address.map_err(|_| StoreError::damaged("key_last_used.address"))?,
        user_agent: user_agent.map(Into::into),
    }))
}
