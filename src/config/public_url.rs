//! Where people open the site, checked.

use url::{Host, Url};

/// Where people open the site: the base of links, and the only origins whose posts are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port, as a browser's `Origin` header writes them.
    origin: String,
    host: String,
    port: u16,
    /// Further origins that are this site.
    aliases: Vec<String>,
    secure: bool,
}

impl PublicUrl {
    /// Reads `KEYSTEAD_PUBLIC_URL`.
    ///
    /// # Errors
    /// What it should be, for anything but a scheme, a host and perhaps a port.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not an address such as https://keys.example.com, without a path");
        let url = Url::parse(text).map_err(|_| refused())?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Err(refused()) };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !bare || !anonymous {
            return Err(refused());
        }
        // `keys.example.com.` is the same name, and browsers say it as people typed it.
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.ends_with('.') {
            return Err(refused());
        }
        let origin = |host: &str| match url.port() {
            Some(port) => format!("{}://{host}:{port}", url.scheme()),
            None => format!("{}://{host}", url.scheme()),
        };
        let is_name = matches!(url.host(), Some(Host::Domain(_)));
        let aliases = if is_name { vec![origin(&format!("{host}."))] } else { Vec::new() };
        let secure = url.scheme() == "https";
        Ok(Self { origin: origin(host), host: host.to_owned(), port, aliases, secure })
    }

    /// What holds while `KEYSTEAD_PUBLIC_URL` is unset: every loopback name of the port is the site.
    pub fn of_loopback(port: u16) -> Self {
        let origin = |host: &str| match port {
            80 => format!("http://{host}"),
            _ => format!("http://{host}:{port}"),
        };
        let aliases = vec![origin("127.0.0.1"), origin("[::1]")];
        Self { origin: origin("localhost"), host: "localhost".to_owned(), port, aliases, secure: false }
    }

    /// Without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// The host alone; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the address leaves it out.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name of a cookie of this site. Browsers keep the cookies of one host together whatever the port, so the name says
    /// the port, where that is not the usual one. They keep a `__Host-` cookie from being set for other hosts or over plain
    /// http; on http they refuse the name.
    pub fn cookie_name(&self, name: &str) -> String {
        let prefix = if self.secure { "__Host-" } else { "" };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => format!("{prefix}{name}"),
            (_, port) => format!("{prefix}{name}-{port}"),
        }
    }

    /// Whether it is https: decides cookie security and HSTS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether browsers take it for safe from listeners: https, and this machine itself (Secure Contexts, 3.1).
    pub fn is_trustworthy(&self) -> bool {
        let is_loopback = |host: &str| host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        self.secure || self.host == "localhost" || is_loopback(self.host.trim_matches(['[', ']']))
    }

    /// Whether a `Host` header is this site's, or no name that a stranger could have made point here: an address, or a name
    /// without a dot.
    pub fn may_be_called(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        is_address || !name.contains('.') || name.eq_ignore_ascii_case(&self.host)
    }

    /// Whether a browser's `Origin` header names this site.
    pub fn is_own_origin(&self, origin: &str) -> bool {
        origin == self.origin || self.aliases.iter().any(|alias| alias == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls() {
        let origin = |text| PublicUrl::parse(text).map(|url| url.origin).ok();
        assert_eq!(origin("https://Keys.Example.com/").as_deref(), Some("https://keys.example.com"));
        assert_eq!(origin("http://192.168.1.5:8080").as_deref(), Some("http://192.168.1.5:8080"));
        assert_eq!(origin("https://keys.example.com:443").as_deref(), Some("https://keys.example.com"));
        assert_eq!(origin("https://keys.example.com./").as_deref(), Some("https://keys.example.com"));
        assert_eq!(origin("https://keys.example.com.:8443").as_deref(), Some("https://keys.example.com:8443"));
        assert_eq!(origin("https://bücher.example").as_deref(), Some("https://xn--bcher-kva.example"));
        let parts = |text| PublicUrl::parse(text).map(|url| (url.host().to_owned(), url.port())).unwrap();
        assert_eq!(parts("https://keys.example.com"), ("keys.example.com".to_owned(), 443));
        assert_eq!(parts("http://[::1]:8080"), ("[::1]".to_owned(), 8080));
        for bad in [
            "",
            "keys.example.com",
            "ftp://x",
            "https://x/path",
            "https://x?q",
            "https://u:p@x",
            "file:///x",
            "https://.",
            "https://x..",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_final_dot_changes_no_name() {
        for text in ["https://keys.example.com:8443", "https://keys.example.com.:8443"] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!(url.host(), "keys.example.com");
            assert!(url.may_be_called("keys.example.com.:8443") && url.may_be_called("keys.example.com:8443"));
            for own in ["https://keys.example.com:8443", "https://keys.example.com.:8443"] {
                assert!(url.is_own_origin(own), "{own}");
            }
            for other in
                ["https://keys.example.com..:8443", "https://keys.example.com.", "https://keys.example.com.evil:8443"]
            {
                assert!(!url.is_own_origin(other), "{other}");
            }
        }
    }

    #[test]
    fn names_of_cookies() {
        let name = |text| PublicUrl::parse(text).map(|url| url.cookie_name("keystead")).unwrap();
        assert_eq!(name("https://keys.example.com"), "__Host-keystead");
        assert_eq!(name("https://keys.example.com:8443"), "__Host-keystead-8443");
        assert_eq!(name("http://keys.example.com"), "keystead");
        assert_eq!(name("http://keys.example.com:8080"), "keystead-8080");
        assert_eq!(name("http://keys.example.com:443"), "keystead-443");
    }

    #[test]
    fn names_and_addresses_it_may_be_called_by() {
        let url = PublicUrl::parse("https://keys.example.com").unwrap();
        for host in [
            "keys.example.com",
            "KEYS.example.com:443",
            "keys.example.com.",
            "localhost:8080",
            "127.0.0.1",
            "10.0.0.7:8080",
            "[2001:db8::7]:8080",
            "[::1]",
            "keystead",
            "keystead:8080",
            "",
        ] {
            assert!(url.may_be_called(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "keys.example.com.evil.example",
            "xkeys.example.com",
            "1.2.3.4.evil.example",
            "?.?",
        ] {
            assert!(!url.may_be_called(host), "{host}");
        }
    }

    #[test]
    fn trustworthy_is_https_or_this_machine() {
        for (url, expected) in [
            ("https://keys.example.com", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:8080", true),
            ("http://192.168.1.5:8080", false),
            ("http://keys.example.com", false),
        ] {
            assert_eq!(PublicUrl::parse(url).unwrap().is_trustworthy(), expected, "{url}");
        }
    }

    #[test]
    fn every_loopback_name_is_the_site_while_none_is_set() {
        let url = PublicUrl::of_loopback(8080);
        for origin in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(url.is_own_origin(origin), "{origin}");
        }
        for origin in
            ["http://localhost", "http://localhost:8081", "https://localhost:8080", "null", "http://127.0.0.2:8080"]
        {
            assert!(!url.is_own_origin(origin), "{origin}");
        }
    }
}
