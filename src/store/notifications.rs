//! Being woken by other nodes' changes (Postgres only). A pooler may swallow notifications; then polling finds them later.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_postgres::AsyncMessage;

use super::{
    connection::{DatabaseAddress, DatabaseUrl},
    dialect::CHANNEL,
    pg,
};
use crate::{
    config::postgres_target::PostgresTarget,
    supervision::{Part, Supervision, keep_running},
};

/// When to connect anew after a connection broke.
const AGAIN: Duration = Duration::from_secs(1);

/// Wakes until it is dropped.
pub struct Listener(JoinHandle<()>);

impl Listener {
    /// Calls `wake` whenever any node changed a key, and once at the beginning. `None` on SQLite, and where nothing
    /// can connect. A connection that breaks is made anew, with what the address says then.
    pub fn start(
        address: &DatabaseAddress,
        supervision: &Arc<Supervision>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        target(address)?;
        let address = address.clone();
        let (wake, supervisor) = (Arc::new(wake), Arc::clone(supervision));
        let listening = move || {
            let (address, wake, supervisor) = (address.clone(), Arc::clone(&wake), Arc::clone(&supervisor));
            async move {
                loop {
                    supervisor.step(Part::Notifications);
                    if let Some(target) = target(&address)
                        && let Err(error) = listen(&target, &*wake).await
                    {
                        tracing::debug!(%error, "no notifications; the follower polls");
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        let task = keep_running(Arc::clone(supervision), Part::Notifications, listening);
        Some(Self(pg::runtime().ok()?.spawn(task)))
    }
}

fn target(address: &DatabaseAddress) -> Option<Arc<PostgresTarget>> {
    let DatabaseUrl::Postgres(url) = address.now() else { return None };
    pg::target(&url).ok()
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often the other end is asked whether it is there, and how long it may take to answer: a connection that a firewall
/// forgot brings no notification, and no error either.
const PING: Duration = Duration::from_secs(5);

async fn listen(target: &Arc<PostgresTarget>, wake: &(impl Fn() + Sync)) -> Result<(), String> {
    let mut dialed = pg::dial(target, PING).await?;
    let listening = format!("LISTEN {CHANNEL}");
    let mut question = Some(listening.as_str());
    loop {
        let client = &dialed.client;
        let connection = &mut dialed.connection;
        let asking = async move {
            match question {
                Some(question) => client.batch_execute(question).await.map_err(|error| error.to_string()),
                None => std::future::pending().await,
            }
        };
        let until = tokio::time::sleep(PING);
        tokio::pin!(asking, until);
        loop {
            let message = std::future::poll_fn(|context| connection.poll_message(context));
            tokio::select! {
                done = &mut asking => {
                    done?;
                    if question == Some(&listening) {
                        wake();
                    }
                    question = None;
                    break;
                }
                () = &mut until => {
                    if question.is_some() {
                        return Err("the connection is silent".to_owned());
                    }
                    question = Some("");
                    break;
                }
                message = message => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => wake(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Ok(()),
                },
            }
        }
    }
}
