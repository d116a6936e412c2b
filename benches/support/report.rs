//! Figures beside their goals.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(goal) => write!(f, "goal ≤ {goal:.3}"),
            Self::AtLeast(goal) => write!(f, "goal ≥ {goal:.3}"),
        }
    }
}

impl Goal {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtMost(goal) => figure <= goal,
            Self::AtLeast(goal) => figure >= goal,
        }
    }
}

/// Some measurements of one thing: the median, and the half of them that lies around it.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

static SOME_MISSED: AtomicBool = AtomicBool::new(false);

/// Whether a goal was missed since the start.
pub fn some_missed() -> bool {
    SOME_MISSED.load(Ordering::Relaxed)
}

/// One figure of many measurements. A miss by less than the spread is called a tie: another run may turn it.
pub fn spread(what: &str, spread: Spread, unit: &str, goal: Goal) {
    let Spread { low, median, high } = spread;
    let best = if let Goal::AtMost(_) = goal { low } else { high };
    let verdict = match (goal.is_met_by(median), goal.is_met_by(best)) {
        (true, _) => "met",
        (false, true) => "tie within the spread",
        (false, false) => missed(),
    };
    println!("    {what:<52} {median:>9.3} {unit:<3} (half of all: {low:.3}–{high:.3}; {goal}: {verdict})");
}

/// One figure.
pub fn figure(what: &str, figure: f64, unit: &str, goal: Goal) {
    let verdict = if goal.is_met_by(figure) { "met" } else { missed() };
    println!("    {what:<52} {figure:>9.3} {unit:<3} ({goal}: {verdict})");
}

fn missed() -> &'static str {
    SOME_MISSED.store(true, Ordering::Relaxed);
    "NOT MET"
}

/// Of sorted figures; `part` is 0.99 for p99.
pub fn percentile<T: Copy>(sorted: &[T], part: f64) -> T {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
