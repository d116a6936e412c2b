//! What a connection is told of each of its requests.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{HttpMessage, Payload, Request, error::PayloadError, header};
use actix_web::web::Bytes;
use futures_util::Stream;

use crate::middleware::connection::{Connection, Kind};

/// Tells a connection that its request begins, and later that the body has come.
pub fn begin(request: &mut Request) -> Option<Rc<Connection>> {
    let body = match request.payload() {
        Payload::None => Some(0),
        _ => request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok()),
    };
    let kind = if is_verification(request.path()) { Kind::Verification } else { Kind::Other };
    let connection = Rc::clone(request.conn_data::<Rc<Connection>>()?);
    if connection.begin(kind, body) {
        let body = Watched { body: request.take_payload(), connection: Rc::clone(&connection) };
        *request.payload() = Payload::Stream { payload: Box::pin(body) };
    }
    Some(connection)
}

/// Whether a path is asked by programs about keys.
fn is_verification(path: &str) -> bool {
    path.starts_with("/v1/keys/verify") || path.starts_with("/v1/forward-auth")
}

/// A body of which only its end tells how long it is.
struct Watched {
    body: Payload,
    connection: Rc<Connection>,
}

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.body).poll_next(cx);
        if let Poll::Ready(None) = next {
            self.connection.body_ended();
        }
        next
    }
}
