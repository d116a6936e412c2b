//! The sign-in page.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{arrival, device_cookie, htmx, page::Page, return_path::return_path, see_other, session_guard::viewer_of};
use crate::{
    actions::{
        error_code::ErrorCode,
        set_up::set_up_token,
        sign_in::{SignInError, sign_in},
    },
    app::Site,
    middleware::{client::client_of, failure::Failure},
};

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/sign-in").route(web::get().to(show)).route(web::post().to(submit)));
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    page: Page,
    return_to: String,
    email: String,
    alert: Option<String>,
    notice: Option<String>,
}

#[derive(Deserialize)]
struct Arrival {
    #[serde(default)]
    return_to: String,
    /// Present when a session ended.
    ended: Option<String>,
    /// Present right after signing in, for a browser that may keep no cookies.
    signed_in: Option<String>,
}

#[derive(Deserialize)]
struct SignInForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    return_to: String,
}

async fn show(
    site: web::Data<Site>,
    session: Session,
    request: HttpRequest,
    arrival: web::Query<Arrival>,
) -> Result<HttpResponse, Failure> {
    let return_to = return_path(&arrival.return_to).to_owned();
    if viewer_of(&site, &session, &request).await?.is_some() {
        return Ok(see_other(&return_to));
    }
    let alert = arrival.signed_in.is_some().then(|| NO_COOKIES.to_owned());
    let notice = if alert.is_some() {
        None
    } else if set_up_token(&site).await?.is_some() {
        Some("There is no account yet. Open the set-up link: the server's output has it, or names the file it is in.")
    } else {
        arrival.ended.is_some().then_some("Your session ended. Sign in to continue.")
    };
    let page = Page::plain(&site, &request, "Sign in");
    let notice = notice.map(str::to_owned);
    htmx::page(StatusCode::OK, &SignInPage { page, return_to, email: String::new(), alert, notice })
}

async fn submit(
    site: web::Data<Site>,
    session: Session,
    request: HttpRequest,
    form: web::Form<SignInForm>,
) -> Result<HttpResponse, Failure> {
    let SignInForm { email, password, return_to } = form.into_inner();
    let return_to = return_path(&return_to).to_owned();
    let client = client_of(&request, &site.config.trusted_proxies);
    let devices = device_cookie::of_request(&site, &request);
    let failure = match sign_in(&site, &client, &email, password, devices).await {
        Ok(arrived) => match arrival::begin(&site, &session, &request, arrived, &return_to).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        },
        Err(SignInError::Wrong) => wrong(),
        Err(SignInError::Throttled(seconds)) => Failure::too_many_attempts(seconds),
        Err(SignInError::Password(fault)) => Failure::of_password(&fault),
        Err(SignInError::Store(error)) => Failure::of_store(&error),
    };
    let page = Page::plain(&site, &request, "Sign in");
    let alert = Some(failure.message_with_id(&request));
    let mut answer = htmx::page(failure.status, &SignInPage { page, return_to, email, alert, notice: None })?;
    htmx::copy_failure(&mut answer, &failure);
    Ok(answer)
}

/// What a browser is shown that came back from signing in without its cookie.
const NO_COOKIES: &str = "Your browser did not keep the cookie that signing in needs, so you are not signed in. \
    Allow cookies for this site, then sign in again.";

/// One sentence for an unknown address and for a wrong password.
fn wrong() -> Failure {
    let message = "The email address or the password is wrong. Check both and try again.";
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, SignInError::Wrong.code(), "That was not right", message)
}
