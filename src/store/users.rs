//! Tables `users` and `memberships`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::Millis,
    schema::{memberships, organizations, users},
};
use crate::domain::{
    email::Email,
    ids::{OrgId, UserId},
    name::Name,
    user::{Role, User},
};

/// A user in one of their organizations.
pub struct Member {
    /// Id and name of the person.
    pub user: (UserId, Name),
    /// Id and name of the organization.
    pub organization: (OrgId, Name),
    /// What they may do there.
    pub role: Role,
}

/// What signing in asks of an account.
pub struct Account {
    /// The user, in the organization they work in.
    pub member: Member,
    /// In PHC string format.
    pub password_hash: String,
    /// Which devices are known: those that signed in since it last grew.
    pub device_epoch: i64,
}

/// Adds a user; [`StoreError::Unique`] when the address has an account, in whatever spelling.
pub fn insert(conn: &mut Conn, user: &User, password_hash: &str) -> Result<(), StoreError> {
    let taken = users::table.filter(users::email_folded.eq_any(user.email.spellings()));
    if diesel::select(diesel::dsl::exists(taken)).get_result(conn)? {
        return Err(StoreError::Unique);
    }
    diesel::insert_into(users::table)
        .values((
            users::id.eq(user.id.as_str()),
            users::email.eq(user.email.as_str()),
            users::email_folded.eq(user.email.folded()),
            users::name.eq(user.name.as_str()),
            users::password_hash.eq(password_hash),
            users::created_at.eq(Millis::from(user.created_at)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Makes a user a member of an organization.
pub fn insert_membership(
    conn: &mut Conn,
    organization_id: &OrgId,
    user_id: &UserId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(memberships::table)
        .values((
            memberships::organization_id.eq(organization_id.as_str()),
            memberships::user_id.eq(user_id.as_str()),
            memberships::role.eq(role.as_str()),
            memberships::created_at.eq(Millis::from(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Gives a user another password; from then on no device is known.
pub fn set_password_hash(conn: &mut Conn, id: &UserId, password_hash: &str) -> Result<(), StoreError> {
    diesel::update(users::table.find(id.as_str()))
        .set((users::password_hash.eq(password_hash), users::device_epoch.eq(users::device_epoch + 1)))
        .execute(conn)?;
    Ok(())
}

/// Whether anybody has an account.
pub fn any(conn: &mut Conn) -> Result<bool, StoreError> {
    Ok(diesel::select(diesel::dsl::exists(users::table.select(users::id))).get_result(conn)?)
}

/// The account of an address. Where two spellings of one address became two accounts before, each has its own.
pub fn find_by_email(conn: &mut Conn, email: &Email) -> Result<Option<Account>, StoreError> {
    let mut found = None;
    // Every spelling is asked for, also after one was found: the time tells nothing.
    for spelling in email.spellings() {
        let row: Option<(MemberRow, String, i64)> = users::table
            .inner_join(memberships::table.inner_join(organizations::table))
            .filter(users::email_folded.eq(spelling))
            .order(memberships::created_at)
            .select((MEMBER_COLUMNS, users::password_hash, users::device_epoch))
            .first(conn)
            .optional()?;
        found = found.or(row);
    }
    found
        .map(|(member, password_hash, device_epoch)| {
            Ok(Account { member: member_from(member)?, password_hash, device_epoch })
        })
        .transpose()
}

/// The user, if they are still a member of the organization.
pub fn find_member(conn: &mut Conn, organization_id: &OrgId, user_id: &UserId) -> Result<Option<Member>, StoreError> {
    let row: Option<MemberRow> = users::table
        .inner_join(memberships::table.inner_join(organizations::table))
        .filter(memberships::organization_id.eq(organization_id.as_str()))
        .filter(memberships::user_id.eq(user_id.as_str()))
        .select(MEMBER_COLUMNS)
        .first(conn)
        .optional()?;
    row.map(member_from).transpose()
}

type MemberRow = (String, String, String, String, String);
type MemberColumns = (users::id, users::name, organizations::id, organizations::name, memberships::role);
const MEMBER_COLUMNS: MemberColumns =
    (users::id, users::name, organizations::id, organizations::name, memberships::role);

fn member_from((user_id, user_name, org_id, org_name, role): MemberRow) -> Result<Member, StoreError> {
    Ok(Member {
        user: (UserId::parse(&user_id).ok_or_else(|| StoreError::damaged("users.id"))?, Name::stored(&user_name)),
        organization: (
            OrgId::parse(&org_id).ok_or_else(|| StoreError::damaged("organizations.id"))?,
            Name::stored(&org_name),
        ),
        role: Role::parse(&role).ok_or_else(|| StoreError::damaged("memberships.role"))?,
    })
}
