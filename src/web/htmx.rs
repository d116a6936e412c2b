//! Answers for htmx: a fragment for the pop-up, and further fragments that find their own places.
//!
//! Every pop-up is also a page: without `HX-Request` the same template is rendered whole.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header::HeaderValue},
};
use askama::Template;

use super::page::{Toast, ToastFragment};
use crate::middleware::{envelope, failure::Failure};

const HTML: &str = "text/html; charset=utf-8";
/// The end of every fragment: `app.js` takes one without it for cut short.
const END: &str = "<i data-end hidden></i>";

/// A template whose block `modal` is a pop-up's content.
pub trait Dialog: Template {
    /// The block alone.
    ///
    /// # Errors
    /// As rendering any template.
    fn render_modal(&self) -> askama::Result<String>;
}

/// Implements [`Dialog`] for templates declared with `blocks = ["modal"]`.
macro_rules! dialog {
    ($($template:ty),+) => {
        $(impl $crate::web::htmx::Dialog for $template {
            fn render_modal(&self) -> askama::Result<String> {
                askama::Template::render(&self.as_modal())
            }
        })+
    };
}
pub(crate) use dialog;

/// Whether htmx asks for a fragment.
pub fn is_htmx(request: &HttpRequest) -> bool {
    envelope::is_htmx(request.headers())
}

/// A whole page.
///
/// # Errors
/// A fault when the template cannot be rendered.
pub fn page(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Failure> {
    Ok(html(status).body(rendered(template.render())?))
}

/// A pop-up: its fragment for htmx, a page for everybody else.
///
/// # Errors
/// A fault when the template cannot be rendered.
pub fn dialog_answer(
    request: &HttpRequest,
    status: StatusCode,
    template: &impl Dialog,
) -> Result<HttpResponse, Failure> {
    if is_htmx(request) {
        return Ok(html(status).body(rendered(template.render_modal())? + END));
    }
    page(status, template)
}

/// A fragment alone.
///
/// # Errors
/// A fault when the template cannot be rendered.
pub fn fragment(template: &impl Template) -> Result<HttpResponse, Failure> {
    Ok(html(StatusCode::OK).body(rendered(template.render())? + END))
}

/// One answer of several fragments.
#[derive(Default)]
pub struct Fragments(String);

impl Fragments {
    /// The content of the pop-up that asked.
    ///
    /// # Errors
    /// A fault when the template cannot be rendered.
    pub fn modal(mut self, template: &impl Dialog) -> Result<Self, Failure> {
        self.0.push_str(&rendered(template.render_modal())?);
        Ok(self)
    }

    /// A fragment for another place of the page.
    ///
    /// # Errors
    /// A fault when the template cannot be rendered.
    pub fn partial(mut self, target: &str, swap: &str, template: &impl Template) -> Result<Self, Failure> {
        let content = rendered(template.render())?;
        self.0.push_str(&format!("<hx-partial hx-target=\"{target}\" hx-swap=\"{swap}\">{content}</hx-partial>"));
        Ok(self)
    }

    /// A toast at the end of the others.
    ///
    /// # Errors
    /// A fault when the template cannot be rendered.
    pub fn toast(self, toast: Toast) -> Result<Self, Failure> {
        self.partial("#toast-live", "beforeend", &ToastFragment { toast })
    }

    /// The answer; `builder` may have headers already.
    pub fn answer(self, mut builder: HttpResponseBuilder) -> HttpResponse {
        builder.content_type(HTML).body(self.0 + END)
    }
}

/// An answer that is a toast, wherever the request wanted its content, and perhaps further fragments.
pub fn toast_answer(status: StatusCode, toast: Toast, further: Fragments) -> HttpResponse {
    let text = ToastFragment { toast }.render().unwrap_or_default();
    let mut builder = html(status);
    builder.insert_header(("HX-Retarget", "#toast-live")).insert_header(("HX-Reswap", "beforeend"));
    builder.body(text + &further.0 + END)
}

fn html(status: StatusCode) -> HttpResponseBuilder {
    let mut builder = HttpResponse::build(status);
    builder.content_type(HTML);
    builder
}

fn rendered(text: askama::Result<String>) -> Result<String, Failure> {
    text.map_err(|error| {
        tracing::error!(%error, "a template failed");
        // Perhaps the answer of a change that is made.
        Failure::unknown()
    })
}

/// Tells programs what the page tells people: which failure it is, and how long to wait.
pub fn copy_failure(answer: &mut HttpResponse, failure: &Failure) {
    answer.headers_mut().insert(envelope::KEYSTEAD_ANSWER, HeaderValue::from_static(failure.code));
    if let Some(seconds) = failure.retry_after {
        answer.headers_mut().insert(actix_web::http::header::RETRY_AFTER, seconds.into());
    }
}
