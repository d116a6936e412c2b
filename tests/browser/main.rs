//! The real program in a real browser. Begin with [`harness`]; then [`journey`], which everything else varies.

mod harness;
mod journey;
