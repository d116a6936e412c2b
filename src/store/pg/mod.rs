//! Postgres: how to reach it, what to believe there, and a synchronous Diesel connection whose every wait has an end
//! (`docs/decisions/0017-our-own-connection-to-postgres.md`).

mod cancel;
mod connection;
mod dial;
mod fault;
mod names;
mod passfile;
mod row;
mod session;
mod tls;
mod wire;

pub use connection::PgConnection;
pub use dial::{LIMIT, dial, target};
pub use fault::sql_state;
pub use session::{Standing, runtime};
