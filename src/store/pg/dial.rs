//! Reaching a server: one host after another, with TLS and without, as libpq tries them, and all of it within one limit.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{ConnectionError, ConnectionResult};
use rand::{TryRng, rngs::SysRng};
use tokio::{net::lookup_host, time::timeout};
use tokio_postgres::{
    Client, Config, Connection,
    config::{ChannelBinding as Binding, SslMode},
    error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    cancel::Cancel,
    fault, passfile, tls,
    wire::{Place, Wire},
};
use crate::config::postgres_target::{ChannelBinding, PostgresHost, PostgresTarget, SessionWanted, TlsMode};

/// How long a connection is waited for, and each answer on it, unless somebody needs it sooner: longer than the longest
/// statement of a transaction and than its longest wait for a lock (`dialect.rs`).
pub const LIMIT: Duration = Duration::from_secs(12);
/// A host that is silent for so long is passed over, even if more time is left.
const SILENCE: Duration = Duration::from_secs(5);
type TlsWire = <MakeRustlsConnect as MakeTlsConnect<Wire>>::Stream;

/// A connection that was made, and that somebody must drive.
pub struct Dialed {
    pub client: Client,
    pub connection: Connection<Wire, TlsWire>,
    pub cancel: Cancel,
}

/// What a URL means, in the environment of no variables: `config` has completed it.
pub fn target(url: &str) -> ConnectionResult<Arc<PostgresTarget>> {
    let target = PostgresTarget::of_completed(url);
    target.map(Arc::new).map_err(|error| ConnectionError::InvalidConnectionUrl(error.to_string()))
}

/// Connects to the first host that is as it is wanted.
///
/// # Errors
/// What the last of them said, in one line.
pub async fn dial(target: &Arc<PostgresTarget>, limit: Duration) -> Result<Dialed, String> {
    let until = Instant::now() + limit;
    let mut hosts: Vec<&PostgresHost> = target.hosts.iter().collect();
    if target.is_order_random {
        let first = SysRng.try_next_u64().unwrap_or_default() % hosts.len().max(1) as u64;
        hosts.rotate_left(usize::try_from(first).unwrap_or_default());
    }
    let mut words = "no host is named".to_owned();
    for (n, host) in hosts.iter().enumerate() {
        let others = u32::try_from(hosts.len() - n).unwrap_or(u32::MAX);
        let share = (until.saturating_duration_since(Instant::now()) / others).min(SILENCE.max(limit / 2));
        let share = target.connect_timeout.map_or(share, |wanted| wanted.min(share));
        match timeout(share, dial_host(target, host, share)).await {
            Ok(Ok(dialed)) => return Ok(dialed),
            Ok(Err(Refusal { words, is_final: true })) => return Err(words),
            Ok(Err(refusal)) => words = refusal.words,
            Err(_) => words = format!("{}: no answer within {:.1} s", shown(host), share.as_secs_f64()),
        }
    }
    Err(words)
}

/// Why not this host; whether the others are to be asked.
struct Refusal {
    words: String,
    is_final: bool,
}

impl Refusal {
    fn next(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_final: false }
    }
}

fn shown(host: &PostgresHost) -> String {
    let address = host.address.map(|address| address.to_string());
    format!("{}:{}", host.name.clone().or(address).unwrap_or_else(|| socket_folder().to_owned()), host.port)
}

/// Where Debian's libpq looks for sockets, or else everybody's.
fn socket_folder() -> &'static str {
    if Path::new("/var/run/postgresql").is_dir() { "/var/run/postgresql" } else { "/tmp" }
}

async fn dial_host(target: &Arc<PostgresTarget>, host: &PostgresHost, share: Duration) -> Result<Dialed, Refusal> {
    let places = places(host).await.map_err(|error| Refusal::next(format!("{}: {error}", shown(host))))?;
    dial_places(target, host, places, share).await
}

/// At one address of a host after another.
async fn dial_places(
    target: &Arc<PostgresTarget>,
    host: &PostgresHost,
    places: Vec<Place>,
    share: Duration,
) -> Result<Dialed, Refusal> {
    let mut last = Refusal::next(format!("{}: no address", shown(host)));
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
    for place in places {
        match timeout(share / count, dial_place(target, host, place)).await {
            Ok(Ok(dialed)) => return Ok(dialed),
            Ok(Err(refusal)) if refusal.is_final => return Err(refusal),
            Ok(Err(refusal)) => last = refusal,
            Err(_) => last = Refusal::next(format!("{}: no answer", shown(host))),
        }
    }
    Err(last)
}

async fn places(host: &PostgresHost) -> io::Result<Vec<Place>> {
    let socket = |folder: &str| vec![Place::Socket(Path::new(folder).join(format!(".s.PGSQL.{}", host.port)))];
    Ok(match (&host.address, &host.name) {
        (Some(address), _) => vec![Place::Tcp(SocketAddr::new(*address, host.port))],
        (None, None) => socket(socket_folder()),
        (None, Some(folder)) if folder.starts_with('/') => socket(folder),
        (None, Some(name)) => lookup_host((name.as_str(), host.port)).await?.map(Place::Tcp).collect(),
    })
}

