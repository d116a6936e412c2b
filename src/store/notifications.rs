//! Being woken by other nodes' changes (Postgres only). A pooler may swallow notifications; then polling finds them later.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{connection::DatabaseUrl, dialect::CHANNEL, pure_pg};
use crate::supervision::{Part, Supervision, keep_running};

/// When to connect anew after a connection broke.
const AGAIN: Duration = Duration::from_secs(1);

/// Wakes until it is dropped.
pub struct Listener(JoinHandle<()>);

impl Listener {
    /// Calls `wake` whenever any node changed a key, and once at the beginning. `None` on SQLite, and for a URL that
    /// cannot be used. A connection that breaks is made anew.
    pub fn start(
        url: &DatabaseUrl,
        supervision: &Arc<Supervision>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let DatabaseUrl::Postgres(url) = url else { return None };
        let (config, tls) = pure_pg::parse(url).ok()?;
        let (wake, supervisor) = (Arc::new(wake), Arc::clone(supervision));
        let listening = move || {
            let (config, tls, wake, supervisor) =
                (config.clone(), tls.clone(), Arc::clone(&wake), Arc::clone(&supervisor));
            async move {
                loop {
                    supervisor.step(Part::Notifications);
                    if let Err(error) = listen(&config, tls.clone(), &*wake).await {
                        tracing::debug!(%error, "no notifications; the follower polls");
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        let task = keep_running(Arc::clone(supervision), Part::Notifications, listening);
        Some(Self(pure_pg::runtime().spawn(task)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(
    config: &Config,
    tls: MakeRustlsConnect,
    wake: &(impl Fn() + Sync),
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = config.connect(tls).await?;
    let statement = format!("LISTEN {CHANNEL}");
    let mut listening = std::pin::pin!(client.batch_execute(&statement));
    let mut is_listening = false;
    loop {
        let message = std::future::poll_fn(|context| connection.poll_message(context));
        tokio::select! {
            done = &mut listening, if !is_listening => {
                done?;
                is_listening = true;
                wake();
            }
            message = message => match message {
                Some(Ok(AsyncMessage::Notification(_))) => wake(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
        }
    }
}
