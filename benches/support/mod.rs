//! What the benchmarks share: keys that need no memory, databases filled quickly, servers on cores of their own, and a
//! driver that costs less than what it drives.

// Every benchmark is a program of its own and uses a part of this.
#![allow(dead_code)]

pub mod bare;
pub mod client;
pub mod cores;
pub mod driver;
pub mod fill;
pub mod flush_log;
pub mod http;
pub mod keys;
pub mod measure;
pub mod postgres;
pub mod report;
pub mod sections;
pub mod server;

/// For the few places that speak async: the benchmarks themselves are plain threads, so that nothing of a runtime is in
/// what they measure.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    actix_web::rt::System::new().block_on(work)
}
