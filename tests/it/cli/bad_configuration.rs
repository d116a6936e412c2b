//! Configuration that cannot be used: one clear line on stderr, an exit code that is not 0, and never a panic.

use std::{net::TcpListener, os::unix::fs::PermissionsExt};

use crate::support::Binary;

#[test]
fn every_variable_is_checked() {
    for (name, value, words) in [
        ("KEYSTEAD_LISTEM", "127.0.0.1:0", &["KEYSTEAD_LISTEM", "KEYSTEAD_LISTEN"] as &[&str]),
        ("KEYSTEAD_", "x", &["KEYSTEAD_"]),
        ("KEYSTEAD_LISTEN", "8080", &["KEYSTEAD_LISTEN", "127.0.0.1:8080"]),
        ("KEYSTEAD_LISTEN", "127.0.0.1:99999", &["KEYSTEAD_LISTEN"]),
        ("KEYSTEAD_LISTEN", "203.0.113.1:8080", &["KEYSTEAD_LISTEN", "203.0.113.1:8080"]),
        ("KEYSTEAD_METRICS_LISTEN", "9090", &["KEYSTEAD_METRICS_LISTEN", "127.0.0.1:8080"]),
        ("KEYSTEAD_METRICS_LISTEN", "on", &["KEYSTEAD_METRICS_LISTEN"]),
        ("KEYSTEAD_METRICS_LISTEN", "203.0.113.1:9090", &["KEYSTEAD_METRICS_LISTEN", "203.0.113.1:9090"]),
        ("KEYSTEAD_PUBLIC_URL", "keys.example.com", &["KEYSTEAD_PUBLIC_URL", "https://"]),
        ("KEYSTEAD_PUBLIC_URL", "https://keys.example.com/path", &["KEYSTEAD_PUBLIC_URL"]),
        ("DATABASE_URL", "mysql://localhost/x", &["DATABASE_URL", "postgres://"]),
        ("DATABASE_URL", "\"postgres://keystead:hunter22hunter@db/keystead\"", &["DATABASE_URL", "quotes"]),
        ("DATABASE_URL", "sqlite:\"/data/k.db\"", &["DATABASE_URL", "quote"]),
        ("DATABASE_URL", "sqlite:~/k.db", &["DATABASE_URL", "~"]),
        ("DATABASE_URL_FILE", "/no/such/file", &["DATABASE_URL_FILE", "/no/such/file"]),
        ("DATABASE_URL", "sqlite:", &["DATABASE_URL"]),
        ("DATABASE_URL", "sqlite::memory:", &["DATABASE_URL"]),
        ("DATABASE_URL", "sqlite:/no/such/folder/keystead.db", &["/no/such/folder/keystead.db"]),
        ("DATABASE_URL", "postgres://keystead:hunter22hunter@127.0.0.1:1/keystead", &["postgres://"]),
        ("DATABASE_URL", "postgres://[", &["DATABASE_URL", "IPv6"]),
        ("KEYSTEAD_DATA_DIR", "/dev/null/keystead", &["/dev/null/keystead"]),
        ("KEYSTEAD_DATA_DIR", "\"/data\"", &["KEYSTEAD_DATA_DIR", "quotes"]),
        ("KEYSTEAD_DATA_DIR", "/data\"", &["KEYSTEAD_DATA_DIR", "quote"]),
        ("KEYSTEAD_DATA_DIR", "~/data", &["KEYSTEAD_DATA_DIR", "~"]),
        ("KEYSTEAD_DATA_DIR", "${HOME}/data", &["KEYSTEAD_DATA_DIR", "variable"]),
        ("KEYSTEAD_DATA_DIR", "file:rel", &["KEYSTEAD_DATA_DIR", "file:rel", "is an address"]),
        ("KEYSTEAD_DATA_DIR", ":memory:", &["KEYSTEAD_DATA_DIR", "is an address"]),
        ("KEYSTEAD_PEPPER_FILE", "file:///run/pepper", &["KEYSTEAD_PEPPER_FILE", "is an address"]),
        ("DATABASE_URL_FILE", "file:url", &["DATABASE_URL_FILE", "is an address"]),
        ("DATABASE_URL", "sqlite:sqlite:x.db", &["DATABASE_URL", "is an address"]),
        ("KEYSTEAD_DATA_DIR", "/data/what?", &["KEYSTEAD_DATA_DIR", "question mark"]),
        ("KEYSTEAD_PEPPER_FILE", "'pepper'", &["KEYSTEAD_PEPPER_FILE", "quotes"]),
        ("KEYSTEAD_LEASE_SECS", "\"10\"", &["KEYSTEAD_LEASE_SECS", "quotes"]),
        ("KEYSTEAD_LEASE_SECS", "10\r", &["KEYSTEAD_LEASE_SECS", "control character"]),
        ("KEYSTEAD_PORT", "8080", &["KEYSTEAD_PORT", "KEYSTEAD_LISTEN"]),
        ("KEYSTEAD_BRAND", " ", &["KEYSTEAD_BRAND"]),
        ("KEYSTEAD_BRAND", "a\u{202E}b", &["KEYSTEAD_BRAND"]),
        ("KEYSTEAD_KEY_PREFIX", "Talvin-Live", &["KEYSTEAD_KEY_PREFIX", "talvin_live"]),
        ("KEYSTEAD_TRUSTED_PROXIES", "10.0.0.0/33", &["KEYSTEAD_TRUSTED_PROXIES", "10.0.0.0/8"]),
        ("KEYSTEAD_LOG", "info=debug=trace", &["KEYSTEAD_LOG"]),
        ("KEYSTEAD_LOG_FORMAT", "xml", &["KEYSTEAD_LOG_FORMAT", "json"]),
    ] {
        let refused = Binary::on_sqlite().with(name, value).run(&[]);
        refused.refused_with(words);
        assert_eq!(refused.stdout, "", "{name}={value}");
        assert!(!refused.stderr.contains("hunter22hunter"), "a password is shown: {}", refused.stderr);
    }
}

