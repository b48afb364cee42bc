//! A loopback HTTP server that can be stopped, started again on its port, and told to hang up without an answer.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What to do with a request.
pub enum Reply {
    /// Send this response.
    Answer(Response<Body>),
    /// Close the connection and send nothing.
    HangUp,
}

type Handler = dyn Fn(Request<Body>) -> BoxFuture<'static, Reply> + Send + Sync;

/// A server on a loopback port of its own. Ends when dropped.
pub struct HttpServer {
    address: SocketAddr,
    handler: Arc<Handler>,
    running: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("hung up on purpose")
    }
}

impl std::error::Error for HungUp {}

impl HttpServer {
    /// Starts on a free port.
    pub async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Body>) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let (listener, address) = unused().await;
        let handler: Arc<Handler> = Arc::new(move |request| Box::pin(handler(request)));
        let server = Self {
            address,
            handler,
            running: Mutex::new(None),
        };
        server.accept(listener);
        server
    }

    /// `http://127.0.0.1:PORT`, without a final slash.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening and cuts every connection. To a client the server is then gone.
    pub async fn stop(&self) {
        let task = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.abort();
            // The listener is dropped with the task; waiting for that frees the port.
            drop(task.await);
        }
    }

    /// Listens again on the same port.
    pub async fn start_again(&self) {
        self.stop().await;
        let listener = TcpListener::bind(self.address)
            .await
            .expect("the port that was just freed");
        self.accept(listener);
    }

    fn accept(&self, listener: TcpListener) {
        let handler = Arc::clone(&self.handler);
        let task = tokio::spawn(async move {
            // Connections are children of this task: aborting it drops the set, which aborts them.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                // As `webimport serve` does.
                let _ = stream.set_nodelay(true);
                let handler = Arc::clone(&handler);
                connections.spawn(async move {
                    let service = service_fn(|request: Request<hyper::body::Incoming>| {
                        let reply = handler(request.map(Body::new));
                        async move {
                            match reply.await {
                                Reply::Answer(response) => Ok(response),
                                Reply::HangUp => Err(HungUp),
                            }
                        }
                    });
                    // A browser that goes away, or a body that ends early on purpose, is no failure here.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
                while connections.try_join_next().is_some() {}
            }
        });
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(task) = self
            .running
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            task.abort();
        }
    }
}

/// Asks an axum router for its answer; routers cannot fail.
pub async fn ask(router: axum::Router, request: Request<Body>) -> Response<Body> {
    let answer: Result<Response<Body>, Infallible> =
        tower::ServiceExt::oneshot(router, request).await;
    match answer {
        Ok(response) => response,
    }
}

/// A port that no server of this process has had. A system gives ports out again, and a page finds what an earlier one has
/// stored under the same origin.
async fn unused() -> (TcpListener, SocketAddr) {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a loopback port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
        if used.insert(address.port()) {
            return (listener, address);
        }
    }
}
