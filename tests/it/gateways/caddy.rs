//! Caddy, with `forward_auth`.

use std::{fs, net::SocketAddr, process::Command};

use super::{
    Shown, contract,
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

contract!(start, silent: 502, limited: 429);
