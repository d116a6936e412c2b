//! The verification itself, without HTTP, in this process.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use cpu_time::ThreadTime;
use keystead::{
    actions::{verify_key::verify_key, verify_keys::verify_keys},
    app::Site,
    clock::SystemClock,
    config::{PublicUrl, Settings},
    domain::verdict::Verdict,
    key_index::Caller,
};

use super::stage::MANY;
use crate::support::{
    block_on,
    keys::{PREFIX, Random, as_text, key},
    report::{Goal, Spread, spread},
    server::Place,
};

const ROUNDS: usize = 15;
const CALLS: usize = 50_000;
const BATCH: usize = 1000;
/// Who comes with the keys.
const CALLER: Caller<'static> =
    Caller { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), user_agent: Some("acme-gateway/1.0") };

/// CPU of the calling thread a call, keys at random over all. In here is all of a verification: format, checksum, HMAC,
/// look-up and verdict.
pub fn in_process(place: &Place) {
    block_on(async {
        let app = open(place).await;
        let mut random = Random::new(1);
        let mut single = Vec::new();
        let mut batch = Vec::new();
        for _ in 0..ROUNDS {
            let keys: Vec<_> = (0..CALLS).map(|_| key(random.below(MANY))).collect();
            let begun = ThreadTime::now();
            for key in &keys {
                let index = app.keys.index.read();
                let verdict = verify_key(&app.keys, &index, black_box(as_text(key)), CALLER);
                assert!(black_box(verdict).expect("a lease").is_valid());
            }
            single.push(begun.elapsed().as_secs_f64() * 1e6 / CALLS as f64);

            let begun = ThreadTime::now();
            for keys in keys.chunks(BATCH) {
                let texts: [&str; BATCH] = std::array::from_fn(|n| as_text(&keys[n]));
                let index = app.keys.index.read();
                let verdicts = verify_keys(&app.keys, &index, black_box(&texts), CALLER).expect("a lease");
                assert!(verdicts.iter().all(Verdict::is_valid));
                black_box(verdicts);
            }
            batch.push(begun.elapsed().as_secs_f64() * 1e6 / CALLS as f64);
        }
        spread(&format!("verify_key, {MANY} keys, CPU a call"), Spread::of(single), "µs", Goal::AtMost(1.0));
        spread(&format!("batches of {BATCH}, CPU a key"), Spread::of(batch), "µs", Goal::AtMost(1.0));
    });
}

async fn open(place: &Place) -> Arc<Site> {
    let mut settings = Settings::default();
    settings.data_dir = place.data.to_str().expect("UTF-8").to_owned();
    settings.database = format!("sqlite:{}", place.sqlite_file().display());
    settings.pepper_file = place.pepper().to_str().expect("UTF-8").to_owned();
    settings.key_prefix = PREFIX.to_owned();
    let config = settings.check().unwrap();
    let app = Site::open(config, PublicUrl::of_loopback(8080), Arc::new(SystemClock)).await.unwrap();
    app.follower.loaded().await;
    while !app.keys.lease.is_held(app.clock.since_boot()) {
        std::thread::yield_now();
    }
    app
}
