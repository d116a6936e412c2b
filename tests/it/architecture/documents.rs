//! What the documents name is there: files, functions, places in other documents, settings with their defaults, and metrics.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use keystead::config::{DefaultValue, TABLE};

use crate::api::metrics::FAMILIES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// Every document with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files_below(&root().join("docs"), &mut found);
    found.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|n| root().join(n)),
    );
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What stands between backticks, outside of blocks of code.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2))
}

#[test]
fn files_and_functions_that_documents_name_exist() {
    let mut all = Vec::new();
    for folder in ["src", "tests", "static", "templates", "migrations", "benches", "docs", ".cargo"] {
        files_below(&root().join(folder), &mut all);
    }
    let kinds = [".rs", ".md", ".html", ".css", ".js", ".sql"];
    let mut checked = 0;
    for (document, text) in documents() {
        for name in quoted(&text) {
            let (file, function) = name.split_once("::").unwrap_or((name, ""));
            let is_path = file.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if !is_path || !kinds.iter().any(|kind| file.ends_with(kind) && file.len() > kind.len()) {
                continue;
            }
            checked += 1;
            let found: Vec<_> = all.iter().filter(|path| path.ends_with(file)).collect();
            let at_root = root().join(file).exists();
            assert!(at_root || !found.is_empty(), "{}: there is no {file}", document.display());
            let has = |path: &&PathBuf| {
                let source = fs::read_to_string(path).unwrap();
                ["fn", "struct", "mod", "const"].iter().any(|kind| source.contains(&format!("{kind} {function}")))
            };
            let is_there = function.is_empty() || found.iter().any(has);
            assert!(is_there, "{}: {file} has no {function}", document.display());
        }
    }
    assert!(checked > 100, "{checked}");
}

/// As GitHub makes it from a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut checked = 0;
    for (document, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target}", document.display());
            if !place.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                let is_there = headings.any(|heading| anchor(heading.trim_start_matches('#')) == place);
                assert!(is_there, "{}: {target}", document.display());
            }
        }
    }
    assert!(checked > 15, "{checked}");
}

/// The cells of the rows of README whose first cell begins in this way, as far as they stand between backticks.
fn readme_rows(begin: &str) -> Vec<(Vec<String>, String)> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with(&format!("| `{begin}")));
    let cells = rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        let first = quoted(cells.next().unwrap()).map(str::to_owned).collect();
        (first, cells.next().unwrap().trim().to_owned())
    });
    cells.collect()
}

#[test]
fn the_readme_has_every_setting_with_its_default() {
    let mut rows = Vec::new();
    for (variables, defaults) in [readme_rows("KEYSTEAD_"), readme_rows("DATABASE_")].concat() {
        let each = defaults.split(", ").map(str::to_owned);
        rows.extend(variables.into_iter().zip(each));
    }
    let named: BTreeSet<_> = rows.iter().map(|(variable, _)| variable.as_str()).collect();
    let known: BTreeSet<_> = TABLE.iter().map(|setting| setting.variable).collect();
    assert_eq!(named, known);
    for (variable, default) in &rows {
        let setting = TABLE.iter().find(|setting| setting.variable == variable).unwrap();
        match setting.default {
            DefaultValue::Text(text) => assert_eq!(default, &format!("`{text}`"), "{variable}"),
            DefaultValue::InDataDir(prefix, name) => {
                assert_eq!(default, &format!("`{prefix}<data dir>/{name}`"), "{variable}");
            }
            DefaultValue::None => assert!(default == "none" || default.contains('('), "{variable}: {default}"),
        }
    }
}

#[test]
fn the_readme_has_every_metric() {
    let rows = [readme_rows("keystead_"), readme_rows("process_")].concat();
    let without_labels = |name: String| name.split('{').next().unwrap().to_owned();
    let named: BTreeSet<_> = rows.into_iter().flat_map(|(names, _)| names).map(without_labels).collect();
    let known: BTreeSet<_> = FAMILIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named, known);
}

#[test]
fn the_map_is_short_and_names_every_module() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(map.lines().count() <= 130, "{} lines", map.lines().count());
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        assert!(module == "lib" || map.contains(module), "ARCHITECTURE.md does not name src/{module}");
    }
}
