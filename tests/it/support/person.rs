//! Somebody with a browser, and what an admin does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use reqwest::{
    Client, Method, RequestBuilder,
    cookie::{CookieStore, Jar},
    redirect::Policy,
};

use super::Answer;

/// The password of every admin in these tests.
pub const PASSWORD: &str = "correct horse battery";

const KEYS: &str = "/settings/integrations/keys";

/// A browser: it keeps cookies, says where its posts come from, and shows redirects instead of following them.
#[derive(Clone)]
pub struct Person {
    http: Client,
    jar: Arc<Jar>,
    base: String,
    origin: String,
    htmx: bool,
    pub email: String,
}

/// A key as its maker knows it.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub organization_id: String,
    pub secret: String,
}

/// A token that no other form has.
pub fn form_token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:032x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Person {
    pub fn new(base: &str, origin: &str) -> Self {
        let jar = Arc::new(Jar::default());
        let http = Client::builder()
            .cookie_provider(Arc::clone(&jar))
            .redirect(Policy::none())
            .user_agent("Mozilla/5.0 (keystead tests)")
            .no_proxy()
            .build()
            .unwrap();
        let (base, origin) = (base.to_owned(), origin.to_owned());
        Self { http, jar, base, origin, htmx: false, email: String::new() }
    }

    /// The same person in the same session, with scripts on.
    pub fn by_htmx(&self) -> Self {
        Self { htmx: true, ..self.clone() }
    }

    /// A request as this person's browser sends it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let is_get = method == Method::GET;
        let mut request = self.bare_request(method, path);
        if !is_get {
            request = request.header("origin", &self.origin).header("sec-fetch-site", "same-origin");
        }
        request
    }

    /// The same without the headers that say where it comes from.
    pub fn bare_request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if self.htmx { request.header("hx-request", "true") } else { request }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, path).form(fields)).await
    }

    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Posts a body that is a form already, whatever is in it.
    pub async fn post_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path);
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("the server answers")).await
    }

    /// What the browser would send as `Cookie`, such as `keystead=…`, without that of its device.
    pub fn cookies(&self) -> String {
        self.cookies_where(|cookie| !cookie.contains("-device="))
    }

    /// By which the server knows this browser again.
    pub fn device_cookie(&self) -> String {
        self.cookies_where(|cookie| cookie.contains("-device="))
    }

    fn cookies_where(&self, kept: impl Fn(&str) -> bool) -> String {
        let cookies = self.jar.cookies(&self.base.parse().unwrap());
        let cookies = cookies.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        cookies.split("; ").filter(|cookie| kept(cookie)).collect::<Vec<_>>().join("; ")
    }

    pub fn set_cookie(&self, cookie: &str) {
        self.jar.add_cookie_str(cookie, &self.base.parse().unwrap());
    }

    /// Whether the settings open for this person.
    pub async fn is_signed_in(&self) -> bool {
        let status = self.get("/settings/integrations").await.status;
        assert!(matches!(status, 200 | 303), "{status}");
        status == 200
    }

    pub async fn try_sign_in(&self, email: &str, password: &str) -> Answer {
        self.post("/sign-in", &[("email", email), ("password", password)]).await
    }

    pub async fn sign_in(&self, email: &str, password: &str) {
        self.try_sign_in(email, password).await.expect(303);
    }

    /// Where signing in, or setting up, leads this browser in the end.
    pub async fn led_to(&self, answer: Answer) -> String {
        let location = answer.expect(303).header("location").to_owned();
        if !location.starts_with("/sign-in?") {
            return location;
        }
        // A browser of which it is not known whether it keeps cookies.
        self.get(&location).await.expect(303).header("location").to_owned()
    }

    pub async fn sign_out(&self) {
        self.post("/sign-out", &[]).await.expect(303);
    }

    /// As a person does it: open the form, fill it in, send it.
    pub async fn create_key(&self, name: &str) -> Key {
        let form = self.get(&format!("{KEYS}/new")).await.expect(200);
        let answer = self.post(KEYS, &[("name", name), ("idem", &form.field("idem"))]).await.expect(200);
        shown_key(&answer)
    }

    pub async fn try_create_key(&self, name: &str) -> Answer {
        self.post(KEYS, &[("name", name), ("idem", &form_token())]).await
    }

    /// As a person does it: open the form and send it. The key that comes back has a new secret.
    pub async fn rotate(&self, key: &Key) -> Key {
        let path = format!("{KEYS}/{}/rotate", key.id);
        let form = self.get(&path).await.expect(200);
        let (version, idem) = (form.field("version"), form.field("idem"));
        let answer = self.post(&path, &[("version", &version), ("idem", &idem)]).await.expect(200);
        shown_key(&answer)
    }

    pub async fn try_rotate(&self, id: &str, version: i64) -> Answer {
        self.try_rotate_with(id, version, &form_token()).await
    }

    pub async fn try_rotate_with(&self, id: &str, version: i64, idem: &str) -> Answer {
        let path = format!("{KEYS}/{id}/rotate");
        self.post(&path, &[("version", &version.to_string()), ("idem", idem)]).await
    }

    /// As a person does it: open the form and send it.
    pub async fn revoke(&self, key: &Key) -> Answer {
        let path = format!("{KEYS}/{}/revoke", key.id);
        let form = self.get(&path).await.expect(200);
        let answer = self.post(&path, &[("version", &form.field("version"))]).await;
        answer.expect(if self.htmx { 200 } else { 303 })
    }

    pub async fn try_revoke(&self, id: &str, version: i64) -> Answer {
        self.post(&format!("{KEYS}/{id}/revoke"), &[("version", &version.to_string())]).await
    }

    /// The names in the list, from the top.
    pub async fn listed(&self) -> Vec<String> {
        self.get("/settings/integrations").await.expect(200).all(".key-name strong")
    }
}

/// The key an answer shows; what it is called and whose it is stands in its JSON download.
#[track_caller]
fn shown_key(answer: &Answer) -> Key {
    let secret = answer.secret().expect("the answer shows a key");
    let download = answer.attribute("button[data-download$='.json']", "data-content");
    let json: serde_json::Value = serde_json::from_str(&download).unwrap();
    assert_eq!(json["api_key"], *secret);
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    Key { id: text("id"), name: text("name"), organization_id: text("organization_id"), secret }
}
