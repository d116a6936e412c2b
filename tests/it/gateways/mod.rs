//! The section Protect your API, run: its texts are read off the page, given to the real programs, and asked by clients.
//!
//! [`contract`] is what every gateway must keep; `nginx.rs`, `caddy.rs`, `haproxy.rs` and `envoy.rs` say how one is started,
//! how one is read that cannot be.

mod caddy;
mod envoy;
mod grammar;
mod haproxy;
mod hostile;
mod nginx;
mod normalising;
mod private;
mod program;
mod promises;
mod recorder;
mod traefik;
mod upstream;

use std::net::SocketAddr;

use keystead::config::Settings;
use program::Gateway;
use recorder::{Recorder, Says};
use reqwest::{Method, RequestBuilder};

use crate::support::{Answer, Key, Person, TestApp, TestDatabase};

/// The files as the page shows them, with changes by which a test takes something away.
pub struct Shown {
    page: Answer,
    changes: Vec<(String, String)>,
}

/// Starts a gateway with what is shown, in front of an API.
type Start = fn(&Shown, SocketAddr) -> Gateway;

/// What is particular about a gateway.
pub struct Traits {
    /// Starts it with what is shown, in front of an API.
    start: Start,
    /// What it says while Keystead is silent.
    silent: u16,
    /// As what Keystead tells it that there were too many requests.
    limited: u16,
    /// Whether it hands on what Keystead says when it cannot tell.
    hands_on_503: bool,
    /// Whether Keystead gets its own name as `Host`.
    asks_by_name: bool,
    /// Whether it asks over connections that stay open.
    keeps_connections: bool,
    /// Whether it speaks HTTP/2 without TLS to whoever begins with it.
    speaks_http2: bool,
    /// Whether what a client sends as trailers, behind a body in chunks, stays behind.
    drops_trailers: bool,
    /// What ends a silent websocket, and the same after a second.
    ends_websocket: Option<(&'static str, &'static str)>,
    /// What ends a silent answer, and the same after a second.
    ends_event_stream: Option<(&'static str, &'static str)>,
    /// What in its configuration keeps hostile requests out, and how it would be without.
    protections: &'static [(&'static str, &'static str)],
}

/// The tests of one gateway.
macro_rules! contract {
    ($traits:ident) => {
        mod contract {
            use super::super::promises;

            #[tokio::test]
            async fn a_good_key_passes_with_its_identity_and_no_other() {
                promises::a_good_key_passes_with_its_identity_and_no_other(&super::$traits).await;
            }

            #[tokio::test]
            async fn whatever_is_no_good_key_is_turned_away() {
                promises::whatever_is_no_good_key_is_turned_away(&super::$traits).await;
            }

            #[tokio::test]
            async fn bodies_arrive_as_they_were_sent() {
                promises::bodies_arrive_as_they_were_sent(&super::$traits).await;
            }

            #[tokio::test]
            async fn two_thousand_hostile_requests_leave_the_identity_alone() {
                promises::two_thousand_hostile_requests_leave_the_identity_alone(&super::$traits).await;
            }

            #[tokio::test]
            async fn what_a_snippet_does_is_missed_when_it_is_taken_away() {
                promises::what_a_snippet_does_is_missed_when_it_is_taken_away(&super::$traits).await;
            }

            #[tokio::test]
            async fn a_websocket_is_opened_and_outlives_its_key() {
                promises::a_websocket_is_opened_and_outlives_its_key(&super::$traits).await;
            }

            #[tokio::test]
            async fn an_event_stream_outlives_its_key() {
                promises::an_event_stream_outlives_its_key(&super::$traits).await;
            }

            #[tokio::test]
            async fn too_many_requests_are_429() {
                promises::too_many_requests_are_429(&super::$traits).await;
            }

            #[tokio::test]
            async fn keystead_is_asked_for_nothing_but_the_key_and_over_kept_connections() {
                promises::keystead_is_asked_for_nothing_but_the_key_and_over_kept_connections(&super::$traits).await;
            }

            #[tokio::test]
            async fn an_allowance_without_identity_lets_no_false_one_through() {
                promises::an_allowance_without_identity_lets_no_false_one_through(&super::$traits).await;
            }

            #[tokio::test]
            async fn without_a_lease_it_is_503() {
                promises::without_a_lease_it_is_503(&super::$traits).await;
            }

            #[tokio::test]
            async fn while_keystead_is_silent_nobody_passes() {
                promises::while_keystead_is_silent_nobody_passes(&super::$traits).await;
            }

            #[tokio::test]
            async fn an_address_on_https_is_not_believed_without_a_certificate() {
                promises::an_address_on_https_is_not_believed_without_a_certificate(&super::$traits).await;
            }
        }
    };
}
use contract;

