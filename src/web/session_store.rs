//! Sessions in the database, for actix-session; the only module of `web/` that uses the store.

use std::{collections::HashMap, fmt, sync::Arc};

use actix_session::{
    SessionMiddleware,
    config::{BrowserSession, CookieContentSecurity, TtlExtensionPolicy},
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key},
};
use actix_web::cookie::{Key, SameSite, time::Duration};

use super::session::{OPENED, OWNER, cookie_name, digest_of};
use crate::{
    app::Site,
    middleware::{envelope::SESSION_UNREAD, failure::advice_on},
    store::{StoreError, half_sessions, sessions},
};

type State = HashMap<String, String>;

/// Sessions by a digest of their key: who reads the table cannot sign in with it.
#[derive(Clone)]
pub struct DbSessions {
    site: Arc<Site>,
}

impl DbSessions {
    /// The sessions of this application.
    pub fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

/// The middleware that loads and saves sessions.
pub fn middleware(site: &Arc<Site>) -> SessionMiddleware<DbSessions> {
    let lifecycle = BrowserSession::default().state_ttl_extension_policy(TtlExtensionPolicy::OnStateChanges);
    SessionMiddleware::builder(DbSessions::new(Arc::clone(site)), Key::from(site.keys.pepper.cookie_key().as_slice()))
        .cookie_name(cookie_name(site))
        .cookie_secure(site.public_url.is_secure())
        .cookie_http_only(true)
        .cookie_same_site(SameSite::Lax)
        // The cookie holds a random key and nothing to hide.
        .cookie_content_security(CookieContentSecurity::Signed)
        .session_lifecycle(lifecycle)
        .build()
}

impl SessionStore for DbSessions {
    /// Also moves the session's end, at most once a minute: a page costs one read and no write.
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let (digest, now) = (digest_of(key), self.site.clock.steady());
        let found = self.site.db.read(move |conn| {
            let whole = sessions::find(conn, digest, now)?;
            let half = if whole.is_some() { None } else { half_sessions::find(conn, digest, now)? };
            Ok((whole, half))
        });
        let (whole, half) = found.await.map_err(unread)?;
        let Some(session) = whole else {
            return half.map(|state| from_json(&state)).transpose().map_err(LoadError::Deserialization);
        };
        if let Some(times) = session.extend_to {
            let extended = self.site.db.write::<_, StoreError>(move |conn| sessions::extend(conn, digest, times)).await;
            // That the session ends a minute earlier is no reason to refuse the page.
            if let Err(error) = extended {
                tracing::warn!(%error, "a session could not be extended");
            }
        }
        from_json(&session.state).map(Some).map_err(LoadError::Deserialization)
    }

    /// A session that the handler opened has its row, and only gets its cookie here. What is written here is half a session.
    async fn save(&self, mut state: State, _ttl: &Duration) -> Result<SessionKey, SaveError> {
        if let Some(opened) = state.remove(OPENED) {
            let key: String = serde_json::from_str(&opened).map_err(|error| SaveError::Serialization(error.into()))?;
            return key.try_into().map_err(|_| SaveError::Serialization(anyhow::anyhow!("no session key")));
        }
        if state.contains_key(OWNER) {
            return Err(SaveError::Serialization(anyhow::anyhow!("an owner whose session nobody opened")));
        }
        let (key, now) = (generate_session_key(), self.site.clock.steady());
        let (digest, json) = (digest_of(&key), to_json(&state).map_err(SaveError::Serialization)?);
        let saved =
            self.site.db.write::<_, StoreError>(move |conn| half_sessions::insert(conn, digest, &json, now)).await;
        saved.map_err(|error| SaveError::Other(error.into()))?;
        Ok(key)
    }

    /// A session that was ended while this request ran stays ended: an update inserts nothing.
    async fn update(&self, key: SessionKey, state: State, _ttl: &Duration) -> Result<SessionKey, UpdateError> {
        let (digest, is_half) = (digest_of(&key), !state.contains_key(OWNER));
        let json = to_json(&state).map_err(UpdateError::Serialization)?;
        let updated = self.site.db.write(move |conn| {
            if is_half {
                return half_sessions::update(conn, digest, &json);
            }
            sessions::update_state(conn, digest, &json)
        });
        // All that changes in a running session is the next page's toast. The change it reports is made, and an error here
        // would say it was not.
        if let Err(error) = updated.await {
            tracing::warn!(%error, "a session's state could not be written");
        }
        Ok(key)
    }

