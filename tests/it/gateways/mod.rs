//! The section Protect your API, run: its texts are read off the page, given to the real programs, and asked by clients.
//!
//! [`contract`] is what every gateway must keep; `nginx.rs`, `caddy.rs` and `haproxy.rs` say how one is started.

mod caddy;
mod haproxy;
mod nginx;
mod program;
mod promises;
mod recorder;

use std::net::SocketAddr;

use keystead::config::Settings;
use program::Gateway;
use recorder::{Recorder, Says};
use reqwest::{Method, RequestBuilder};

use crate::support::{Answer, Key, Person, TestApp, TestDatabase};

/// The files as the page shows them.
pub struct Shown(Answer);

/// Starts a gateway with what is shown, in front of an API.
type Start = fn(&Shown, SocketAddr) -> Gateway;

/// The tests of one gateway: how it is started, what it says while Keystead is silent, and as what Keystead tells it that
/// there were too many requests.
macro_rules! contract {
    ($start:ident, silent: $silent:literal, limited: $limited:literal) => {
        mod contract {
            use super::super::promises;

            #[tokio::test]
            async fn a_good_key_passes_with_its_identity_and_no_other() {
                promises::a_good_key_passes_with_its_identity_and_no_other(super::$start).await;
            }

            #[tokio::test]
            async fn whatever_is_no_good_key_is_turned_away() {
                promises::whatever_is_no_good_key_is_turned_away(super::$start).await;
            }

            #[tokio::test]
            async fn bodies_arrive_as_they_were_sent() {
                promises::bodies_arrive_as_they_were_sent(super::$start).await;
            }

            #[tokio::test]
            async fn a_websocket_is_opened() {
                promises::a_websocket_is_opened(super::$start).await;
            }

            #[tokio::test]
            async fn too_many_requests_are_429() {
                promises::too_many_requests_are_429(super::$start, $limited).await;
            }

            #[tokio::test]
            async fn keystead_is_asked_for_nothing_but_the_key_and_over_kept_connections() {
                promises::keystead_is_asked_for_nothing_but_the_key(super::$start).await;
            }

            #[tokio::test]
            async fn an_allowance_without_identity_lets_no_false_one_through() {
                promises::an_allowance_without_identity_lets_no_false_one_through(super::$start).await;
            }

            #[tokio::test]
            async fn without_a_lease_it_is_503() {
                promises::without_a_lease_it_is_503(super::$start).await;
            }

            #[tokio::test]
            async fn while_keystead_is_silent_nobody_passes() {
                promises::while_keystead_is_silent_nobody_passes(super::$start, $silent).await;
            }

            #[tokio::test]
            async fn an_address_on_https_is_not_believed_without_a_certificate() {
                promises::an_address_on_https_is_not_believed_without_a_certificate(super::$start, $silent).await;
            }
        }
    };
}
use contract;

impl Shown {
    pub async fn by(app: &TestApp) -> Self {
        Self(app.admin().await.get("/settings/integrations").await.expect(200))
    }

    pub fn file(&self, id: &str) -> String {
        self.0.exact_text(&format!("#gateway-{id}"))
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
        let gateway = start(&Shown(maya.get("/settings/integrations").await.expect(200)), api.address);
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
    let gateway = start(&Shown::by(&app).await, api.address);
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
