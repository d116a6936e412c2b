//! Settings → Integrations.

mod change;
mod create_key;
mod limits;
mod organization_settings;
mod page;
mod revoke_key;
mod rotate_key;
mod usage;
