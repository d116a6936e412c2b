//! The layers and the other invariants of ARCHITECTURE.md, read from the sources.

mod documents;
mod imports;
mod suites;

use std::{
    fs,
    path::{Path, PathBuf},
};

use imports::{imports, module_of};

/// Every source file under a folder of `src/`, with its path below `src/`.
fn whole_sources(below: &str) -> Vec<(String, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path(), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_owned());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root.join(below), &mut found);
    found.sort();
    assert!(!found.is_empty(), "nothing below src/{below}");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(named).collect()
}

/// The same without comments, which may name anything.
fn sources(below: &str) -> Vec<(String, String)> {
    let without_comments = |text: String| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.collect::<Vec<_>>().join("\n")
    };
    whole_sources(below).into_iter().map(|(name, text)| (name, without_comments(text))).collect()
}

fn files_with(needle: &str, below: &str) -> Vec<String> {
    sources(below).into_iter().filter(|(_, text)| text.contains(needle)).map(|(name, _)| name).collect()
}

#[test]
fn only_the_store_knows_diesel() {
    let outside: Vec<_> = files_with("diesel", "").into_iter().filter(|path| module_of(path) != "store").collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn one_file_knows_the_metrics_library() {
    assert_eq!(files_with("prometheus::", ""), ["metrics/text.rs"]);
}

#[test]
fn only_the_upper_layers_know_actix() {
    // The log's settings name its modules.
    let upper = ["web", "api", "middleware", "server", "cli", "telemetry"];
    let below = files_with("actix", "").into_iter().filter(|path| !upper.contains(&module_of(path)));
    assert_eq!(below.collect::<Vec<_>>(), Vec::<String>::new());
    // The command line only needs the runtime.
    assert!(sources("").iter().all(|(path, text)| path != "cli.rs" || text.matches("actix_web::").count() == 1));
}

#[test]
fn the_domain_does_no_io() {
    for needle in ["std::fs", "std::net::Tcp", "tokio", "async fn", "std::env", "std::process"] {
        assert_eq!(files_with(needle, "domain"), Vec::<String>::new(), "{needle}");
    }
}

#[test]
fn pages_and_api_do_not_use_the_store_themselves() {
    let uses_store = |text: &str| imports(text).iter().any(|module| module == "store");
    let modules = ["web", "api"].into_iter().flat_map(sources);
    let using: Vec<_> = modules.filter(|(_, text)| uses_store(text)).map(|(path, _)| path).collect();
    assert_eq!(using, ["web/session_store.rs"], "sessions are rows; everything else goes through an action");
}

#[test]
fn a_secret_is_exposed_in_few_places() {
    assert_eq!(
        files_with(".expose()", ""),
        ["cli/keys/output.rs", "domain/pepper.rs", "domain/secret.rs", "web/integrations/reveal_key.rs"],
        "each place that can read a plaintext key is named here"
    );
}

#[test]
fn a_secret_cannot_leave_by_accident() {
    let (_, text) = sources("domain/secret.rs").remove(0);
    assert!(!text.contains("derive(Clone)]\npub struct Secret("));
    for trait_name in ["Display for Secret", "Serialize for Secret", "Deref for Secret", "AsRef<str> for Secret"] {
        assert!(!text.contains(trait_name), "{trait_name}");
    }
}

#[test]
fn each_kind_of_authority_is_made_in_one_place() {
    assert_eq!(files_with("Authority::of_live_session", ""), ["actions/resume_session.rs"]);
    assert_eq!(files_with("Authority::of_command_line", ""), ["actions/command_authority.rs"]);
    // Nowhere else by its fields: they are private, and this is all that makes one.
    let (_, text) = sources("domain/authority.rs").remove(0);
    let makers = text.split("pub ").filter(|item| item.split('{').next().is_some_and(|head| head.contains("-> Self")));
    let makers = makers.filter(|item| item.contains("organization_id: OrgId"));
    assert_eq!(makers.count(), 2, "each way to make an Authority has its line above");
}

/// Of actions that serve an authority: they ask what it permits before anything else.
#[test]
fn every_action_that_takes_an_authority_asks_what_it_permits() {
    // A session is its owner's, whatever they may do with keys; how fast somebody goes on is asked behind the permission.
    let others = ["actions/limits.rs", "actions/sign_out.rs"];
    let mut asked = 0;
    for (path, text) in sources("actions").into_iter().filter(|(path, _)| !others.contains(&path.as_str())) {
        for function in text.split("fn ").skip(1).filter(|function| function.contains("authority: &Authority")) {
            let (_, body) = function.split_once(" {\n").unwrap();
            assert!(body.trim_start().starts_with("authority.require(Permission::"), "{path}: {function}");
            asked += 1;
        }
    }
    assert!(asked >= 7, "{asked}");
}

#[test]
fn every_query_on_tenant_data_takes_the_organization_first() {
    let (_, text) = sources("store/api_keys.rs").remove(0);
    for function in text.split("pub fn ").skip(1) {
        let signature: String = function.split('{').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let takes = signature.contains("organization_id: &OrgId") || signature.contains("key: &ApiKey");
        assert!(takes, "{signature}");
    }
    // Usage is written by nodes for all keys at once; what is read of it is somebody's.
    let (_, text) = sources("store/key_usage.rs").remove(0);
    for function in text.split("pub fn ").skip(1).filter(|function| !function.contains("usage_rows::")) {
        let signature: String = function.split('{').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(signature.contains("conn: &mut Conn, organization_id: &OrgId"), "{signature}");
    }
}

#[test]
fn every_change_writes_its_audit_event_in_its_own_transaction() {
    // Housekeeping: nobody asked for it, and what it removes or counts has its event already or needs none.
    let housekeeping = ["actions/apply_retention.rs", "actions/purge_expired.rs", "actions/flush_usage.rs"];
    for (path, text) in sources("actions").into_iter().filter(|(path, _)| !housekeeping.contains(&path.as_str())) {
        // So is setting a sequence, which belongs to no transaction.
        let text = text.replace(".write(|conn| sequences::", "");
        if let Some(at) = text.find(".write(") {
            assert!(text[at..].contains("audit_events::insert"), "{path} writes without an audit event");
        }
    }
}

#[test]
fn every_template_has_its_struct() {
    let structs: String = sources("web").into_iter().map(|(_, text)| text).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let layouts = [
        "base.html",
        "shell.html",
        "plain.html",
        "modal_page.html",
        "components/ui.html",
        "components/keys.html",
        // A part of a page that is never rendered alone.
        "integrations/_protect_your_api.html",
    ];
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let has_struct = structs.contains(&format!("path = \"{name}\""));
            assert!(has_struct || layouts.contains(&name.as_str()), "templates/{name} has no struct in src/web");
        }
    }
}

