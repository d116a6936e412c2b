//! Where a rotation or a revocation is true: `/settings/integrations/changes/{change}`, and what is shown while one waits.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::answers::{SECTION, key_id, refused_on};
use crate::{
    actions::{
        follow_change::{Reach, follow_change, follow_revocation},
        resume_session::Viewer,
    },
    app::Site,
    domain::position::Position,
    key_index::{Receipt, ReceiptProgress},
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
                Self { words: format!("The old one stops working. {}", so_far(progress)), next: Some(next), pause: 1 }
            }
        }
    }
}

fn old_key(receipt: &Receipt) -> String {
    let refused = refused_on(receipt);
    if receipt.is_lost { refused } else { format!("The old one no longer works. {refused}") }
}

/// "Refused on 2 of 3 nodes; the third answers nobody in at most 7 seconds."
fn so_far(progress: &ReceiptProgress) -> String {
    let ReceiptProgress { confirmed, nodes, at_most } = progress;
    let refused = match nodes {
        None if *confirmed == 0 => "This node has not confirmed it yet".to_owned(),
        None => "Refused on this node".to_owned(),
        Some(1) => format!("Refused on {confirmed} of 1 node"),
        Some(nodes) => format!("Refused on {confirmed} of {nodes} nodes"),
    };
    let seconds = at_most.as_secs() + u64::from(at_most.subsec_nanos() > 0);
    let in_time = match seconds {
        0 => return format!("{refused}."),
        1 => "in at most 1 second".to_owned(),
        seconds => format!("in at most {seconds} seconds"),
    };
    let Some(nodes) = nodes else { return format!("{refused}; nodes without this change answer nobody {in_time}.") };
    match (nodes.saturating_sub(*confirmed), nodes) {
        // This one knows it and says so in a moment.
        (0, _) => format!("{refused}; sure {in_time}."),
        (1, 1) => format!("{refused}; it answers nobody {in_time}."),
        (1, 2) => format!("{refused}; the other answers nobody {in_time}."),
        (1, 3) => format!("{refused}; the third answers nobody {in_time}."),
        (1, _) => format!("{refused}; the last answers nobody {in_time}."),
        (others, _) => format!("{refused}; the other {others} answer nobody {in_time}."),
    }
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
        Reach::Everywhere(receipt) => refused_on(receipt),
        Reach::SoFar(progress) => so_far(progress),
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
    let words =
        follow_revocation(&site.keys, &viewer.authority, id.clone()).await?.as_ref().map(so_far).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said_without_claiming_more() {
        let says = |confirmed, nodes, ms| {
            so_far(&ReceiptProgress { confirmed, nodes: Some(nodes), at_most: Duration::from_millis(ms) })
        };
        assert_eq!(says(2, 3, 7_000), "Refused on 2 of 3 nodes; the third answers nobody in at most 7 seconds.");
        assert_eq!(says(2, 3, 6_001), "Refused on 2 of 3 nodes; the third answers nobody in at most 7 seconds.");
        assert_eq!(says(1, 3, 900), "Refused on 1 of 3 nodes; the other 2 answer nobody in at most 1 second.");
        assert_eq!(says(1, 2, 2_000), "Refused on 1 of 2 nodes; the other answers nobody in at most 2 seconds.");
        assert_eq!(says(0, 1, 2_000), "Refused on 0 of 1 node; it answers nobody in at most 2 seconds.");
        assert_eq!(says(4, 5, 2_000), "Refused on 4 of 5 nodes; the last answers nobody in at most 2 seconds.");
        assert_eq!(says(3, 3, 0), "Refused on 3 of 3 nodes.");
        let of_unknown =
            |confirmed| so_far(&ReceiptProgress { confirmed, nodes: None, at_most: Duration::from_secs(2) });
        let waits = "nodes without this change answer nobody in at most 2 seconds.";
        assert_eq!(of_unknown(1), format!("Refused on this node; {waits}"));
        assert_eq!(of_unknown(0), format!("This node has not confirmed it yet; {waits}"));
    }
}
