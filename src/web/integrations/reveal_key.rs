//! The pop-up Your New API Key: the one place where a secret is shown.

use actix_web::HttpRequest;
use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    answers::SECTION,
    change::{AT_ONCE, ReceiptView},
};
use crate::{
    actions::{create_key::NewKey, follow_change::reach, resume_session::Viewer},
    app::Site,
    web::{
        htmx::{dialog, is_htmx},
        page::Page,
    },
};

/// The dialog. What it holds of the secret is wiped when it is dropped; buffers that grew while it was made, and the
/// answer's own, are not ours to wipe.
#[derive(Template)]
#[template(path = "integrations/reveal_key.html", blocks = ["modal"])]
pub struct RevealKeyDialog {
    page: Page,
    key_name: String,
    secret: Zeroizing<String>,
    env_name: String,
    /// Where the key before it is refused, when there was one.
    receipt: Option<ReceiptView>,
    is_known_here: bool,
    list_page: i64,
    file_stem: String,
    env: Zeroizing<String>,
    txt: Zeroizing<String>,
    json: Zeroizing<String>,
    /// For browsers without scripts; htmx needs none.
    plain_downloads: Vec<PlainDownload>,
    verify_url: String,
}

dialog!(RevealKeyDialog);

/// A link that carries its file itself.
struct PlainDownload {
    name: String,
    extension: &'static str,
    href: Zeroizing<String>,
}

/// Shows a new secret, once.
pub async fn reveal(
    site: &Site,
    request: &HttpRequest,
    viewer: &Viewer,
    new: &NewKey,
    list_page: i64,
) -> RevealKeyDialog {
    let receipt = if new.is_rotation {
        Some(ReceiptView::of_rotation(new.change, &reach(&site.keys, new.change, AT_ONCE).await))
    } else {
        None
    };
    let secret = new.secret.expose();
    let organization_id = viewer.authority.organization_id().as_str();
    let brand = env_brand(site.config.brand.as_str());
    let env = Zeroizing::new(format!("{brand}_API_KEY={secret}\n{brand}_ORG_ID={organization_id}\n"));
    let txt = Zeroizing::new(format!("{secret}\n"));
    let download = Download { name: new.name.as_str(), id: new.id.as_str(), organization_id, api_key: secret };
    // Text alone: there is nothing in it that could not be written.
    let mut json = Zeroizing::new(serde_json::to_string_pretty(&download).unwrap_or_default());
    json.push('\n');
    let file_stem = file_stem(&format!("{} {}", site.config.brand, new.name));
    let plain = |extension, media_type, content: &str| PlainDownload {
        name: format!("{file_stem}.{extension}"),
        extension,
        href: data_url(media_type, content),
    };
    let plain_downloads = if is_htmx(request) {
        Vec::new()
    } else {
        vec![
            plain("env", "text/plain", &env),
            plain("txt", "text/plain", &txt),
            plain("json", "application/json", &json),
        ]
    };
    RevealKeyDialog {
        page: Page::of_settings(site, request, viewer, SECTION),
        key_name: new.name.to_string(),
        secret: Zeroizing::new(secret.to_owned()),
        env_name: format!("{brand}_API_KEY"),
        receipt,
        is_known_here: new.is_known_here,
        list_page,
        file_stem,
        env,
        txt,
        json,
        plain_downloads,
        verify_url: format!("{}/v1/keys/verify", site.public_url.as_str()),
    }
}

/// The `.json` download.
#[derive(Serialize)]
struct Download<'a> {
    name: &'a str,
    id: &'a str,
    organization_id: &'a str,
    api_key: &'a str,
}

/// `Talvin AI` → `TALVIN_AI`: a name every shell takes.
pub fn env_brand(brand: &str) -> String {
    let name = words(brand).join("_").to_uppercase();
    match name.chars().next() {
        None => "KEYSTEAD".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("_{name}"),
        Some(_) => name,
    }
}

/// `Talvin AI Production` → `talvin-ai-production`: a file name every system takes.
fn file_stem(text: &str) -> String {
    let stem = words(text).join("-").to_lowercase();
    // Without a stem `.env` would be a hidden file.
    if stem.is_empty() { "api-key".to_owned() } else { stem }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

/// Works with scripts off and under the strictest content security policy.
fn data_url(media_type: &str, content: &str) -> Zeroizing<String> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
    Zeroizing::new(format!("data:{media_type};charset=utf-8,{}", utf8_percent_encode(content, KEPT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_shells_and_files() {
        assert_eq!(env_brand("Talvin AI"), "TALVIN_AI");
        assert_eq!(env_brand("7-Seas"), "_7_SEAS");
        assert_eq!(env_brand("本"), "KEYSTEAD");
        assert_eq!(file_stem("本 番"), "api-key");
        assert_eq!(file_stem("Talvin AI ../Prod: \"EU\""), "talvin-ai-prod-eu");
    }

    #[test]
    fn data_urls_carry_the_content_unchanged() {
        let url = data_url("text/plain", "A=b\nc&\"<>#%é");
        assert_eq!(*url, "data:text/plain;charset=utf-8,A%3Db%0Ac%26%22%3C%3E%23%25%C3%A9");
    }
}
