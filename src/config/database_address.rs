//! Where the database is, for a server that runs for months. Orchestrators change a password by writing the file of
//! `DATABASE_URL_FILE` anew, and tell nobody: so it is read again for each new connection.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Config, DatabaseUrl, PgVariables, postgres_target::PostgresTarget};

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
}

/// Why what is in the file now is not used. Never with what is in it, which may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("it is no regular file, which can be read only once")]
    NoFile,
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    #[error("what it holds is no URL of Postgres that can be used (`keystead check` says why)")]
    NoUrl,
    #[error("it names another server or database; start every node again to move there")]
    Elsewhere,
}

impl Config {
    /// Where the database is, also when `DATABASE_URL_FILE` is written anew.
    pub fn database_address(&self) -> DatabaseAddress {
        let path = self.database_url_file.clone().filter(|_| matches!(self.database, DatabaseUrl::Postgres(_)));
        let last = Last { url: self.database.clone(), told: None };
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
        match self.read(&last.url) {
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

    fn read(&self, before: &DatabaseUrl) -> Result<DatabaseUrl, Unusable> {
        let unreadable = |error: std::io::Error| Unusable::Unreadable(error.kind());
        // A pipe would wait for somebody who writes into it, and every connection with it.
        if !std::fs::metadata(&self.path).map_err(unreadable)?.is_file() {
            return Err(Unusable::NoFile);
        }
        let text = std::fs::read_to_string(&self.path).map_err(unreadable)?;
        let url = DatabaseUrl::parse(text.trim()).and_then(|url| url.completed(&self.variables));
        let url = url.map_err(|_| Unusable::NoUrl)?;
        let is_same = match (target(&url), target(before)) {
            (Some(now), Some(before)) => is_same_database(&now, &before),
            _ => return Err(Unusable::NoUrl),
        };
        if is_same { Ok(url) } else { Err(Unusable::Elsewhere) }
    }
}

fn target(url: &DatabaseUrl) -> Option<PostgresTarget> {
    let DatabaseUrl::Postgres(url) = url else { return None };
    PostgresTarget::of_completed(url).ok()
}

/// Whether both are one database of one server, whoever signs on and however.
fn is_same_database(one: &PostgresTarget, other: &PostgresTarget) -> bool {
    let database = |target: &PostgresTarget| target.database.clone().or_else(|| target.user.clone());
    one.hosts == other.hosts && database(one) == database(other)
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

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
            ("postgresql://eve:other@db:5432/keys?application_name=x\n", true),
            ("postgres://ada:new@db/keys?options=-c%20geqo%3Doff&sslmode=require", true),
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
            let expected = if is_used { complete(text.trim()) } else { complete(FIRST) };
            assert!(address(&path, FIRST).now() == expected, "{text}");
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
        assert!(after("postgres://eve:new@db/ada") == complete("postgres://eve:new@db/ada"));
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
    fn a_file_for_sqlite_is_read_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "sqlite:other.db").unwrap();
        assert!(address(&path, "sqlite:keys.db").now() == DatabaseUrl::Sqlite("keys.db".into()));
    }
}
