//! Where the database is, for a server that runs for months. Orchestrators change a password by writing the file of
//! `DATABASE_URL_FILE` anew, and tell nobody: so it is read again for each new connection.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, TryRecvError},
    },
    thread,
    time::Duration,
};

use super::{Config, DatabaseUrl, PgVariables, postgres_url::PostgresUrl, text};

/// How long a new connection waits for what is in the file. Where the secrets are mounted from elsewhere, a read may hang.
const READING: Duration = Duration::from_secs(1);

/// Where the database is, now.
#[derive(Clone)]
pub struct DatabaseAddress {
    /// As it was at the start.
    url: DatabaseUrl,
    file: Option<Arc<UrlFile>>,
}

struct UrlFile {
    path: PathBuf,
    variables: PgVariables,
    last: Mutex<Last>,
}

/// What the file last said, and why it could not be used since, as far as that was logged.
struct Last {
    url: DatabaseUrl,
    told: Option<Unusable>,
    /// A reading that did not end in time.
    hanging: Option<mpsc::Receiver<Result<DatabaseUrl, Unusable>>>,
}

/// Why what is in the file now is not used. Never with what is in it, which may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("it is no regular file, which can be read only once")]
    NoFile,
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    #[error("what it holds is no URL of Postgres that can be used (`keystead check` says why)")]
    NoUrl,
    #[error("more than the user and the password is different; what it says holds when every node is started again")]
    Elsewhere,
}

impl Config {
    /// Where the database is, also when `DATABASE_URL_FILE` is written anew.
    pub fn database_address(&self) -> DatabaseAddress {
        let path = self.database_url_file.clone().filter(|_| matches!(self.database, DatabaseUrl::Postgres(_)));
        let last = Last { url: self.database.clone(), told: None, hanging: None };
        let file = path.map(|path| UrlFile { path, variables: self.postgres.clone(), last: Mutex::new(last) });
        DatabaseAddress { url: self.database.clone(), file: file.map(Arc::new) }
    }
}

impl From<DatabaseUrl> for DatabaseAddress {
    /// One that stays as it is.
    fn from(url: DatabaseUrl) -> Self {
        Self { url, file: None }
    }
}

impl DatabaseAddress {
    /// What a new connection is to be made with. A file that cannot be used leaves it as it was; the log says so once.
    pub fn now(&self) -> DatabaseUrl {
        self.file.as_ref().map_or_else(|| self.url.clone(), |file| file.now())
    }

    /// As it was at the start. What changes is never the kind of database, nor which one it is.
    pub fn at_start(&self) -> &DatabaseUrl {
        &self.url
    }
}

impl std::fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl UrlFile {
    fn now(&self) -> DatabaseUrl {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.read_within(READING, &self.path, &self.variables) {
            Ok(url) => {
                let could_not_be_used = last.told.take().is_some();
                if could_not_be_used || url != last.url {
                    tracing::info!("new connections to the database are made with what DATABASE_URL_FILE says now");
                }
                last.url = url;
            }
            Err(reason) if last.told != Some(reason) => {
                tracing::warn!(
                    %reason,
                    file = %self.path.display(),
                    "DATABASE_URL_FILE is not used; new connections are made with what it said before"
                );
                last.told = Some(reason);
            }
            Err(_) => {}
        }
        last.url.clone()
    }
}

impl Last {
    /// Reads on a thread of its own. While one hangs there is no other, and nobody waits for it any more.
    fn read_within(&mut self, limit: Duration, path: &Path, variables: &PgVariables) -> Result<DatabaseUrl, Unusable> {
        if let Some(hanging) = self.hanging.take_if(|reading| reading.try_recv() == Err(TryRecvError::Empty)) {
            self.hanging = Some(hanging);
            return Err(Unusable::Unreadable(io::ErrorKind::TimedOut));
        }
        // What a reading that hung found in the end is old.
        self.hanging = None;
        let (sender, reading) = mpsc::sync_channel(1);
        let (path, variables, before) = (path.to_owned(), variables.clone(), self.url.clone());
        let read_it = move || _ = sender.send(read(&path, &variables, &before));
        thread::Builder::new().name("database-url".to_owned()).spawn(read_it).map_err(|error| unreadable(&error))?;
        reading.recv_timeout(limit).unwrap_or_else(|_| {
            self.hanging = Some(reading);
            Err(Unusable::Unreadable(io::ErrorKind::TimedOut))
        })
    }
}

fn unreadable(error: &io::Error) -> Unusable {
    Unusable::Unreadable(error.kind())
}

fn read(path: &Path, variables: &PgVariables, before: &DatabaseUrl) -> Result<DatabaseUrl, Unusable> {
    // A pipe would wait for somebody who writes into it, and every connection with it.
    if !std::fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err(Unusable::NoFile);
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let text = text(&bytes).map_err(|_| Unusable::NoUrl)?;
    let url = DatabaseUrl::parse(text.trim()).and_then(|url| url.completed(variables));
    let url = url.map_err(|_| Unusable::NoUrl)?;
    let is_same = match (settings(&url), settings(before)) {
        (Some(now), Some(before)) => now.differs_in_credentials_only(&before),
        _ => return Err(Unusable::NoUrl),
    };
    if is_same { Ok(url) } else { Err(Unusable::Elsewhere) }
}

