//! JSON for programs.

mod health;
mod verify;
