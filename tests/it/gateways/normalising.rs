//! Between Envoy and Keystead stands a proxy that resolves `..`, as many do that end TLS.

use std::{fs, net::SocketAddr, process::Command};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Shown, envoy, hostile,
    program::{Gateway, find},
    upstream::Upstream,
};
use crate::support::{TestApp, TestDatabase};

/// nginx makes `/livez` of `/v1/forward-auth/../../livez` where `proxy_pass` has a path.
fn proxy(keystead: SocketAddr) -> Gateway {
    Gateway::start(|folder, address| {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("    {what}_temp_path {what};\n"))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}    \
             server {{\n        listen {address};\n        location / {{ proxy_pass http://{keystead}/; }}\n    }}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = Command::new(find("nginx"));
        command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]);
        command
    })
}

/// The statuses of requests without a key, and how many of them the API saw.
async fn ask_without_a_key(changes: &[(&str, &str)]) -> (Vec<String>, usize) {
    let keystead = TestApp::start_on(TestDatabase::sqlite(), |_| {}).await;
    let proxy = proxy(keystead.address);
    let public_url = proxy.base();
    let page = TestApp::start_on(TestDatabase::sqlite(), |settings| settings.public_url = public_url).await;
    let shown = Shown::to(&page.admin().await).await.changed(changes);
    let upstream = Upstream::start();
    let gateway = envoy::start(&shown, upstream.address);
    let mut statuses = Vec::new();
    for path in [
        "/orders",
        "/../../livez",
        "/orders/../../../livez",
        "/orders/%2e%2e/%2e%2e/%2e%2e/livez",
        "/orders/..%2f..%2f..%2flivez",
        "/orders/../../../readyz?x=/orders",
        "/orders/../../../sign-in",
        "/orders/../../../v1/keys/verify",
    ] {
        let mut stream = hostile::connect(gateway.address).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        statuses.push(answer.split(' ').nth(1).unwrap_or_default().to_owned());
    }
    drop(gateway);
    (statuses, upstream.arrived().len())
}

#[tokio::test]
async fn a_path_that_something_in_between_resolves_is_nobodys_yes() {
    let (statuses, arrived) = ask_without_a_key(&[]).await;
    assert!(statuses.iter().all(|status| status == "401"), "{statuses:?}");
    assert_eq!(arrived, 0);

    // As an older configuration would ask, if it said that it asks: every other route refuses.
    let prefix = ("path_override: ", "path_prefix: ");
    let (statuses, arrived) = ask_without_a_key(&[prefix]).await;
    assert!(statuses.iter().all(|status| matches!(&**status, "401" | "403" | "405")), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "403"), "{statuses:?}");
    assert_eq!(arrived, 0);

    // What the two are for.
    let (_, arrived) = ask_without_a_key(&[prefix, ("key: keystead-asker", "key: x-nothing")]).await;
    assert!(arrived > 0, "nothing in between resolves paths: the test shows nothing");
}
