//! Two servers in turns, over HTTP.

use super::stage::{FEW, MANY, Stage};
use crate::support::{
    driver::Load,
    http::Question,
    measure::{Side, alternate},
    report::{self, Goal},
    server::Server,
};

fn side<'a>(name: &'a str, server: &'a Server, question: Question, keys: u64) -> Side<'a> {
    Side { name, server, load: Load { question, keys, unknown_percent: 0 }, is_bare: false }
}

fn bare<'a>(name: &'a str, server: &'a Server, question: Question, keys: u64) -> Side<'a> {
    Side { is_bare: true, ..side(name, server, question, keys) }
}

/// What a hundred times as many keys may cost more: the goal of [`size`]. Beside the bare handler both goals count.
const OF_MANY: f64 = 1.3;

/// `GET /v1/forward-auth` and the bare handler.
pub fn forward_auth(stage: &Stage) {
    for (keys, goal) in [(FEW, 1.3), (MANY, 1.3 * OF_MANY)] {
        let (keystead, ceiling) = (stage.keystead(keys), stage.bare(keys));
        println!("  {keys} keys");
        let pair = alternate(
            &side("GET /v1/forward-auth", &keystead, Question::ForwardAuth, keys),
            &bare("bare GET", &ceiling, Question::ForwardAuth, keys),
        );
        pair.print_cpu_ratio("CPU, forward-auth / bare GET", goal);
        pair.print_throughput_ratio("throughput, forward-auth / bare GET", 0.8);
    }
}

/// `POST /v1/keys/verify` and the bare handler; the goal is about the bare `GET`.
pub fn verify(stage: &Stage) {
    for (keys, goal) in [(FEW, 1.6), (MANY, 1.6 * OF_MANY)] {
        let (keystead, ceiling) = (stage.keystead(keys), stage.bare(keys));
        println!("  {keys} keys");
        let verify = side("POST /v1/keys/verify", &keystead, Question::Verify, keys);
        let pair = alternate(&verify, &bare("bare GET", &ceiling, Question::ForwardAuth, keys));
        pair.print_cpu_ratio("CPU, verify / bare GET", goal);
        let pair = alternate(&verify, &bare("bare POST", &ceiling, Question::Verify, keys));
        let ratio = pair.cpu_ratio();
        let what = "CPU, verify / bare POST";
        println!("    {what:<52} {:>9.3} ×   (half of all: {:.3}–{:.3})", ratio.median, ratio.low, ratio.high);
    }
}

/// A hundred times as many keys.
pub fn size(stage: &Stage) {
    let (many, few) = (stage.keystead(MANY), stage.keystead(FEW));
    for (what, question) in [("verify", Question::Verify), ("forward-auth", Question::ForwardAuth)] {
        let (name_many, name_few) = (format!("{what}, {MANY} keys"), format!("{what}, {FEW} keys"));
        let pair = alternate(&side(&name_many, &many, question, MANY), &side(&name_few, &few, question, FEW));
        pair.print_cpu_ratio(&format!("CPU, {what}, {MANY} / {FEW} keys"), OF_MANY);
    }
}

/// Keys that nobody made, among good ones: they must not cost more. Both sides are one server.
pub fn unknown(stage: &Stage) {
    let server = stage.keystead(FEW);
    for (what, question) in [("verify", Question::Verify), ("forward-auth", Question::ForwardAuth)] {
        let (mixed, good) = (format!("{what}, 30 % unknown"), format!("{what}, all good"));
        let good = side(&good, &server, question, FEW);
        let load = Load { unknown_percent: 30, ..good.load };
        let pair = alternate(&Side { name: &mixed, load, ..good }, &good);
        pair.print_cpu_ratio(&format!("CPU, {what}, 30 % unknown / all good"), 1.0);
    }
}

/// What a key costs in a batch, beyond the request: a batch of 1,000 less a batch of one.
pub fn batch(stage: &Stage) {
    const SIZE: usize = 1000;
    for keys in [FEW, MANY] {
        let server = stage.keystead(keys);
        println!("  {keys} keys");
        let pair = alternate(
            &side("batch of 1,000", &server, Question::Batch(SIZE), keys),
            &side("batch of 1", &server, Question::Batch(1), keys),
        );
        let per_key = pair.cpu_difference().median / (SIZE - 1) as f64;
        // Parsing and answering included: 65 bytes in and some 150 out are not the look-up's.
        report::figure("CPU a key beyond the request, with its JSON", per_key, "µs", Goal::AtMost(1.0));
    }
}
