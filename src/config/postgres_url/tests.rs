use std::{collections::HashMap, fs};

use super::{super::postgres_target::*, *};

fn with(url: &str, variables: &[(&str, &str)]) -> Result<PostgresTarget, String> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let parsed = PostgresUrl::parse(url, |name| variables.get(name).map(|value| (*value).to_owned()));
    let parsed = parsed.map_err(|error| error.to_string())?;
    let completed = PostgresUrl::parse(&parsed.complete(), |_| None).unwrap();
    assert!(completed == parsed, "{}", parsed.complete());
    PostgresTarget::of(&parsed).map_err(|error| error.to_string())
}

fn alone(url: &str) -> PostgresTarget {
    with(url, &[]).unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn host(name: &str, port: u16) -> PostgresHost {
    PostgresHost { name: (!name.is_empty()).then(|| name.to_owned()), address: None, port }
}

#[test]
fn hosts_as_libpq_reads_them() {
    assert_eq!(alone("postgres://").hosts, [host("", 5432)]);
    assert_eq!(alone("postgresql://db").hosts, [host("db", 5432)]);
    assert_eq!(alone("postgres://a:1,b,[::1]:3/x").hosts, [host("a", 1), host("b", 5432), host("::1", 3)]);
    assert_eq!(alone("postgres://a,b:7?port=9").hosts, [host("a", 9), host("b", 9)]);
    assert_eq!(alone("postgres://%2Frun%2Fpg:7/x").hosts, [host("/run/pg", 7)]);
    assert_eq!(alone("postgres:///x?host=/run/pg").hosts, [host("/run/pg", 5432)]);
    let both = alone("postgres://db.example.com/x?hostaddr=10.0.0.1,::1&host=a,b&port=1,2").hosts;
    assert_eq!(both[1], PostgresHost { name: Some("b".into()), address: Some("::1".parse().unwrap()), port: 2 });
    for bad in
        ["postgres://[::1", "postgres://a:1,b:2?host=c", "postgres://a:b", "postgres://a:0", "postgres://a?hostaddr=b"]
    {
        assert!(with(bad, &[]).is_err(), "{bad}");
    }
}

#[test]
fn credentials_and_names_are_decoded() {
    // A slash before the @: there are no credentials, as in libpq.
    assert!(with("postgres://a%40b:p:w?/%2F@db/na%20me", &[]).is_err());
    let target = alone("postgres://a%40b:p:w?%2F@db/na%20me?options=-c%20x%3Dy");
    assert_eq!((target.user.as_deref(), target.password.as_deref()), (Some("a@b"), Some("p:w?/")));
    assert_eq!((target.database.as_deref(), target.options.as_deref()), (Some("na me"), Some("-c x=y")));
    assert_eq!(alone("postgres://db").application_name, "keystead");
    assert_eq!(alone("postgres://db?application_name=keys").application_name, "keys");
}

#[test]
fn what_is_wrong_with_a_url_is_said_without_a_part_of_its_password() {
    for bad in [
        "hun/xyz2",
        "hun/xyz2?",
        "Hun?xyz2/=1",
        "1/x?hun=1",
        "1/x?a=1&xyz=1",
        "1/x?sslmode=hun",
        "1?Hun/xyz2=1",
        "hun:xyz2/",
        "%zzhun/xyz2",
        "[hun/xyz2",
    ] {
        let refused = with(&format!("postgres://ada:{bad}@db/keys"), &[]).map(drop).unwrap_err();
        assert!(!refused.to_lowercase().contains("hun") && !refused.contains("xyz"), "{bad}: {refused}");
    }
    let mistyped = with("postgres://db/keys?ssl-mode=require", &[]).map(drop).unwrap_err();
    assert!(mistyped.contains("ssl-mode"), "{mistyped}");
}

#[test]
fn the_url_comes_before_the_environment_and_empty_is_unset() {
    let variables = [
        ("PGHOST", "other"),
        ("PGPORT", "7"),
        ("PGUSER", "app"),
        ("PGPASSWORD", "pw"),
        ("PGSSLMODE", "require"),
        ("PGDATABASE", ""),
    ];
    let target = with("postgres://db", &variables).unwrap();
    assert_eq!(target.hosts, [host("db", 7)]);
    assert_eq!((target.user.as_deref(), target.password.as_deref(), target.database), (Some("app"), Some("pw"), None));
    assert_eq!(target.tls.mode, TlsMode::Require);
    assert_eq!(with("postgres:///x", &variables).unwrap().hosts, [host("other", 7)]);
}

#[test]
fn a_service_fills_in_what_the_url_leaves_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    fs::write(&file, "[other]\nhost=no\n\n# ours\n[keys]\nhost=db\nport=7\nuser=app\n[last]\nhost=no\n").unwrap();
    let file = file.to_str().unwrap();
    let variables = [("PGSERVICEFILE", file), ("PGSERVICE", "keys"), ("PGUSER", "no")];
    let target = with("postgres://:pw@/x?port=9", &variables).unwrap();
    assert_eq!((target.hosts, target.user.as_deref()), (vec![host("db", 9)], Some("app")));
    assert!(with("postgres:///?service=none", &variables).err().unwrap().contains("\"none\""));
}

