//! Where a rotation or a revocation is true: `/settings/integrations/changes/{change}`, and what is shown while one waits.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::answers::{SECTION, key_id};
use crate::{
    actions::{
        follow_change::{Reach, follow_change, follow_revocation},
        resume_session::Viewer,
    },
    app::Site,
    domain::position::Position,
    key_index::Receipt,
    middleware::failure::Failure,
    web::{
        htmx::{self, dialog},
        page::Page,
    },
};

/// How long the answer to a rotation waits for its receipt: with all nodes there it needs less, and with one missing the new
/// key must not wait for it.
pub const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a question about a change waits before it says how far it is.
const A_WHILE: Duration = Duration::from_secs(4);

/// A sentence on a change that asks again by itself until nothing is to be waited for.
#[derive(Template)]
#[template(path = "integrations/_receipt.html")]
pub struct ReceiptFragment {
    pub receipt: ReceiptView,
}

/// What is known of a change, in words.
pub struct ReceiptView {
    /// One or two sentences.
    pub words: String,
    /// Where more can be asked for, while something is to be waited for.
    pub next: Option<String>,
    /// Seconds until then.
    pub pause: u8,
}

impl ReceiptView {
    /// Of a rotation.
    pub fn of_rotation(change: Position, reach: &Reach) -> Self {
        match reach {
            Reach::Everywhere(receipt) => Self { words: old_key(receipt), next: None, pause: 0 },
            Reach::SoFar(progress) => {
                let next = format!("/settings/integrations/changes/{change}");
                Self { words: format!("The old one stops working. {}", progress), next: Some(next), pause: 1 }
            }
        }
    }
}

fn old_key(receipt: &Receipt) -> String {
    if receipt.is_lost { receipt.to_string() } else { format!("The old one no longer works. {receipt}") }
}

/// A change as a page of its own.
#[derive(Template)]
#[template(path = "integrations/change.html", blocks = ["modal"])]
struct ChangePage {
    page: Page,
    heading: String,
    words: String,
    /// Where to look again.
    again: Option<String>,
    list_page: i64,
}

dialog!(ChangePage);

/// `GET /settings/integrations/changes/{change}`
pub async fn show(
    site: web::Data<Site>,
    request: HttpRequest,
    viewer: Viewer,
    change: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let change = Position::parse(&change).ok_or_else(no_such_change)?;
    let (key, reach) =
        follow_change(&site.keys, &viewer.authority, change, A_WHILE).await?.ok_or_else(no_such_change)?;
    if htmx::is_htmx(&request) {
        return htmx::fragment(&ReceiptFragment { receipt: ReceiptView::of_rotation(change, &reach) });
    }
    let is_over = matches!(reach, Reach::Everywhere(_));
    let is_lost = matches!(reach, Reach::Everywhere(Receipt { is_lost: true, .. }));
    let heading = match (key.revoked_at.is_some(), is_over) {
        _ if is_lost => format!("This change of {} may be lost", key.name),
        (true, true) => format!("{} no longer works", key.name),
        (true, false) => format!("{} is being refused", key.name),
        (false, true) => format!("The old key of {} no longer works", key.name),
        (false, false) => format!("The old key of {} is being refused", key.name),
    };
    let words = match &reach {
        Reach::Everywhere(receipt) => receipt.to_string(),
        Reach::SoFar(progress) => progress.to_string(),
    };
    let again = (!is_over).then(|| format!("/settings/integrations/changes/{change}"));
    let page = Page::of_settings(&site, &request, &viewer, SECTION);
    htmx::page(StatusCode::OK, &ChangePage { page, heading, words, again, list_page: 1 })
}

/// `GET /settings/integrations/keys/{id}/revoking`: what a revocation waits for that was sent and not answered yet. A fragment
/// for its dialog.
pub async fn show_revoking(
    site: web::Data<Site>,
    viewer: Viewer,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let id = key_id(&id)?;
    let words = follow_revocation(&site.keys, &viewer.authority, id.clone())
        .await?
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let next = Some(format!("/settings/integrations/keys/{id}/revoking"));
    htmx::fragment(&ReceiptFragment { receipt: ReceiptView { words, next, pause: 3 } })
}

fn no_such_change() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "change_not_found",
        "This change is not known",
        "It is too long ago, or it was undone when an older copy of the data was restored. The list shows what holds now.",
    )
}
