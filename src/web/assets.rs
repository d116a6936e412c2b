//! Static files, embedded and compressed by `build.rs`: the path holds a hash over all of them, so a browser may keep
//! them for ever.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header},
    web,
};
use rust_embed::RustEmbed;

use crate::middleware::failure::Failure;

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/static"]
struct Files;

const HASH: &str = env!("STATIC_HASH");

/// Where a static file is found. Relative addresses in a style sheet resolve beside it.
pub fn url(name: &str) -> String {
    format!("/static/{HASH}/{name}")
}

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/static/{hash}/{name:.*}").route(web::get().to(serve)));
}

async fn serve(request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (hash, name) = path.into_inner();
    let Some(file) = Files::get(&name) else { return Failure::not_found().into_response() };
    // While nodes are updated one by one, a page of one version may ask a node of the other: better the wrong version
    // now than none, but not for ever.
    let keep = if hash == HASH { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = HttpResponse::Ok();
    response.content_type(media_type(&name)).insert_header((header::CACHE_CONTROL, keep));
    let accepted = AcceptEncoding::parse(&request).ok();
    for (encoding, suffix) in [(ContentEncoding::Brotli, ".br"), (ContentEncoding::Gzip, ".gz")] {
        let Some(compressed) = Files::get(&format!("{name}{suffix}")) else { continue };
        response.insert_header((header::VARY, "Accept-Encoding"));
        let supported = [Encoding::Known(encoding), Encoding::identity()];
        let chosen = accepted.as_ref().and_then(|accepted| accepted.negotiate(supported.iter()));
        if chosen == Some(Encoding::Known(encoding)) {
            return response.insert_header(encoding).body(bytes_of(compressed.data));
        }
    }
    response.body(bytes_of(file.data))
}

/// Embedded files are sent from where they are.
fn bytes_of(data: Cow<'static, [u8]>) -> web::Bytes {
    match data {
        Cow::Borrowed(bytes) => web::Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
