//! The section Protect your API: for each gateway what to put into its configuration, with this installation's address.
//!
//! `templates/gateways/` holds the texts. `tests/it/gateways/` reads them off the page and runs the real programs with
//! them: what is shown is what was tested.

use std::net::SocketAddr;

use askama::Template;

use super::reveal_key::env_brand;
use crate::{app::Site, config::PublicUrl, middleware::failure::Failure};

/// What a header's name may have in place of `-` (RFC 9110, 5.6.2): to a program that reads headers as CGI does, all are `_`.
const SEPARATORS: &str = "-_.!#$%&'*+^`|~";

/// The whole section.
pub struct ProtectYourApi {
    pub gateways: Vec<Gateway>,
    /// Address of forward-auth, for the example with `curl`.
    pub url: String,
    /// The variable in which a key's `.env` download keeps it.
    pub env_name: String,
}

/// One choice of the section.
pub struct Gateway {
    /// A word for the ids of HTML elements.
    pub id: &'static str,
    /// As its makers write it.
    pub name: &'static str,
    /// What is particular about it, in a sentence.
    pub hint: &'static str,
    /// Behind the address that it asks.
    pub path: &'static str,
    pub files: Vec<GatewayFile>,
}

/// A file to write.
pub struct GatewayFile {
    /// A word for the ids of HTML elements.
    pub id: &'static str,
    /// Where it usually stands.
    pub path: &'static str,
    pub text: String,
}

#[derive(Template)]
#[template(path = "gateways/nginx.conf", escape = "none")]
struct Nginx<'a> {
    keystead: &'a Address,
}

#[derive(Template)]
#[template(path = "gateways/Caddyfile", escape = "none")]
struct Caddy<'a> {
    keystead: &'a Address,
}

#[derive(Template)]
#[template(path = "gateways/traefik.yaml", escape = "none")]
struct Traefik<'a> {
    keystead: &'a Address,
}

#[derive(Template)]
#[template(path = "gateways/haproxy.cfg", escape = "none")]
struct Haproxy<'a> {
    keystead: &'a Address,
}

#[derive(Template)]
#[template(path = "gateways/haproxy.lua", escape = "none")]
struct HaproxyLua;

#[derive(Template)]
#[template(path = "gateways/envoy.yaml", escape = "none")]
struct Envoy<'a> {
    keystead: &'a Address,
}

/// The section for this installation.
///
/// # Errors
/// A fault when a template cannot be rendered.
pub fn protect_your_api(site: &Site) -> Result<ProtectYourApi, Failure> {
    let gateways = gateways(&Address::of(&site.public_url, &site.config.listen)).map_err(|error| {
        tracing::error!(%error, "a template cannot be rendered");
        Failure::fault("")
    })?;
    let brand = env_brand(site.config.brand.as_str());
    let url = format!("{}/v1/forward-auth", site.public_url.as_str());
    Ok(ProtectYourApi { gateways, url, env_name: format!("{brand}_API_KEY") })
}

fn gateways(keystead: &Address) -> askama::Result<Vec<Gateway>> {
    // A template loses its last line's end, without which HAProxy refuses a file.
    let file = |id, path, text| GatewayFile { id, path, text: text + "\n" };
    Ok(vec![
        Gateway {
            id: "nginx",
            name: "nginx",
            hint: "Needs the module auth_request, which Debian's and nginx' own packages have.",
            path: "/nginx",
            files: vec![file("nginx", "/etc/nginx/conf.d/keystead.conf", Nginx { keystead }.render()?)],
        },
        Gateway {
            id: "caddy",
            name: "Caddy",
            hint: "From 2.5.1 on. While Keystead is silent Caddy answers 502.",
            path: "",
            files: vec![file("caddy", "/etc/caddy/Caddyfile", Caddy { keystead }.render()?)],
        },
        Gateway {
            id: "traefik",
            name: "Traefik",
            hint: "Traefik 3, by its file provider. While Keystead is silent Traefik answers 500.",
            path: "",
            files: vec![file("traefik", "/etc/traefik/conf.d/keystead.yaml", Traefik { keystead }.render()?)],
        },
        Gateway {
            id: "haproxy",
            name: "HAProxy",
            hint: "From 2.6 on, with Lua. Two files.",
            path: "",
            files: vec![
                file("haproxy", "/etc/haproxy/haproxy.cfg", Haproxy { keystead }.render()?),
                file("haproxy-lua", "/etc/haproxy/keystead.lua", HaproxyLua.render()?),
            ],
        },
        Gateway {
            id: "envoy",
            name: "Envoy",
            hint: "Tried with 1.40; older ones may not know path_override.",
            path: "",
            files: vec![file("envoy", "/etc/envoy/envoy.yaml", Envoy { keystead }.render()?)],
        },
    ])
}

