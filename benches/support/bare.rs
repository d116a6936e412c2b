//! The ceiling: what actix-web can do when the handler does next to nothing.

use std::{
    collections::HashMap,
    io::Write,
    net::{SocketAddr, TcpListener},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header,
    web::{Bytes, Data, get, post, resource},
};
use sha2::{Digest, Sha256};

use super::{
    block_on,
    http::KEY_IN_BODY,
    keys::{KEY_BYTES, key},
};

type Map = HashMap<[u8; 32], u64>;

/// The keys to serve, when this program was started as the bare handler ([`super::server::Server::start_bare`]).
pub fn asked_for() -> Option<u64> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[..] {
        [_, word, keys] if word == "bare" => Some(keys.parse().expect("a number of keys")),
        _ => None,
    }
}

/// Serves until it is killed. As many workers as the server under test: a worker a core it may run on.
pub fn serve(keys: u64) {
    let map: Map = (0..keys).map(|n| (Sha256::digest(key(n)).into(), n)).collect();
    let map = Data::new(map);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    println!("bare at {}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    block_on(async {
        let app = move || {
            let verify = resource("/v1/keys/verify").route(post().to(by_body));
            let forward_auth = resource("/v1/forward-auth").route(get().to(by_header));
            App::new().app_data(map.clone()).service(verify).service(forward_auth)
        };
        HttpServer::new(app).listen(listener).unwrap().run().await.unwrap();
    });
}

/// The bare handler.
async fn by_header(request: HttpRequest, map: Data<Map>) -> HttpResponse {
    let value = request.headers().get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    answer(&map, value.strip_prefix(b"Bearer ").unwrap_or_default())
}

/// The same for a body, of which it knows beforehand where the key is: nothing is parsed.
async fn by_body(body: Bytes, map: Data<Map>) -> HttpResponse {
    answer(&map, body.get(KEY_IN_BODY..KEY_IN_BODY + KEY_BYTES).unwrap_or_default())
}

fn answer(map: &Map, key: &[u8]) -> HttpResponse {
    let digest: [u8; 32] = Sha256::digest(key).into();
    if map.contains_key(&digest) { HttpResponse::Ok().finish() } else { HttpResponse::Unauthorized().finish() }
}
