//! How much a request may bring.

use actix_web::{
    HttpRequest,
    error::UrlencodedError,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    web,
};

use super::failure::Failure;

/// The largest body, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// Registers the limit for every kind of body, and words for bodies that cannot be read.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(MAX_BODY))
        .app_data(web::FormConfig::default().limit(MAX_BODY).error_handler(|error, request| bad_form(&error, request)))
        .app_data(web::JsonConfig::default().limit(MAX_BODY));
}

/// The failure of a request whose body is compressed.
///
/// Trap: actix-web's features for compressing answers also inflate requests, a chunk at a time, before any limit is looked at:
/// 339 bytes of brotli became 400 MB. They are off (decision 32), and a body would be read as it came.
pub fn compressed_body(headers: &HeaderMap) -> Option<Failure> {
    let coding = headers.get(header::CONTENT_ENCODING)?;
    let message = "Send the body as it is, without Content-Encoding.";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    (coding != "identity").then(|| Failure::new(status, "compressed_body", "Compressed request", message))
}

/// What is said to a body that does not come.
pub fn late_body() -> Failure {
    let message = "The request did not arrive in time. Nothing was changed. Try again.";
    Failure::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "That took too long", message)
}

fn bad_form(error: &UrlencodedError, _request: &HttpRequest) -> actix_web::Error {
    let status = match error {
        UrlencodedError::Overflow { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        UrlencodedError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    Failure::of_status(status).into()
}