/// Where a gateway finds Keystead.
struct Address {
    scheme: &'static str,
    /// An IPv6 address has its brackets.
    host: String,
    port: u16,
}

impl Address {
    /// Gateways take `localhost` for both of its addresses and would try one in vain, so it becomes the one that is
    /// listened on. A certificate is for a name, so on https it stays.
    fn of(url: &PublicUrl, listen: &[SocketAddr]) -> Self {
        let host = match url.host() {
            host if url.is_secure() => host,
            "localhost" if listen.iter().all(SocketAddr::is_ipv6) => "[::1]",
            "localhost" => "127.0.0.1",
            host => host,
        };
        let scheme = if url.is_secure() { "https" } else { "http" };
        Self { scheme, host: host.to_owned(), port: url.port() }
    }

    fn secure(&self) -> bool {
        self.scheme == "https"
    }

    /// What a `Host` header says: without the port where everybody knows it.
    fn authority(&self) -> String {
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => self.host.clone(),
            _ => self.socket(),
        }
    }

    fn socket(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(url: &str) -> String {
        let address = Address::of(&PublicUrl::parse(url).unwrap(), &[]);
        gateways(&address).unwrap().into_iter().flat_map(|gateway| gateway.files).map(|file| file.text).collect()
    }

    #[test]
    fn an_address_on_https_is_asked_by_tls_with_its_name_checked() {
        let texts = texts("https://keys.example.com");
        for line in [
            "    server keys.example.com:443;\n",
            "        proxy_pass https://keystead/v1/forward-auth/nginx;\n        proxy_ssl_server_name on;\n",
            "        proxy_ssl_verify on;\n",
            "        proxy_set_header Host keys.example.com;\n",
            "forward_auth https://keys.example.com {\n",
            "address: https://keys.example.com/v1/forward-auth\n",
            "server keystead keys.example.com:443 pool-purge-delay 2s ssl verify required ca-file @system-ca ",
            "address: keys.example.com, port_value: 443 }\n",
            "      transport_socket:\n",
            "sni: keys.example.com\n",
        ] {
            assert!(texts.contains(line), "{line} is missing in {texts}");
        }
    }

    #[test]
    fn an_address_on_http_is_asked_without_tls() {
        let texts = texts("http://192.168.1.5:8080");
        assert!(!texts.contains("ssl") && !texts.contains("tls") && !texts.contains("https"), "{texts}");
        assert!(texts.contains("    server 192.168.1.5:8080;\n"), "{texts}");
        assert!(texts.contains("address: 192.168.1.5, port_value: 8080 }\n"), "{texts}");
    }

    #[test]
    fn localhost_is_the_address_that_is_listened_on() {
        let asked = |listen: &str| Address::of(&PublicUrl::of_loopback(8080), &[listen.parse().unwrap()]).url();
        assert_eq!(asked("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(asked("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(asked("[::1]:8080"), "http://[::1]:8080");
        let secure = PublicUrl::parse("https://localhost").unwrap();
        assert_eq!(Address::of(&secure, &[]).url(), "https://localhost", "its certificate is for the name");
        let six = Address::of(&PublicUrl::of_loopback(8080), &["[::1]:8080".parse().unwrap()]);
        assert_eq!((six.bare_host(), &*six.socket()), ("::1", "[::1]:8080"));
    }
}
