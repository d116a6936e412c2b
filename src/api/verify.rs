//! `POST /v1/keys/verify`: is this key good?

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    actions::verify_key::verify_key,
    app::App,
    domain::verdict::Verdict,
    middleware::{failure::Failure, limits},
};

/// The routes of this room.
pub fn configure(config: &mut web::ServiceConfig) {
    let expected = limits::json(r#"{"key": "…"}"#);
    config.service(web::resource("/v1/keys/verify").app_data(expected).route(web::post().to(verify)));
}

/// `{"key": "…"}`.
#[derive(Deserialize)]
struct Question {
    key: Zeroizing<String>,
}

/// Always 200 for a well-formed question: `code` is `VALID`, or the reason why not.
#[derive(Serialize)]
struct Answer<'a> {
    valid: bool,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> From<&'a Verdict> for Answer<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        Self {
            valid: verdict.is_valid(),
            code: verdict.code(),
            key_id: verdict.key().map(|key| key.id.as_str()),
            organization_id: verdict.key().map(|key| key.organization_id.as_str()),
            name: verdict.key().map(|key| key.name.as_str()),
        }
    }
}

async fn verify(app: web::Data<App>, question: web::Json<Question>) -> Result<HttpResponse, Failure> {
    let verdict = verify_key(&app, &question.key).await?;
    Ok(HttpResponse::Ok().json(Answer::from(&verdict)))
}
