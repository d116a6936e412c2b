//! HAProxy, with a script in Lua.

use std::{fs, net::SocketAddr, process::Command};

use super::{
    Shown, Traits, contract,
    program::{Gateway, fill_in, find},
};

fn start(shown: &Shown, api: SocketAddr) -> Gateway {
    Gateway::start(|folder, address| {
        // Abstract sockets are the machine's, and many gateways run here at once.
        let inner = format!("abns@keystead-{}", address.port());
        let lua = folder.join("keystead.lua");
        let own = [
            ("bind :80", &*format!("bind {address}")),
            ("127.0.0.1:3000", &api.to_string()),
            ("/etc/haproxy/keystead.lua", lua.to_str().unwrap()),
            ("abns@keystead", &inner),
        ];
        fs::write(folder.join("haproxy.cfg"), fill_in(&shown.file("haproxy"), &own)).unwrap();
        fs::write(&lua, fill_in(&shown.file("haproxy-lua"), &[("abns@keystead", &inner)])).unwrap();
        let mut command = Command::new(find("haproxy"));
        command.args(["-db", "-f", "haproxy.cfg"]);
        command
    })
}

const TRAITS: Traits = Traits {
    start,
    silent: 503,
    limited: 429,
    hands_on_503: true,
    asks_by_name: true,
    keeps_connections: true,
    speaks_http2: true,
    drops_trailers: false,
    ends_websocket: Some(("timeout tunnel 1m", "timeout tunnel 1s")),
    ends_event_stream: Some(("timeout server 1m", "timeout server 1s")),
    protections: &[
        ("[^a-z0-9]", "[-_]"),
        ("|organization[^a-z0-9]id", ""),
        ("^(connection|upgrade|", "^(upgrade|"),
        ("^(connection|upgrade|", "^(connection|"),
        ("|http2-settings)", ")"),
        ("    option forwardfor\n", ""),
    ],
};

contract!(TRAITS);
