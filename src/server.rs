//! The composition root: binds, brings the application up, mounts the pages and the API, and stops without dropping a
//! request.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{App as ActixApp, HttpServer, dev::Server, http::KeepAlive, middleware::from_fn, web};

use tokio::sync::{mpsc, watch};

mod bind;
mod ending;
mod head;
mod listener;
mod request;
mod service;
mod stream;
mod thread_end;
mod transport;
mod worker_thread;

use bind::bind;
use transport::{Order, Transport};

use crate::{
    actions::set_up::{FirstAccount, first_account},
    api,
    app::{Site, StartError},
    clock::Clock,
    config::{Config, PublicUrl},
    middleware::{
        envelope::{Asked, ShapeFailure, envelope},
        failure::Failure,
        limits,
    },
    store::StoreError,
    supervision::{Part, keep_running},
    web as pages, worker,
};

/// How long stopping may take after the time for draining: half a second for connections half open, six for requests in
/// flight, and the rest for the database.
pub const LONGEST_STOP: Duration = Duration::from_secs(9);

/// How long a scrape may take when the server stops, in seconds.
const LAST_SCRAPE_SECONDS: u64 = 1;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {0}; is another server running there? ({1})")]
    Listen(String, &'static str),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot read the database: {0}")]
    Store(#[from] StoreError),
    #[error("the server stopped: {0}")]
    Io(#[from] std::io::Error),
}

/// A server that is bound and running once its future is polled.
pub struct Running {
    /// What it serves.
    pub site: Arc<Site>,
    /// Where it listens, all with the same port; at least one.
    pub addresses: Vec<SocketAddr>,
    /// Where it tells its metrics, if anywhere.
    pub metrics_addresses: Vec<SocketAddr>,
    /// The link for the first admin, while no account exists.
    pub set_up_link: Option<String>,
    /// Whether there was an account and none is left, so that only `keystead admin create` makes one.
    pub needs_command: bool,
    transport: Transport,
    handle: Handle,
    orders: mpsc::UnboundedReceiver<Order>,
    metrics: Option<Server>,
}

/// Stops a server from elsewhere.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::UnboundedSender<Order>);

impl Handle {
    /// Answers what has come and is about to come, then stops.
    pub fn stop(&self) {
        let _ = self.0.send(Order::Stop);
    }

    /// Stops at once.
    pub fn abort(&self) {
        let _ = self.0.send(Order::Abort);
    }
}

/// Binds and brings everything up. Requests are answered from then on; [`Running::run`] must be awaited to stop.
///
/// # Errors
/// See [`ServeError`].
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, ServeError> {
    let (listeners, addresses): (Vec<_>, Vec<_>) = bind(&config.listen, "KEYSTEAD_LISTEN")?.into_iter().unzip();
    let for_metrics = config.metrics_listen.as_deref();
    let for_metrics = for_metrics.map(|wanted| bind(wanted, "KEYSTEAD_METRICS_LISTEN")).transpose()?;
    let (for_metrics, metrics_addresses): (Vec<_>, Vec<_>) = for_metrics.unwrap_or_default().into_iter().unzip();
    let port = addresses.first().map_or(0, SocketAddr::port);
    let public_url = config.public_url.clone().unwrap_or_else(|| PublicUrl::of_loopback(port));
    let site = Site::open(config, public_url, clock).await?;
    let first_account = first_account(&site).await?;
    let set_up_link = match &first_account {
        FirstAccount::ByLink(token) => Some(format!("{}/setup?token={token}", site.public_url.as_str())),
        FirstAccount::ByCommand | FirstAccount::Exists => None,
    };
    let needs_command = first_account == FirstAccount::ByCommand;
    let transport = Transport::start(&site, listeners)?;
    let (orders, received) = mpsc::unbounded_channel();
    let metrics = if for_metrics.is_empty() { None } else { Some(serve_metrics(&site, for_metrics)?) };
    Ok(Running {
        site,
        addresses,
        metrics_addresses,
        set_up_link,
        needs_command,
        transport,
        handle: Handle(orders),
        orders: received,
        metrics,
    })
}

/// A server of one thread that only knows `/metrics`. It keeps no connection open, so that none delays its end.
fn serve_metrics(site: &Arc<Site>, listeners: Vec<TcpListener>) -> std::io::Result<Server> {
    let site = Arc::clone(site);
    let make = move || ActixApp::new().app_data(web::Data::from(Arc::clone(&site))).configure(api::metrics::configure);
    let server = HttpServer::new(make)
        .workers(1)
        .keep_alive(KeepAlive::Disabled)
        .shutdown_timeout(LAST_SCRAPE_SECONDS)
        .disable_signals();
    Ok(listeners.into_iter().try_fold(server, HttpServer::listen)?.run())
}

impl Running {
    /// Answers requests until somebody stops the server.
    ///
    /// # Errors
    /// When the server cannot go on.
    pub async fn run(self) -> Result<(), ServeError> {
        let site = self.site;
        let (supervision, work) = (&site.supervision, site.clone());
        let purge = move || worker::purge_expired::run(work.clone());
        let purging = tokio::spawn(keep_running(Arc::clone(supervision), Part::PurgeExpired, purge));
        let (stop_flushing, stopped) = watch::channel(false);
        let work = site.clone();
        let flush = move || worker::flush_usage::run(work.clone(), stopped.clone());
        let flushing = tokio::spawn(keep_running(Arc::clone(supervision), Part::FlushUsage, flush));
        let metrics = self.metrics.map(|server| (server.handle(), tokio::spawn(server)));
        let (follower, abort) = (Arc::clone(&site.follower), self.handle);
        let refusing = tokio::spawn(async move {
            follower.refused().await;
            abort.abort();
        });
        let ended = self.transport.run(&site, self.orders).await;
        refusing.abort();
        let refused = site.follower.progress().refused;
        let refused =
            refused.map(|revived| StartError::OlderDatabase(revived, site.keys.revocations.path().to_owned()));
        purging.abort();
        stop_flushing.send_replace(true);
        let told = ended.as_ref().map_or_else(|_| Instant::now(), |told| *told);
        ending::settle_with_database(site, flushing, told).await;
        // Last: nothing else may wait for somebody who reads slowly.
        if let Some((handle, ended)) = metrics {
            handle.stop(true).await;
            let _ = ended.await;
        }
        ended?;
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// What stops it from elsewhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// Everything: what handlers may use, verification, and inside the envelope the rest of the API and the pages.
pub fn mount(config: &mut web::ServiceConfig, site: &Arc<Site>) {
    let in_envelope = web::scope("")
        .wrap(from_fn(envelope))
        // Outside the envelope, which reads a cookie: actix parses all of them once, on the first look.
        .wrap(from_fn(pages::cookie_filter::keep_own_cookies))
        .configure(limits::configure)
        .configure(api::configure)
        .configure(|config| pages::configure(config, site));
    config
        .app_data(web::Data::from(Arc::clone(site)))
        .app_data(web::Data::new(shape_failure as ShapeFailure))
        .configure(api::configure_verification)
        .service(in_envelope);
}

/// Programs get problem documents, people get pages.
fn shape_failure(site: &Site, failure: &Failure, asked: &Asked) -> actix_web::HttpResponse {
    if asked.is_for_programs() {
        api::problem::shape(site, failure, asked)
    } else {
        pages::error_page::shape(site, failure, asked)
    }
}
