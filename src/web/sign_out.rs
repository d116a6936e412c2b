//! The sign-out button.

use actix_session::Session;
use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web,
};

use super::see_other;
use crate::{
    actions::{resume_session::Viewer, sign_out::sign_out},
    app::Site,
    middleware::failure::Failure,
};

/// Ends the session on the server first; the cookie only names it. The body is read to be held to the limit.
///
/// # Errors
/// A fault when the session could not be ended.
pub async fn submit(
    site: web::Data<Site>,
    session: Session,
    viewer: Viewer,
    _body: web::Bytes,
) -> Result<HttpResponse, Failure> {
    sign_out(&site, &viewer.authority, &viewer.session_id).await?;
    // Takes the cookie away; that it deletes the row once more does no harm.
    session.purge();
    let mut answer = see_other("/sign-in");
    if site.public_url.is_trustworthy() {
        // What the browser keeps of the pages; not "cookies", which are also those of other programs on this domain.
        let name = HeaderName::from_static("clear-site-data");
        answer.headers_mut().insert(name, HeaderValue::from_static("\"cache\", \"storage\""));
    }
    Ok(answer)
}