impl Shown {
    pub async fn to(person: &Person) -> Self {
        Self { page: person.get("/settings/integrations").await.expect(200), changes: Vec::new() }
    }

    pub fn changed(mut self, changes: &[(&str, &str)]) -> Self {
        for (from, _) in changes {
            let files = ["nginx", "caddy", "traefik", "haproxy", "haproxy-lua", "envoy"];
            assert!(files.iter().any(|file| self.file(file).contains(from)), "{from} is not shown");
        }
        self.changes = changes.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        self
    }

    pub fn file(&self, id: &str) -> String {
        let text = self.page.exact_text(&format!("#gateway-{id}"));
        self.changes.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }
}

/// A gateway between clients, a real Keystead and an API.
struct Scene {
    keystead: TestApp,
    maya: Person,
    key: Key,
    api: Recorder,
    gateway: Gateway,
}

impl Scene {
    async fn set(start: Start) -> Self {
        Self::set_with(start, |_| {}).await
    }

    async fn set_with(start: Start, change: impl FnOnce(&mut Settings)) -> Self {
        let keystead = TestApp::start_with(change).await;
        let maya = keystead.admin().await;
        let key = maya.create_key("Zürich <b> 100 %").await;
        let api = Recorder::api();
        let gateway = start(&Shown::to(&maya).await, api.address);
        Self { keystead, maya, key, api, gateway }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        request(&self.gateway, method, path)
    }

    /// Asks with this key.
    async fn ask(&self, key: &str) -> Answer {
        send(self.request(Method::GET, "/orders").bearer_auth(key)).await
    }
}

/// A gateway between clients, a stand-in for Keystead and an API.
struct Rehearsal {
    stand_in: Recorder,
    api: Recorder,
    gateway: Gateway,
}

impl Rehearsal {
    async fn set(start: Start, says: Says) -> Self {
        let stand_in = Recorder::start(says);
        let (api, gateway) = in_front_of(start, &stand_in.url()).await;
        Self { stand_in, api, gateway }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        request(&self.gateway, method, path)
    }
}

/// A gateway that finds Keystead under this address.
async fn in_front_of(start: Start, public_url: &str) -> (Recorder, Gateway) {
    let public_url = public_url.to_owned();
    // Only its page is needed.
    let app = TestApp::start_on(TestDatabase::sqlite(), |settings| settings.public_url = public_url).await;
    let api = Recorder::api();
    let gateway = start(&Shown::to(&app.admin().await).await, api.address);
    (api, gateway)
}

fn request(gateway: &Gateway, method: Method, path: &str) -> RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().local_address(CLIENT.parse().ok()).build().unwrap();
    client.request(method, format!("{}{path}", gateway.base()))
}

async fn send(request: RequestBuilder) -> Answer {
    Answer::read(request.send().await.expect("the gateway answers")).await
}

/// Where clients come from: not the gateway's own address.
const CLIENT: &str = "127.0.0.2";

/// What only Keystead may say.
const IDENTITY: [&str; 4] = ["x-key-id", "x-key-name", "x-organization-id", "x-key-scopes"];

/// With every spelling of an identity that some program behind a gateway takes for the real one.
fn with_false_identity(mut request: RequestBuilder) -> RequestBuilder {
    for name in IDENTITY {
        let words: Vec<&str> = name.split('-').collect();
        for spelling in [
            name.to_owned(),
            name.to_uppercase(),
            words.join("_"),
            words.join("_").to_uppercase(),
            format!("{}-{}_{}", words[0], words[1], words[2]),
            format!("{}_{}-{}", words[0], words[1], words[2]),
        ] {
            request = request.header(spelling, "false");
        }
    }
    request
}
