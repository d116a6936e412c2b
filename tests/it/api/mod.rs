//! JSON for programs.

mod batch;
mod forward_auth;
mod health;
pub mod metrics;
mod odd_headers;
mod usage;
mod verify;
