//! The files under `static/`: vendored ones unchanged and with their licences, own ones readable and small.

use std::fs;
use std::path::{Path, PathBuf};

use keystead::web::section::Section;
use reqwest::Method;
use sha2::{Digest, Sha256};

use crate::{
    support::{Person, TestApp},
    templates,
};

/// `dist/htmx.min.js` of the npm package `htmx.org` 4.0.1.
const HTMX_SHA_256: &str = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130";

const LONGEST_LINE: usize = 140;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("static").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("static/{name}: {error}"))
}

/// The size a browser downloads.
async fn brotli_size(visitor: &Person, name: &str) -> usize {
    let request = visitor.request(Method::GET, &keystead::web::assets::url(name)).header("accept-encoding", "br");
    let file = visitor.send(request).await.expect(200);
    assert_eq!(file.header("content-encoding"), "br");
    file.bytes.len()
}

/// The line numbers of lines that hold more than one statement or declaration.
///
/// Semicolons in comments, strings and parentheses do not count.
fn crowded_lines(source: &str, line_comments: bool) -> Vec<usize> {
    let mut crowded = Vec::new();
    let mut quote = None;
    let mut in_comment = false;
    let mut depth = 0_usize;
    for (number, line) in (1..).zip(source.lines()) {
        let mut semicolons = 0;
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            let next = rest.peek().copied();
            match (quote, c) {
                _ if in_comment => in_comment = !(c == '*' && next == Some('/')),
                (Some(_), '\\') => drop(rest.next()),
                (Some(open), _) => quote = (c != open).then_some(open),
                (None, '/') if next == Some('*') => in_comment = true,
                (None, '/') if line_comments && next == Some('/') => break,
                (None, '"' | '\'' | '`') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') => depth = depth.saturating_sub(1),
                (None, ';') if depth == 0 => semicolons += 1,
                _ => {}
            }
        }
        if semicolons > 1 {
            crowded.push(number);
        }
    }
    crowded
}

#[test]
fn htmx_is_the_published_file() {
    let digest: String =
        Sha256::digest(fs::read(path("htmx-4.0.1.min.js")).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, HTMX_SHA_256);
}

#[test]
fn vendored_files_stand_beside_their_licences() {
    for (licence, says) in [
        ("htmx-LICENSE.txt", "Zero-Clause BSD"),
        ("icons-LICENSE.txt", "ISC License"),
        ("fonts/geist-LICENSE.txt", "SIL OPEN FONT LICENSE Version 1.1"),
        ("fonts/geist-mono-LICENSE.txt", "SIL OPEN FONT LICENSE Version 1.1"),
    ] {
        assert!(text(licence).contains(says), "static/{licence}");
    }
}

#[test]
fn own_files_are_written_to_be_read() {
    for (name, line_comments) in [("app.css", false), ("app.js", true)] {
        let source = text(name);
        assert_eq!(crowded_lines(&source, line_comments), [0; 0], "static/{name}: one declaration per line");
        for (number, line) in (1..).zip(source.lines()) {
            assert!(line.chars().count() <= LONGEST_LINE, "static/{name}:{number} is too long");
        }
    }
}

#[test]
fn crowded_lines_are_found() {
    assert_eq!(crowded_lines("p {\n  a: b; c: d;\n}\n", false), [2]);
    assert_eq!(crowded_lines("go(); stop();", true), [1]);
    assert_eq!(crowded_lines("for (;;) go(); // one; two;", true), [0; 0]);
    assert_eq!(crowded_lines("say('a;b\\';'); /* ;\n; */ go();", true), [0; 0]);
    assert_eq!(crowded_lines("a: url(data:x;y); /* b; */", false), [0; 0]);
}

#[tokio::test]
async fn a_script_is_served_without_its_comments_and_otherwise_as_it_is() {
    let app = TestApp::start_on_sqlite().await;
    let served = app.anonymous().get(&keystead::web::assets::url("app.js")).await.expect(200);
    let (source, mut rest) = (text("app.js"), served.text().lines());
    let is_comment = |line: &str| ["//", "/*", "*"].iter().any(|start| line.trim_start().starts_with(start));
    for line in source.lines().filter(|line| !is_comment(line)) {
        assert_eq!(rest.next(), Some(line));
    }
    assert_eq!(rest.next(), None);
}

#[tokio::test]
async fn the_first_view_stays_within_its_budget() {
    let app = TestApp::start_on_sqlite().await;
    let visitor = app.anonymous();
    let style = brotli_size(&visitor, "app.css").await;
    let script = brotli_size(&visitor, "app.js").await;
    assert!(style <= 8 * 1024, "app.css: {style} bytes");
    assert!(script <= 4 * 1024, "app.js: {script} bytes");
    // 30 KB for everything but the fonts, of which 5 KB are left to the page itself.
    let mut rest = 0;
    for name in ["htmx-4.0.1.min.js", "icons.svg", "favicon.svg"] {
        rest += brotli_size(&visitor, name).await;
    }
    assert!(style + script + rest <= 25 * 1024, "{} bytes", style + script + rest);
}

#[test]
fn the_style_sheet_names_its_fonts_relatively() {
    let style = text("app.css");
    for address in style.split("url(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(!address.contains(':') && !address.starts_with('/'), "{address}");
        assert!(path(address).is_file(), "{address} is missing");
    }
}

#[test]
fn templates_ask_for_files_that_exist() {
    for (template, source) in templates::sources() {
        for name in source.split("assets::url(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(path(name).is_file(), "{}: static/{name} is missing", template.display());
        }
    }
}

#[test]
fn the_sprite_holds_the_used_icons_and_no_others() {
    let markup: String = templates::sources().into_iter().map(|(_, source)| source).collect();
    let mut used: Vec<&str> = markup.split("icon(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    used.extend(Section::ALL.map(Section::icon));
    used.sort_unstable();
    used.dedup();

    let sprite = text("icons.svg");
    let drawn: Vec<&str> = sprite.split("<symbol id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(drawn, used);
    let one_per_line = sprite.lines().all(|line| line.matches("<symbol").count() <= 1);
    assert!(one_per_line, "one symbol per line");
}
