//! JSON for programs.

mod batch;
mod forward_auth;
mod health;
mod metrics;
mod usage;
mod odd_headers;
mod verify;
