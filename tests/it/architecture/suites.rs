//! A test that needs Postgres fails without one, so the run of the suite on SQLite leaves it out: by its name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the suite on SQLite leaves out: words of the paths of tests.
fn left_out() -> Vec<String> {
    let run = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run")).unwrap();
    let (_, step) = run.split_once("\"the suite on SQLite\"").expect("a step of tests/run");
    let step = step.split("\n\n").next().unwrap();
    let mut words = step.split_whitespace();
    std::iter::from_fn(|| words.find(|word| *word == "--skip").and_then(|_| words.next()).map(str::to_owned)).collect()
}

fn test_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            test_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The functions of a file, each with its text and whether it is a test.
fn functions(text: &str) -> Vec<(&str, &str, bool)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("\nfn ").chain(text.match_indices("\nasync fn ")) {
        let rest = &text[at + 1..];
        let (_, named) = rest.split_once("fn ").unwrap();
        let name = named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        let body = rest.split("\n}\n").next().unwrap();
        let attribute = text[..at].rsplit('\n').next().unwrap();
        found.push((name, body, attribute.ends_with("test]") || attribute.starts_with("#[tokio::test")));
    }
    found
}

#[test]
fn what_needs_postgres_is_left_out_where_there_is_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let (mut files, left_out) = (Vec::new(), left_out());
    test_files(&root, &mut files);
    assert!(left_out.len() > 3, "{left_out:?}");
    let mut checked = 0;
    for file in files.iter().filter(|file| !file.ends_with("suites.rs") && !file.starts_with(root.join("support"))) {
        let text = fs::read_to_string(file).unwrap();
        let functions = functions(&text);
        let module = file.strip_prefix(&root).unwrap().with_extension("");
        let module = module.to_str().unwrap().trim_end_matches("/mod").replace('/', "::");
        let mut needing: Vec<&str> = vec!["TestDatabase::postgres", "OwnPostgres::start"];
        // Also by way of others of the file.
        for _ in 0..3 {
            let calls = |body: &str| needing.iter().any(|needed| body.contains(&format!("{needed}(")));
            let helpers: Vec<&str> =
                functions.iter().filter(|(_, body, is_test)| !is_test && calls(body)).map(|(name, ..)| *name).collect();
            needing.extend(helpers);
        }
        for (name, body, is_test) in &functions {
            if *is_test && needing.iter().any(|needed| body.contains(&format!("{needed}("))) {
                checked += 1;
                let path = format!("{module}::{name}");
                let is_left_out = left_out.iter().any(|words| path.contains(words.as_str()));
                assert!(is_left_out, "{path} needs Postgres: begin its name with on_postgres_");
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn the_end_of_a_run_says_what_every_red_step_said() {
    let run = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run")).unwrap();
    let (_, step) = run.split_once("\nfailures=$(mktemp)\n").expect("where failures are kept");
    let (step, _) = step.split_once("\n}\n").unwrap();
    let script = format!(
        "set -uo pipefail; say() {{ :; }}; green=() red=() failures=$(mktemp)\n{step}\n}}
        {{
            step clippy bash -c 'for n in {{1..99}}; do echo \"line $n\"; done; exit 1'
            step tests bash -c 'echo passed; echo failures:; echo reason; exit 1'
            step fine echo nothing
        }} >/dev/null
        cat $failures; rm $failures; printf '%s\n' \"${{green[@]%% *}}\" \"${{red[@]%% *}}\""
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = (60..=99).map(|n| format!("line {n}\n")).collect::<String>();
    assert_eq!(said, format!("{lines}failures:\nreason\nfine\nclippy\ntests\n"));
}
