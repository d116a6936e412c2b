//! How long ago something was, in words: "12 seconds ago", "yesterday", "94 days ago".

use chrono::{DateTime, Utc};

/// The words, as they stand inside a sentence. Exact to the second from there to a minute: whoever just tried a
/// key wants to see that it was this try. Of a key in constant use ten seconds may not be written yet, so below them nothing is
/// said that could be wrong. From two months on in days again, to be held against "unused for 90 days".
///
/// "Yesterday" is the day before in UTC, as in the exact time that stands beside it in a tooltip.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let past = now - at;
    let of = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match (past.num_seconds(), past.num_days()) {
        // Also what a clock that is ahead calls the future.
        (..=10, _) => "just now".to_owned(),
        (seconds @ ..60, _) => of(seconds, "second"),
        (seconds @ ..3600, _) => of(seconds / 60, "minute"),
        (seconds @ ..86400, _) => of(seconds / 3600, "hour"),
        (_, ..14) => match (now.date_naive() - at.date_naive()).num_days() {
            1 => "yesterday".to_owned(),
            days => of(days, "day"),
        },
        (_, days @ ..61) => of(days / 7, "week"),
        (_, days @ ..730) => of(days, "day"),
        (_, days) => of(days / 365, "year"),
    }
}

/// The exact time, for a tooltip.
pub fn exact(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Begins with a capital letter, to stand alone.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn words() {
        let now: DateTime<Utc> = "2026-11-23T06:11:00Z".parse().unwrap();
        let (second, minute, hour, day) = (1, 60, 3600, 86400);
        for (seconds, words) in [
            (-3 * hour, "just now"),
            (0, "just now"),
            (10 * second, "just now"),
            (11 * second, "11 seconds ago"),
            (59 * second, "59 seconds ago"),
            (minute, "1 minute ago"),
            (119 * second, "1 minute ago"),
            (2 * minute, "2 minutes ago"),
            (hour - 1, "59 minutes ago"),
            (hour, "1 hour ago"),
            (23 * hour, "23 hours ago"),
            (day - 1, "23 hours ago"),
            (day, "yesterday"),
            // Midnight is 6 hours and 11 minutes ago.
            (30 * hour + 11 * minute, "yesterday"),
            (30 * hour + 11 * minute + 1, "2 days ago"),
            (2 * day, "2 days ago"),
            (14 * day - 1, "14 days ago"),
            (14 * day, "2 weeks ago"),
            (21 * day, "3 weeks ago"),
            (60 * day, "8 weeks ago"),
            (61 * day, "61 days ago"),
            (94 * day, "94 days ago"),
            (729 * day, "729 days ago"),
            (730 * day, "2 years ago"),
        ] {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), words, "{seconds}");
        }
        assert_eq!(ago(now - TimeDelta::milliseconds(11_999), now), "11 seconds ago");
        assert_eq!(ago(now, DateTime::<Utc>::MIN_UTC), "just now");
    }

    #[test]
    fn alone_it_begins_with_a_capital_letter() {
        assert_eq!(capitalized("just now"), "Just now");
        assert_eq!(capitalized("12 seconds ago"), "12 seconds ago");
        assert_eq!(capitalized(""), "");
        assert_eq!(exact(DateTime::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
    }
}
