//! Organizations: who keys belong to.

use chrono::{DateTime, Utc};

use super::{ids::OrgId, name::Name};

/// A tenant: its members administer its keys and nobody else's.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Shown at the top of the page.
    pub id: OrgId,
    /// As typed at set-up.
    pub name: Name,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}
