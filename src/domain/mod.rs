//! What things are and which moves are legal: pure values, no I/O, no database, no HTTP.

pub mod actor;
pub mod api_key;
pub mod audit_event;
pub mod authority;
pub mod code;
pub mod device;
pub mod email;
pub mod ended_secret;
pub mod form_token;
pub mod hex;
pub mod ids;
pub mod key_record;
pub mod name;
pub mod organization;
pub mod password;
pub mod pepper;
pub mod permission;
pub mod policy;
pub mod position;
pub mod secret;
pub mod text;
pub mod usage;
pub mod user;
pub mod verdict;
