//! Where to go after signing in or switching the theme: a path of this site and nothing else.

use super::section::Section;

/// Where everybody starts.
pub const HOME: &str = Section::HOME.path();

/// The path, if it stays on this site; where everybody starts otherwise.
///
/// `//host` and `/\host` lead elsewhere in a browser, and so does a tab or line break that browsers drop.
pub fn return_path(wanted: &str) -> &str {
    let second = wanted.as_bytes().get(1);
    let stays = wanted.starts_with('/') && !matches!(second, Some(b'/' | b'\\'));
    let plain = wanted.len() <= 512 && wanted.bytes().all(|byte| byte.is_ascii_graphic());
    if stays && plain { wanted } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site() {
        assert_eq!(return_path("/settings/integrations?page=2"), "/settings/integrations?page=2");
        assert_eq!(return_path("/"), "/");
        for elsewhere in [
            "",
            "settings",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a\r\nb",
            "/é",
        ] {
            assert_eq!(return_path(elsewhere), HOME, "{elsewhere:?}");
        }
    }
}
