//! Pages as browsers ask for them.

use std::io::Read;

use reqwest::Method;

use crate::support::{Answer, Person, TestApp};

const PAGE: &str = "/settings/integrations";

async fn accepting(person: &Person, method: Method, path: &str, accepts: &str) -> Answer {
    person.send(person.request(method, path).header("accept-encoding", accepts)).await
}

/// The body as the browser reads it.
fn opened(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer.header("content-encoding") {
        "br" => brotli::BrotliDecompress(&mut &answer.bytes[..], &mut plain).unwrap(),
        "gzip" => drop(flate2::read::GzDecoder::new(&answer.bytes[..]).read_to_end(&mut plain).unwrap()),
        other => {
            assert_eq!(other, "");
            plain.clone_from(&answer.bytes);
        }
    }
    plain
}

fn varies(answer: &Answer) -> Vec<String> {
    let values = answer.headers.get_all("vary").iter().flat_map(|value| value.to_str().unwrap().split(','));
    let mut names: Vec<String> = values.map(|name| name.trim().to_ascii_lowercase()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_compressed_page_is_the_same_page_and_says_how_long_it_is() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for n in 0..25 {
        maya.create_key(&format!("Schlüssel {n}")).await;
    }
    for person in [maya.clone(), maya.by_htmx(), app.anonymous()] {
        for path in [PAGE, "/settings/integrations/keys", "/sign-in"] {
            let plain = accepting(&person, Method::GET, path, "identity").await;
            for coding in ["br", "gzip"] {
                let answer = accepting(&person, Method::GET, path, coding).await;
                assert_eq!(answer.status, plain.status, "{path}");
                assert!(opened(&answer) == plain.bytes, "{path} in {coding}");
                assert_eq!(answer.header("content-length"), answer.bytes.len().to_string(), "{path} in {coding}");
                assert_eq!(answer.header("transfer-encoding"), "", "{path} in {coding}");
            }
        }
    }
    let page = maya.get(PAGE).await.bytes.len();
    for (coding, times) in [("br", 5), ("gzip", 4)] {
        let compressed = accepting(&maya, Method::GET, PAGE, coding).await;
        assert_eq!(compressed.header("content-encoding"), coding);
        let bytes = compressed.bytes.len();
        assert!(bytes * times < page, "{bytes} of {page} bytes in {coding}");
    }
}

#[tokio::test]
async fn a_page_comes_as_the_browser_likes_best() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    let plain = visitor.get("/sign-in").await.expect(200);
    assert_eq!(plain.header("content-encoding"), "", "nobody asked");
    for (accepts, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate", "gzip"),
        ("GZIP", "gzip"),
        ("br", "br"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0.8, gzip;q=0.5", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0", ""),
        ("identity, br;q=0.5", ""),
        ("br, identity;q=0", "br"),
        ("identity;q=0, *;q=0, gzip", "gzip"),
        // Nothing that we have is welcome: the page is better than none.
        ("identity;q=0", ""),
        ("*;q=0", ""),
        ("zstd, identity;q=0", ""),
        ("zstd", ""),
        ("deflate, compress", ""),
        ("brotli, x-br", ""),
        ("*", ""),
        ("", ""),
        (", ;q=, br;q=much", ""),
    ] {
        let answer = accepting(&visitor, Method::GET, "/sign-in", accepts).await.expect(200);
        assert_eq!(answer.header("content-encoding"), coding, "{accepts:?}");
        assert!(opened(&answer) == plain.bytes, "{accepts:?}");
        assert_eq!(varies(&answer), ["accept-encoding", "hx-request"], "{accepts:?}");
    }
    let no_text = visitor.request(Method::GET, "/sign-in").header("accept-encoding", b"br, \xFF".as_slice());
    assert_eq!(visitor.send(no_text).await.expect(200).bytes, plain.bytes);
    let lines = visitor.request(Method::GET, "/sign-in").header("accept-encoding", "zstd");
    assert_eq!(visitor.send(lines.header("accept-encoding", "br")).await.header("content-encoding"), "br");
}

#[tokio::test]
async fn a_change_is_answered_whatever_the_browser_refuses() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for (name, accepts) in [("Staging", "br"), ("Production", "identity;q=0, *;q=0")] {
        let idem = crate::support::form_token();
        let create = maya.request(Method::POST, "/settings/integrations/keys").header("accept-encoding", accepts);
        let answer = maya.send(create.form(&[("name", name), ("idem", &idem)])).await.expect(200);
        assert!(String::from_utf8(opened(&answer)).unwrap().contains("Your New API Key"), "{accepts}");
    }
    assert_eq!(maya.listed().await.len(), 2);
}

#[tokio::test]
async fn head_says_what_get_would_send() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    for accepts in ["br", "gzip", "identity"] {
        let get = accepting(&visitor, Method::GET, "/sign-in", accepts).await;
        let head = accepting(&visitor, Method::HEAD, "/sign-in", accepts).await;
        assert!(head.bytes.is_empty());
        for name in ["content-encoding", "content-length", "content-type"] {
            assert_eq!(head.header(name), get.header(name), "{name} for {accepts}");
        }
        assert_eq!(varies(&head), varies(&get));
    }
}

#[tokio::test]
async fn what_is_empty_stays_empty() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let theme = maya.request(Method::POST, "/theme").form(&[("theme", "dark")]);
    for request in [maya.request(Method::GET, "/"), maya.request(Method::GET, "/settings"), theme] {
        let answer = maya.send(request.header("accept-encoding", "br, gzip")).await.expect(303);
        assert_eq!(answer.header("content-encoding"), "");
        assert!(answer.bytes.is_empty());
    }
}
