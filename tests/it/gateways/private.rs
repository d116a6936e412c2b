//! The proxy of `docs/api.md` in front of Keystead: pages for everybody, `/v1/` for some.

use std::{fs, net::SocketAddr, process::Command};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    CLIENT, hostile,
    program::{Gateway, fill_in, find},
};
use crate::support::TestApp;

fn start(keystead: SocketAddr, friend: &str) -> Gateway {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let shown = document.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned();
    Gateway::start(|folder, address| {
        let own = [
            ("listen 443 ssl;", &*format!("listen {address};")),
            ("127.0.0.1:8080", &keystead.to_string()),
            ("10.0.0.0/8", friend),
        ];
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("    {what}_temp_path {what};\n"))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}{}}}\n",
            fill_in(&shown, &own)
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = Command::new(find("nginx"));
        command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]);
        command
    })
}

async fn status(proxy: &Gateway, path: &str, key: &str) -> String {
    let mut stream = hostile::connect(proxy.address).await;
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: keys.example.com\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_documented_proxy_keeps_strangers_from_asking_however_they_spell_it() {
    let keystead = TestApp::start().await;
    let key = keystead.admin().await.create_key("Production").await.secret;
    let proxy = start(keystead.address, "192.0.2.0/24");
    assert_eq!(status(&proxy, "/sign-in", &key).await, "200");
    for path in [
        "/v1/forward-auth",
        "/v1/forward-auth/../../sign-in",
        "/sign-in/../v1/forward-auth",
        "/%76%31/forward-auth",
        "//v1/forward-auth",
        "/v1%2fforward-auth",
        "/v1/forward-auth/%2e%2e/%2e%2e/x",
        "/V1/forward-auth",
        "/v1/keys/verify",
    ] {
        let status = status(&proxy, path, &key).await;
        // Keystead says yes by 200; a page is what an address means that nginx has resolved.
        let is_page = status == "200" && path.ends_with("/sign-in");
        assert!(is_page || matches!(&*status, "403" | "404"), "{path}: {status}");
    }

    let proxy = start(keystead.address, CLIENT);
    assert_eq!(status(&proxy, "/v1/forward-auth", &key).await, "200");
}
