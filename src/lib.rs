//! Keystead: the *Settings → Integrations* page of your product, and the service that tells your API whether a key is
//! good. `ARCHITECTURE.md` is the map of these modules.

#![forbid(unsafe_code)]

pub mod cli;
pub mod server;

pub mod api;
pub mod middleware;
pub mod web;
pub mod worker;

pub mod actions;
pub mod app;

pub mod clock;
pub mod config;
pub mod key_index;
pub mod metrics;
pub mod notices;
pub mod passwords;
pub mod pepper_file;
pub mod private_file;
pub mod revocation_log;
pub mod store;
pub mod supervision;
pub mod telemetry;
pub mod throttle;

pub mod domain;
