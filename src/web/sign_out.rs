//! The sign-out button.

use actix_session::Session;
use actix_web::{HttpResponse, web};

use super::see_other;
use crate::{actions::sign_out::sign_out, app::App, domain::actor::Admin, middleware::failure::Failure};

/// Ends the session on the server first; the cookie only names it. The body is read to be held to the limit.
///
/// # Errors
/// A fault when the session could not be ended.
pub async fn submit(
    app: web::Data<App>,
    session: Session,
    admin: Admin,
    _body: web::Bytes,
) -> Result<HttpResponse, Failure> {
    sign_out(&app, &admin).await?;
    // Takes the cookie away; that it deletes the row once more does no harm.
    session.purge();
    Ok(see_other("/sign-in"))
}
