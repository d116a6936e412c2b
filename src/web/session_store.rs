//! Sessions in the database, for actix-session. (The one room of `web/` that may use the store.)

use std::{collections::HashMap, fmt};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key};
use actix_web::cookie::time::Duration;
use sha2::{Digest, Sha256};

use super::session::{OWNER, Owner};
use crate::{
    actions::open_session::open_session,
    app::App,
    store::{
        StoreError,
        sessions::{self, SessionDigest},
    },
};

type State = HashMap<String, String>;

/// Sessions by a digest of their key: who reads the table cannot sign in with it.
#[derive(Clone)]
pub struct DbSessions {
    app: App,
}

impl DbSessions {
    /// The sessions of this application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

impl SessionStore for DbSessions {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let (digest, now) = (digest_of(key), self.app.clock.now());
        let state = self.app.db.read(move |conn| sessions::find_state(conn, digest, now)).await;
        match state.map_err(|error| LoadError::Other(error.into()))? {
            Some(json) => from_json(&json).map(Some).map_err(LoadError::Deserialization),
            None => Ok(None),
        }
    }

    /// A session begins here, so its audit event is written here too, in one transaction.
    async fn save(&self, state: State, _ttl: &Duration) -> Result<SessionKey, SaveError> {
        let owner: Option<Owner> = state.get(OWNER).and_then(|json| serde_json::from_str(json).ok());
        let signed_in = owner
            .and_then(|owner| owner.signed_in())
            .ok_or_else(|| SaveError::Serialization(anyhow::anyhow!("a session without an owner")))?;
        let key = generate_session_key();
        let json = to_json(&state).map_err(SaveError::Serialization)?;
        let opened = open_session(&self.app, digest_of(&key), signed_in, json).await;
        opened.map_err(|error| SaveError::Other(error.into()))?;
        Ok(key)
    }

    /// A session that was ended while this request ran stays ended: an update inserts nothing.
    async fn update(&self, key: SessionKey, state: State, _ttl: &Duration) -> Result<SessionKey, UpdateError> {
        let digest = digest_of(&key);
        let json = to_json(&state).map_err(UpdateError::Serialization)?;
        let updated = self.app.db.write(move |conn| sessions::update_state(conn, digest, &json)).await;
        updated.map_err(|error| UpdateError::Other(error.into()))?;
        Ok(key)
    }

    /// Reads first and writes only when a minute has passed: a page costs no write.
    async fn update_ttl(&self, key: &SessionKey, _ttl: &Duration) -> Result<(), anyhow::Error> {
        let (digest, now) = (digest_of(key), self.app.clock.now());
        let due = self.app.db.read(move |conn| sessions::due_extension(conn, digest, now)).await?;
        if let Some(end) = due {
            let extended = self.app.db.write::<_, StoreError>(move |conn| sessions::extend(conn, digest, end)).await;
            // The answer is ready; that the session ends a minute earlier is no reason to throw it away.
            if let Err(error) = extended {
                tracing::warn!(%error, "a session could not be extended");
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        let digest = digest_of(key);
        Ok(self.app.db.write(move |conn| sessions::delete(conn, digest)).await?)
    }
}

impl fmt::Debug for DbSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DbSessions")
    }
}

fn digest_of(key: &SessionKey) -> SessionDigest {
    Sha256::digest(key.as_ref()).into()
}

fn to_json(state: &State) -> Result<String, anyhow::Error> {
    Ok(serde_json::to_string(state)?)
}

fn from_json(json: &str) -> Result<State, anyhow::Error> {
    Ok(serde_json::from_str(json)?)
}
