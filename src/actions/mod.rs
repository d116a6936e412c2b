//! What can be done, one verb a file; the same verb serves HTML, JSON and the command line.
//!
//! Each file is in this order: the rule in words, input, error, the verb, helpers.

pub mod apply_retention;
pub mod back_up;
pub mod check_ready;
pub mod command_authority;
pub mod create_admin;
pub mod create_key;
pub mod error_code;
pub mod find_key;
pub mod flush_usage;
pub mod follow_change;
pub mod limits;
pub mod list_keys;
pub mod open_session;
pub mod purge_expired;
pub mod read_metrics;
pub mod reset_password;
pub mod restore_backup;
pub mod resume_session;
pub mod revoke_key;
pub mod rotate_key;
pub mod set_up;
pub mod sign_in;
pub mod sign_out;
pub mod verify_key;
pub mod verify_keys;