    /// Never asked for: the policy is `OnStateChanges`, and [`Self::load`] has done it.
    async fn update_ttl(&self, _key: &SessionKey, _ttl: &Duration) -> Result<(), anyhow::Error> {
        Ok(())
    }

    /// After signing out the row is gone already (`actions/sign_out.rs`); before a new sign-in it is the one left behind.
    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        let digest = digest_of(key);
        let deleted = self.site.db.write::<_, StoreError>(move |conn| {
            half_sessions::delete(conn, digest)?;
            sessions::delete(conn, digest)
        });
        // The answer is about something else that is done. What stays signs in nobody who could not before, and ends by itself.
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "a session that was left behind could not be removed; it ends when it is not used any more");
        }
        Ok(())
    }
}

impl fmt::Debug for DbSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DbSessions")
    }
}

/// Known by its words from what fails after the request was handled: the library hands on no more. What can be done stands at
/// their end.
fn unread(error: StoreError) -> LoadError {
    tracing::error!(%error, "a session could not be read");
    LoadError::Other(anyhow::anyhow!("{SESSION_UNREAD}{}", advice_on(&error)))
}

fn to_json(state: &State) -> Result<String, anyhow::Error> {
    Ok(serde_json::to_string(state)?)
}

fn from_json(json: &str) -> Result<State, anyhow::Error> {
    Ok(serde_json::from_str(json)?)
}

#[cfg(test)]
mod tests {
    use std::time;

    use super::*;
    use crate::{
        clock::{Clock, Hand},
        config::{PublicUrl, Settings},
    };

    const NO_TTL: Duration = Duration::ZERO;

    fn state(name: &str) -> State {
        State::from([(name.to_owned(), "\"abc\"".to_owned())])
    }

    async fn store() -> (DbSessions, Arc<Hand>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        folder.path().to_str().unwrap().clone_into(&mut settings.data_dir);
        let clock = Hand::new();
        let site = Site::open(settings.check().unwrap(), PublicUrl::of_loopback(1), Arc::<Hand>::clone(&clock)).await;
        (DbSessions::new(site.unwrap()), clock, folder)
    }

    #[actix_web::test]
    async fn half_a_session_is_remembered_for_ten_minutes_and_until_it_is_ended() {
        let (store, clock, _folder) = store().await;
        let key = store.save(state("flow"), &NO_TTL).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), Some(state("flow")));
        let key = store.update(key, state("second"), &NO_TTL).await.unwrap();
        clock.advance(time::Duration::from_secs(599));
        assert_eq!(store.load(&key).await.unwrap(), Some(state("second")));
        clock.advance(time::Duration::from_secs(1));
        assert_eq!(store.load(&key).await.unwrap(), None);

        let key = store.save(state("flow"), &NO_TTL).await.unwrap();
        store.delete(&key).await.unwrap();
        store.update(key, state("late"), &NO_TTL).await.unwrap();
        let gone = store.save(state("flow"), &NO_TTL).await.unwrap();
        store.delete(&gone).await.unwrap();
        assert_eq!(store.load(&gone).await.unwrap(), None);
    }

    /// Somebody has set that clock since; it would live for as long as the clock was ahead.
    #[actix_web::test]
    async fn half_a_session_of_a_clock_that_was_ahead_is_not_believed() {
        let (store, clock, _folder) = store().await;
        let (digest, ahead) = ([7; 32], clock.steady() + time::Duration::from_secs(3_600));
        let now = clock.steady();
        let found = store.site.db.write::<_, StoreError>(move |conn| {
            half_sessions::insert(conn, digest, "{}", ahead)?;
            half_sessions::find(conn, digest, now)
        });
        assert_eq!(found.await.unwrap(), None);
    }

    /// Whoever may write a state must not be somebody by it.
    #[actix_web::test]
    async fn half_a_session_has_no_owner() {
        let (store, _, _folder) = store().await;
        store.save(state(OWNER), &NO_TTL).await.unwrap_err();
        let key = store.save(state("flow"), &NO_TTL).await.unwrap();
        let key = store.update(key, state(OWNER), &NO_TTL).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), Some(state("flow")));
    }
}