fn settings(url: &DatabaseUrl) -> Option<PostgresUrl> {
    let DatabaseUrl::Postgres(url) = url else { return None };
    PostgresUrl::parse(url, |_| None).ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, sync::mpsc};

    use super::*;
    use crate::config::Settings;

    const FIRST: &str = "postgres://ada:old@db/keys";

    fn address(path: &std::path::Path, url: &str) -> DatabaseAddress {
        let mut settings = Settings::default();
        path.to_str().unwrap().clone_into(&mut settings.database_url_file);
        url.clone_into(&mut settings.database);
        settings.check().unwrap().database_address()
    }

    /// As the settings make it.
    fn complete(url: &str) -> DatabaseUrl {
        DatabaseUrl::parse(url).and_then(|url| url.completed(&PgVariables::default())).unwrap()
    }

    #[test]
    fn what_the_file_says_now_holds_if_it_is_the_same_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        for (text, is_used) in [
            ("postgres://ada:new@db/keys", true),
            ("postgresql://eve:other@db/keys\n", true),
            ("postgres://db/keys?password=new&user=eve", true),
            ("\u{FEFF}postgres://ada:new@db/keys", true),
            ("postgres://ada:new@db/keys?application_name=x", false),
            // New connections would work with other tables than the open one that verification reads from.
            ("postgres://ada:new@db/keys?options=-c%20search_path%3Dother", false),
            ("postgres://ada:new@db/keys?sslmode=require", false),
            ("postgres://ada:new@elsewhere/keys", false),
            ("postgres://ada:new@db:5433/keys", false),
            ("postgres://ada:new@db,other/keys", false),
            ("postgres://ada:new@db/keys?hostaddr=10.0.0.1", false),
            ("postgres://ada:new@db/other", false),
            ("postgres://ada:new@db", false),
            // Half of it is written.
            ("postgres://ada:n", false),
            ("", false),
            ("hunter2", false),
            ("sqlite:keys.db", false),
        ] {
            fs::write(&path, text).unwrap();
            let expected = if is_used { complete(text.trim_matches(['\u{FEFF}', '\n'])) } else { complete(FIRST) };
            assert!(address(&path, FIRST).now() == expected, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_half_written_does_not_weaken_the_encryption() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let first = "postgres://ada:old@db/keys?sslmode=verify-full&sslrootcert=/root.crt";
        let whole = first.replace("old", "new");
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let expected = if end == whole.len() { &whole } else { first };
            assert!(address(&path, first).now() == complete(expected), "{}", &whole[..end]);
        }
    }

    #[test]
    fn a_database_that_is_named_like_its_user_is_another_one_with_another_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let first = "postgres://ada:old@db";
        let after = |text: &str| {
            fs::write(&path, text).unwrap();
            address(&path, first).now()
        };
        assert!(after("postgres://eve:new@db") == complete(first));
        assert!(after("postgres://eve:new@db?dbname=") == complete(first));
        assert!(after("postgres://ada:new@db") == complete("postgres://ada:new@db"));
    }

    #[test]
    fn while_the_file_cannot_be_used_it_is_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let (address, second) = (address(&path, FIRST), "postgres://ada:new@db/keys");
        assert!(address.now() == complete(FIRST), "there is none yet");
        fs::write(&path, second).unwrap();
        assert!(address.now() == complete(second));
        fs::remove_file(&path).unwrap();
        assert!(address.now() == complete(second), "and not what it was at the start");
        fs::create_dir(&path).unwrap();
        assert!(address.now() == complete(second));
        fs::remove_dir(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(address.now() == complete(second), "nobody waits for who writes into it");
    }

    #[test]
    fn a_reading_that_hangs_holds_nobody_up_and_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, pipe) = (folder.path().join("url"), folder.path().join("pipe"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // It hangs in the service file, which is read with it, until somebody writes there.
        fs::write(&path, format!("postgres://?service=x&servicefile={}", pipe.display())).unwrap();
        let address = address(&path, FIRST);
        let (asked, (sender, told)) = (address.clone(), mpsc::channel());
        thread::spawn(move || (0..20).for_each(|_| sender.send(asked.now()).unwrap()));
        for _ in 0..20 {
            assert!(told.recv_timeout(Duration::from_secs(60)).expect("an answer") == complete(FIRST));
        }
        let second = "postgres://ada:new@db/keys";
        fs::write(&path, second).unwrap();
        assert!(address.now() == complete(FIRST), "the first reading hangs yet");
        drop(fs::File::options().write(true).open(&pipe).unwrap());
        while address.now() != complete(second) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_file_for_sqlite_is_read_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "sqlite:other.db").unwrap();
        assert!(address(&path, "sqlite:keys.db").now() == DatabaseUrl::Sqlite("keys.db".into()));
    }
}