#[test]
fn what_tls_means() {
    let tls = |query: &str| alone(&format!("postgres://db{query}")).tls;
    assert_eq!((tls("").mode, tls("").root), (TlsMode::Prefer, TlsRoot::None));
    assert_eq!(tls("?ssl=true").mode, TlsMode::Require);
    assert_eq!(tls("?sslmode=verify-full").root, TlsRoot::Public);
    let system = tls("?sslrootcert=system");
    assert_eq!((system.mode, system.root), (TlsMode::VerifyFull, TlsRoot::Public));
    assert_eq!(tls("?sslrootcert=/a.pem&sslmode=verify-ca").root, TlsRoot::File("/a.pem".into()));
    assert!(!tls("?ssl_min_protocol_version=TLSv1.3").is_1_2_allowed);
    assert!(!tls("?ssl_max_protocol_version=TLSv1.2").is_1_3_allowed);
    assert_eq!(tls("?sslcert=/a&sslcertmode=disable").certificate, None);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (query, name) in [
        ("requirepeer=x", "requirepeer"),
        ("require_auth=md5", "require_auth"),
        ("sslcrl=/x", "sslcrl"),
        ("sslpassword=secret", "sslpassword"),
        ("replication=1", "replication"),
        ("gssencmode=require", "gssencmode=require"),
        ("sslnegotiation=direct&sslmode=require", "sslnegotiation=direct"),
        ("client_encoding=LATIN1", "client_encoding"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("sslmode=verify-ca", "sslrootcert"),
        ("sslrootcert=system&sslmode=require", "sslmode=verify-full"),
        ("sslmode=verify", "sslmode"),
        ("ssl_max_protocol_version=TLSv1.1", "ssl_max_protocol_version"),
        ("sslcertmode=require", "sslcertmode"),
        ("connect_timeout=soon", "connect_timeout"),
        ("statement_timeout=5", "statement_timeout"),
        ("sslmode", "NAME=VALUE"),
        ("options=-c x=y", "%3D"),
        ("user=%zz", "%25"),
        ("user=%00", "%25"),
        ("host=@abstract", "abstract"),
    ] {
        let error = with(&format!("postgres://app:hunter2@db?{query}"), &[]).err().unwrap_or_else(|| panic!("{query}"));
        assert!(error.contains(name) && !error.contains("hunter2") && !error.contains("secret"), "{query}: {error}");
    }
    assert!(with("postgres://db", &[("PGREQUIREAUTH", "md5")]).err().unwrap().contains("PGREQUIREAUTH"));
}
