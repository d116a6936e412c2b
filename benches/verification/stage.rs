//! Databases and servers of this benchmark: made when a section first wants them, gone with the program.

use std::{cell::RefCell, collections::HashMap, time::Instant};

use tempfile::TempDir;

use crate::support::{
    fill::fill,
    server::{On, Place, Server},
};

pub const FEW: u64 = 10_000;
pub const MANY: u64 = 1_000_000;

/// Databases by the number of their keys.
#[derive(Default)]
pub struct Stage {
    folders: RefCell<HashMap<u64, TempDir>>,
}

impl Stage {
    /// A SQLite database with this many keys, on which a server was started and stopped once: it is as a restart finds
    /// it. One server at a time.
    pub fn place(&self, keys: u64) -> Place {
        let mut folders = self.folders.borrow_mut();
        let folder = folders.entry(keys).or_insert_with(|| {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::sqlite(folder.path());
            let begun = Instant::now();
            fill(&place, keys);
            Server::start(&place, On::AllCores, &[]).kill();
            println!("  (made a SQLite database with {keys} keys in {:.1} s)", begun.elapsed().as_secs_f64());
            folder
        });
        Place::sqlite(folder.path())
    }

    /// Keystead with this many keys, apart from the driver.
    pub fn keystead(&self, keys: u64) -> Server {
        Server::start(&self.place(keys), On::ServerCores, &[])
    }

    /// The bare handler with this many keys, apart from the driver.
    pub fn bare(&self, keys: u64) -> Server {
        Server::start_bare(&self.place(keys).data, keys)
    }
}
