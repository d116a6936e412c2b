//! A server with several addresses.

use std::{
    io::ErrorKind,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Arc,
};

use keystead::{clock::SystemClock, config::Settings, server};

use crate::support::{Binary, TestDatabase};

#[test]
fn each_of_its_addresses_is_answered_on_and_closed() {
    let database = TestDatabase::sqlite();
    let mut settings = Settings::default();
    (settings.data_dir, settings.drain) = (database.folder().to_str().unwrap().to_owned(), "0".to_owned());
    let mut config = settings.check().unwrap();
    config.listen = ["127.0.0.1:0", "127.0.0.2:0"].map(|text| text.parse().unwrap()).to_vec();
    config.metrics_listen = Some(config.listen.clone());
    let addresses = actix_web::rt::System::new().block_on(async {
        let running = server::start(config, Arc::new(SystemClock)).await.unwrap();
        let (pages, metrics) = (running.addresses.clone(), running.metrics_addresses.clone());
        let handle = running.handle();
        let ask = async {
            assert_eq!((pages.len(), metrics.len()), (2, 2));
            for (addresses, path) in [(&pages, "livez"), (&metrics, "metrics")] {
                for address in addresses {
                    assert_eq!(address.port(), addresses[0].port());
                    assert_eq!(reqwest::get(format!("http://{address}/{path}")).await.unwrap().status(), 200);
                }
            }
            handle.stop();
        };
        let (ended, ()) = tokio::join!(running.run(), ask);
        ended.unwrap();
        [pages, metrics].concat()
    });
    for address in addresses {
        let refused = TcpStream::connect(address).map(drop).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "{address}");
    }
}

#[test]
fn the_start_says_on_which_addresses_of_a_name_it_listens() {
    let here = "localhost:0".to_socket_addrs().unwrap();
    let server = Binary::on_sqlite().with("KEYSTEAD_LISTEN", "localhost:0").serve();
    let port = server.base.rsplit_once(':').unwrap().1;
    for mut address in here.filter(|address| TcpListener::bind(address).is_ok()) {
        address.set_port(port.parse().unwrap());
        server.said(&address.to_string());
    }
}