/// What every page is made of knows no section by name: a second one is an entry in `web/section.rs`, and its own files.
#[test]
fn what_all_pages_share_names_no_section() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = ["base.html", "shell.html", "plain.html", "modal_page.html", "error.html", "components/ui.html"];
    let templates = shared.iter().map(|name| root.join("templates").join(name));
    for path in templates.chain([root.join("static/app.js")]) {
        let text = fs::read_to_string(&path).unwrap();
        for name in ["/settings/integrations", "Integrations", "keys-h", "new-key"] {
            assert!(!text.contains(name), "{}: {name}", path.display());
        }
    }
    let knowing = files_with("\"/settings/integrations\"", "web");
    assert_eq!(knowing, ["web/section.rs"], "its address stands in one file");
}

#[test]
fn source_files_stay_small() {
    let lines = whole_sources("").into_iter().map(|(path, text)| (path, text.lines().count()));
    let large: Vec<_> = lines.filter(|(_, lines)| *lines > 300).collect();
    assert!(large.is_empty(), "longer than 300 lines, with comments and tests: {large:?}");
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (mut in_dependencies, mut before) = (false, "");
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with("# ") && before.ends_with('.'), "a sentence above says what for: {line}");
        }
        before = line;
    }
}

#[test]
fn nothing_is_taken_from_the_framework_that_believes_forwarded_headers() {
    for needle in ["connection_info", "ConnectionInfo", "realip_remote_addr"] {
        assert_eq!(files_with(needle, ""), Vec::<String>::new(), "{needle}");
    }
}

/// Names of headers that a source asks a request for, as far as they stand there as text.
fn headers_asked_for(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for call in [".get(\"", ".get_all(\"", "contains_key(\"", "HeaderName::from_static(\"", "text(\""] {
        names.extend(text.split(call).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    for rest in text.split("header::").skip(1) {
        let constant = rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default();
        if constant.len() > 1 {
            names.push(constant.to_ascii_lowercase().replace('_', "-"));
        }
    }
    names
}

#[test]
fn of_very_many_header_lines_those_are_kept_that_are_read() {
    // Names of answers, and those of what is no header.
    let not_of_requests = [
        "",
        "allow",
        "cache-control",
        "clear-site-data",
        "content-disposition",
        "content-security-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "etag",
        "hx-push-url",
        "hx-redirect",
        "hx-reswap",
        "hx-retarget",
        "keystead-answer",
        "hx-trigger",
        "last-modified",
        "location",
        "permissions-policy",
        "referrer-policy",
        "retry-after",
        "server-timing",
        "set-cookie",
        "strict-transport-security",
        "vary",
        "www-authenticate",
        "x-auth-code",
        "x-content-type-options",
        "x-key-id",
        "x-key-name",
        "x-key-scopes",
        "x-organization-id",
    ];
    let (_, list) = sources("server/head.rs").remove(0);
    let list = &list[list.find("READ:").unwrap()..list.find("];").unwrap()];
    let mut missing = Vec::new();
    for (path, text) in ["api", "web", "middleware"].into_iter().flat_map(sources) {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for name in headers_asked_for(code) {
            if !list.contains(&format!("\"{name}\"")) && !not_of_requests.contains(&name.as_str()) {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in server/head.rs: {missing:#?}");
}

#[test]
fn migrations_are_twins() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let names = |dialect: &str| {
        let entries = fs::read_dir(root.join(dialect)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
    let differs = |name: &str| {
        [
            // SQLite needs a trigger where Postgres has identity columns.
            "2026-11-27-000000_key_numbers",
            // SQLite has no statement by which a column may be empty from now on.
            "2026-11-28-000100_created_by",
            // SQLite has no identity columns.
            "2026-11-28-000110_audit_seq_and_detail",
            "2026-11-28-000120_audit_order",
        ]
        .contains(&name)
    };
    // The same statements, once the types have the same names.
    for name in names("sqlite").into_iter().filter(|name| !differs(name)) {
        for file in ["up.sql", "down.sql"] {
            let text = |dialect: &str| fs::read_to_string(root.join(dialect).join(&name).join(file)).unwrap();
            let sqlite = text("sqlite")
                .replace(", WITHOUT ROWID", "")
                .replace(" STRICT;", ";")
                .replace("BLOB", "BYTEA")
                .replace(" INTEGER", " BIGINT");
            assert_eq!(
                sqlite.replace("length(digest)", "octet_length(digest)"),
                text("postgres").replace(" WITH (fillfactor = 40)", ""),
                "{name}/{file}"
            );
        }
    }
}
