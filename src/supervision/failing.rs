//! What is tried again and again, and goes wrong again and again: a log that says so every second says nothing else.

use std::time::Duration;

/// How long what goes on going wrong in the same way is not said again.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// What is going wrong, and when that was said last. `K` tells apart what wants different remedies.
#[derive(Debug)]
pub struct Failing<K>(Vec<(K, Duration)>);

impl<K> Default for Failing<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Failing<K> {
    /// Whether it is to be said now that it fails: once for each kind, because a later one may be the one that says what to do,
    /// and again after an hour. `now` is the time since any fixed moment.
    pub fn is_news(&mut self, kind: K, now: Duration) -> bool {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, said)) if now.saturating_sub(*said) < SILENCE => false,
            Some((_, said)) => {
                *said = now;
                true
            }
            None => {
                self.0.push((kind, now));
                true
            }
        }
    }

    /// It works. Whether it had failed before, so that this is to be said too.
    pub fn is_over(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_an_hour_and_that_it_is_over() {
        let mut failing = Failing::default();
        assert!(!failing.is_over(), "it has never failed");
        let said: Vec<bool> =
            [(0, 'a'), (1, 'a'), (2, 'b'), (3, 'a'), (3_599, 'b'), (3_600, 'a'), (3_601, 'b'), (3_602, 'b')]
                .map(|(at, kind)| failing.is_news(kind, Duration::from_secs(at)))
                .into();
        assert_eq!(said, [true, false, true, false, false, true, false, true]);
        assert!(failing.is_over() && !failing.is_over());
        assert!(failing.is_news('a', Duration::from_secs(3_603)), "it fails anew");
    }
}
