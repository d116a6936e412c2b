//! What happens without a request.

pub mod flush_usage;
pub mod purge_expired;
