//! Reads on a connection of the pool: what to think of it, and of the others, when there is no answer in time.

use std::time::{Duration, Instant};

use diesel::r2d2::R2D2Connection;

use super::Pooled;
use crate::store::{Conn, pg::Standing};

/// How long the first answer to a read may take, before it is asked for on another connection.
const READ: Duration = Duration::from_millis(3_500);

/// Does something that only reads, and gives it up when the connection breaks under it, or is silent for longer than
/// [`READ`]: then `None`, and no connection that was last heard of before that is handed out any more. A server that is
/// there and only slow, or where somebody holds a lock, is not asked again.
pub fn unless_broken<T, E>(conn: &mut Pooled, work: &impl Fn(&mut Conn) -> Result<T, E>) -> Option<Result<T, E>> {
    let Conn::Postgres(postgres) = &mut conn.conn else { return Some(work(conn)) };
    let limit = postgres.limit();
    postgres.set_limit(READ);
    let result = cancelled_in_time(conn, work);
    let Conn::Postgres(postgres) = &mut conn.conn else { return Some(result) };
    postgres.set_limit(limit);
    match (&result, postgres.standing()) {
        (Ok(_), _) | (Err(_), Standing::Busy) => Some(result),
        (Err(_), Standing::Late) => None,
        (Err(_), Standing::Good | Standing::Lost) => {
            if !conn.conn.is_broken() {
                return Some(result);
            }
            conn.seats.with(|state| state.silent_before = Some(Instant::now()));
            None
        }
    }
}

/// Does something that only reads: what takes too long is cancelled before the connection's limit, so that a server that is
/// there can say so.
pub fn cancelled_in_time<T, E>(conn: &mut Pooled, work: &impl Fn(&mut Conn) -> Result<T, E>) -> Result<T, E> {
    let only_read = |conn: &mut Pooled, is_only_read| {
        if let Conn::Postgres(postgres) = &mut conn.conn {
            postgres.set_only_read(is_only_read);
        }
    };
    only_read(conn, true);
    let result = work(conn);
    only_read(conn, false);
    result
}
