//! A key's use as the page shows it: the sparkline, numbers in words, the last use.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    domain::usage::{Activity, Count, DAYS_SHOWN, KeyUsage, KeyWithUsage, LastUsed},
    web::relative_time::{ago, capitalized, exact},
};

/// A key's use, ready to be shown.
pub struct UsageView {
    /// `None` without a request in the days shown.
    pub chart: Option<Chart>,
    /// Requests of the last 24 hours, as a number.
    pub last_24_hours: String,
    /// The same with their unit.
    pub requests_in_24_hours: String,
    /// A node saw the key, and nothing is counted yet.
    pub is_uncounted: bool,
    pub last_used: Option<LastUsedView>,
    /// Whether the badge is due.
    pub is_unused: bool,
    pub activity: Activity,
}

/// The days shown, as bars.
pub struct Chart {
    /// Requests in all, as a number.
    pub total: String,
    /// The numbers in words.
    pub label: String,
    /// Whole bars, as a path.
    pub all: String,
    /// Their refused part, empty if there is none.
    pub refused: String,
}

/// The last use.
pub struct LastUsedView {
    /// As it stands inside a sentence.
    pub ago: String,
    /// As it stands alone.
    pub ago_alone: String,
    pub iso: String,
    /// Exact time and address.
    pub title: String,
    /// The same and the program, where there is room for what strangers call theirs.
    pub long_title: String,
    pub address: Option<String>,
}

impl UsageView {
    pub fn new(KeyWithUsage { key, usage }: &KeyWithUsage, now: DateTime<Utc>) -> Self {
        let recent = usage.last_24_hours.total();
        // Beside "Just now" nothing may say that there was none.
        let is_uncounted = recent == 0 && usage.has_uncounted;
        Self {
            chart: Chart::new(usage),
            is_uncounted,
            last_24_hours: if is_uncounted { "Not counted yet".to_owned() } else { number(recent) },
            requests_in_24_hours: match recent {
                0 if is_uncounted => "not counted yet".to_owned(),
                0 => "no requests in the last 24 hours".to_owned(),
                _ => format!("{} in the last 24 hours", requests(recent)),
            },
            last_used: usage.last_used.as_ref().map(|used| LastUsedView::new(used, now)),
            is_unused: usage.is_unused(key.created_at, now),
            activity: usage.activity(now),
        }
    }

    /// Whether uses of this key may have gone uncounted, and none was counted.
    pub fn is_unknown(&self) -> bool {
        self.activity == Activity::Unknown
    }
}

impl Chart {
    /// Height of the drawing, in pixels; the highest bar fills it.
    const HEIGHT: u64 = 24;

    fn new(usage: &KeyUsage) -> Option<Self> {
        let sum: Count = usage.days.iter().copied().sum();
        if sum.total() == 0 {
            return None;
        }
        let mut label = format!("{} in the last {DAYS_SHOWN} days", requests(sum.total()));
        if sum.refused > 0 {
            label += &format!(", {} of them refused", number(sum.refused));
        }
        let (all, refused) = Self::paths(&usage.days);
        Some(Self { total: number(sum.total()), label, all, refused })
    }

    /// A bar is a vertical line from the foot, 3 pixels wide and whole pixels high, so that it is sharp. Moves are told
    /// from the bar before, which compresses a fifth better: sparklines are a third of a page. The refused part is drawn
    /// over the whole bar.
    fn paths(days: &[Count; DAYS_SHOWN]) -> (String, String) {
        let most = u128::from(days.iter().map(|day| day.total()).max().unwrap_or(0).max(1));
        // At least a pixel for whatever is not nothing.
        let pixels = |count: u64| {
            let rounded = (u128::from(count) * u128::from(Self::HEIGHT) + most / 2) / most;
            u64::try_from(rounded).unwrap_or(Self::HEIGHT).max(u64::from(count > 0))
        };
        let mut heights = [(0, 0); DAYS_SHOWN];
        for (height, day) in heights.iter_mut().zip(days) {
            // Of a day with both, both are seen.
            let both = u64::from(day.valid > 0 && day.refused > 0);
            let all = pixels(day.total()).max(2 * both);
            *height = (all, pixels(day.refused).min(all - both));
        }
        (bars(heights.iter().map(|(all, _)| *all)), bars(heights.iter().map(|(_, refused)| *refused)))
    }
}

