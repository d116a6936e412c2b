//! The pop-up Rotate API Key.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use super::{
    answers::{INCOMPLETE, SECTION, already_done, key_id, limit_reached, list_page_of, new_form_token, no_entropy},
    key_list::{KeyRow, add_list, key_gone},
    reveal_key::reveal,
};
use crate::{
    actions::{
        find_key::find_key,
        resume_session::Viewer,
        rotate_key::{RotateKey, RotateKeyError, rotate_key},
    },
    app::Site,
    domain::{form_token::FormToken, permission::Permission, usage::KeyWithUsage},
    middleware::failure::Failure,
    web::{
        htmx::{self, Fragments, dialog},
        page::Page,
    },
};

#[derive(Template)]
#[template(path = "integrations/rotate_key.html", blocks = ["modal"])]
struct RotateKeyDialog {
    page: Page,
    key: KeyRow,
    idem: String,
    list_page: i64,
    alert: Option<String>,
}

dialog!(RotateKeyDialog);

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct RotateKeyForm {
    version: String,
    idem: String,
    page: String,
}

const CHANGED: &str = "This key was rotated in the meantime, perhaps in another tab. \
    If you rotate it now, the key made then stops working.";

/// `GET /settings/integrations/keys/{id}/rotate`
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

/// `POST /settings/integrations/keys/{id}/rotate`
pub async fn submit(
    site: web::Data<Site>,
    request: HttpRequest,
    viewer: Viewer,
    id: web::Path<String>,
    form: web::Form<RotateKeyForm>,
) -> Result<HttpResponse, Failure> {
    let id = key_id(&id)?;
    let list_page = form.page.parse().unwrap_or(1);
    let input = match (form.version.parse(), FormToken::parse(&form.idem)) {
        (Ok(version), Some(form_token)) => RotateKey { key_id: id.clone(), version, form_token },
        _ => {
            let Some(key) = find_key(&site.keys, &viewer.authority, id).await? else {
                return key_gone(&site, &request, &viewer, list_page).await;
            };
            let alert = Some(INCOMPLETE.to_owned());
            return ask(&site, &request, &viewer, StatusCode::UNPROCESSABLE_ENTITY, &key, list_page, alert);
        }
    };
    match rotate_key(&site.keys, &viewer.authority, input).await {
        Ok(new) => {
            let reveal = reveal(&site, &request, &viewer, &new, list_page).await;
            if !htmx::is_htmx(&request) {
                return htmx::page(StatusCode::OK, &reveal);
            }
            let answer = Fragments::default().modal(&reveal)?;
            let answer = add_list(&site, &viewer, list_page, Some(&new.id), answer).await?;
            Ok(answer.answer(HttpResponse::Ok()))
        }
        Err(RotateKeyError::NotFound) => key_gone(&site, &request, &viewer, list_page).await,
        Err(RotateKeyError::Repeated) => already_done(&site, &request, &viewer, "rotated", list_page),
        Err(RotateKeyError::Changed(key)) => {
            let Some(key) = find_key(&site.keys, &viewer.authority, key.id).await? else {
                return key_gone(&site, &request, &viewer, list_page).await;
            };
            ask(&site, &request, &viewer, StatusCode::CONFLICT, &key, list_page, Some(CHANGED.to_owned()))
        }
        Err(RotateKeyError::Limit(limit)) => limit_reached(&site, &request, &viewer, &limit, list_page),
        Err(RotateKeyError::Entropy(error)) => Err(no_entropy(error)),
        Err(RotateKeyError::NotPermitted(error)) => Err(error.into()),
        Err(RotateKeyError::Store(error)) => Err(Failure::of_store(&error)),
    }
}

/// The dialog, with a token of its own each time it is shown.
fn ask(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    status: StatusCode,
    key: &KeyWithUsage,
    list_page: i64,
    alert: Option<String>,
) -> Result<HttpResponse, Failure> {
    let dialog = RotateKeyDialog {
        page: Page::of_settings(site, request, viewer, SECTION),
        key: KeyRow::new(key, site.clock.now()),
        idem: new_form_token()?.as_str().to_owned(),
        list_page,
        alert,
    };
    htmx::dialog_answer(request, status, &dialog)
}
