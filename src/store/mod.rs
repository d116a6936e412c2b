//! The only rooms that know Diesel: connections, statements, and rows that become domain values or errors.

#[macro_use]
mod dialect;
mod columns;
mod error;
mod pure_pg;
mod schema;

pub mod api_keys;
pub mod audit_events;
pub mod connection;
pub mod form_tokens;
pub mod installation;
pub mod key_secrets;
pub mod migrations;
pub mod organizations;
pub mod sessions;
pub mod users;

pub use connection::{Conn, Db};
pub use error::{Fault, StoreError};
