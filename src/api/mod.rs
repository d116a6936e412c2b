//! JSON for programs. Everything here answers without a session and without a page.

pub mod health;
pub mod problem;
pub mod verify;

use actix_web::web;

/// The routes for programs.
pub fn configure(config: &mut web::ServiceConfig) {
    config.configure(health::configure).configure(verify::configure);
}
