//! JSON for programs. Everything here answers without a session and without a page.

mod denial;
pub mod forward_auth;
pub mod health;
pub mod metrics;
mod presented;
pub mod problem;
mod questions;
pub mod verify;

use actix_web::web;

/// The routes for programs, but for verification.
pub fn configure(config: &mut web::ServiceConfig) {
    config.configure(health::configure);
}

/// Verification. It stands outside of the envelope: a span, a random id and boxed futures cost more than the answer.
pub fn configure_verification(config: &mut web::ServiceConfig) {
    config.configure(verify::configure).configure(forward_auth::configure);
}
