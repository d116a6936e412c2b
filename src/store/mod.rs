//! The only modules that use Diesel: connections, statements, and rows that become domain values or errors.

#[macro_use]
pub mod dialect;
mod columns;
mod error;
mod pg;
mod planned;
mod pool;
mod schema;
mod transaction;
mod usage_reads;
mod usage_rows;

pub mod api_keys;
pub mod audit_events;
pub mod backup;
pub mod connection;
pub mod database_file;
pub mod database_lock;
pub mod db;
pub mod ended_again;
pub mod ended_keys;
pub mod file_mark;
pub mod form_tokens;
pub mod generations;
pub mod half_sessions;
pub mod installation;
pub mod key_changes;
pub mod key_records;
pub mod key_secrets;
pub mod key_usage;
pub mod late_uses;
pub mod migrations;
pub mod nodes;
pub mod notifications;
pub mod organization_today;
pub mod organizations;
pub mod revived;
pub mod sequences;
pub mod sessions;
pub mod usage_flushes;
pub mod users;
pub mod wholeness;

pub use connection::Conn;
pub use db::Db;
pub use error::{ErrorKind, Fault, StoreError};
pub use transaction::in_transaction;
