//! The command line: the real program in an empty folder.

mod admin;
mod bad_configuration;
mod check;
mod environment;
mod keys;
mod logs;
mod migrate;
mod serve;
mod threads;
