//! What every page shows around its content: the brand, the theme, who is signed in, toasts.

use actix_web::HttpRequest;
use askama::Template;
use serde::{Deserialize, Serialize};

use super::{return_path, section::Section, theme};
use crate::{actions::resume_session::Viewer, app::Site, domain::name::Name, middleware::failure::Failure};

/// What every full page shows around its content.
pub struct Page {
    /// The product's name.
    pub brand: String,
    /// The section of the settings that it belongs to; `None` outside of them.
    pub section: Option<Section>,
    /// The whole `<title>`.
    pub title: String,
    /// `light`, `dark`, or nothing for what the system prefers.
    pub theme: &'static str,
    /// Where switching the theme comes back to.
    pub return_to: String,
    /// Who is signed in.
    pub viewer: Option<ViewerCard>,
    /// Shown as soon as the page is.
    pub toasts: Vec<Toast>,
}

/// Who is signed in, as the sidebar shows it.
pub struct ViewerCard {
    /// Name of the person.
    pub name: String,
    /// One or two letters.
    pub initials: String,
    /// Where they work.
    pub organization: String,
    /// Their role in the organization, in words.
    pub role: &'static str,
}

/// A short message at the bottom right.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Toast {
    /// Good news or bad.
    pub kind: ToastKind,
    /// A few words.
    pub title: String,
    /// A sentence, or nothing.
    pub body: String,
}

impl Toast {
    /// Says what went wrong.
    pub fn of_failure(failure: &Failure) -> Self {
        Self { kind: ToastKind::Bad, title: failure.heading.clone(), body: failure.message.clone() }
    }
}

/// What a toast tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToastKind {
    /// Goes away by itself.
    Good,
    /// Stays until it is dismissed.
    Bad,
}

impl ToastKind {
    /// Whether it stays.
    pub fn is_bad(&self) -> bool {
        *self == Self::Bad
    }
}

/// One toast, as a fragment.
#[derive(Template)]
#[template(path = "components/toast.html")]
pub struct ToastFragment {
    /// What it says.
    pub toast: Toast,
}

impl Page {
    /// A page for whoever is not signed in.
    pub fn plain(site: &Site, request: &HttpRequest, title: &str) -> Self {
        let brand = site.config.brand.to_string();
        Self {
            title: format!("{title} · {brand}"),
            brand,
            section: None,
            theme: theme::of_request(request),
            return_to: request.path().to_owned(),
            viewer: None,
            toasts: Vec::new(),
        }
    }

    /// A page of the settings.
    pub fn of_settings(site: &Site, request: &HttpRequest, viewer: &Viewer, section: Section) -> Self {
        let page = Self::plain(site, request, &format!("{} · Settings", section.title()));
        let back = if request.method() == actix_web::http::Method::GET {
            request.uri().path_and_query().map_or("/", |path| path.as_str())
        } else {
            // The answer to a post has no address of its own.
            return_path::HOME
        };
        Self { return_to: back.to_owned(), section: Some(section), viewer: Some(ViewerCard::of(viewer)), ..page }
    }

    /// Where a pop-up leads when it is closed, and whoever is lost.
    pub fn home(&self) -> &'static str {
        self.section.unwrap_or(Section::HOME).path()
    }

    /// The name of that place.
    pub fn section_title(&self) -> &'static str {
        self.section.unwrap_or(Section::HOME).title()
    }
}

impl ViewerCard {
    fn of(viewer: &Viewer) -> Self {
        let name = viewer.authority.actor().name().map_or("", Name::as_str);
        Self {
            name: name.to_owned(),
            initials: initials(name),
            organization: viewer.organization_name.to_string(),
            role: viewer.role.label(),
        }
    }
}

/// The first letters of the first and the last word.
fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|word| word.chars().next());
    let first = words.next();
    let last = words.next_back();
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn initials() {
        for (name, expected) in [("Maya Chen", "MC"), ("maya", "M"), ("Ana María de Souza", "AS"), ("張偉", "張")] {
            assert_eq!(super::initials(name), expected);
        }
    }
}
