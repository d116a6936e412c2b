//! Who imports whom: down from layer to layer, and within a module in one direction.

use std::collections::{BTreeMap, BTreeSet};

use super::sources;

/// The modules, from the top layer down. Modules of one layer do not import each other.
const LAYERS: [&[&str]; 12] = [
    &["main"],
    &["cli"],
    &["server"],
    &["web", "api", "worker"],
    &["middleware"],
    &["actions"],
    &["app"],
    &["key_index", "passwords", "throttle", "notices", "pepper_file", "telemetry", "metrics"],
    &["store", "revocation_log"],
    &["config", "clock"],
    &["private_file", "supervision"],
    &["domain"],
];

pub fn module_of(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Modules a source imports: `crate::module` alone or inside `crate::{…}`.
pub fn imports(text: &str) -> Vec<String> {
    imports_from("crate::", text)
}

fn imports_from(place: &str, text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices(place) {
        let rest = &text[at + place.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut start) = (0, 0);
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    ',' | '}' if depth == 0 => {
                        modules.push(group[start..i].trim().to_owned());
                        start = i + 1;
                        if c == '}' {
                            break;
                        }
                    }
                    '}' => depth -= 1,
                    _ => {}
                }
            }
        } else {
            modules.push(rest.to_owned());
        }
    }
    let name = |module: String| module.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap().to_owned();
    modules.into_iter().map(name).filter(|module| !module.is_empty()).collect()
}

#[test]
fn imports_only_go_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources("") {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let own = layer_of(module).unwrap_or_else(|| panic!("{path} is in no layer"));
        for imported in imports(&text) {
            let allowed = imported == module;
            if !allowed && layer_of(&imported).is_some_and(|layer| layer <= own) {
                wrong.push(format!("{path} imports {imported}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_import_reader_sees_groups_and_single_imports() {
    assert_eq!(imports("use crate::{app::Site, domain::{a, b}, store};"), ["app", "domain", "store"]);
    assert_eq!(imports("crate::web::assets::url(\"x\")"), ["web"]);
}

/// A file takes from another of its folder by `super::`, or by the whole path.
#[test]
fn files_of_one_folder_import_each_other_in_no_circle() {
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (path, text) in sources("") {
        let Some((folder, file)) = path.rsplit_once('/').filter(|(_, file)| *file != "mod.rs") else { continue };
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let mut imported = imports_from("super::", code);
        imported.extend(imports_from(&format!("crate::{}::", folder.replace('/', "::")), code));
        let file = file.trim_end_matches(".rs").to_owned();
        folders.entry(folder.to_owned()).or_default().insert(file, imported.into_iter().collect());
    }
    for (folder, mut files) in folders {
        // What imports nothing that is left is in no circle.
        while let Some(file) = files.iter().find_map(|(file, imported)| {
            let is_free = imported.iter().all(|other| other == file || !files.contains_key(other));
            is_free.then(|| file.clone())
        }) {
            files.remove(&file);
        }
        assert!(files.is_empty(), "src/{folder}: a circle is in {files:#?}");
    }
}
