//! What stands around every request: its id, its headers, its limits, gateways that went astray, and the shape of failures.

pub mod asker;
pub mod client;
pub mod connection;
pub mod envelope;
pub mod failure;
pub mod limits;
pub mod request_id;
pub mod request_log;
