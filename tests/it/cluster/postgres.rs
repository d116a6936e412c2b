//! A Postgres server of one test, which may be stopped, killed and filled up.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Stopped and removed on drop.
pub struct OwnPostgres {
    programs: PathBuf,
    /// A folder of the account that Postgres runs as.
    folder: PathBuf,
    port: u16,
    is_mounted: bool,
    mounted: Vec<PathBuf>,
}

impl OwnPostgres {
    /// Its programs must be installed.
    pub fn start() -> Self {
        Self::start_in(false)
    }

    /// On a disk of 100 MB, which only root may mount.
    pub fn start_on_a_small_disk() -> Self {
        Self::start_in(true)
    }

    /// On a machine whose queue of notifications is soon full (8 GB, unless the disk is). Only root may mount its disk.
    pub fn start_with_few_notifications() -> Self {
        let mut postgres = Self::start_in(false);
        assert!(postgres.down("fast"), "{}", postgres.log());
        let queue = Path::new(&postgres.data()).join("pg_notify");
        let is_mounted =
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,mode=0777", "none"]).arg(&queue));
        assert!(is_mounted, "a disk of 64 KB cannot be mounted here; run the tests as root");
        postgres.mounted.push(queue);
        assert!(postgres.up(), "{}", postgres.log());
        postgres
    }

    fn start_in(is_mounted: bool) -> Self {
        let programs = programs().expect("Postgres' programs are installed (initdb, postgres)");
        let folder = tempfile::Builder::new().prefix("keystead-postgres-").tempdir().unwrap().keep();
        if is_mounted && !run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=100m", "none"]).arg(&folder)) {
            fs::remove_dir(&folder).unwrap();
            panic!("a disk of 100 MB cannot be mounted here; run the tests as root");
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let postgres = Self { programs, folder, port, is_mounted, mounted: Vec::new() };
        if is_root() {
            // Postgres refuses to run as root.
            assert!(run(Command::new("chown").arg("postgres").arg(&postgres.folder)), "there is an account postgres");
        }
        let data = postgres.data();
        assert!(postgres.carry_out("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]));
        assert!(postgres.up(), "{}", postgres.log());
        postgres
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket, and whatever else a test puts there.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of its database and settings.
    pub fn data(&self) -> String {
        self.folder.join("db").to_str().unwrap().to_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts it again; whether it runs.
    pub fn up(&self) -> bool {
        let folder = self.folder.to_str().unwrap();
        let options = format!(
            "-p {} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=100 -c fsync=off -c shared_buffers=16MB \
             -c max_wal_size=32MB -c min_wal_size=32MB",
            self.port
        );
        let log = format!("{folder}/log");
        self.carry_out("pg_ctl", &["-D", &self.data(), "-o", &options, "-w", "-l", &log, "start"])
    }

    /// Stops it: `fast` says good-bye to everybody, `immediate` is as if it were killed.
    pub fn down(&self, how: &str) -> bool {
        self.carry_out("pg_ctl", &["-D", &self.data(), "-w", "-m", how, "stop"])
    }

    /// Leaves no room on the small disk.
    pub fn fill_the_disk(&self) {
        assert!(self.is_mounted);
        let block = vec![0; 1 << 16];
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        while std::io::Write::write_all(&mut ballast, &block).is_ok() {}
    }

    /// Makes room again.
    pub fn empty_the_disk(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Runs a shell command as the account that Postgres runs as, in its folder; whether it succeeded.
    pub fn shell(&self, command: &str) -> bool {
        let mut shell = Command::new(if is_root() { "runuser" } else { "sh" });
        if is_root() {
            shell.args(["-u", "postgres", "--", "sh"]);
        }
        run(shell.args(["-c", command]).current_dir(&self.folder))
    }

    fn carry_out(&self, program: &str, arguments: &[&str]) -> bool {
        let program = self.programs.join(program);
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&program) };
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        run(command.args(arguments).current_dir(&self.folder))
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.down("immediate");
        for place in &self.mounted {
            run(Command::new("umount").arg(place));
        }
        if self.is_mounted {
            run(Command::new("umount").arg(&self.folder));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where Debian and others keep the programs of a Postgres server.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    folders.retain(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists());
    folders.pop()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).is_ok_and(|me| me.uid() == 0)
}

fn run(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
