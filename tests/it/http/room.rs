//! More connections than there is room for.

use super::{Raw, blocking, question};
use crate::support::TestApp;

const SILENT_FORM: &str = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                           Content-Length: 16000\r\n\r\n";

#[tokio::test]
async fn silent_clients_do_not_end_verification() {
    let app = TestApp::start_with(|settings| settings.max_connections = "64".to_owned()).await;
    let key = app.admin().await.create_key("Production").await;
    let address = app.address;
    blocking(move || {
        let mut kept: Vec<Raw> = (0..8).map(|_| Raw::connect(address)).collect();
        for gateway in &mut kept {
            gateway.send(&question(&key.secret, ""));
            assert!(gateway.answer().contains("\"VALID\""));
        }
        let mut silent = Vec::new();
        for begun in [SILENT_FORM, "", "GET / HTTP/1.1\r\n"] {
            for _ in 0..200 {
                let mut stranger = Raw::connect(address);
                stranger.send(begun);
                silent.push(stranger);
            }
            // Whoever comes after them, and who was here before.
            for gateway in (0..32).map(|_| Raw::connect(address)).chain(std::mem::take(&mut kept)) {
                let mut gateway = gateway;
                gateway.send(&question(&key.secret, ""));
                assert!(gateway.answer().contains("\"VALID\""), "after {begun:?}");
                kept.push(gateway);
            }
            kept.drain(..32);
        }
    })
    .await;
}
