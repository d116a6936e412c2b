//! Sessions in the database, for actix-session; the only module of `web/` that uses the store.

use std::{collections::HashMap, fmt, sync::Arc};

use actix_session::{
    SessionMiddleware,
    config::{BrowserSession, CookieContentSecurity, TtlExtensionPolicy},
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key},
};
use actix_web::cookie::{Key, SameSite, time::Duration};
use sha2::{Digest, Sha256};

use super::session::{OWNER, Owner, cookie_name};
use crate::{
    actions::open_session::open_session,
    app::Site,
    middleware::{envelope::SESSION_UNREAD, failure::advice_on},
    store::{
        StoreError,
        sessions::{self, SessionDigest},
    },
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
        let found = self.site.db.read(move |conn| sessions::find(conn, digest, now)).await;
        let Some(session) = found.map_err(unread)? else { return Ok(None) };
        if let Some(times) = session.extend_to {
            let extended = self.site.db.write::<_, StoreError>(move |conn| sessions::extend(conn, digest, times)).await;
            // That the session ends a minute earlier is no reason to refuse the page.
            if let Err(error) = extended {
                tracing::warn!(%error, "a session could not be extended");
            }
        }
        from_json(&session.state).map(Some).map_err(LoadError::Deserialization)
    }

    /// A session begins here, so its audit event is written here too, in one transaction.
    async fn save(&self, state: State, _ttl: &Duration) -> Result<SessionKey, SaveError> {
        let owner: Option<Owner> = state.get(OWNER).and_then(|json| serde_json::from_str(json).ok());
        let signed_in = owner
            .and_then(|owner| owner.signed_in())
            .ok_or_else(|| SaveError::Serialization(anyhow::anyhow!("a session without an owner")))?;
        let key = generate_session_key();
        let json = to_json(&state).map_err(SaveError::Serialization)?;
        let opened = open_session(&self.site, digest_of(&key), signed_in, json).await;
        opened.map_err(|error| SaveError::Other(error.into()))?;
        Ok(key)
    }

    /// A session that was ended while this request ran stays ended: an update inserts nothing.
    async fn update(&self, key: SessionKey, state: State, _ttl: &Duration) -> Result<SessionKey, UpdateError> {
        let digest = digest_of(&key);
        let json = to_json(&state).map_err(UpdateError::Serialization)?;
        let updated = self.site.db.write(move |conn| sessions::update_state(conn, digest, &json)).await;
        // All that changes in a running session is the next page's toast. The change it reports is made, and an error here
        // would say it was not.
        if let Err(error) = updated {
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
        Ok(self.site.db.write(move |conn| sessions::delete(conn, digest)).await?)
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

fn digest_of(key: &SessionKey) -> SessionDigest {
    Sha256::digest(key.as_ref()).into()
}

fn to_json(state: &State) -> Result<String, anyhow::Error> {
    Ok(serde_json::to_string(state)?)
}

fn from_json(json: &str) -> Result<State, anyhow::Error> {
    Ok(serde_json::from_str(json)?)
}
