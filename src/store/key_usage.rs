//! Tables `key_usage` and `key_last_used`: how often keys were verified, and when last.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{
    Conn, StoreError,
    columns::Millis,
    installation,
    schema::{api_keys, key_last_used, key_usage},
    usage_rows::{self, Counts},
};
use crate::domain::{
    ids::{KeyId, OrgId},
    usage::{DAYS_SHOWN, KeyUsage, LastUsed, UsageDelta},
    verdict::VALID,
};

/// Length of an hour's row, in seconds.
const HOUR: i64 = 3600;
/// Length of a day's row, in seconds.
const DAY: i64 = 86400;
/// Days that are kept by the hour.
const DAYS_BY_THE_HOUR: i64 = 40;
/// Rows that one call of [`fold`] takes: some hundredths of a second in which nobody else writes.
const FOLD_AT_ONCE: i64 = 5000;

/// Adds what a node counted to the rows of this hour, and moves each key's last use forward, never back.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn add(conn: &mut Conn, hour: DateTime<Utc>, deltas: &[UsageDelta]) -> Result<(), StoreError> {
    let mut counts = Counts::new();
    let mut newest: BTreeMap<&str, &LastUsed> = BTreeMap::new();
    for delta in deltas {
        for (code, count) in delta.counts.iter().filter(|(_, count)| *count > 0) {
            let sum: &mut i64 = counts.entry((delta.key_id.as_str(), starts_at(hour, HOUR), *code)).or_default();
            *sum = sum.saturating_add(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        if let Some(used) = &delta.last_used {
            let known = newest.entry(&delta.key_id).or_insert(used);
            if used.at > known.at {
                *known = used;
            }
        }
    }
    usage_rows::add_counts(conn, HOUR, &counts)?;
    usage_rows::move_last_used(conn, &newest)?;
    Ok(())
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
    let ids = || key_ids.iter().map(KeyId::as_str);

    let mut found = HashMap::new();
    type KeyRow = (String, i64, Option<i64>, Option<String>, Option<String>);
    let keys: Vec<KeyRow> = api_keys::table
        .left_join(key_last_used::table.on(key_last_used::key_id.eq(api_keys::id)))
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::id.eq_any(ids()))
        .select((
            api_keys::id,
            api_keys::created_at,
            key_last_used::at.nullable(),
            key_last_used::address.nullable(),
            key_last_used::user_agent.nullable(),
        ))
        .load(conn)?;
    for (id, created_at, at, address, user_agent) in keys {
        let is_complete = counted_after.is_none_or(|last| created_at > last);
        let last_used = at.map(|at| last_used(at, address, user_agent)).transpose()?;
        found.insert(parse_id(&id)?, KeyUsage { last_used, is_complete, ..KeyUsage::default() });
    }

    let today = starts_at(now, DAY);
    let first_day = today - (DAYS_SHOWN as i64 - 1) * DAY * 1000;
    // Whole hours, the one that began 24 hours ago included: what was in use must not look idle.
    let recent = starts_at(now - TimeDelta::hours(24), HOUR);
    // Summed in the database: 25 busy keys have 18,000 rows and more.
    type SumRow = (String, i64, String, i64, i64);
    let sums: Vec<SumRow> = key_usage::table
        .inner_join(api_keys::table.on(api_keys::id.eq(key_usage::key_id)))
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(key_usage::key_id.eq_any(ids()))
        .filter(key_usage::seconds.eq_any([HOUR, DAY]))
        .filter(key_usage::starts_at.ge(first_day))
        .group_by(sql::<(Text, BigInt, Text)>("key_id, starts_at / 86400000, code"))
        .select(
            sql::<(Text, BigInt, Text, BigInt, BigInt)>(
                "key_id, starts_at / 86400000, code, CAST(sum(count) AS BIGINT), CAST(sum(CASE WHEN starts_at >= ",
            )
            .bind::<BigInt, _>(recent)
            .sql(" THEN count ELSE 0 END) AS BIGINT)"),
        )
        .load(conn)?;
    for (id, day, code, sum, sum_of_24_hours) in sums {
        let Some(usage) = found.get_mut(&parse_id(&id)?) else { continue };
        // A node whose clock is ahead may have written to tomorrow.
        let days_ago = usize::try_from(today / (DAY * 1000) - day).unwrap_or(0);
        let Some(of_day) = usage.days.get_mut((DAYS_SHOWN - 1).wrapping_sub(days_ago)) else { continue };
        for (count, sum) in [(of_day, sum), (&mut usage.last_24_hours, sum_of_24_hours)] {
            let sum = u64::try_from(sum).map_err(|_| StoreError::damaged("key_usage.count"))?;
            let part = if code == VALID { &mut count.valid } else { &mut count.refused };
            *part = part.saturating_add(sum);
        }
    }
    Ok(found)
}

/// Makes day rows of hour rows older than 40 days, some thousand in a call; how many hour rows went. Nothing is counted
/// twice when two nodes do it at once: a row that was deleted was deleted by one of them.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn fold(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let before = starts_at(now, DAY) - DAYS_BY_THE_HOUR * DAY * 1000;
    let hours = usage_rows::take(conn, HOUR, before, FOLD_AT_ONCE)?;
    let mut days = Counts::new();
    for row in &hours {
        let day = row.starts_at.div_euclid(DAY * 1000) * DAY * 1000;
        let sum: &mut i64 = days.entry((row.key_id.as_str(), day, row.code.as_str())).or_default();
        *sum = sum.saturating_add(row.count);
    }
    usage_rows::add_counts(conn, DAY, &days)?;
    Ok(hours.len())
}

/// Beginning of the span of this many seconds that holds a time, in milliseconds.
fn starts_at(time: DateTime<Utc>, seconds: i64) -> i64 {
    let length = seconds * 1000;
    time.timestamp_millis().div_euclid(length) * length
}

fn parse_id(id: &str) -> Result<KeyId, StoreError> {
    KeyId::parse(id).ok_or_else(|| StoreError::damaged("key_usage.key_id"))
}

fn last_used(at: i64, address: Option<String>, user_agent: Option<String>) -> Result<LastUsed, StoreError> {
    let address = address.map(|address| address.parse()).transpose();
    Ok(LastUsed {
        at: Millis(at).try_into()?,
        address: address.map_err(|_| StoreError::damaged("key_last_used.address"))?,
        user_agent,
    })
}
