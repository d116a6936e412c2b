//! Plain HTTP with JSON, one call after the other: tests read as a story, so nothing in them is `async`.

use std::{sync::LazyLock, time::Duration};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime for HTTP")
});

/// A client; with `keeps_cookies` it can be signed in.
pub fn client(keeps_cookies: bool) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().cookie_store(keeps_cookies).timeout(Duration::from_secs(60));
    client.build().expect("an HTTP client")
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub url: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in the answer {}", self.body))
    }
}

/// Sends a request and waits for the whole answer.
pub fn send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    RUNTIME.block_on(async {
        let answer = request.send().await?;
        let (status, url) = (answer.status().as_u16(), answer.url().to_string());
        Ok(Answer { status, url, body: answer.text().await? })
    })
}

/// Sends JSON, or nothing, and waits for the whole answer.
pub fn call(
    client: &reqwest::Client,
    method: Method,
    url: &str,
    body: Option<&Value>,
) -> Result<Answer, reqwest::Error> {
    let request = client.request(method, url);
    send(match body {
        Some(body) => request.json(body),
        None => request,
    })
}