#[test]
fn a_value_that_is_not_utf8() {
    let variables = ["KEYSTEAD_DATA_DIR", "KEYSTEAD_PEPPER_FILE", "DATABASE_URL", "KEYSTEAD_LISTEN", "KEYSTEAD_BRAND"];
    for name in variables {
        let keystead = Binary::on_sqlite().after_shell(&format!("export {name}=$(printf 'donn\\351es')"));
        keystead.run(&[]).refused_with(&[name, "not UTF-8"]);
    }
}

#[test]
fn a_log_level_that_does_not_exist() {
    let keystead = Binary::on_sqlite().with("KEYSTEAD_LOG", "loud");
    keystead.run(&["migrate"]).refused_with(&["KEYSTEAD_LOG", "loud"]);
}

#[test]
fn flags_are_checked_like_their_variables() {
    let keystead = Binary::on_sqlite();
    keystead.run(&["--metrics-listen", "nonsense"]).refused_with(&["KEYSTEAD_METRICS_LISTEN"]);
    keystead.run(&["--public-url", "nonsense"]).refused_with(&["KEYSTEAD_PUBLIC_URL"]);
    keystead.run(&["migrate", "--key-prefix", "A"]).refused_with(&["KEYSTEAD_KEY_PREFIX"]);
    assert_eq!(keystead.run(&["--colour"]).code, Some(2));
    assert_eq!(keystead.run(&["frobnicate"]).code, Some(2));
}

#[test]
fn help_names_every_flag_with_its_variable_and_shows_no_password() {
    let keystead = Binary::on_sqlite().with("DATABASE_URL", "postgres://u:hunter22hunter@h/d");
    let help = keystead.run(&["--help"]).succeeded().stdout;
    for name in [
        "KEYSTEAD_LISTEN",
        "KEYSTEAD_METRICS_LISTEN",
        "KEYSTEAD_PUBLIC_URL",
        "DATABASE_URL",
        "KEYSTEAD_DATA_DIR",
        "KEYSTEAD_PEPPER_FILE",
        "KEYSTEAD_BRAND",
        "KEYSTEAD_KEY_PREFIX",
        "KEYSTEAD_TRUSTED_PROXIES",
        "KEYSTEAD_LOG",
        "KEYSTEAD_LOG_FORMAT",
        "migrate",
        "admin",
    ] {
        assert!(help.contains(name), "{name} is missing");
    }
    assert!(!help.contains("hunter22hunter"));
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = Binary::new().with("KEYSTEAD_LISTEN", &address).run(&[]);
    refused.refused_with(&[&address, "KEYSTEAD_LISTEN", "another server"]);
    let refused = Binary::new().with("KEYSTEAD_METRICS_LISTEN", &address).run(&[]);
    refused.refused_with(&[&address, "KEYSTEAD_METRICS_LISTEN", "another server"]);
}

