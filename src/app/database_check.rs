//! Whether the database answers, for whoever routes people to pages. However many ask, the database is asked once at a time,
//! and nobody waits for long: a database that is silent must not take the connections or the threads of those who work.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::NodeClock,
    store::{Db, ErrorKind, StoreError, installation},
    supervision::Failing,
};

/// How long a question waits: whoever probes is answered within 250 ms.
const LONGEST: Duration = Duration::from_millis(200);

/// The question that is asked now, and the last answer.
#[derive(Default)]
pub struct DatabaseCheck(Arc<State>);

struct State {
    is_asking: AtomicBool,
    answers: watch::Sender<bool>,
    failing: Mutex<Failing<ErrorKind>>,
}

impl Default for State {
    fn default() -> Self {
        let (is_asking, answers) = (AtomicBool::new(false), watch::Sender::new(false));
        Self { is_asking, answers, failing: Mutex::default() }
    }
}

impl DatabaseCheck {
    /// Whether the database answers to a question that is asked now, or under way.
    pub async fn answers(&self, db: &Db, clock: &Arc<NodeClock>) -> bool {
        let mut answers = self.0.answers.subscribe();
        if !self.0.is_asking.swap(true, Ordering::SeqCst) {
            tokio::spawn(ask(Asking(Arc::clone(&self.0)), db.clone(), Arc::clone(clock)));
        }
        let answered = tokio::time::timeout(LONGEST, answers.changed()).await;
        matches!(answered, Ok(Ok(()))) && *answers.borrow()
    }
}

async fn ask(asking: Asking, db: Db, clock: Arc<NodeClock>) {
    let answer = db.read_aside(|conn| installation::find(conn, installation::ID)).await;
    let mut failing = asking.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
    match &answer {
        Ok(_) if failing.is_over() => tracing::info!("pages can be served again"),
        Err::<_, StoreError>(error) if failing.is_news(error.kind(), clock.since_boot()) => {
            tracing::warn!(%error, "pages cannot be served");
        }
        Err(error) => tracing::debug!(%error, "pages cannot be served"),
        Ok(_) => {}
    }
    drop(failing);
    let state = Arc::clone(&asking.0);
    // The next question may begin before this answer is published, so that who sees it can ask again.
    drop(asking);
    state.answers.send_replace(answer.is_ok());
}

/// While it is there, nobody else asks.
struct Asking(Arc<State>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::SeqCst);
    }
}
