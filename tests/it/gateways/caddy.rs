//! Caddy, with `forward_auth`.

use std::{fs, net::SocketAddr, process::Command};

use super::{
    Shown, Traits, contract,
    program::{Gateway, fill_in, find},
};

fn start(shown: &Shown, api: SocketAddr) -> Gateway {
    Gateway::start(|folder, address| {
        // An address on http: no certificates are asked for.
        let own = [("api.example.com {", &*format!("http://{address} {{")), ("127.0.0.1:3000", &api.to_string())];
        let shown = fill_in(&shown.file("caddy"), &own);
        fs::write(folder.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{shown}")).unwrap();
        let mut command = Command::new(find("caddy"));
        command.args(["run", "--config", "Caddyfile"]);
        command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        command
    })
}

const TRAITS: Traits = Traits {
    start,
    silent: 502,
    limited: 429,
    hands_on_503: true,
    asks_by_name: true,
    keeps_connections: false,
    speaks_http2: false,
    drops_trailers: true,
    ends_websocket: None,
    ends_event_stream: None,
    protections: &[
        ("request_header -X-Key*", ""),
        ("request_header -X.Organization*", ""),
        ("request_header -X`Key*", ""),
        ("request_header -X_Key*", ""),
        ("request_header Connection Upgrade", ""),
        ("request_header @no-websocket -Upgrade", ""),
        ("request_header @websocket Upgrade websocket", ""),
        ("request_header -HTTP2-Settings", ""),
    ],
};

contract!(TRAITS);
