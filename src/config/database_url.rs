//! `DATABASE_URL`: where the database is.

use std::path::{Path, PathBuf};

use super::{PgVariables, parse, postgres_target::PostgresTarget, postgres_url::PostgresUrl};
use crate::private_file;

/// Where the database is, from `DATABASE_URL`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// Path of the database file.
    Sqlite(PathBuf),
    /// A `postgres://` URL; it may hold a password, so it is never shown.
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads `DATABASE_URL`.
    ///
    /// # Errors
    /// What it should be; never with the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || Err("must be sqlite:PATH, with the path of a file, or postgres://…".to_owned());
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(":memory:") || path.starts_with("file:") || path.contains('?') {
                return refused();
            }
            return parse::path(path).map(DatabaseUrl::Sqlite);
        }
        let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if is_postgres { Ok(Self::Postgres(text.to_owned())) } else { refused() }
    }

    /// The same with everything in it that libpq takes from elsewhere, so that it means the same in any environment. A SQLite
    /// file by its own name, where it is a link: SQLite keeps the files beside it there, and a restored one is put there.
    ///
    /// # Errors
    /// What psql refuses too, and what Keystead cannot do, by the name of the setting or variable.
    pub fn completed(&self, variables: &PgVariables) -> Result<Self, String> {
        let url = match self {
            Self::Sqlite(path) => return behind_links(path).map(Self::Sqlite),
            Self::Postgres(url) => url,
        };
        let complete = |url: PostgresUrl| PostgresTarget::of(&url).map(|_| Self::Postgres(url.complete()));
        let url = PostgresUrl::parse(url, |name| variables.get(name).map(str::to_owned)).and_then(complete);
        url.map_err(|error| error.to_string())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://…"),
        }
    }
}

/// What a link stands for, also where there is nothing yet.
fn behind_links(path: &Path) -> Result<PathBuf, String> {
    const MOST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let Ok(target) = std::fs::read_link(&path) else { break };
        private_file::may_follow(&path).map_err(|error| format!("{} {error}", path.display()))?;
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    Ok(path)
}

/// The text with every password in it replaced, also when it is no URL that could be used.
pub fn without_password(text: &str) -> String {
    if text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else { return "(hidden)".to_owned() };
    // The last @: one in a password that should have been written %40 must not end what is hidden.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => {
            (user.split_once(':').map_or(format!("{user}@"), |(name, _)| format!("{name}:***@")), rest)
        }
        None => (String::new(), rest),
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(hide).collect::<Vec<_>>().join("&"));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{user}{place}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stands_for_what_it_names_and_a_circle_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (link, to) in [("one", "two"), ("two", "sub/three"), ("circle", "circle")] {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        assert_eq!(behind_links(&at("one")), Ok(at("sub/three")));
        assert_eq!(behind_links(&at("plain")), Ok(at("plain")));
        assert_eq!(behind_links(&at("circle")), Ok(at("circle")));
    }

    #[test]
    fn databases() {
        let sqlite = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        assert_eq!(DatabaseUrl::parse("sqlite:/var/lib/k.db"), sqlite("/var/lib/k.db"));
        assert_eq!(DatabaseUrl::parse("sqlite:///var/lib/k.db"), sqlite("/var/lib/k.db"));
        assert!(DatabaseUrl::parse("mysql://x").is_err());
        for refused in ["sqlite:", "sqlite::memory:", "sqlite:file:x.db", "sqlite:x.db?mode=ro", "sqlite:~/x.db"] {
            assert!(DatabaseUrl::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgres://ada:hunter2@db:5432/keys", "postgres://ada:***@db:5432/keys"),
            ("postgres://ada:hunt@er2:x@db/keys", "postgres://ada:***@db/keys"),
            ("postgres://ada@db/keys?sslmode=require", "postgres://ada@db/keys?sslmode=require"),
            ("postgres://db/keys?password=hunter2&user=ada", "postgres://db/keys?password=***&user=ada"),
            ("postgres://db/keys?sslpassword=hunter2", "postgres://db/keys?sslpassword=***"),
            ("mysql://ada:hunter2@db", "mysql://ada:***@db"),
            ("host=db password=hunter2", "(hidden)"),
            ("sqlite:/var/lib/k.db", "sqlite:/var/lib/k.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
