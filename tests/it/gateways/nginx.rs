//! nginx, with `auth_request`.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use super::{
    Shown, Traits, contract,
    program::{Gateway, fill_in, find},
};

fn start(shown: &Shown, api: SocketAddr) -> Gateway {
    Gateway::start(|folder, address| {
        configure(folder, &shown.file("nginx"), address, api);
        let mut command = Command::new(find("nginx"));
        command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]);
        command
    })
}

/// What Debian's `nginx.conf` is around `conf.d/`, as far as this needs it.
fn configure(folder: &Path, shown: &str, address: SocketAddr, api: SocketAddr) {
    let own = [("listen 80;", &*format!("listen {address};")), ("127.0.0.1:3000", &api.to_string())];
    fs::write(folder.join("keystead.conf"), fill_in(shown, &own)).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {what};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}    \
         include keystead.conf;\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), main).unwrap();
}

const TRAITS: Traits = Traits {
    start,
    silent: 503,
    limited: 403,
    hands_on_503: true,
    asks_by_name: true,
    keeps_connections: true,
    speaks_http2: false,
    drops_trailers: true,
    ends_websocket: Some(("proxy_read_timeout 60s;", "proxy_read_timeout 1s;")),
    ends_event_stream: Some(("proxy_read_timeout 60s;", "proxy_read_timeout 1s;")),
    protections: &[
        ("Upgrade $keystead_upgrade;", "Upgrade $http_upgrade;"),
        ("proxy_set_header HTTP2-Settings \"\";", ""),
        ("underscores_in_headers off;", "underscores_in_headers on;"),
        ("ignore_invalid_headers on;", "ignore_invalid_headers off;"),
        ("proxy_set_header X-Key-Id $keystead_key;", ""),
        ("proxy_set_header X-Key-Name $keystead_name;", ""),
        ("proxy_set_header X-Organization-Id $keystead_organization;", ""),
        ("proxy_set_header X-Key-Scopes $keystead_scopes;", ""),
        ("X-Forwarded-For $proxy_add_x_forwarded_for", "X-Forwarded-For $http_x_forwarded_for"),
    ],
};

contract!(TRAITS);
