//! Passwords by server, database and user, in a file that libpq and psql read too.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The password of the first line that fits, if the file is there and nobody else may read it.
pub fn find(file: &Path, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    let metadata = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "the password file is passed over: others may read it; chmod 0600 it");
        return None;
    }
    let text = fs::read_to_string(file).ok()?;
    let wanted = [host, &port.to_string(), database, user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line).into_iter();
        let fits = wanted.iter().all(|wanted| fields.next().is_some_and(|field| field == "*" || field == **wanted));
        fits.then(|| fields.next()).flatten()
    })
}

/// Split at colons; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, fields.last_mut()) {
            ('\\', Some(field)) => field.extend(characters.next()),
            (':', _) => fields.push(String::new()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_line_that_fits_and_only_in_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        fs::write(&file, "# x\nother:5432:*:*:no\ndb:*:keys:app:a\\:b\\\\c\n*:*:*:*:rest\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find(&file, "db", 5432, "keys", "app").as_deref(), Some("a:b\\c"));
        assert_eq!(find(&file, "db", 5432, "keys", "else").as_deref(), Some("rest"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(find(&file, "db", 5432, "keys", "app"), None);
        assert_eq!(find(&folder.path().join("none"), "db", 5432, "keys", "app"), None);
    }
}
