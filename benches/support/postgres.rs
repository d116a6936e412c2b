//! A Postgres server: our own if there are programs for it, else the one `DATABASE_URL` names.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Stopped on drop, also in a panic.
pub struct Postgres {
    server: String,
    own: Option<Own>,
    /// Databases to drop.
    made: Vec<String>,
}

struct Own {
    folder: TempDir,
    programs: PathBuf,
    /// Stops Postgres when its standard input ends, which it does however this process ends.
    keeper: Option<Child>,
}

/// Arguments: the folder, then the command that stops Postgres.
const KEEPER: &str = r#"trap "" INT TERM HUP; cat > /dev/null; "$@" > /dev/null 2>&1; rm -rf "$0""#;

impl Postgres {
    /// # Errors
    /// Why there is none, in words.
    pub fn find() -> Result<Self, String> {
        if let Some(programs) = programs() {
            let mut own = Own { folder: tempfile::tempdir().unwrap(), programs, keeper: None };
            let server = own.start()?;
            return Ok(Self { server, own: Some(own), made: Vec::new() });
        }
        match given() {
            Some(server) => Ok(Self { server, own: None, made: Vec::new() }),
            None => Err("neither initdb and pg_ctl (PATH, /usr/lib/postgresql/*/bin) nor DATABASE_URL".to_owned()),
        }
    }

    pub fn described(&self) -> &'static str {
        if self.own.is_some() {
            "Postgres of our own, fresh, with its default settings (fsync on)"
        } else {
            "Postgres of DATABASE_URL"
        }
    }

    /// The URL of a new, empty database.
    pub fn new_database(&mut self) -> String {
        let name = format!("keystead_bench_{}_{}", std::process::id(), self.made.len());
        self.execute(&format!("CREATE DATABASE {name}"));
        let url = in_database(&self.server, &name);
        self.made.push(name);
        url
    }

    fn execute(&self, sql: &str) {
        super::block_on(async {
            let connected = tokio_postgres::connect(&self.server, tokio_postgres::NoTls).await;
            let (client, connection) = connected.expect("Postgres can be reached");
            actix_web::rt::spawn(connection);
            client.batch_execute(sql).await.expect(sql);
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Our own goes with everything in it.
        if self.own.is_none() {
            for name in std::mem::take(&mut self.made) {
                self.execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
            }
        }
    }
}

impl Own {
    /// The URL of the server.
    fn start(&mut self) -> Result<String, String> {
        if is_root() {
            chown(self.folder.path(), Some(id_of_postgres()?), None).map_err(|error| error.to_string())?;
        }
        run(self.program("initdb").args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]))?;
        self.keep()?;
        let folder = self.folder.path().display();
        let log = format!("{folder}/log");
        // Free until somebody else takes it: the next try has another.
        let port = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map(|found| found.port());
        let mut refused = String::new();
        for _ in 0..5 {
            let port = port().map_err(|error| error.to_string())?;
            let options = format!("-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200");
            match run(self.program("pg_ctl").args(["-o", &options, "-w", "-l", &log, "start"])) {
                Ok(()) => return Ok(format!("postgres://postgres@127.0.0.1:{port}/postgres")),
                Err(error) => refused = format!("{error}: {}", fs::read_to_string(&log).unwrap_or_default()),
            }
        }
        Err(refused)
    }

    /// Trap: `pg_ctl` gives Postgres a session of its own, so it would outlive a Ctrl+C.
    fn keep(&mut self) -> Result<(), String> {
        let mut stop = self.program("pg_ctl");
        stop.args(["-m", "immediate", "stop"]);
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).arg(self.folder.path()).arg(stop.get_program()).args(stop.get_args());
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().map_err(|error| error.to_string())?);
        Ok(())
    }

    /// One of its programs on the database; as root by another user, because Postgres refuses root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.arg("-D").arg(self.folder.path().join("db")).current_dir(self.folder.path());
        command
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// Runs it to its end. Nothing of it is piped: Postgres would inherit the pipe and keep it open.
fn run(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// The folder of `initdb` and `pg_ctl`, the newest version's.
fn programs() -> Option<PathBuf> {
    let has_both = |folder: &Path| folder.join("initdb").exists() && folder.join("pg_ctl").exists();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).filter(|p| has_both(p)).collect();
    found.sort();
    found.pop().or_else(|| std::env::split_paths(&variable("PATH")?).find(|folder| has_both(folder)))
}

fn given() -> Option<String> {
    variable("DATABASE_URL").filter(|url| url.starts_with("postgres"))
}

#[allow(clippy::disallowed_methods)] // the environment says where Postgres is
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn id_of_postgres() -> Result<u32, String> {
    let found = Command::new("id").args(["-u", "postgres"]).output().map_err(|error| error.to_string())?;
    let id = String::from_utf8_lossy(&found.stdout).trim().parse();
    id.map_err(|_| "there is no user postgres, and Postgres refuses to run as root".to_owned())
}

/// The URL of another database on the same server.
fn in_database(server: &str, name: &str) -> String {
    let (before, query) = server.split_once('?').map_or((server, ""), |(before, query)| (before, query));
    let (scheme, rest) = before.split_once("://").expect("DATABASE_URL is a URL");
    let authority = rest.split('/').next().unwrap_or_default();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{authority}/{name}{mark}{query}")
}
