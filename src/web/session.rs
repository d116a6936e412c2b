//! The session of a person: how it begins, and what it remembers. Before it is known whose it is, a browser may have half a
//! session: a state without an owner, for ten minutes, which no handler takes for somebody.

use std::{collections::HashMap, net::IpAddr};

use actix_session::{
    Session,
    storage::{SessionKey, generate_session_key},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::page::Toast;
use crate::{
    actions::open_session::{SignedIn, open_session},
    app::Site,
    domain::{
        actor::Client,
        ids::{OrgId, SessionId, UserId},
        name::Name,
    },
    middleware::failure::Failure,
};

/// Under this name the state holds its [`Owner`]. Only [`begin`] writes it.
pub const OWNER: &str = "owner";
/// Under this name it holds a toast for the next page.
const TOAST: &str = "toast";
/// Under this name it holds, until the answer has its cookie and in memory alone, the key of a session that was opened.
pub const OPENED: &str = "opened";

/// Where the session's key stands.
pub fn cookie_name(site: &Site) -> String {
    site.public_url.cookie_name("keystead")
}

/// Who a session belongs to, and from where it was opened.
#[derive(Debug, Serialize, Deserialize)]
pub struct Owner {
    session_id: String,
    user_id: String,
    user_name: String,
    organization_id: String,
    address: Option<IpAddr>,
    user_agent: Option<String>,
    request_id: Option<String>,
}

impl From<SignedIn> for Owner {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            session_id: signed_in.session_id.to_string(),
            user_id: signed_in.user.0.to_string(),
            user_name: signed_in.user.1.to_string(),
            organization_id: signed_in.organization_id.to_string(),
            address: signed_in.client.address,
            user_agent: signed_in.client.user_agent,
            request_id: signed_in.client.request_id,
        }
    }
}

impl Owner {
    /// Back into domain values; `None` when the state was not written by this program.
    pub fn signed_in(&self) -> Option<SignedIn> {
        Some(SignedIn {
            session_id: SessionId::parse(&self.session_id)?,
            user: (UserId::parse(&self.user_id)?, Name::stored(&self.user_name)),
            organization_id: OrgId::parse(&self.organization_id)?,
            client: Client {
                address: self.address,
                user_agent: self.user_agent.clone(),
                request_id: self.request_id.clone(),
            },
        })
    }
}

/// Opens a session, under a new key, for somebody who just proved who they are. The one before it, whole or half, ends.
///
/// # Errors
/// A fault when the database fails; then nobody is signed in.
pub async fn begin(site: &Site, session: &Session, signed_in: SignedIn) -> Result<(), Failure> {
    let key = generate_session_key();
    let state = state_of(signed_in.clone()).map_err(|_| Failure::fault(""))?;
    open_session(site, digest_of(&key), signed_in, state).await?;
    // Only now: what the library finds changed it saves, and the session from before it ends, whatever the handler answers.
    session.clear();
    session.renew();
    session.insert(OPENED, key.as_ref()).map_err(|_| Failure::unknown())
}

/// As the library reads it: each entry is JSON, and so is the whole.
fn state_of(signed_in: SignedIn) -> serde_json::Result<String> {
    let owner = serde_json::to_string(&Owner::from(signed_in))?;
    serde_json::to_string(&HashMap::from([(OWNER, owner)]))
}

/// By what the database knows the key in a cookie: who reads the table cannot sign in with it.
pub fn digest_of(key: &SessionKey) -> [u8; 32] {
    Sha256::digest(key.as_ref()).into()
}

/// Keeps a toast for the next page, across a redirect.
pub fn keep_toast(session: &Session, toast: &Toast) {
    // Without it the page says less, and nothing is wrong.
    let _ = session.insert(TOAST, toast);
}

/// The toast kept for this page.
pub fn take_toast(session: &Session) -> Option<Toast> {
    // Looked for first: to remove what is not there would count as a change, and every page would write.
    session.contains_key(TOAST).then(|| session.remove_as(TOAST)?.ok())?
}