/// With TLS or without, in the order that `sslmode` says.
async fn dial_place(target: &Arc<PostgresTarget>, host: &PostgresHost, place: Place) -> Result<Dialed, Refusal> {
    let modes: &[SslMode] = match (&place, target.tls.mode) {
        (Place::Socket(_), _) | (_, TlsMode::Disable) => &[SslMode::Disable],
        (_, TlsMode::Allow) => &[SslMode::Disable, SslMode::Require],
        (_, TlsMode::Prefer) => &[SslMode::Prefer, SslMode::Disable],
        _ => &[SslMode::Require],
    };
    if matches!(place, Place::Tcp(_)) && target.tls.mode == TlsMode::VerifyFull && host.name.is_none() {
        return Err(Refusal::next("sslmode=verify-full needs the name of the host, beside hostaddr"));
    }
    let mut first: Option<Refusal> = None;
    for mode in modes {
        let dialed = dial_once(target, host, &place, *mode).await;
        match (dialed, first.take()) {
            (Ok(dialed), _) => return Ok(dialed),
            // The first one's words: without TLS a server often says less.
            (Err(_), Some(refusal)) => return Err(refusal),
            (Err(refusal), None) => first = Some(refusal),
        }
    }
    Err(first.unwrap_or_else(|| Refusal::next("no way to connect")))
}

async fn dial_once(
    target: &Arc<PostgresTarget>,
    host: &PostgresHost,
    place: &Place,
    mode: SslMode,
) -> Result<Dialed, Refusal> {
    let said = |words: &str| Refusal::next(format!("{}: {words}", shown(host)));
    let name = host.name.clone().or(host.address.map(|address| address.to_string())).unwrap_or_default();
    let wire = Wire::open(place, target).await.map_err(|error| said(&error.to_string()))?;
    let connector = match mode {
        SslMode::Disable => None,
        _ => Some(tls::connector(&target.tls, &name).map_err(Refusal::next)?),
    };
    let cancel =
        Cancel { target: Arc::clone(target), place: place.clone(), tls: connector.clone(), host: tls_name(&name) };
    // Not used without TLS, but there must be one.
    let mut connector = connector.map_or_else(tls::unused, Ok).map_err(Refusal::next)?;
    let connect = MakeTlsConnect::<Wire>::make_tls_connect(&mut connector, &cancel.host);
    let connect = connect.map_err(|error| said(&error.to_string()))?;
    let config = config(target, host, mode);
    let (client, mut connection) = config.connect_raw(wire, connect).await.map_err(|error| {
        // Another host has the same passwords and rights; one that is starting may have a sister that is up.
        let is_final = error.code().is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW);
        Refusal { words: format!("{}: {}", shown(host), fault::with_reason(&error)), is_final }
    })?;
    if target.wants != SessionWanted::Any {
        let question = match target.wants {
            SessionWanted::Primary => "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END",
            _ => "SHOW transaction_read_only",
        };
        let asked = async { client.simple_query(question).await };
        let answer = tokio::select! {
            answer = asked => answer.map_err(|error| said(&fault::with_reason(&error)))?,
            _ = &mut connection => return Err(said("connection closed")),
        };
        let is_on = answer.iter().any(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
            _ => false,
        });
        if is_on {
            return Err(said("it is a replica or allows no writes, and target_session_attrs asks for another"));
        }
    }
    Ok(Dialed { client, connection, cancel })
}

/// What rustls is called with; it verifies nothing by it (`tls.rs`), and refuses what is no name.
fn tls_name(host: &str) -> String {
    let is_name = rustls::pki_types::ServerName::try_from(host).is_ok();
    if is_name { host.to_owned() } else { "postgres".to_owned() }
}

fn config(target: &PostgresTarget, host: &PostgresHost, mode: SslMode) -> Config {
    let mut config = Config::new();
    config.ssl_mode(mode).application_name(&target.application_name).channel_binding(match target.channel_binding {
        ChannelBinding::Disable => Binding::Disable,
        ChannelBinding::Prefer => Binding::Prefer,
        ChannelBinding::Require => Binding::Require,
    });
    // As libpq: whoever nobody names is the account of the process.
    let user = target.user.clone().or_else(|| whoami::username().ok()).unwrap_or_default();
    config.user(&user);
    if let Some(database) = &target.database {
        config.dbname(database);
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    let password = target.password.clone().or_else(|| {
        let file = target.passfile.as_deref()?;
        let name = match &host.name {
            Some(name) if name != socket_folder() => name.clone(),
            None if host.address.is_some() => host.address?.to_string(),
            _ => "localhost".to_owned(),
        };
        passfile::find(file, &name, host.port, target.database.as_deref().unwrap_or(&user), &user)
    });
    if let Some(password) = password {
        config.password(password);
    }
    config
}

#[cfg(test)]
mod tests;
