//! The wire between one node and Postgres, which a test can stall or cut.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use url::Url;

/// What the wire does with what is sent over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Open,
    /// Nothing arrives, in either direction, and nobody is told: what was sent comes late.
    Stalled,
    /// Every connection breaks, also new ones.
    Cut,
}

/// A port of its own that leads to a Postgres server, until it is dropped.
pub struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
}

impl Proxy {
    /// Leads to the server of this URL. To be called in the runtime that is to carry it.
    pub async fn start(database_url: &str) -> Self {
        let url = Url::parse(database_url).unwrap();
        let server = Arc::new((url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (wire, seen) = watch::channel(Wire::Open);
        tokio::spawn(async move {
            let mut closed = seen.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { continue };
                        tokio::spawn(carry(client, Arc::clone(&server), seen.clone()));
                    }
                    // The test has ended.
                    () = async { while closed.changed().await.is_ok() {} } => return,
                }
            }
        });
        Self { port, wire }
    }

    /// The URL of the same database by way of this.
    pub fn url(&self, database_url: &str) -> String {
        let mut url = Url::parse(database_url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

async fn carry(client: TcpStream, server: Arc<(String, u16)>, mut wire: watch::Receiver<Wire>) {
    let mut seen = wire.clone();
    let carried = async move {
        seen.wait_for(|wire| *wire != Wire::Stalled).await.ok()?;
        let server = TcpStream::connect((&*server.0, server.1)).await.ok()?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = copy(from_client, to_server, seen.clone()) => {}
            () = copy(from_server, to_client, seen) => {}
        }
        Some(())
    };
    tokio::select! {
        _ = carried => {}
        // Both sides are dropped with it.
        _ = wire.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut wire: watch::Receiver<Wire>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if wire.wait_for(|wire| *wire != Wire::Stalled).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
