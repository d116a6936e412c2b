//! The set-up page, behind the link that the server prints while no account exists.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{arrival, device_cookie, htmx, name_error::name_error, page::Page, return_path, see_other};
use crate::{
    actions::{
        create_admin::NewAdmin,
        error_code::ErrorCode,
        set_up::{SetUpError, is_open, set_up},
    },
    app::Site,
    domain::{
        email::Email,
        name::Name,
        password::{NewPassword, PasswordError},
    },
    middleware::{client::client_of, failure::Failure},
};

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/setup").route(web::get().to(show)).route(web::post().to(submit)));
}

#[derive(Template)]
#[template(path = "set_up.html")]
struct SetUpPage {
    page: Page,
    token: String,
    organization: String,
    name: String,
    email: String,
    organization_error: Option<String>,
    name_error: Option<String>,
    email_error: Option<String>,
    password_error: Option<String>,
    alert: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SetUpForm {
    token: String,
    organization: String,
    name: String,
    email: String,
    password: Zeroizing<String>,
}

/// What is wrong, field by field.
#[derive(Default)]
struct Errors {
    organization: Option<String>,
    name: Option<String>,
    email: Option<&'static str>,
    password: Option<&'static str>,
}

impl SetUpForm {
    /// Every field is checked, so that every error is shown at once.
    fn check(&self) -> Result<(Name, NewAdmin), Errors> {
        let organization =
            Name::parse(&self.organization).map_err(|e| name_error(&e, "Enter your organization's name."));
        let name = Name::parse(&self.name).map_err(|e| name_error(&e, "Enter your name."));
        let email = Email::parse(&self.email).map_err(|_| "Enter an email address, such as maya@example.com.");
        let context = [&*self.organization, &*self.name, &*self.email];
        let password = NewPassword::parse(self.password.to_string(), &context).map_err(password_error);
        match (organization, name, email, password) {
            (Ok(organization), Ok(name), Ok(email), Ok(password)) => {
                Ok((organization, NewAdmin { name, email, password }))
            }
            (organization, name, email, password) => Err(Errors {
                organization: organization.err(),
                name: name.err(),
                email: email.err(),
                password: password.err(),
            }),
        }
    }

    fn page(self, site: &Site, request: &HttpRequest, errors: Errors, alert: Option<String>) -> SetUpPage {
        let text = |error: Option<&'static str>| error.map(str::to_owned);
        let mut page = Page::plain(site, request, "Set up");
        page.return_to = format!("/setup?token={}", self.token);
        SetUpPage {
            page,
            token: self.token,
            organization: self.organization,
            name: self.name,
            email: self.email,
            organization_error: errors.organization,
            name_error: errors.name,
            email_error: text(errors.email),
            password_error: text(errors.password),
            alert,
        }
    }
}

fn password_error(error: PasswordError) -> &'static str {
    match error {
        PasswordError::TooShort => "Use at least 15 characters.",
        PasswordError::TooLong => "Use 128 characters or fewer.",
        PasswordError::Guessable => "This password is easy to guess. Choose another one.",
    }
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

async fn show(site: web::Data<Site>, request: HttpRequest, link: web::Query<Link>) -> Result<HttpResponse, Failure> {
    if !is_open(&site, &link.token).await? {
        return Err(bad_link());
    }
    let form = SetUpForm { token: link.into_inner().token, ..SetUpForm::default() };
    htmx::page(StatusCode::OK, &form.page(&site, &request, Errors::default(), None))
}

async fn submit(
    site: web::Data<Site>,
    session: Session,
    request: HttpRequest,
    form: web::Form<SetUpForm>,
) -> Result<HttpResponse, Failure> {
    let form = form.into_inner();
    // First the link: whoever has none learns nothing about passwords here.
    if !is_open(&site, &form.token).await? {
        return Err(bad_link());
    }
    let (organization, admin) = match form.check() {
        Ok(input) => input,
        Err(errors) => {
            return htmx::page(StatusCode::UNPROCESSABLE_ENTITY, &form.page(&site, &request, errors, None));
        }
    };
    let client = client_of(&request, &site.config.trusted_proxies);
    let result =
        set_up(&site, &client, &form.token, organization, admin, device_cookie::of_request(&site, &request)).await;
    let again = |failure: Failure| {
        let alert = Some(failure.message_with_id(&request));
        let mut answer = htmx::page(failure.status, &form.page(&site, &request, Errors::default(), alert))?;
        htmx::copy_failure(&mut answer, &failure);
        Ok(answer)
    };
    match result {
        // The account is made: whoever has no session for it yet signs in.
        Ok(arrived) => arrival::begin(&site, &session, &request, arrived, return_path::HOME)
            .await
            .or_else(|_| Ok(see_other("/sign-in"))),
        Err(SetUpError::BadLink) => Err(bad_link()),
        Err(SetUpError::Password(fault)) => again(Failure::of_password(&fault)),
        Err(SetUpError::Store(error)) => again(Failure::of_store(&error)),
    }
}

fn bad_link() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        SetUpError::BadLink.code(),
        "This set-up link is not valid",
        "It works once, while no account exists. If nobody has set up this site yet, use the link in the server's output; otherwise sign in.",
    )
}
