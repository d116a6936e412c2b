//! Traefik, by contract: no package has its program, so what is shown is read as Traefik reads it, and carried out on headers
//! as its middlewares do.

use yaml_rust2::{Yaml, YamlLoader};

use super::{Shown, grammar::Dice, upstream::Arrived};
use crate::support::{TestApp, TestDatabase};

type Headers = Vec<(String, String)>;

struct Traefik {
    http: Yaml,
    asked: Vec<Headers>,
}

impl Traefik {
    async fn shown() -> Self {
        let app = TestApp::start_on(TestDatabase::sqlite(), |_| {}).await;
        let text = Shown::to(&app.admin().await).await.file("traefik");
        let http = YamlLoader::load_from_str(&text).unwrap().remove(0)["http"].clone();
        Self { http, asked: Vec::new() }
    }

    /// What the API gets, if Keystead says yes: the middlewares of the router that matches, in their order.
    fn pass(&mut self, mut headers: Headers) -> Headers {
        let is_websocket = values(&headers, "Upgrade").iter().any(|value| value.eq_ignore_ascii_case("websocket"));
        let router = &self.http["routers"][if is_websocket { "api-websocket" } else { "api" }];
        for name in router["middlewares"].as_vec().unwrap() {
            let middleware = &self.http["middlewares"][name.as_str().unwrap()];
            if let Some(custom) = middleware["headers"]["customRequestHeaders"].as_hash() {
                for (name, value) in custom {
                    let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
                    headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
                    if !value.is_empty() {
                        headers.push((name.to_owned(), value.to_owned()));
                    }
                }
                continue;
            }
            let forward = &middleware["forwardAuth"];
            let is_among = |list: &Yaml, header: &str| {
                list.as_vec().unwrap().iter().any(|name| name.as_str().unwrap().eq_ignore_ascii_case(header))
            };
            let asked = headers.iter().filter(|(header, _)| is_among(&forward["authRequestHeaders"], header));
            self.asked.push(asked.cloned().collect());
            headers.retain(|(header, _)| !is_among(&forward["authResponseHeaders"], header));
            for name in forward["authResponseHeaders"].as_vec().unwrap() {
                headers.push((name.as_str().unwrap().to_owned(), "true".to_owned()));
            }
        }
        // What its reverse proxy does with hop-by-hop headers (RFC 9110, 7.6.1).
        let nominated: Vec<String> = values(&headers, "Connection")
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .map(str::to_owned)
            .collect();
        headers.retain(|(header, _)| {
            header == "Upgrade" || !nominated.iter().any(|name| name.eq_ignore_ascii_case(header))
        });
        headers
    }
}

fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect()
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn an_identity_is_keysteads_whatever_the_client_writes_with_dots_and_underscores() {
    let mut traefik = Traefik::shown().await;
    let mut dice = Dice::new(0x2026_1128);
    for number in 0..2_000 {
        let mut headers = vec![header("Authorization", "Bearer k"), header("Keystead-Asker", "false")];
        for _ in 0..4 {
            let alias = dice.alias();
            // Exact names are all it can take away (docs/api.md).
            if alias.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                headers.push(header(&alias, "false"));
            }
        }
        let offer = ["h2c", "websocket", "h2c, websocket", "WebSocket"][dice.below(4)];
        headers.push(header("Upgrade", offer));
        headers.push(header("HTTP2-Settings", "AAMAAABk"));
        headers.push(header("Connection", "Upgrade, HTTP2-Settings, X-Key-Id, X-Organization-Id, Keystead-Asker"));
        let passed = Arrived { line: number.to_string(), is_http2: false, headers: traefik.pass(headers), trailers: 0 };
        let variables = passed.variables();
        for name in ["X_KEY_ID", "X_KEY_NAME", "X_ORGANIZATION_ID", "X_KEY_SCOPES"] {
            assert_eq!(variables.get(name).map(Vec::as_slice), Some(&["true"][..]), "{passed:?}");
        }
        let may_upgrade = offer.eq_ignore_ascii_case("websocket");
        assert_eq!(passed.tokens("upgrade"), if may_upgrade { vec!["websocket"] } else { vec![] }, "{passed:?}");
        assert!(passed.tokens("http2-settings").is_empty() && passed.tokens("keystead-asker").is_empty(), "{passed:?}");
    }
    for asked in &traefik.asked {
        assert_eq!(values(asked, "keystead-asker"), ["gateway"]);
        assert_eq!(values(asked, "authorization"), ["Bearer k"]);
        assert!(values(asked, "cookie").is_empty());
    }
}

#[tokio::test]
async fn every_router_asks_at_one_address_and_knows_its_middlewares() {
    let traefik = Traefik::shown().await;
    let http = &traefik.http;
    let routers = http["routers"].as_hash().unwrap();
    assert_eq!(routers.len(), 2);
    for (_, router) in routers {
        let middlewares: Vec<&str> =
            router["middlewares"].as_vec().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!((middlewares[0], middlewares[2], middlewares[3]), ("nobody-yet", "keystead", "asked"));
        for name in middlewares {
            assert!(!http["middlewares"][name].is_badvalue(), "{name}");
        }
        assert_eq!(router["service"].as_str(), Some("api"));
    }
    let address = http["middlewares"]["keystead"]["forwardAuth"]["address"].as_str().unwrap();
    assert!(address.ends_with("/v1/forward-auth"), "{address}");
    assert!(http["middlewares"]["keystead"]["forwardAuth"]["trustForwardHeader"].is_badvalue());
}
