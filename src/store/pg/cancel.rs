//! How to tell a server, on a connection of its own, that nobody waits for a statement any more.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_postgres::{
    CancelToken, NoTls,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::wire::{Place, Wire};
use crate::config::postgres_target::PostgresTarget;

/// How long telling it may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the server is, and how it is reached.
#[derive(Clone)]
pub struct Cancel {
    pub target: Arc<PostgresTarget>,
    pub place: Place,
    pub tls: Option<MakeRustlsConnect>,
    pub host: String,
}

impl Cancel {
    /// Asks for it, as far as the server can be reached. The server says nothing, and hangs up.
    pub async fn run(self, token: CancelToken) {
        let asking = async {
            let wire = Wire::open(&self.place, &self.target).await.map_err(|error| error.to_string())?;
            let wire = HungUpOn(wire);
            let Some(mut connector) = self.tls else {
                return token.cancel_query_raw(wire, NoTls).await.map_err(|error| error.to_string());
            };
            let connect = MakeTlsConnect::<Wire>::make_tls_connect(&mut connector, &self.host);
            let connect = HungUpOn(connect.map_err(|error| error.to_string())?);
            token.cancel_query_raw(wire, connect).await.map_err(|error| error.to_string())
        };
        if let Ok(Err(error)) = timeout(LIMIT, asking).await {
            tracing::debug!(%error, "a statement could not be cancelled");
        }
    }
}

/// A stream whose end is the other side's: `PgBouncer` forgets an order to cancel whose sender has hung up before it was passed
/// on, and tokio-postgres hangs up at once.
struct HungUpOn<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for HungUpOn<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HungUpOn<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    /// Once there is nothing more to read.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.get_mut().0;
        let mut bytes = [0; 64];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            // A connection that is reset is hung up too.
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for HungUpOn<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<C> TlsConnect<HungUpOn<Wire>> for HungUpOn<C>
where
    C: TlsConnect<Wire, Future: Send + 'static> + 'static,
{
    type Stream = HungUpOn<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, HungUpOn(wire): HungUpOn<Wire>) -> Self::Future {
        let connecting = self.0.connect(wire);
        Box::pin(async { connecting.await.map(HungUpOn) })
    }
}
