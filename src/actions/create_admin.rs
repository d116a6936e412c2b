//! Create an admin from the command line, of a new organization or of one that exists.

use chrono::{DateTime, Utc};

use crate::{
    clock::Clock,
    domain::{
        actor::{Actor, Client},
        audit_event::{AuditAction, AuditActor, AuditEvent, Target},
        email::Email,
        ids::{OrgId, UserId},
        name::Name,
        organization::Organization,
        password::NewPassword,
        user::{Role, User},
    },
    passwords::{PasswordFault, Passwords},
    store::{Conn, Db, StoreError, audit_events, installation, organizations, users},
};

/// A person about to become an admin.
#[derive(Debug)]
pub struct NewAdmin {
    /// What others see.
    pub name: Name,
    /// What they sign in with.
    pub email: Email,
    /// Kept only as a hash.
    pub password: NewPassword,
}

/// Where the admin will work.
#[derive(Debug)]
pub enum Workplace {
    /// A new organization of this name.
    New(Name),
    /// One that exists.
    Existing(OrgId),
}

/// Why there is no new admin.
#[derive(Debug, thiserror::Error)]
pub enum CreateAdminError {
    /// No organization has this id.
    #[error("there is no organization {0}")]
    NoOrganization(OrgId),
    /// One account an address.
    #[error("there is already an account with this email address")]
    EmailTaken,
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The database; nothing was changed, unless it is [`StoreError::Unknown`].
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for CreateAdminError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unique => Self::EmailTaken,
            other => Self::Store(other),
        }
    }
}

/// Creates an admin; returns their organization's id.
///
/// # Errors
/// See [`CreateAdminError`].
pub async fn create_admin(
    db: &Db,
    clock: &dyn Clock,
    passwords: &Passwords,
    workplace: Workplace,
    admin: NewAdmin,
) -> Result<OrgId, CreateAdminError> {
    let hash = passwords.hash(admin.password).await?;
    let now = clock.now();
    db.write(move |conn| {
        if let Workplace::Existing(id) = &workplace
            && organizations::find_name(conn, id)?.is_none()
        {
            return Err(CreateAdminError::NoOrganization(id.clone()));
        }
        // From here on the set-up link is closed.
        installation::insert_once(conn, installation::SET_UP, &now.to_rfc3339())?;
        let (user, organization_id) = insert_admin(conn, workplace, (admin.name, admin.email), &hash, now)?;
        let event = AuditEvent {
            organization_id: Some(organization_id.clone()),
            actor: AuditActor::Known(Actor::CommandLine),
            action: AuditAction::AdminCreated,
            target: Some(Target::User(user.0, user.1)),
            changes: Vec::new(),
            at: now,
            client: Client::default(),
        };
        audit_events::insert(conn, &event)?;
        Ok(organization_id)
    })
    .await
}

/// Inserts everything a new admin needs. Who calls it tells of it, in the same transaction.
pub(super) fn insert_admin(
    conn: &mut Conn,
    workplace: Workplace,
    (name, email): (Name, Email),
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<((UserId, Name), OrgId), StoreError> {
    let organization_id = match workplace {
        Workplace::Existing(id) => id,
        Workplace::New(name) => {
            let organization = Organization { id: OrgId::generate(now), name, created_at: now };
            organizations::insert(conn, &organization)?;
            organization.id
        }
    };
    let user = User { id: UserId::generate(now), email, name, created_at: now };
    users::insert(conn, &user, password_hash)?;
    users::insert_membership(conn, &organization_id, &user.id, Role::Admin, now)?;
    Ok(((user.id, user.name), organization_id))
}
