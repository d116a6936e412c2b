//! What is in the database, and what happens when it cannot do its work.

mod audit;
mod key_usage;
mod postgres_faults;
mod secrecy;
mod sqlite_faults;
