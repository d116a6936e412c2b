//! Failures for people: a page with a way out, or a toast where the key that htmx asked about is gone.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    htmx::{self, Fragments},
    page::{Page, Toast},
    return_path, theme,
};
use crate::{
    app::Site,
    middleware::{envelope::Asked, failure::Failure},
};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    status: u16,
    heading: String,
    message: String,
    request_id: String,
}

/// Gives a failure a page. To htmx only a 404 is a fragment, and closes the dialog; out of any other 4xx page `app.js`
/// takes the message, and for a 5xx it has its own, and shows it in the dialog, where everything typed stays.
pub fn shape(site: &Site, failure: &Failure, asked: &Asked) -> HttpResponse {
    if asked.is_htmx && failure.status == StatusCode::NOT_FOUND {
        return htmx::toast_answer(failure.status, Toast::of_failure(failure), Fragments::default());
    }
    let brand = site.config.brand.to_string();
    let page = ErrorPage {
        page: Page {
            title: format!("{} · {brand}", failure.heading),
            brand,
            section: None,
            theme: theme::known(asked.theme.as_deref()),
            return_to: return_path::HOME.to_owned(),
            viewer: None,
            toasts: Vec::new(),
        },
        status: failure.status.as_u16(),
        heading: failure.heading.clone(),
        message: failure.message.clone(),
        request_id: asked.request_id.clone(),
    };
    htmx::page(failure.status, &page).unwrap_or_else(|_| {
        // Even the page that says so cannot be rendered.
        HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).content_type("text/html").body("Something went wrong.")
    })
}
