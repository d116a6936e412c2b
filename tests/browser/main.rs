//! The real program in a real browser. Begin with [`harness`]; then [`journey`], which everything else varies.

mod accessibility;
mod content_security;
mod failures;
mod guard;
mod harness;
mod journey;
mod keyboard;
mod pictures;
mod plain_http;
mod print;
mod receipts;
mod screens;
mod selection;
mod spoken;
mod stories;
mod toasts;
mod tour;
