//! What `psql` makes of a URL and of the environment, and what Keystead makes of it: the same.

use std::{
    collections::HashMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use diesel::{RunQueryDsl, sql_query};
use keystead::{
    config::{postgres_target::PostgresTarget, postgres_url::PostgresUrl},
    store::connection::{Conn, DatabaseUrl},
};

use crate::{cluster::postgres::OwnPostgres, support::TestDatabase};

/// Roles whose rights depend on how somebody comes in.
const HBA: &str = "\
    local   all all       trust\n\
    hostssl   all certain all cert\n\
    hostssl   all crypted all trust\n\
    hostnossl all crypted all reject\n\
    hostssl   all plain   all reject\n\
    hostnossl all plain   all trust\n\
    host all secret all scram-sha-256\n\
    host all old    all md5\n\
    host all all    all trust\n";

/// A root and the server's certificate from it, for `localhost` and 127.0.0.1; one that is its own root, made as the manual
/// of Postgres makes it; one that only has a common name; and a client's.
const CERTIFICATES: &str = "set -e
elliptic='ec -pkeyopt ec_paramgen_curve:prime256v1'
openssl req -x509 -nodes -days 9 -newkey $elliptic -keyout root.key -out root.crt -subj /CN=root 2>&1
openssl req -nodes -newkey rsa:2048 -keyout db/server.key -out server.csr -subj /CN=server
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > names
openssl x509 -req -in server.csr -days 9 -CA root.crt -CAkey root.key -CAcreateserial -extfile names -out db/server.crt
openssl req -nodes -newkey $elliptic -keyout client.key -out client.csr -subj /CN=certain
openssl x509 -req -in client.csr -days 9 -CA root.crt -CAkey root.key -out client.crt
openssl req -x509 -nodes -days 9 -newkey rsa:2048 -keyout own.key -out own.crt -subj /CN=localhost
chmod 0644 *.crt; chmod 0600 db/server.key client.key; cp client.key open.key; chmod 0644 open.key
cp client.key group.key; chmod 0640 group.key
cp db/server.crt from-root.crt; cp db/server.key from-root.key; cp root.crt db/root.crt
echo \"ssl = on
ssl_ca_file = 'root.crt'\" >> db/postgresql.conf";

struct Row {
    url: String,
    variables: Vec<(&'static str, String)>,
    /// Where Keystead refuses on purpose what psql takes: a word of the sentence.
    refused_for: Option<&'static str>,
}

fn row(url: impl Into<String>) -> Row {
    Row { url: url.into(), variables: Vec::new(), refused_for: None }
}

impl Row {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn refused_for(mut self, word: &'static str) -> Self {
        self.refused_for = Some(word);
        self
    }

    fn psql(&self, home: &str) -> bool {
        let mut psql = Command::new("psql");
        psql.args([&self.url, "-XAtqc", "select 1"]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home);
        psql.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        psql.output().unwrap().status.success()
    }

    fn keystead(&self, home: &str) -> Result<(), String> {
        let mut variables: HashMap<&str, String> = self.variables.iter().cloned().collect();
        variables.entry("HOME").or_insert_with(|| home.to_owned());
        let url = PostgresUrl::parse(&self.url, |name| variables.get(name).cloned());
        let url = url.map_err(|error| error.to_string())?;
        PostgresTarget::of(&url).map_err(|error| error.to_string())?;
        DatabaseUrl::Postgres(url.complete()).connect().map(drop).map_err(|error| error.to_string())
    }
}

/// Shows every row that the two disagree about.
fn compare(rows: Vec<Row>, home: &str) {
    let (mut wrong, mut taken, mut refused) = (Vec::new(), 0, 0);
    for row in &rows {
        let (psql, keystead) = (row.psql(home), row.keystead(home));
        let is_right = match (&row.refused_for, &keystead) {
            (Some(word), Err(reason)) => psql && reason.contains(word),
            (Some(_), Ok(())) => false,
            (None, keystead) => psql == keystead.is_ok(),
        };
        if !is_right {
            wrong.push(format!("{} {:?}: psql connects: {psql}, Keystead: {keystead:?}", row.url, row.variables));
        }
        *(if psql { &mut taken } else { &mut refused }) += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(taken > 3 && refused > 1, "a table of one kind shows nothing: {taken} taken, {refused} refused");
}

fn start() -> OwnPostgres {
    TestDatabase::postgres();
    let postgres = OwnPostgres::start();
    fs::write(postgres.folder().join("db/pg_hba.conf"), HBA).unwrap();
    assert!(postgres.shell(CERTIFICATES), "openssl makes the certificates");
    restart(&postgres);
    for sql in [
        "CREATE ROLE certain LOGIN; CREATE ROLE crypted LOGIN; CREATE ROLE plain LOGIN",
        "CREATE ROLE secret LOGIN PASSWORD 'p w:\\@'",
        "CREATE DATABASE reads",
        "SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'old'",
        "ALTER DATABASE reads SET default_transaction_read_only = on",
    ] {
        let folder = postgres.folder().display();
        let psql = format!("psql -X -h {folder} -p {} -U postgres -c \"{sql}\"", postgres.port());
        assert!(postgres.shell(&psql), "{sql}");
    }
    postgres
}

fn restart(postgres: &OwnPostgres) {
    assert!(postgres.down("fast") && postgres.up(), "{}", postgres.log());
}

#[test]
fn a_url_means_what_it_means_to_psql() {
    let postgres = start();
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str| postgres.folder().join(name).display().to_string();
    let (port, folder) = (postgres.port(), postgres.folder().display().to_string());
    let at = format!("127.0.0.1:{port}");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let socket = folder.replace('/', "%2F");
    let root = file("root.crt");
    // What belongs to root may be read by root's group, what belongs to anybody else by nobody else.
    let client = format!("sslcert={}&sslkey={}", file("client.crt"), file("client.key"));
    let open_key = format!("sslcert={}&sslkey={}", file("client.crt"), file("open.key"));
    let group_key = format!("sslcert={}&sslkey={}", file("client.crt"), file("group.key"));
    let own_key = home.path().join("own.key");
    fs::copy(file("client.key"), &own_key).unwrap();
    fs::set_permissions(&own_key, fs::Permissions::from_mode(0o640)).unwrap();
    let own_key = format!("sslcert={}&sslkey={}", file("client.crt"), own_key.display());
    let passwords = home.path().join("passwords");
    fs::write(&passwords, format!("elsewhere:*:*:*:no\n127.0.0.1:{port}:*:secret:p w\\:\\\\@\n")).unwrap();
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
    let passwords = passwords.display().to_string();
    let service = home.path().join("services");
    fs::write(&service, format!("[keys]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname=postgres\n")).unwrap();
    let service = service.display().to_string();
    let mut rows = vec![
        // Hosts, sockets and what stands in the environment.
        row(format!("postgres://postgres@{at}/postgres")),
        row(format!("postgresql://postgres@localhost:{port}/postgres")),
        row(format!("postgres://postgres@{at}/nowhere")),
        row(format!("postgres://nobody@{at}/postgres")),
        row(format!("postgres://postgres@127.0.0.1:{dead}/postgres")),
        row(format!("postgres://postgres@{socket}:{port}/postgres")),
        row(format!("postgres://postgres@{socket}:{port}/postgres?sslmode=verify-full&sslrootcert={root}")),
        row(format!("postgres://postgres@{socket}:{port}/postgres?sslmode=verify-full&sslrootcert=/none")),
        row(format!("postgres://postgres@/postgres?host={folder}&port={port}")),
        row(format!("postgres:///postgres?user=postgres&hostaddr=127.0.0.1&port={port}")),
        row(format!("postgres://postgres@no.such.host.invalid:{port}/postgres?hostaddr=127.0.0.1")),
        row(format!("postgres://postgres@no.such.host.invalid:{port}/postgres")),
        row("postgres://").with("PGHOST", "127.0.0.1").with("PGPORT", port.to_string()).with("PGUSER", "postgres"),
        row("postgres://").with("PGHOST", "127.0.0.1").with("PGPORT", dead.to_string()).with("PGUSER", "postgres"),
        row(format!("postgres://postgres@{at}/postgres")).with("PGPORT", dead.to_string()).with("PGUSER", "nobody"),
        row(format!("postgres://{at}/postgres")).with("PGHOSTADDR", "127.0.0.1").with("PGUSER", "postgres"),
        row("postgres:///?service=keys").with("PGSERVICEFILE", &service),
        row("postgres:///").with("PGSERVICEFILE", &service).with("PGSERVICE", "keys"),
        row("postgres:///?service=other").with("PGSERVICEFILE", &service),
        // Several of them.
        row(format!("postgres://postgres@127.0.0.1:{dead},{at}/postgres")),
        row(format!("postgres://postgres@127.0.0.1:{dead},{at}/postgres?target_session_attrs=read-write")),
        row(format!("postgres://postgres@127.0.0.1,127.0.0.1/postgres?port={dead},{port}")),
        row(format!("postgres://postgres@127.0.0.1,localhost/postgres?port={port}&load_balance_hosts=disable"))
            .refused_for(""),
        row(format!("postgres://postgres@{at},{at}/postgres?port={port}")),
        row(format!("postgres://postgres@{at}/postgres?port={port},{port}")),
        row(format!("postgres://nobody@{at},{at}/postgres")),
        row(format!("postgres://postgres@{at}/reads?target_session_attrs=read-write")),
        row(format!("postgres://postgres@{at}/reads?target_session_attrs=any")),
        row(format!("postgres://postgres@{at}/reads?target_session_attrs=primary")),
        row(format!("postgres://postgres@{at}/reads?target_session_attrs=read-only")).refused_for("needs the primary"),
        row(format!("postgres://postgres@{at}/postgres?target_session_attrs=standby")),
        row(format!("postgres://postgres@{at}/postgres?target_session_attrs=sometimes")),
        // Passwords.
        row(format!("postgres://secret:p%20w%3A%5C%40@{at}/postgres")),
        row(format!("postgres://secret:wrong@{at}/postgres")),
        row(format!("postgres://secret@{at}/postgres")),
        row(format!("postgres://secret@{at}/postgres?password=p%20w:%5C@")),
        row(format!("postgres://secret@{at}/postgres")).with("PGPASSWORD", "p w:\\@"),
        row(format!("postgres://secret@{at}/postgres")).with("PGPASSFILE", &passwords),
        row(format!("postgres://secret@{at}/postgres?passfile={passwords}")),
        row(format!("postgres://secret@localhost:{port}/postgres?passfile={passwords}")),
        row(format!("postgres://old:old@{at}/postgres")),
        row(format!("postgres://old:new@{at}/postgres")),
        row(format!("postgres://secret:p%20w%3A%5C%40@{at}/postgres?channel_binding=require&sslmode=require")),
        row(format!("postgres://secret:p%20w%3A%5C%40@{at}/postgres?channel_binding=require&sslmode=disable")),
        // Settings.
        row(format!("postgres://postgres@{at}/postgres?options=-c%20geqo%3Doff&application_name=x&connect_timeout=9")),
        row(format!("postgres://postgres@{at}/postgres?options=-c%20nothing%3Doff")),
        row(format!("postgres://postgres@{at}/postgres")).with("PGOPTIONS", "-c nothing=off"),
        row(format!("postgres://postgres@{at}/postgres?keepalives=0&tcp_user_timeout=9000&keepalives_idle=9")),
        row(format!("postgres://postgres@{at}/postgres?connect_timeout=soon")),
        row(format!("postgres://postgres@{at}/postgres?what=ever")),
        row(format!("postgres://postgres@{at}/postgres?sslmode")),
        row(format!("postgres://postgres@{at}/postgres?options=a=b")),
        row(format!("postgres://postgres%4@{at}/postgres")),
        row(format!("postgres://postgres@[::1/postgres?port={port}")),
        row(format!("postgres://postgres@{at}/postgres?client_encoding=UTF8")),
        row(format!("postgres://postgres@{at}/postgres?client_encoding=LATIN1")).refused_for("UTF8"),
        row(format!("postgres://postgres@{socket}:{port}/postgres?requirepeer=postgres")).refused_for("requirepeer"),
        row(format!("postgres://postgres@{at}/postgres?gssencmode=disable&sslcompression=0&krbsrvname=x")),
        row(format!("postgres://postgres@{at}/postgres?gssencmode=require")),
        // With a certificate.
        row(format!("postgres://certain@{at}/postgres?sslmode=require&{client}")),
        row(format!("postgres://certain@{at}/postgres?sslmode=require")),
        row(format!("postgres://certain@{at}/postgres?sslmode=require&sslcert=/none&sslkey=/none")),
        row(format!("postgres://certain@{at}/postgres?sslmode=require&{open_key}")),
        row(format!("postgres://certain@{at}/postgres?sslmode=require&{group_key}")),
        row(format!("postgres://certain@{at}/postgres?sslmode=require&{own_key}")),
        // Without TLS nobody looks at them.
        row(format!("postgres://plain@{at}/postgres?sslmode=disable&{open_key}")),
        row(format!("postgres://certain@{at}/postgres?sslmode=verify-full&sslrootcert={root}&{client}")),
        row(format!("postgres://certain@{at}/postgres"))
            .with("PGSSLCERT", file("client.crt"))
            .with("PGSSLKEY", file("client.key")),
    ];
    // psql 15 knows no such setting yet; 16 and later do, and so does Keystead.
    rows.retain(|row| !row.url.contains("load_balance_hosts"));
    // Every mode, for whoever may come in only with TLS, only without, and either way; by name and by address.
    for user in ["postgres", "crypted", "plain"] {
        for mode in ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            for root in ["", &*root, &*file("own.crt"), "/none"] {
                if mode == "verify-full" && root.is_empty() {
                    continue;
                }
                let query =
                    [("sslmode", mode), ("sslrootcert", root)].into_iter().filter(|(_, value)| !value.is_empty());
                let query: Vec<_> = query.map(|(name, value)| format!("{name}={value}")).collect();
                rows.push(row(format!("postgres://{user}@{at}/postgres?{}", query.join("&"))));
            }
        }
    }
    let full = format!("sslmode=verify-full&sslrootcert={root}");
    rows.push(row(format!("postgres://postgres@localhost:{port}/postgres?{full}")));
    rows.push(row(format!("postgres://postgres@other.example:{port}/postgres?hostaddr=127.0.0.1&{full}")));
    rows.push(row(format!(
        "postgres://postgres@other.example:{port}/postgres?hostaddr=127.0.0.1&sslmode=verify-ca&sslrootcert={root}"
    )));
    rows.push(row(format!("postgres:///postgres?user=postgres&port={port}&hostaddr=127.0.0.1&{full}")));
    rows.push(
        row(format!("postgres://postgres@localhost:{port}/postgres"))
            .with("PGSSLMODE", "verify-full")
            .with("PGSSLROOTCERT", &root),
    );
    rows.push(
        row(format!("postgres://postgres@{at}/postgres?sslmode=verify-ca")).with("PGSSLROOTCERT", file("own.crt")),
    );
    compare(rows, home.path().to_str().unwrap());
}

#[test]
fn a_certificate_that_is_its_own_root_means_what_it_means_to_psql() {
    let postgres = start();
    let home = tempfile::tempdir().unwrap();
    assert!(postgres.shell("cp own.crt db/server.crt && cp own.key db/server.key && chmod 0600 db/server.key"));
    restart(&postgres);
    let file = |name: &str| postgres.folder().join(name).display().to_string();
    let port = postgres.port();
    let mut rows = Vec::new();
    for host in ["localhost", "127.0.0.1"] {
        for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            for root in [file("own.crt"), file("root.crt")] {
                rows.push(row(format!("postgres://postgres@{host}:{port}/postgres?sslmode={mode}&sslrootcert={root}")));
            }
        }
        rows.push(row(format!("postgres://postgres@{host}:{port}/postgres?sslmode=require")));
    }
    compare(rows, home.path().to_str().unwrap());
    // The files that libpq finds without being told: with a root at hand "require" verifies.
    fs::create_dir(home.path().join(".postgresql")).unwrap();
    for (root, _) in [("own.crt", true), ("root.crt", false)] {
        fs::copy(file(root), home.path().join(".postgresql/root.crt")).unwrap();
        let rows =
            ["require", "prefer", "verify-ca", "verify-full", "disable", "verify-ca&target_session_attrs=standby"];
        let rows: Vec<_> = rows
            .iter()
            .map(|mode| row(format!("postgres://postgres@localhost:{port}/postgres?sslmode={mode}")))
            .collect();
        for row in &rows {
            let (psql, keystead) =
                (row.psql(home.path().to_str().unwrap()), row.keystead(home.path().to_str().unwrap()));
            assert_eq!(psql, keystead.is_ok(), "{root} {} {keystead:?}", row.url);
        }
    }
}

#[test]
fn a_statement_is_cancelled_by_the_way_that_its_connection_went() {
    let postgres = start();
    let (port, folder) = (postgres.port(), postgres.folder().display().to_string().replace('/', "%2F"));
    let over_tcp = ["disable", "prefer", "require"].map(|mode| format!("127.0.0.1:{port}/postgres?sslmode={mode}"));
    for at in over_tcp.into_iter().chain([format!("{folder}:{port}/postgres")]) {
        let cancelled = || {
            let mut conn = DatabaseUrl::Postgres(format!("postgres://postgres@{at}")).connect().unwrap();
            let Conn::Postgres(postgres) = &mut conn else { panic!("it is Postgres") };
            postgres.set_limit(Duration::from_secs(2));
            postgres.set_only_read(true);
            sql_query("SELECT pg_sleep(3600)").execute(&mut conn).unwrap_err().to_string().contains("57014")
        };
        // A server on a machine with too much to do may take longer.
        assert!((0..5).any(|_| cancelled()), "{at}");
    }
}
