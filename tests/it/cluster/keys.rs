//! Keys by the thousand, written into the database directly: the page would take a transaction for each.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use keystead::{
    clock::{Clock, SystemClock},
    domain::{
        ids::KeyId,
        pepper::Pepper,
        secret::{KeyPrefix, Secret},
    },
    store::connection::Conn,
};

use crate::support::on_own_thread;

/// Rows a statement.
const ROWS: usize = 500;

#[derive(QueryableByName)]
pub struct Number {
    #[diesel(sql_type = BigInt)]
    pub n: i64,
}

/// The keys of a test, in the order in which they are revoked.
pub struct Keys {
    all: Vec<Key>,
    /// The first that nobody has begun to revoke.
    next: AtomicUsize,
    begun: Instant,
}

pub struct Key {
    pub id: String,
    pub secret: String,
    /// Nanoseconds since the beginning: when the answer of its revocation or rotation had come; 0 as long as it has not.
    refused_at: AtomicU64,
}

impl Keys {
    /// Makes them, and their rows.
    pub fn insert(mut conn: Conn, pepper: &Pepper, organization: &str, count: usize) -> Self {
        let (now, prefix) = (SystemClock.now(), KeyPrefix::parse("talvin_live").unwrap());
        let at = now.timestamp_millis();
        let mut all = Vec::with_capacity(count);
        let mut statements = Vec::new();
        for first in (0..count).step_by(ROWS) {
            let (mut keys, mut secrets) = (String::new(), String::new());
            for number in first..count.min(first + ROWS) {
                let (id, secret) = (KeyId::generate(now), Secret::generate(&prefix).unwrap());
                let (id, hint) = (id.as_str().to_owned(), secret.hint().as_str().to_owned());
                let digest: String =
                    pepper.digest(secret.as_presented()).0.iter().map(|byte| format!("{byte:02x}")).collect();
                let comma = if number == first { "" } else { "," };
                write!(keys, "{comma}('{id}','{organization}','Key {number}','key {number}','talvin_live','{hint}')")
                    .unwrap();
                write!(secrets, "{comma}(decode('{digest}','hex'),'{id}')").unwrap();
                all.push(Key { id, secret: secret.expose().to_owned(), refused_at: AtomicU64::new(0) });
            }
            statements.push(format!(
                "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, version) \
                 SELECT rows.*, (SELECT id FROM users LIMIT 1), {at}, 1 FROM (VALUES {keys}) AS rows"
            ));
            statements.push(format!(
                "INSERT INTO key_secrets (digest, digest_scheme, key_id, created_at) \
                 SELECT digest, 'apikey/v1', id, {at} FROM (VALUES {secrets}) AS rows (digest, id)"
            ));
        }
        on_own_thread(move || {
            for statement in statements {
                sql_query(statement).execute(&mut conn).unwrap();
            }
        });
        Self { all, next: AtomicUsize::new(0), begun: Instant::now() }
    }

    /// A key that nobody has taken yet.
    pub fn take(&self) -> Option<&Key> {
        self.all.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// How many were taken.
    pub fn taken(&self) -> usize {
        self.next.load(Ordering::Relaxed).min(self.all.len())
    }

    /// Those whose revocation is some while ago, goes on, or comes soon.
    pub fn around_now(&self, before: usize, after: usize) -> &[Key] {
        let next = self.taken();
        &self.all[next.saturating_sub(before)..self.all.len().min(next + after)]
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    /// From here on no node may let this key pass. To be called when the answer has come.
    pub fn note_refused(&self, key: &Key) {
        key.refused_at.store(self.now(), Ordering::SeqCst);
    }

    /// For how long this key must have been refused, if it must.
    pub fn refused_for(&self, key: &Key) -> Option<Duration> {
        let at = key.refused_at.load(Ordering::SeqCst);
        (at != 0).then(|| Duration::from_nanos(self.now().saturating_sub(at)))
    }
}
