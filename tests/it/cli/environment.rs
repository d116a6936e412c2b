//! The environment as orchestrators write it, and what `keystead check` says of it.

use serde_json::Value;

use crate::support::{Binary, PASSWORD};

/// What Kubernetes sets in every pod of a namespace with Services called `keystead` and `keystead-metrics`.
const SERVICE_LINKS: [(&str, &str); 16] = [
    ("KEYSTEAD_SERVICE_HOST", "10.96.7.20"),
    ("KEYSTEAD_SERVICE_PORT", "8080"),
    ("KEYSTEAD_SERVICE_PORT_HTTP", "8080"),
    ("KEYSTEAD_PORT", "tcp://10.96.7.20:8080"),
    ("KEYSTEAD_PORT_8080_TCP", "tcp://10.96.7.20:8080"),
    ("KEYSTEAD_PORT_8080_TCP_PROTO", "tcp"),
    ("KEYSTEAD_PORT_8080_TCP_PORT", "8080"),
    ("KEYSTEAD_PORT_8080_TCP_ADDR", "10.96.7.20"),
    ("KEYSTEAD_METRICS_SERVICE_HOST", "10.96.7.21"),
    ("KEYSTEAD_METRICS_SERVICE_PORT", "9464"),
    ("KEYSTEAD_METRICS_SERVICE_PORT_HTTP_METRICS", "9464"),
    ("KEYSTEAD_METRICS_PORT", "udp://10.96.7.21:9464"),
    ("KEYSTEAD_METRICS_PORT_9464_UDP", "udp://10.96.7.21:9464"),
    ("KEYSTEAD_METRICS_PORT_9464_UDP_PROTO", "udp"),
    ("KEYSTEAD_METRICS_PORT_9464_UDP_PORT", "9464"),
    ("KEYSTEAD_METRICS_PORT_9464_UDP_ADDR", "10.96.7.21"),
];

fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    text.lines().map(parse).collect()
}

#[test]
fn beside_a_service_of_the_same_name_it_starts_and_says_what_it_passed_over() {
    let keystead = SERVICE_LINKS.iter().fold(Binary::new(), |binary, (name, value)| binary.with(name, value));
    let done = keystead.run(&["migrate"]).succeeded();
    for (name, _) in SERVICE_LINKS {
        assert!(done.stderr.contains(name), "{name}: {}", done.stderr);
    }
    assert!(done.stderr.contains("enableServiceLinks"), "{}", done.stderr);
}

#[test]
fn what_only_looks_like_a_service_link_is_refused() {
    for (name, value) in [
        ("KEYSTEAD_PORT", "8080"),
        ("KEYSTEAD_PORT_HTTP", "tcp://10.0.0.1:80"),
        ("KEYSTEAD_SERVICE_PORT", "http"),
        ("KEYSTEAD_PORT_8080_TCP", "8080"),
        ("KEYSTEAD_PORT_TCP_ADDR", "10.0.0.1"),
        ("KEYSTEAD_HOST", "10.0.0.1"),
    ] {
        Binary::on_sqlite().with(name, value).run(&["migrate"]).refused_with(&[name, "unknown variable"]);
    }
}

#[test]
fn empty_is_unset() {
    let names = keystead::config::TABLE.iter().map(|setting| setting.variable);
    // Known or not: `KEYSTEAD_X=` in a file is how people leave one out.
    let keystead =
        names.chain(["KEYSTEAD_NO_SUCH_SETTING"]).fold(Binary::on_sqlite(), |binary, name| binary.with(name, ""));
    keystead.run(&["migrate"]).succeeded();
    assert!(keystead.data_dir().join("keystead.db").is_file());
}

#[test]
fn the_database_url_may_stand_in_a_file() {
    let keystead = Binary::on_sqlite().with("DATABASE_URL_FILE", "url");
    std::fs::write(keystead.folder().join("url"), "sqlite:elsewhere.db\n").unwrap();
    keystead.run(&["migrate"]).succeeded();
    assert!(keystead.folder().join("elsewhere.db").is_file());

    let checked = keystead.run(&["check"]).succeeded().stdout;
    let line = checked.lines().find(|line| line.starts_with("DATABASE_URL ")).unwrap();
    assert!(line.contains("sqlite:elsewhere.db") && line.ends_with("file url"), "{line}");

    std::fs::write(keystead.folder().join("url"), "\u{FEFF}sqlite:by-an-editor.db\r\n").unwrap();
    keystead.run(&["migrate"]).succeeded();
    assert!(keystead.folder().join("by-an-editor.db").is_file());
    let utf16: Vec<u8> = "\u{FEFF}sqlite:x.db".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(keystead.folder().join("url"), utf16).unwrap();
    keystead.run(&["migrate"]).refused_with(&["DATABASE_URL_FILE", "UTF-16"]);

    std::fs::write(keystead.folder().join("url"), "\n").unwrap();
    keystead.run(&["migrate"]).refused_with(&["DATABASE_URL_FILE", "empty"]);
    let both = keystead.with("DATABASE_URL", "sqlite:another.db");
    both.run(&["migrate"]).refused_with(&["DATABASE_URL_FILE", "DATABASE_URL is set too"]);
    // What is typed now counts before what was set once.
    both.run(&["migrate", "--database-url", "sqlite:typed.db"]).succeeded();
    assert!(both.folder().join("typed.db").is_file());
}

