//! What is in the database, and what happens when it cannot do its work.

mod audit;
mod postgres_faults;
mod secrecy;
mod sqlite_faults;
