//! The pop-up Create New API Key.

use std::borrow::Cow;

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use super::{
    answers::{INCOMPLETE, SECTION, already_done, limit_reached, new_form_token, no_entropy},
    key_list::add_list,
    reveal_key::reveal,
};
use crate::{
    actions::{
        create_key::{CreateKey, CreateKeyError, create_key},
        resume_session::Viewer,
    },
    app::Site,
    domain::{form_token::FormToken, name::Name, permission::Permission},
    middleware::failure::Failure,
    web::{
        htmx::{self, Fragments, dialog},
        name_error::{TOO_LONG, name_error},
        page::Page,
    },
};

#[derive(Template)]
#[template(path = "integrations/create_key.html", blocks = ["modal"])]
struct CreateKeyDialog {
    page: Page,
    name: String,
    idem: String,
    organization_id: String,
    name_error: Option<String>,
    alert: Option<String>,
}

dialog!(CreateKeyDialog);

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct CreateKeyForm {
    name: String,
    idem: String,
    /// The organization that the form was opened for; empty when it does not say.
    organization: String,
}

/// What to say in the dialog that comes back.
pub enum Complaint {
    Name(Cow<'static, str>),
    Form(String),
}

impl TryFrom<&CreateKeyForm> for CreateKey {
    type Error = Complaint;

    fn try_from(form: &CreateKeyForm) -> Result<Self, Complaint> {
        let form_token = FormToken::parse(&form.idem).ok_or_else(|| Complaint::Form(INCOMPLETE.to_owned()))?;
        let name = Name::parse(&form.name)
            .map_err(|error| Complaint::Name(name_error(&error, "Enter a name for this key.").into()))?;
        Ok(Self { name, form_token })
    }
}

const TAKEN: &str = "A key with this name already exists. Choose a different name.";

/// `GET /settings/integrations/keys/new`
pub async fn show(site: web::Data<Site>, request: HttpRequest, viewer: Viewer) -> Result<HttpResponse, Failure> {
    viewer.authority.require(Permission::CreateKeys)?;
    let dialog = CreateKeyDialog {
        page: Page::of_settings(&site, &request, &viewer, SECTION),
        name: String::new(),
        idem: new_form_token()?.as_str().to_owned(),
        organization_id: viewer.authority.organization_id().as_str().to_owned(),
        name_error: None,
        alert: None,
    };
    htmx::dialog_answer(&request, StatusCode::OK, &dialog)
}

/// `POST /settings/integrations/keys`
pub async fn submit(
    site: web::Data<Site>,
    request: HttpRequest,
    viewer: Viewer,
    form: Result<web::Form<CreateKeyForm>, Error>,
) -> Result<HttpResponse, Error> {
    let answer = match form {
        Ok(form) => create(&site, &request, &viewer, form.into_inner()).await?,
        // A name of a megabyte: the dialog stays, with the sentence under the field.
        Err(error) if error.as_response_error().status_code() == StatusCode::PAYLOAD_TOO_LARGE => {
            let (status, form) = (StatusCode::PAYLOAD_TOO_LARGE, CreateKeyForm::default());
            again(&site, &request, &viewer, status, form, Complaint::Name(TOO_LONG.into()))?
        }
        Err(error) => return Err(error),
    };
    Ok(answer)
}

async fn create(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    form: CreateKeyForm,
) -> Result<HttpResponse, Failure> {
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    // All tabs of a browser have one session: somebody else may have signed in since this form was opened.
    if !form.organization.is_empty() && form.organization != viewer.authority.organization_id().as_str() {
        let words = format!(
            "Nothing was created: this form was opened for another organization, and you are now signed in to {}. To create the \
             key there, send it again.",
            viewer.organization_name.as_str()
        );
        return again(site, request, viewer, StatusCode::CONFLICT, form, Complaint::Form(words));
    }
    let input = match CreateKey::try_from(&form) {
        Ok(input) => input,
        Err(complaint) => return again(site, request, viewer, unprocessable, form, complaint),
    };
    match create_key(&site.keys, &viewer.authority, input).await {
        Ok(new) => {
            let reveal = reveal(site, request, viewer, &new, 1).await;
            if !htmx::is_htmx(request) {
                // Never a redirect: the secret exists in this answer alone.
                return htmx::page(StatusCode::OK, &reveal);
            }
            let answer = Fragments::default().modal(&reveal)?;
            let answer = add_list(site, viewer, 1, Some(&new.id), answer).await?;
            Ok(answer.answer(HttpResponse::Ok()))
        }
        Err(CreateKeyError::NameTaken) => {
            again(site, request, viewer, unprocessable, form, Complaint::Name(TAKEN.into()))
        }
        Err(CreateKeyError::Repeated) => already_done(site, request, viewer, "created", 1),
        Err(CreateKeyError::Limit(limit)) => limit_reached(site, request, viewer, &limit, 1),
        Err(CreateKeyError::NotPermitted(error)) => Err(error.into()),
        Err(CreateKeyError::Entropy(error)) => Err(no_entropy(error)),
        Err(CreateKeyError::Store(error)) => {
            let failure = Failure::of_store(&error);
            let complaint = Complaint::Form(failure.message_with_id(request));
            let mut answer = again(site, request, viewer, failure.status, form, complaint)?;
            htmx::copy_failure(&mut answer, &failure);
            Ok(answer)
        }
    }
}

/// The dialog once more, with what was typed and what is wrong with it.
fn again(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    status: StatusCode,
    form: CreateKeyForm,
    complaint: Complaint,
) -> Result<HttpResponse, Failure> {
    let (name_error, alert) = match complaint {
        Complaint::Name(error) => (Some(error.into_owned()), None),
        Complaint::Form(alert) => (None, Some(alert)),
    };
    let idem = match FormToken::parse(&form.idem) {
        Some(token) => token,
        None => new_form_token()?,
    };
    let dialog = CreateKeyDialog {
        page: Page::of_settings(site, request, viewer, SECTION),
        name: form.name,
        idem: idem.as_str().to_owned(),
        organization_id: viewer.authority.organization_id().as_str().to_owned(),
        name_error,
        alert,
    };
    htmx::dialog_answer(request, status, &dialog)
}
