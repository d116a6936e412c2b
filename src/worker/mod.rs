//! What happens without a request.

pub mod purge_expired;
