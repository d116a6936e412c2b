//! Envoy, with `ext_authz`.

use std::{fs, net::SocketAddr, process::Command};

use super::{
    Shown, Traits, contract,
    program::{Gateway, fill_in, find},
};

pub fn start(shown: &Shown, api: SocketAddr) -> Gateway {
    Gateway::start(|folder, address| {
        let places = |address: SocketAddr| format!("address: {}, port_value: {}", address.ip(), address.port());
        let own = [
            ("address: 0.0.0.0, port_value: 80", &*places(address)),
            ("address: 127.0.0.1, port_value: 3000", &places(api)),
        ];
        fs::write(folder.join("envoy.yaml"), fill_in(&shown.file("envoy"), &own)).unwrap();
        let mut command = Command::new(find("envoy"));
        command.args(["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
        command
    })
}

const TRAITS: Traits = Traits {
    start,
    silent: 503,
    limited: 429,
    hands_on_503: false,
    asks_by_name: false,
    keeps_connections: true,
    speaks_http2: true,
    drops_trailers: true,
    ends_websocket: Some(("3600s", "1s")),
    ends_event_stream: Some((
        "max_stream_duration: { max_stream_duration: 3600s }",
        "max_stream_duration: { max_stream_duration: 1s }",
    )),
    protections: &[
        ("[^a-z0-9]", "[-_]"),
        ("|organization[^a-z0-9]id", ""),
        ("use_remote_address: true", "use_remote_address: false"),
        ("- upgrade_type: websocket", "- upgrade_type: h2"),
        ("- exact: x-key-scopes", "- exact: x-other"),
        ("value: upgrade }", "value: \"x-key-id, upgrade\" }"),
        ("- remove: http2-settings", "- remove: http3-settings"),
    ],
};

contract!(TRAITS);
