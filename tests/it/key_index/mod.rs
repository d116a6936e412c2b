//! The index and its follower, seen through a server: what they do with a database that is not as they left it.

mod follower;
mod history;
mod receipts;
mod supervised;
