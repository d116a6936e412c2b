//! `POST /v1/keys/verify`: is this key good?

use std::fmt;

use actix_web::{HttpResponse, web};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
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

/// `{"key": "…"}`; other members are ignored.
struct Question {
    key: Zeroizing<String>,
}

/// By hand, because a derived one would also take `["…"]`.
impl<'de> Deserialize<'de> for Question {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Question;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the member `key`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Question, A::Error> {
                let mut key = None;
                while let Some(name) = members.next_key::<String>()? {
                    if name != "key" {
                        members.next_value::<IgnoredAny>()?;
                    } else if key.replace(members.next_value()?).is_some() {
                        return Err(Error::duplicate_field("key"));
                    }
                }
                Ok(Question { key: key.ok_or_else(|| Error::missing_field("key"))? })
            }
        }

        deserializer.deserialize_map(Members)
    }
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
