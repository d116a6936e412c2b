//! What the keys cost in memory and at the start.

use std::time::Duration;

use tempfile::TempDir;

use super::stage::{FEW, MANY, Stage};
use crate::support::{
    driver::{Driver, Load},
    fill::fill,
    http::Question,
    postgres::Postgres,
    report::{Goal, Spread, figure, spread},
    server::{On, Place, Server},
};

const STARTS: usize = 5;

/// Resident memory after some use: a server that nobody asked has not touched all of it. One worker a core.
pub fn memory(stage: &Stage) {
    for (keys, goal) in [(FEW, 30.0), (MANY, 300.0)] {
        let server = Server::start(&stage.place(keys), On::AllCores, &[]);
        let loaded = server.megabytes("VmRSS");
        let load = Load { question: Question::Verify, keys, unknown_percent: 10 };
        Driver::connect(server.address, load, false).slice(Duration::from_secs(3));
        figure(&format!("resident memory, {keys} keys"), server.megabytes("VmRSS"), "MB", Goal::AtMost(goal));
        let most = server.megabytes("VmHWM");
        println!("      (before the first request {loaded:.1} MB; at most, while it loaded included, {most:.1} MB)");
    }
}

/// From before the process is made to the first 200 of `/readyz`, with every key in the database.
pub fn ready(stage: &Stage) {
    let starts = |place: &Place| {
        let start = || Server::start(place, On::AllCores, &[]).ready_after.as_secs_f64();
        // What is first after filling finds files that no start has left.
        start();
        Spread::of((0..STARTS).map(|_| start()))
    };
    let what = |database| format!("start to ready, {MANY} keys on {database}");
    spread(&what("SQLite"), starts(&stage.place(MANY)), "s", Goal::AtMost(2.0));

    match Postgres::find() {
        Ok(mut postgres) => {
            println!("  {}", postgres.described());
            let folder = TempDir::new().unwrap();
            let place = Place { data: folder.path().to_owned(), postgres: Some(postgres.new_database()) };
            fill(&place, MANY);
            spread(&what("Postgres"), starts(&place), "s", Goal::AtMost(4.0));
        }
        Err(reason) => println!("    SKIPPED: {}: no Postgres: {reason}", what("Postgres")),
    }
}
