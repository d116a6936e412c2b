//! Holds the templates to what the Content-Security-Policy and autoescaping promise: no script, style or raw HTML in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Every template, as its path and its text without Askama's comments.
pub fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), &mut found);
    assert!(found.len() > 10, "the templates are not where this test looks for them");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, without_comments(&text)));
        }
    }
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{#") {
        kept.push_str(before);
        rest = after.split_once("#}").expect("a template comment without an end").1;
    }
    kept + rest
}

/// What is forbidden in a template and stands in this one.
fn forbidden(template: &str) -> Vec<&'static str> {
    let text = template.to_lowercase();
    let mut found = Vec::new();
    for (word, complaint) in [
        ("hx-on", "hx-on: a script in an attribute"),
        ("hx-live", "hx-live: a script in an attribute"),
        ("js:", "js: a script in a value"),
        ("javascript:", "javascript: a script in an address"),
        ("<style", "<style: the policy refuses it"),
        ("filter safe", "a safe filter block: HTML that was not escaped"),
        ("(\"none\")", "an escaper called none: HTML that was not escaped"),
    ] {
        if text.contains(word) {
            found.push(complaint);
        }
    }
    if after_each(&text, "|").any(|rest| rest.trim_start().starts_with("safe")) {
        found.push("|safe: HTML that was not escaped");
    }
    if attributes(&text, "on").any(is_event_handler) {
        found.push("on…=: a script in an attribute");
    }
    if attributes(&text, "style").any(|rest| rest.trim_start().starts_with('=')) {
        found.push("style=: the policy refuses it");
    }
    if after_each(&text, "<script").any(|rest| !is_external_script(rest)) {
        found.push("<script without src, or with text: the policy refuses it");
    }
    if after_each(&text, "hx-trigger").any(|rest| value(rest).contains('[')) {
        found.push("hx-trigger with [: a filter is evaluated as a script");
    }
    found
}

/// The text behind every occurrence of `word`.
fn after_each<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(word).map(move |(at, _)| &text[at + word.len()..])
}

/// The text behind every occurrence of `prefix` that could begin an attribute's name.
fn attributes<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let begins_name = |before: &str| {
        before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_' && c != '.')
    };
    text.match_indices(prefix)
        .filter(move |(at, _)| begins_name(&text[..*at]))
        .map(move |(at, _)| &text[at + prefix.len()..])
}

fn is_event_handler(behind_on: &str) -> bool {
    let name_ends = behind_on.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind_on.len());
    name_ends > 0 && behind_on[name_ends..].trim_start().starts_with('=')
}

fn is_external_script(behind_tag: &str) -> bool {
    let Some((tag, content)) = behind_tag.split_once('>') else {
        return false;
    };
    tag.contains(" src=") && content.starts_with("</script>")
}

/// An attribute's value, given the text behind its name.
fn value(behind_name: &str) -> &str {
    let rest = behind_name.trim_start().trim_start_matches([':', '=']).trim_start();
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next().unwrap_or(""),
        _ => rest.split([' ', '\n', '>']).next().unwrap_or(""),
    }
}

/// A browser that translates pages changes whatever does not say otherwise: two keys might be called the same then, and an id
/// might be copied that is none.
#[test]
fn what_is_no_sentence_of_ours_is_not_translated() {
    for (path, text) in sources() {
        for tag in ["<code", "<strong dir=", "<span dir="] {
            for rest in after_each(&text, tag) {
                let attributes = rest.split('>').next().unwrap_or_default();
                assert!(attributes.contains("translate=\"no\""), "{}: {tag}{attributes}>", path.display());
            }
        }
    }
}

#[test]
fn templates_hold_no_script_no_style_and_no_raw_html() {
    for (path, text) in sources() {
        let found = forbidden(&text);
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn the_lint_catches_each_forbidden_thing() {
    for bad in [
        r#"<a hx-on:click="go()">"#,
        r#"<a data-hx-on::after:swap="go()">"#,
        r#"<p hx-live="x">"#,
        r#"<a hx-vals="js:{a: 1}">"#,
        r#"<a href="JavaScript:go()">"#,
        r#"<img onerror="go()">"#,
        r#"<img src="x"OnError = go()>"#,
        "<img\nonload=go()>",
        r#"<p style="color: red">"#,
        r#"<p {% if wide %}style = "width: 9px"{% endif %}>"#,
        "<style>p {}</style>",
        "<script>go()</script>",
        "<script defer>",
        r#"<script src="/app.js">go()</script>"#,
        r#"<a hx-trigger="click[ctrlKey]">"#,
        "<a hx-trigger=click[go()]>",
        "{{ name|safe }}",
        "{{ name | safe }}",
        "{% filter safe %}{{ name }}{% endfilter %}",
        r#"{{ name|escape("none") }}"#,
    ] {
        assert!(!forbidden(bad).is_empty(), "the lint lets this pass: {bad}");
    }
}

#[test]
fn the_lint_lets_honest_markup_pass() {
    for good in [
        r#"<script src="/static/1/app.js" defer></script>"#,
        r#"<link rel="stylesheet" href="/static/1/app.css">"#,
        r#"<a class="icon-button" aria-label="Rotate on Monday" data-saves>Go on</a>"#,
        r#"<button hx-trigger="click delay:200ms" hx-target="[data-x]">"#,
        r#"{{ ui::icon("x") }}<p>Season = summer, safe || sound</p>"#,
    ] {
        assert_eq!(forbidden(good), Vec::<&str>::new(), "{good}");
    }
}

#[test]
fn comments_are_not_linted() {
    assert_eq!(without_comments("a{# no hx-on here #}b{#- x -#}c"), "abc");
}
