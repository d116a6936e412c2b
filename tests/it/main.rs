//! The integration tests: the whole program over HTTP, its store, and its command line.
//!
//! Start reading in [`support`]: it says how a test looks and who the people in it are. The other folders mirror the
//! program: `web/` and `api/` follow the URL tree, `store/` looks into the database, `cli/` runs the real binary,
//! `http/` tests what is below the routes, `cluster/` runs three servers on one Postgres, and `gateways/` puts the real nginx,
//! Caddy, HAProxy and Envoy in front. Each file walks the answers of its subject in order, the good one first. Some run no
//! server: [`model`] has the protocol between the nodes, checked in every order of its steps, [`memory`] what the threads of
//! one share, and [`architecture`] reads the sources and the documents.

mod support;

mod key_format;
mod key_index;

mod api;
mod cli;
mod cluster;
mod gateways;
mod http;
mod memory;
mod model;
mod routes;
mod store;
mod web;

mod architecture;
mod static_files;
mod templates;