#[test]
fn check_shows_every_setting_its_source_and_no_secret() {
    let keystead = Binary::on_sqlite()
        .with("DATABASE_URL", "postgres://keystead:hunter22hunter@db.example/keys?sslmode=require")
        .with("PGPASSWORD", "hunter33hunter")
        .with("KEYSTEAD_BRAND", "Acme");
    let checked = keystead.run(&["check", "--key-prefix", "acme_live"]).succeeded().stdout;
    let line = |variable: &str| {
        let found = checked.lines().find(|line| line.split_whitespace().next() == Some(variable));
        found.unwrap_or_else(|| panic!("{variable} is missing: {checked}")).to_owned()
    };
    for setting in keystead::config::TABLE {
        line(setting.variable);
    }
    assert!(line("KEYSTEAD_BRAND").contains("Acme") && line("KEYSTEAD_BRAND").ends_with("variable"));
    assert!(line("KEYSTEAD_KEY_PREFIX").contains("acme_live") && line("KEYSTEAD_KEY_PREFIX").ends_with("flag"));
    assert!(line("KEYSTEAD_LEASE_SECS").contains("10") && line("KEYSTEAD_LEASE_SECS").ends_with("default"));
    assert!(line("DATABASE_URL").contains("postgres://keystead:***@db.example/keys?sslmode=require"));
    assert!(line("PGPASSWORD").contains("***"));
    assert!(!checked.contains("hunter"), "{checked}");
    assert!(!keystead.data_dir().exists(), "check makes nothing");
}

#[test]
fn check_says_everything_that_is_wrong_and_fails() {
    let keystead = Binary::on_sqlite()
        .with("KEYSTEAD_LEASE_SECS", "soon")
        .with("KEYSTEAD_DATA_DIR", "~/data")
        .with("KEYSTEAD_LOG", "loud")
        .with("KEYSTEAD_LISTEM", "x");
    let checked = keystead.run(&["check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for variable in ["KEYSTEAD_LEASE_SECS", "KEYSTEAD_DATA_DIR", "KEYSTEAD_LOG", "KEYSTEAD_LISTEM"] {
        let is_wrong = |line: &str| line.split_whitespace().next() == Some(variable) && line.contains("WRONG: ");
        assert!(checked.stdout.lines().any(is_wrong), "{variable}: {}", checked.stdout);
    }
    keystead.run(&["migrate"]).refused_with(&["3 more", "keystead check"]);
}

#[test]
fn in_json_every_line_is_json_also_when_it_does_not_start() {
    let keystead = || Binary::new().with("KEYSTEAD_LOG_FORMAT", "json");
    for (keystead, arguments) in [
        (keystead(), &["migrate"] as &[&str]),
        (keystead(), &["check"]),
        (keystead(), &["--colour"]),
        (keystead(), &["frobnicate"]),
        (keystead(), &["admin", "create", "--email", "maya"]),
        (keystead().with("KEYSTEAD_LISTEM", "x"), &["serve"]),
        (keystead().with("KEYSTEAD_SERVICE_HOST", "10.0.0.1"), &["migrate"]),
        (keystead().with("KEYSTEAD_LEASE_SECS", "soon"), &["check"]),
        (keystead().with("KEYSTEAD_LOG", "loud"), &["serve"]),
        (keystead().with("KEYSTEAD_DATA_DIR", "/dev/null/keystead"), &["serve"]),
        (Binary::new(), &["--log-format", "json", "--colour"]),
        (Binary::new(), &["--colour", "--log-format=json"]),
    ] {
        let done = keystead.run(arguments);
        let lines = json_lines(&(done.stdout + &done.stderr));
        assert!(!lines.is_empty(), "{arguments:?}");
        for line in lines {
            for name in ["timestamp", "level", "message"] {
                assert!(line[name].is_string(), "{name} is missing: {line}");
            }
        }
    }
    let arguments = ["admin", "create", "--email", "maya@acme.example", "--organization", "Acme", "--password-stdin"];
    let made = keystead().run_with_input(&arguments, PASSWORD).succeeded();
    assert!(json_lines(&made.stdout)[0]["organization_id"].as_str().unwrap().starts_with("org_"));
}

#[test]
fn in_json_a_number_is_a_number() {
    let keystead = Binary::on_sqlite().with("KEYSTEAD_LOG_FORMAT", "json");
    keystead.run(&["migrate"]).succeeded();
    let made = keystead.run(&["backup", "monday"]).succeeded();
    assert_eq!(json_lines(&made.stdout)[0]["keys"], 0, "{}", made.stdout);
    let restored = json_lines(&keystead.run(&["restore", "monday"]).succeeded().stdout);
    assert_eq!(restored[0]["keys"], 0, "{restored:?}");
    let ended = restored.iter().find(|line| line.get("secrets").is_some()).expect("what was ended again");
    assert_eq!((&ended["keys"], &ended["secrets"]), (&0.into(), &0.into()), "{ended}");
}
