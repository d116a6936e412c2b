//! A response, read to its end.

use keystead::domain::secret::Secret;
use reqwest::header::HeaderMap;
use scraper::{Html, Selector};

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    /// This answer, if it has the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("the body is UTF-8")
    }

    /// A header's value, empty when there is none.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `Set-Cookie` of the session, or of the device.
    #[track_caller]
    pub fn set_cookie(&self, of_device: bool) -> String {
        let cookies = self.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
        let mut ours = cookies.filter(|cookie| cookie.contains("-device=") == of_device);
        ours.next().expect("a cookie is set").to_owned()
    }

    /// All headers in one text, to look for what must not be in any of them.
    pub fn all_headers(&self) -> String {
        format!("{:?}", self.headers)
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The problem document of a failure for programs.
    #[track_caller]
    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for text in ["title", "detail", "code"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }

    /// The text of every element that matches, blanks collapsed.
    #[track_caller]
    pub fn all(&self, selector: &str) -> Vec<String> {
        let (html, selector) = (Html::parse_document(self.text()), Selector::parse(selector).unwrap());
        html.select(&selector).map(|element| collapsed(&element.text().collect::<String>())).collect()
    }

    /// The text of the only element that matches.
    #[track_caller]
    pub fn one(&self, selector: &str) -> String {
        let mut all = self.all(selector);
        assert_eq!(all.len(), 1, "{selector} in {}", self.text());
        all.remove(0)
    }

    /// The text of the only element that matches, blanks and all.
    #[track_caller]
    pub fn exact_text(&self, selector: &str) -> String {
        let (html, matching) = (Html::parse_document(self.text()), Selector::parse(selector).unwrap());
        let mut found = html.select(&matching).map(|element| element.text().collect::<String>());
        let text = found.next().unwrap_or_else(|| panic!("{selector} in {}", self.text()));
        assert!(found.next().is_none(), "{selector} more than once");
        text
    }

    /// What the form says at its top.
    #[track_caller]
    pub fn alert(&self) -> String {
        self.one(if self.is_page() { "main [role=alert] p" } else { "[role=alert] p" })
    }

    #[track_caller]
    pub fn has(&self, selector: &str) -> bool {
        !self.all(selector).is_empty()
    }

    /// An attribute of every element that matches and has it.
    #[track_caller]
    pub fn attributes(&self, selector: &str, attribute: &str) -> Vec<String> {
        let (html, selector) = (Html::parse_document(self.text()), Selector::parse(selector).unwrap());
        html.select(&selector).filter_map(|element| element.attr(attribute)).map(str::to_owned).collect()
    }

    /// An attribute of the only element that matches.
    #[track_caller]
    pub fn attribute(&self, selector: &str, attribute: &str) -> String {
        let mut all = self.attributes(selector, attribute);
        assert_eq!(all.len(), 1, "{attribute} of {selector} in {}", self.text());
        all.remove(0)
    }

    /// The value of a form's field.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        let place = if self.is_page() { "main " } else { "" };
        self.attribute(&format!("{place}form[method=post] input[name={name}]"), "value")
    }

    /// The key that this answer shows; `None` when it shows none.
    #[track_caller]
    pub fn secret(&self) -> Option<String> {
        let shown = self.all("#secret");
        assert!(shown.len() <= 1);
        shown.into_iter().next().inspect(|secret| assert!(Secret::parse(secret).is_ok(), "{secret} is no key"))
    }

    /// Whether this is a whole page, not a fragment.
    pub fn is_page(&self) -> bool {
        self.text().trim_start().starts_with("<!doctype html>")
    }
}

fn collapsed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
