//! The composition root: binds, brings the application up, mounts the pages and the API, and stops without dropping a
//! request.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App as ActixApp, HttpServer,
    dev::{Server, ServerHandle},
    middleware::from_fn,
    web,
};

use tokio::sync::oneshot;

use crate::{
    actions::set_up::set_up_token,
    api,
    app::{App, AppState, StartError},
    clock::Clock,
    config::{Config, PublicUrl},
    middleware::{
        envelope::{Asked, ShapeFailure, envelope},
        failure::Failure,
        limits,
    },
    store::StoreError,
    web as pages, worker,
};

/// After SIGTERM new requests are still answered for this long, each with `Connection: close`, so that clients with an
/// open connection and load balancers go elsewhere before the listener closes.
const DRAIN: Duration = Duration::from_millis(500);

/// How long requests in flight may take after that, in seconds.
const SHUTDOWN_SECONDS: u64 = 30;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {0}: {1}; is another server running there? (KEYSTEAD_LISTEN)")]
    Listen(String, std::io::Error),
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
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    /// The link for the first admin, while no account exists.
    pub set_up_link: Option<String>,
    server: Server,
}

/// Binds and brings everything up; requests are answered once [`Running::run`] is awaited.
///
/// # Errors
/// See [`ServeError`].
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, ServeError> {
    let wanted = config.listen.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    let listener = TcpListener::bind(&config.listen[..]).map_err(|error| ServeError::Listen(wanted, error))?;
    let address = listener.local_addr()?;
    let public_url = config.public_url.clone().unwrap_or_else(|| PublicUrl::of_loopback(address.port()));
    let app = AppState::open(config, public_url, clock).await?;
    let link = |token| format!("{}/setup?token={token}", app.public_url.as_str());
    let set_up_link = set_up_token(&app).await?.map(link);
    let served = app.clone();
    let server = HttpServer::new(move || ActixApp::new().configure(|config| mount(config, &served)))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run();
    Ok(Running { app, address, set_up_link, server })
}

impl Running {
    /// Answers requests until somebody stops the server.
    ///
    /// # Errors
    /// When the server cannot go on.
    pub async fn run(self) -> Result<(), ServeError> {
        let app = self.app;
        let purging = tokio::spawn(worker::purge_expired::run(app.clone()));
        let (stop_flushing, stopped) = oneshot::channel();
        let flushing = tokio::spawn(worker::flush_usage::run(app.clone(), stopped));
        let ended = self.server.await;
        purging.abort();
        let _ = stop_flushing.send(());
        let _ = flushing.await;
        // Nobody is answered any more: the lease goes back, so that no revocation elsewhere waits for this node.
        let _ = tokio::task::spawn_blocking(move || app.follower.stop()).await;
        Ok(ended?)
    }

    /// Stops the server from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }
}

/// Everything: what handlers may use, verification, and inside the envelope the rest of the API and the pages.
pub fn mount(config: &mut web::ServiceConfig, app: &App) {
    let in_envelope = web::scope("")
        .wrap(from_fn(envelope))
        // Outside the envelope, which reads a cookie: actix parses all of them once, on the first look.
        .wrap(from_fn(pages::cookie_filter::keep_own_cookies))
        .configure(limits::configure)
        .configure(api::configure)
        .configure(|config| pages::configure(config, app));
    config
        .app_data(web::Data::new(app.clone()))
        .app_data(web::Data::new(shape_failure as ShapeFailure))
        .configure(api::configure_verification)
        .service(in_envelope);
}

/// Lets requests in flight finish, and those that are about to come, then stops.
pub async fn stop(app: &App, handle: &ServerHandle) {
    app.drain();
    tokio::time::sleep(DRAIN).await;
    handle.stop(true).await;
}

/// Programs get problem documents, people get pages.
fn shape_failure(app: &App, failure: &Failure, asked: &Asked) -> actix_web::HttpResponse {
    if asked.is_for_programs() {
        api::problem::shape(app, failure, asked)
    } else {
        pages::error_page::shape(app, failure, asked)
    }
}
