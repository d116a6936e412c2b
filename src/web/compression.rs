//! Compression of pages, where they are made and at a level that costs less than the page (decision 32). Static files are
//! compressed when the program is built.

use std::io::{self, Write};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header, HeaderValue},
    middleware::Next,
};
use brotli::{CompressorWriter, enc::BrotliEncoderParams};
use flate2::{Compression, write::GzEncoder};

/// What is shorter, in bytes, travels in one packet anyway.
const SHORTEST: usize = 1024;

/// Compresses the answer as its browser likes: brotli, or gzip on plain http, where browsers offer nothing else.
///
/// Whoever refuses everything that we have, the plain text included, gets the plain text (RFC 9110, 12.4.1). A 406 would come
/// after the change.
pub async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let codings = [Encoding::brotli(), Encoding::gzip(), Encoding::identity()];
    let accepted = AcceptEncoding::parse(&request).ok();
    let chosen = accepted.and_then(|accepted| accepted.negotiate(codings.iter()));
    let response = next.call(request).await?;
    Ok(response.map_body(|head, body| {
        let is_compressed = head.headers().contains_key(header::CONTENT_ENCODING);
        let plain = match body.try_into_bytes() {
            Ok(plain) if !is_compressed && plain.len() >= SHORTEST => plain,
            Ok(short) => return BoxBody::new(short),
            Err(stream) => return BoxBody::new(stream),
        };
        head.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        let (name, compressed) = match chosen {
            Some(Encoding::Known(ContentEncoding::Brotli)) => ("br", brotli(&plain)),
            Some(Encoding::Known(ContentEncoding::Gzip)) => ("gzip", gzip(&plain)),
            _ => return BoxBody::new(plain),
        };
        // Writing into memory does not fail; if it does, the page is not lost for that.
        let Ok(compressed) = compressed else { return BoxBody::new(plain) };
        head.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        BoxBody::new(compressed)
    }))
}

/// Trap: all of it in one write. At this quality each write is compressed apart from those before it: in pieces of 4 kB, as
/// `BrotliCompress` reads them, a page is twice as long and takes three times as much time.
fn brotli(plain: &[u8]) -> io::Result<Vec<u8>> {
    // A window of 256 kB, longer than any page.
    let params = BrotliEncoderParams { quality: 1, lgwin: 18, size_hint: plain.len(), ..Default::default() };
    let mut writer = CompressorWriter::with_params(Vec::with_capacity(plain.len() / 4), 16 * 1024, &params);
    writer.write_all(plain)?;
    Ok(writer.into_inner())
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    writer.write_all(plain)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        body::to_bytes,
        http::{StatusCode, header::HeaderMap},
        middleware::from_fn,
        test::{TestRequest, call_service, init_service},
        web,
    };
    use futures_util::stream;

    use super::*;

    fn text(bytes: usize) -> web::Bytes {
        "x".repeat(bytes).into()
    }

    /// What is sent of an answer when brotli is asked for.
    async fn sent(answer: fn() -> HttpResponse) -> (HeaderMap, usize) {
        let route = web::to(move || async move { answer() });
        let service = init_service(App::new().wrap(from_fn(compress)).default_service(route)).await;
        let request = TestRequest::get().insert_header((header::ACCEPT_ENCODING, "br")).to_request();
        let response = call_service(&service, request).await;
        (response.headers().clone(), to_bytes(response.into_body()).await.unwrap().len())
    }

    #[actix_web::test]
    async fn short_answers_go_as_they_are() {
        let (headers, bytes) = sent(|| HttpResponse::Ok().body(text(SHORTEST))).await;
        assert_eq!(headers.get(header::CONTENT_ENCODING).unwrap(), "br");
        assert!(bytes < 100);
        let (headers, bytes) = sent(|| HttpResponse::Ok().body(text(SHORTEST - 1))).await;
        assert!(!headers.contains_key(header::CONTENT_ENCODING) && !headers.contains_key(header::VARY));
        assert_eq!(bytes, SHORTEST - 1);
        for empty in [
            || HttpResponse::new(StatusCode::NO_CONTENT),
            || HttpResponse::new(StatusCode::NOT_MODIFIED),
            || HttpResponse::new(StatusCode::SEE_OTHER),
        ] {
            let (headers, bytes) = sent(empty).await;
            assert!(headers.is_empty() && bytes == 0, "{headers:?}");
        }
    }

    #[actix_web::test]
    async fn what_is_compressed_already_and_what_is_a_stream_go_as_they_are() {
        let (headers, bytes) = sent(|| {
            let zstd = (header::CONTENT_ENCODING, "zstd");
            HttpResponse::Ok().insert_header(zstd).body(text(2 * SHORTEST))
        })
        .await;
        assert_eq!(headers.get(header::CONTENT_ENCODING).unwrap(), "zstd");
        assert_eq!(bytes, 2 * SHORTEST);
        let (headers, bytes) = sent(|| {
            let chunks = [text(SHORTEST), text(SHORTEST)].map(Ok::<_, Error>);
            HttpResponse::Ok().streaming(stream::iter(chunks))
        })
        .await;
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
        assert_eq!(bytes, 2 * SHORTEST);
    }
}
