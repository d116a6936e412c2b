//! Whether the database answers, for whoever routes people to pages. However many ask, the database is asked once at a time,
//! and nobody waits for long: a database that is silent must not take the connections or the threads of those who work.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::App;
use crate::{
    store::{ErrorKind, StoreError, installation},
    supervision::Failing,
};

/// How long a question waits: whoever probes is answered within 250 ms.
const LONGEST: Duration = Duration::from_millis(200);

/// The question that is asked now, and the last answer.
pub struct DatabaseCheck {
    is_asking: AtomicBool,
    answers: watch::Sender<bool>,
    failing: Mutex<Failing<ErrorKind>>,
}

impl Default for DatabaseCheck {
    fn default() -> Self {
        let (is_asking, answers) = (AtomicBool::new(false), watch::Sender::new(false));
        Self { is_asking, answers, failing: Mutex::default() }
    }
}

/// Whether the database answers to a question that is asked now, or under way.
pub async fn database_answers(app: &App) -> bool {
    let mut answers = app.database_check.answers.subscribe();
    if !app.database_check.is_asking.swap(true, Ordering::SeqCst) {
        tokio::spawn(ask(Asking(app.clone())));
    }
    let answered = tokio::time::timeout(LONGEST, answers.changed()).await;
    matches!(answered, Ok(Ok(()))) && *answers.borrow()
}

async fn ask(asking: Asking) {
    let answer = asking.0.db.read_aside(|conn| installation::find(conn, installation::ID)).await;
    let mut failing = asking.0.database_check.failing.lock().unwrap_or_else(PoisonError::into_inner);
    match &answer {
        Ok(_) if failing.is_over() => tracing::info!("pages can be served again"),
        Err::<_, StoreError>(error) if failing.is_news(error.kind(), asking.0.clock.since_boot()) => {
            tracing::warn!(%error, "pages cannot be served");
        }
        Err(error) => tracing::debug!(%error, "pages cannot be served"),
        Ok(_) => {}
    }
    drop(failing);
    let app = asking.0.clone();
    // The next question may begin before this answer is published, so that who sees it can ask again.
    drop(asking);
    app.database_check.answers.send_replace(answer.is_ok());
}

/// While it is there, nobody else asks.
struct Asking(App);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.database_check.is_asking.store(false, Ordering::SeqCst);
    }
}
