//! What is in the database, and what happens when it cannot do its work.

mod audit;
mod backups;
mod clocks;
mod ended_keys;
mod failed_sync;
mod journey;
mod key_usage;
mod last_release;
mod lost_commits;
mod migration_locks;
mod nodes;
mod older_programs;
mod postgres_faults;
mod postgres_locks;
mod postgres_pooler;
mod postgres_setup;
mod postgres_urls;
mod postgres_wire;
mod retention;
mod revocations;
mod secrecy;
mod silent_stops;
mod sqlite_faults;
mod upgrades;
mod wire_proxy;