fn bars(heights: impl Iterator<Item = u64>) -> String {
    let mut path = String::new();
    let mut last = None;
    for (x, height) in (2..).step_by(4).zip(heights).filter(|(_, height)| *height > 0) {
        // Writing to a string cannot fail.
        let _ = match last {
            None => write!(path, "M{x} {}v-{height}", Chart::HEIGHT),
            Some((x_before, top)) => write!(path, "m{} {top}v-{height}", x - x_before),
        };
        last = Some((x, height));
    }
    path
}

impl LastUsedView {
    fn new(used: &LastUsed, now: DateTime<Utc>) -> Self {
        let ago = ago(used.at, now);
        let address = used.address.map(|address| address.to_canonical().to_string());
        let from = address.as_ref().map(|address| format!(" from {address}")).unwrap_or_default();
        let title = exact(used.at) + &from;
        let by = used.user_agent.as_ref().map(|agent| format!(" by {agent}")).unwrap_or_default();
        Self {
            ago_alone: capitalized(&ago),
            ago,
            iso: used.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            long_title: format!("{title}{by}"),
            title,
            address,
        }
    }
}

/// `41207` → `41,207`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn requests(n: u64) -> String {
    format!("{} request{}", number(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(last: &[(u64, u64)]) -> [Count; DAYS_SHOWN] {
        let mut days = [Count::default(); DAYS_SHOWN];
        for (day, (valid, refused)) in days.iter_mut().rev().zip(last.iter().rev()) {
            *day = Count { valid: *valid, refused: *refused };
        }
        days
    }

    #[test]
    fn a_bar_for_each_day_with_requests() {
        assert_eq!(Chart::paths(&days(&[(10, 0), (0, 0), (5, 0)])), ("M110 24v-24m8 24v-12".into(), String::new()));
        assert_eq!(Chart::paths(&days(&[(7, 0); 30])).0, format!("M2 24v-24{}", "m4 24v-24".repeat(29)));
    }

    #[test]
    fn refused_requests_are_the_foot_of_the_bar() {
        let paths = Chart::paths(&days(&[(18, 6), (0, 12)]));
        assert_eq!(paths, ("M114 24v-24m4 24v-12".into(), "M114 24v-6m4 6v-12".into()));
    }

    #[test]
    fn next_to_nothing_is_still_seen() {
        let paths = Chart::paths(&days(&[(1, 0), (0, 1), (1, 1), (999_999, 1), (1, 999_999)]));
        let all = "M102 24v-1m4 1v-1m4 1v-2m4 2v-24m4 24v-24";
        assert_eq!(paths, (all.into(), "M106 24v-1m4 1v-1m4 1v-1m4 1v-23".into()));
    }

    #[test]
    fn no_number_is_too_large() {
        let huge = u64::MAX / 2;
        assert_eq!(Chart::paths(&days(&[(huge, huge)])), ("M118 24v-24".into(), "M118 24v-12".into()));
        assert!(Chart::new(&KeyUsage { days: days(&[(huge, huge); 30]), ..KeyUsage::default() }).is_some());
    }

    #[test]
    fn numbers_and_words() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (41207, "41,207"), (1_234_567, "1,234,567")] {
            assert_eq!(number(n), text);
        }
        let label =
            |last: &[(u64, u64)]| Chart::new(&KeyUsage { days: days(last), ..KeyUsage::default() }).map(|c| c.label);
        assert_eq!(label(&[]), None);
        assert_eq!(label(&[(1, 0)]).as_deref(), Some("1 request in the last 30 days"));
        assert_eq!(label(&[(1200, 34)]).as_deref(), Some("1,234 requests in the last 30 days, 34 of them refused"));
    }
}
