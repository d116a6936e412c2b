//! What stands around every request: its id, its headers, its limits, and the shape of its failures.

pub mod client;
pub mod envelope;
pub mod failure;
pub mod limits;
