//! JSON for programs.

mod health;
mod usage;
mod verify;
