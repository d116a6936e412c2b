//! HTML for people, page by page.

mod compression;
mod cross_site;
mod integrations;
mod session;
mod set_up;
mod sign_in;
mod sign_out;
mod theme;
