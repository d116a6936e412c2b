//! Answers and readings that several pop-ups share.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::usage::number;
use crate::{
    actions::{
        error_code::{ErrorCode, NOT_FOUND},
        limits::LimitReached,
        resume_session::Viewer,
    },
    app::Site,
    domain::{form_token::FormToken, ids::KeyId, secret::EntropyError},
    middleware::failure::Failure,
    web::{
        htmx::{self, dialog},
        page::Page,
        section::Section,
    },
};

/// What this module is.
pub const SECTION: Section = Section::Integrations;

/// A pop-up that only says something, with a way back.
#[derive(Template)]
#[template(path = "integrations/notice.html", blocks = ["modal"])]
struct Notice {
    page: Page,
    heading: String,
    message: String,
    list_page: i64,
}

dialog!(Notice);

/// The answer to a form that was submitted before.
pub fn already_done(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    done: &str,
    list_page: i64,
) -> Result<HttpResponse, Failure> {
    let notice = Notice {
        page: Page::of_settings(site, request, viewer, SECTION),
        heading: format!("This key was already {done}"),
        message: format!("This key was already {done}. Its secret can't be shown again. Rotate it to get a new one."),
        list_page,
    };
    htmx::dialog_answer(request, StatusCode::CONFLICT, &notice)
}

/// The answer when an organization has or did as much as it may: what the limit is, and what to do.
pub fn limit_reached(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    limit: &LimitReached,
    list_page: i64,
) -> Result<HttpResponse, Failure> {
    let of_day = |seconds: i64| {
        let hours = (seconds + 3599) / 3600;
        if hours == 1 { "within an hour".to_owned() } else { format!("in {hours} hours") }
    };
    let (status, heading, message, wait) = match *limit {
        LimitReached::Keys(most) => {
            let message = format!(
                "Your organization has {} API keys, which is as many as it may have. Revoke one that is no longer used, or \
                 ask whoever runs this site for more. Nothing was changed.",
                number(most.unsigned_abs())
            );
            (StatusCode::CONFLICT, "No more keys", message, None)
        }
        LimitReached::KeysToday(most, wait) => {
            let message = format!(
                "Your organization created {} API keys today, which is as many as it may create in a day. The next day begins \
                 at midnight UTC, {}. Nothing was changed.",
                number(most.unsigned_abs()),
                of_day(wait)
            );
            (StatusCode::TOO_MANY_REQUESTS, "No more keys today", message, Some(wait))
        }
        LimitReached::RotationsToday(most, wait) => {
            let message = format!(
                "Your organization rotated API keys {} times today, which is as often as it may in a day. The next day begins \
                 at midnight UTC, {}. To stop a key from working now, revoke it. Nothing was changed.",
                number(most.unsigned_abs()),
                of_day(wait)
            );
            (StatusCode::TOO_MANY_REQUESTS, "No more rotations today", message, Some(wait))
        }
        LimitReached::TooFast(wait) => {
            let unit = if wait == 1 { "second" } else { "seconds" };
            let message = format!(
                "You made very many changes in a short time. Wait {wait} {unit} and try again. Nothing was changed."
            );
            (StatusCode::TOO_MANY_REQUESTS, "Too many changes", message, Some(wait))
        }
    };
    let failure = Failure { retry_after: wait, ..Failure::new(status, limit.code(), heading, message.clone()) };
    let page = Page::of_settings(site, request, viewer, SECTION);
    let notice = Notice { page, heading: heading.to_owned(), message, list_page };
    let mut answer = htmx::dialog_answer(request, status, &notice)?;
    htmx::copy_failure(&mut answer, &failure);
    Ok(answer)
}

/// The answer for a key that is unknown, revoked or another organization's: the three cannot be told apart.
pub fn no_such_key() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        NOT_FOUND,
        "This key no longer exists",
        "It may have been revoked in another tab or by another admin.",
    )
}

/// The key that a path names.
///
/// # Errors
/// [`no_such_key`] when it cannot name one.
pub fn key_id(path: &web::Path<String>) -> Result<KeyId, Failure> {
    KeyId::parse(path).ok_or_else(no_such_key)
}

/// A token for a form about to be shown.
///
/// # Errors
/// A fault when there are no random bytes.
pub fn new_form_token() -> Result<FormToken, Failure> {
    FormToken::generate().map_err(no_entropy)
}

/// The operating system gave no random bytes.
pub fn no_entropy(error: EntropyError) -> Failure {
    tracing::error!(%error, "no random bytes");
    Failure::fault("")
}

/// What a form without its hidden fields is told.
pub const INCOMPLETE: &str = "This form is incomplete. Reload the page and try again.";

/// `page=N` of the query, 1 if there is none that can be read.
pub fn list_page_of(request: &HttpRequest) -> i64 {
    let pairs = form_urlencoded::parse(request.query_string().as_bytes());
    let page = pairs.into_iter().find(|(name, _)| name == "page").and_then(|(_, page)| page.parse().ok());
    page.filter(|page| *page >= 1).unwrap_or(1)
}
