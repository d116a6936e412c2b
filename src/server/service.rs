//! The application, as the HTTP library runs it on a connection.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, Request, error::DispatchError};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::{
    App as ActixApp, Error, HttpResponse,
    dev::{AppConfig, ServiceResponse},
};

use super::{request, stream::Stream};
use crate::{app::Site, middleware::connection::Connection};

/// How long a connection that must end goes on reading what its client still sends, so that the client sees our answer and
/// not a reset.
const LINGER: Duration = Duration::from_secs(1);

/// What makes the service of a worker. Times are ours to keep ([`Connection`]), so the library's clocks are off, but for
/// the last one.
pub fn factory(
    site: &Arc<Site>,
) -> impl ServiceFactory<
    (Stream, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    Service = impl Service<(Stream, Option<SocketAddr>), Response = (), Error = DispatchError> + 'static,
    InitError = (),
> {
    let site = Arc::clone(site);
    let application = ActixApp::new().configure(|config| super::mount(config, &site)).into_factory();
    HttpService::<Stream, _, _>::build()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(LINGER)
        .on_connect_ext(|stream: &Stream, data| {
            data.insert(Rc::clone(stream.connection()));
        })
        .h1(Watched(application))
}

/// A service that lets each connection know when its request begins and when it is answered.
struct Watched<S>(S);

impl<S> ServiceFactory<Request> for Watched<S>
where
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse, Error = Error>,
    S::Future: 'static,
    <S::Service as Service<Request>>::Future: Unpin,
{
    type Response = ServiceResponse;
    type Error = HttpResponse;
    type Config = ();
    type Service = Watched<S::Service>;
    type InitError = S::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, S::InitError>>>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let made = self.0.new_service(AppConfig::default());
        Box::pin(async move { made.await.map(Watched) })
    }
}

impl<S> Service<Request> for Watched<S>
where
    S: Service<Request, Response = ServiceResponse, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse;
    type Error = HttpResponse;
    type Future = Answering<S::Future>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), HttpResponse>> {
        self.0.poll_ready(cx).map_err(|error| error.error_response())
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let connection = request::begin(&mut request);
        Answering { answer: self.0.call(request), connection }
    }
}

/// A request that is being answered.
struct Answering<F> {
    answer: F,
    connection: Option<Rc<Connection>>,
}

impl<F: Future<Output = Result<ServiceResponse, Error>> + Unpin> Future for Answering<F> {
    type Output = Result<ServiceResponse, HttpResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(cx).map_err(|error| error.error_response());
        if let (Poll::Ready(_), Some(connection)) = (&answer, &self.connection) {
            connection.answered();
        }
        answer
    }
}
