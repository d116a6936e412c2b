//! A server that remembers what it was asked: the API behind a gateway, or Keystead's stand-in for answers it does not
//! give yet.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};

pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub peer: SocketAddr,
    pub method: String,
    /// With its query.
    pub path: String,
    /// In lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What it says to everybody.
#[derive(Clone)]
pub struct Says {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub after: Duration,
}

impl Says {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), after: Duration::ZERO }
    }

    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Seen {
    /// Every value of a header, whichever of `-` and `_` its name is written with: to some programs they are one.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header.replace('_', "-") == name);
        named.map(|(_, value)| &**value).collect()
    }
}

impl Recorder {
    /// The API: says hello, and echoes what comes over a websocket.
    pub fn api() -> Self {
        Self::start(Says::status(200))
    }

    pub fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let (started, starting) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let (log, says) = (web::Data::from(Arc::clone(&log)), web::Data::new(says.clone()));
                    App::new().app_data(log).app_data(says).default_service(web::to(answer))
                };
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
                started.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self { address, seen, handle: starting.recv().unwrap(), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it was asked until now.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last request, which must have come.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request came through")
    }

    /// Over how many connections it was asked.
    pub fn connections(&self) -> usize {
        self.seen().iter().map(|seen| seen.peer).collect::<BTreeSet<_>>().len()
    }
}

async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    log: web::Data<Mutex<Vec<Seen>>>,
    says: web::Data<Says>,
) -> HttpResponse {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    let mut seen = Seen {
        peer: request.peer_addr().unwrap(),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    let log = |seen| log.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    if says.status == 200 && request.headers().contains_key("upgrade") {
        log(seen);
        // The answer to the key of RFC 6455's example.
        let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        return HttpResponse::SwitchingProtocols().upgrade("websocket").insert_header(accept).streaming(payload);
    }
    // As long as no body is announced there is none, whatever an upgrade may bring later.
    if request.headers().contains_key("content-length") || request.headers().contains_key("transfer-encoding") {
        seen.body = payload.to_bytes_limited(16 << 20).await.unwrap().unwrap().to_vec();
    }
    log(seen);
    tokio::time::sleep(says.after).await;
    let mut answer = HttpResponse::build(StatusCode::from_u16(says.status).unwrap());
    for header in &says.headers {
        answer.insert_header(*header);
    }
    answer.finish()
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
