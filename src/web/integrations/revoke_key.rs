//! The pop-up Revoke API Key.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use super::{
    answers::{INCOMPLETE, SECTION, key_id, list_page_of},
    key_list::{KeyRow, add_list, key_gone},
};
use crate::{
    actions::{
        find_key::find_key,
        resume_session::Viewer,
        revoke_key::{RevokeKey, RevokeKeyError, revoke_key},
    },
    app::Site,
    domain::{
        name::Name,
        permission::Permission,
        usage::{Activity, KeyWithUsage},
    },
    key_index::Receipt,
    middleware::failure::Failure,
    web::{
        htmx::{self, Fragments, dialog},
        page::{Page, Toast, ToastKind},
        return_path::HOME,
        see_other, session,
    },
};

#[derive(Template)]
#[template(path = "integrations/revoke_key.html", blocks = ["modal"])]
struct RevokeKeyDialog {
    page: Page,
    key: KeyRow,
    list_page: i64,
    alert: Option<String>,
    /// Seconds that a browser waits for the answer: the longest lease, and some more.
    patience: u64,
}

dialog!(RevokeKeyDialog);

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct RevokeKeyForm {
    version: String,
    page: String,
}

/// `GET /settings/integrations/keys/{id}/revoke`
pub async fn show(
    site: web::Data<Site>,
    request: HttpRequest,
    viewer: Viewer,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    viewer.authority.require(Permission::ChangeKeys)?;
    let list_page = list_page_of(&request);
    let Some(key) = find_key(&site.keys, &viewer.authority, key_id(&id)?).await? else {
        return key_gone(&site, &request, &viewer, list_page).await;
    };
    ask(&site, &request, &viewer, StatusCode::OK, &key, list_page, None)
}

/// `POST /settings/integrations/keys/{id}/revoke`
pub async fn submit(
    site: web::Data<Site>,
    session: Session,
    request: HttpRequest,
    viewer: Viewer,
    id: web::Path<String>,
    form: web::Form<RevokeKeyForm>,
) -> Result<HttpResponse, Failure> {
    let id = key_id(&id)?;
    let list_page = form.page.parse().unwrap_or(1);
    let Ok(version) = form.version.parse() else {
        let Some(key) = find_key(&site.keys, &viewer.authority, id).await? else {
            return key_gone(&site, &request, &viewer, list_page).await;
        };
        let alert = Some(INCOMPLETE.to_owned());
        return ask(&site, &request, &viewer, StatusCode::UNPROCESSABLE_ENTITY, &key, list_page, alert);
    };
    match revoke_key(&site.keys, &viewer.authority, RevokeKey { key_id: id, version }).await {
        Ok((key, receipt)) => {
            let toast = revoked(&key.name, &receipt);
            if !htmx::is_htmx(&request) {
                session::keep_toast(&session, &toast);
                return Ok(see_other(&if list_page > 1 {
                    format!("{HOME}?page={list_page}")
                } else {
                    HOME.to_owned()
                }));
            }
            let answer = add_list(&site, &viewer, list_page, None, Fragments::default()).await?.toast(toast)?;
            let mut builder = HttpResponse::Ok();
            builder.insert_header(("HX-Trigger", "modal:close"));
            Ok(answer.answer(builder))
        }
        Err(RevokeKeyError::NotFound) => key_gone(&site, &request, &viewer, list_page).await,
        Err(RevokeKeyError::UnknownVersion(key)) => {
            let Some(key) = find_key(&site.keys, &viewer.authority, key.id).await? else {
                return key_gone(&site, &request, &viewer, list_page).await;
            };
            let alert = Some("This form is out of date. Check the key below and confirm once more.".to_owned());
            ask(&site, &request, &viewer, StatusCode::CONFLICT, &key, list_page, alert)
        }
        Err(RevokeKeyError::NotPermitted(error)) => Err(error.into()),
        Err(RevokeKeyError::Store(error)) => Err(Failure::of_store(&error)),
    }
}

fn revoked(name: &Name, receipt: &Receipt) -> Toast {
    let (kind, title, what) = if receipt.is_lost {
        (ToastKind::Bad, "This revocation may be lost", "was revoked")
    } else {
        (ToastKind::Good, "API key revoked", "no longer works")
    };
    Toast { kind, title: title.to_owned(), body: format!("{name} {what}. {receipt}") }
}

fn ask(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    status: StatusCode,
    key: &KeyWithUsage,
    list_page: i64,
    alert: Option<String>,
) -> Result<HttpResponse, Failure> {
    let dialog = RevokeKeyDialog {
        page: Page::of_settings(site, request, viewer, SECTION),
        key: KeyRow::new(key, site.clock.now()),
        list_page,
        alert,
        patience: site.config.lease.max(site.follower.progress().longest_lease).as_secs() + 15,
    };
    htmx::dialog_answer(request, status, &dialog)
}
