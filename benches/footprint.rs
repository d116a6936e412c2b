//! What the server costs before anybody uses it: `cargo bench --bench footprint`.
//!
//! Size of the binary, time from start to ready and resident memory with 10,000 keys on SQLite, and bytes of the first
//! view. Linux only: memory is read from /proc.

mod support;

use std::{fs, path::Path};

use support::{
    block_on,
    fill::fill,
    server::{On, Place, Server},
};

const KEYS: u64 = 10_000;

fn main() {
    let binary = Path::new(env!("CARGO_BIN_EXE_keystead"));
    let megabytes = fs::metadata(binary).unwrap().len() as f64 / 1e6;
    println!("binary                                  {megabytes:>8.1} MB   (goal 25)");

    let folder = tempfile::tempdir().unwrap();
    let place = Place::sqlite(folder.path());
    fill(&place, KEYS);
    let start = || Server::start(&place, On::AllCores, &[]);
    // What is first after filling finds files that no start has left.
    start().kill();
    let mut starts: Vec<f64> = (0..9).map(|_| start().ready_after.as_secs_f64() * 1e3).collect();
    starts.sort_by(f64::total_cmp);
    let (median, most) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!("start to ready, {KEYS} keys            {median:>8.1} ms   (max {most:.1}; goal 100)");

    let server = start();
    block_on(async {
        for _ in 0..200 {
            reqwest::get(format!("{}/sign-in", server.base())).await.unwrap();
        }
        println!("resident memory after 200 pages         {:>8.1} MB   (goal 30)", server.megabytes("VmRSS"));
        first_view(&server.base()).await;
    });
}

/// Bytes on the wire of a first visit, compressed as a browser on https gets them, without fonts.
async fn first_view(address: &str) {
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let request = client.get(format!("{address}{path}")).header("accept-encoding", "br");
        request.send().await.unwrap().bytes().await.unwrap()
    };
    let plain = client.get(format!("{address}/sign-in")).send().await.unwrap().text().await.unwrap();
    let mut total = get("/sign-in").await.len();
    print!("first view: page {total} B");
    let mut files: Vec<&str> =
        plain.split('"').filter(|part| part.starts_with("/static/") && !part.contains("/fonts/")).collect();
    for file in &mut files {
        *file = file.split('#').next().unwrap();
    }
    files.sort_unstable();
    files.dedup();
    for file in files {
        let bytes = get(file).await.len();
        total += bytes;
        print!(", {} {bytes} B", file.rsplit('/').next().unwrap());
    }
    println!("\nfirst view in all                       {:>8.1} kB   (goal 30)", total as f64 / 1e3);
}