#[test]
fn metrics_have_a_port_of_their_own() {
    for address in ["127.0.0.1:9464", "0.0.0.0:9464"] {
        let both = Binary::new().with("KEYSTEAD_LISTEN", "127.0.0.1:9464").with("KEYSTEAD_METRICS_LISTEN", address);
        both.run(&[]).refused_with(&["KEYSTEAD_METRICS_LISTEN", "KEYSTEAD_LISTEN", "a port of their own"]);
        let checked = both.run(&["check"]);
        assert!(checked.code == Some(1) && checked.stdout.contains("a port of their own"), "{checked:?}");
    }
    // Two free ports are two.
    let any = Binary::new().with("KEYSTEAD_LISTEN", "127.0.0.1:0").with("KEYSTEAD_METRICS_LISTEN", "127.0.0.1:0");
    any.run(&["check"]).succeeded();
}

#[test]
fn a_second_server_on_the_same_file() {
    let keystead = Binary::on_sqlite();
    let first = keystead.serve();
    keystead.run(&[]).refused_with(&["another keystead server is running", "keystead.db"]);
    std::os::unix::fs::symlink(keystead.data_dir().join("keystead.db"), keystead.folder().join("link.db")).unwrap();
    let through_a_link = keystead.with("DATABASE_URL", "sqlite:link.db");
    // By the name of the file that the link stands for.
    through_a_link.run(&[]).refused_with(&["another keystead server is running", "/keystead.db"]);
    std::fs::hard_link(through_a_link.data_dir().join("keystead.db"), through_a_link.folder().join("hard.db")).unwrap();
    let through_a_link = through_a_link.with("DATABASE_URL", "sqlite:hard.db");
    through_a_link.run(&[]).refused_with(&["another keystead server is running", "hard.db"]);
    // Cleaners take away what is old and empty.
    std::fs::remove_file(through_a_link.data_dir().join("keystead.db.lock")).unwrap();
    let through_a_link = through_a_link.with("DATABASE_URL", "");
    through_a_link.run(&[]).refused_with(&["another keystead server is running", "keystead.db"]);
    drop(first);
    let keystead = through_a_link;
    // The lock went with the process, however it ended.
    keystead.serve().stop().succeeded();
}

#[test]
fn a_pepper_that_cannot_be_a_pepper() {
    let keystead = Binary::new();
    let pepper = keystead.folder().join("my-pepper");
    let keystead = keystead.with("KEYSTEAD_PEPPER_FILE", pepper.to_str().unwrap());
    for bytes in [0, 31, 33, 65] {
        std::fs::write(&pepper, vec![7; bytes]).unwrap();
        keystead.run(&[]).refused_with(&["my-pepper", "32 bytes", &bytes.to_string()]);
        let checked = keystead.run(&["check"]);
        assert!(checked.code == Some(1) && checked.stdout.contains("exactly 32 bytes"), "{checked:?}");
    }
    std::fs::remove_file(&pepper).unwrap();
    std::fs::create_dir(&pepper).unwrap();
    keystead.run(&[]).refused_with(&["cannot read the pepper", "my-pepper"]);
}

#[test]
fn a_pepper_that_may_not_be_read() {
    let keystead = Binary::new();
    let pepper = keystead.folder().join("my-pepper");
    std::fs::write(&pepper, [7; 32]).unwrap();
    std::fs::set_permissions(&pepper, std::fs::Permissions::from_mode(0o000)).unwrap();
    let keystead = keystead.with("KEYSTEAD_PEPPER_FILE", pepper.to_str().unwrap());
    if std::fs::read(&pepper).is_ok() {
        // Root reads everything; the folder in the pepper's place above is what root cannot read either.
        keystead.serve().stop().succeeded();
    } else {
        keystead.run(&[]).refused_with(&["cannot read the pepper"]);
    }
}

#[test]
fn a_pepper_that_is_not_this_databases() {
    let keystead = Binary::new();
    keystead.serve().stop().succeeded();
    let pepper = keystead.data_dir().join("pepper");
    std::fs::set_permissions(&pepper, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&pepper, [7; 32]).unwrap();
    keystead.run(&[]).refused_with(&["pepper", "not the one this database was made with"]);
}

#[test]
fn a_pepper_that_is_lost() {
    let keystead = Binary::new();
    keystead.serve().stop().succeeded();
    let pepper = keystead.data_dir().join("pepper");
    std::fs::remove_file(&pepper).unwrap();
    keystead.run(&[]).refused_with(&["pepper", "missing", "restore it"]);
    assert!(!pepper.exists(), "a new pepper was made for an old database");
}

#[test]
fn a_file_that_is_no_database() {
    let keystead = Binary::on_sqlite();
    std::fs::create_dir(keystead.data_dir()).unwrap();
    let file = keystead.data_dir().join("keystead.db");
    std::fs::write(&file, "this is a text file, and a long one at that".repeat(100)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    keystead.run(&[]).refused_with(&["keystead.db"]);
}
