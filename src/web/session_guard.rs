//! The guard: what stands behind it is for members of the session's organization, and they are who the database says.

use std::future::{Ready, ready};

use actix_session::Session;
use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
    web,
};

use super::{
    htmx, return_path,
    session::{self, OWNER, Owner},
};
use crate::{
    actions::resume_session::{Remembered, Viewer, resume_session},
    app::Site,
    middleware::{client::client_of, failure::Failure},
};

/// The middleware of every scope that only members may enter; what each may do there, actions ask.
pub async fn members_only(
    site: web::Data<Site>,
    session: Session,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match viewer_of(&site, &session, request.request()).await {
        Ok(Some(viewer)) => {
            request.extensions_mut().insert(viewer);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Ok(None) => {
            let answer = to_sign_in(&site, request.request());
            Ok(request.into_response(answer))
        }
        Err(failure) => Ok(request.into_response(failure.into_response())),
    }
}

/// The person whose session this is, if there is one.
///
/// # Errors
/// A fault when the database cannot be read.
pub async fn viewer_of(site: &Site, session: &Session, request: &HttpRequest) -> Result<Option<Viewer>, Failure> {
    let Ok(Some(owner)) = session.get::<Owner>(OWNER) else { return Ok(None) };
    let Some(signed_in) = owner.signed_in() else { return Ok(None) };
    let remembered = Remembered {
        session_id: signed_in.session_id,
        user_id: signed_in.user.0,
        organization_id: signed_in.organization_id,
    };
    let client = client_of(request, &site.config.trusted_proxies);
    Ok(resume_session(site, remembered, client).await?)
}

/// Where somebody without a session is sent, and what brings them back.
fn to_sign_in(site: &Site, request: &HttpRequest) -> HttpResponse {
    let is_htmx = htmx::is_htmx(request);
    // A fragment or a post is no place to come back to.
    let is_page = request.method() == Method::GET && request.path().starts_with("/settings") && !is_htmx;
    let back =
        if is_page { request.uri().path_and_query().map_or("/", |path| path.as_str()) } else { return_path::HOME };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", back);
    // Whoever comes for a page and never signed in has no session that could have ended. Whoever stood on a page had one,
    // even if signing out in another tab took the cookie away.
    if !is_page || request.cookie(&session::cookie_name(site)).is_some() {
        query.append_pair("ended", "1");
    }
    let location = format!("/sign-in?{}", query.finish());
    if is_htmx {
        HttpResponse::Unauthorized().insert_header(("HX-Redirect", location)).finish()
    } else {
        HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
    }
}

/// Handlers behind the guard take a `Viewer`; without the guard there is none, and the request fails.
impl FromRequest for Viewer {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            request
                .extensions()
                .get::<Self>()
                .cloned()
                .ok_or_else(|| Failure::fault("The page stands outside its guard.")),
        )
    }
}
