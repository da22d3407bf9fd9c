//! The connections: bounded in number, and each of their steps bounded in time.

use std::{convert::Infallible, time::Duration};

use axum::{Router, http::StatusCode, response::IntoResponse as _};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::problem::Problem;

/// Connections at one time; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send a request's head; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of request headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take, from its head to the answer's.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of its answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connections get to finish when the console stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until told to stop; what has not ended soon after that is cut off.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: &CancellationToken) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            match stop.run_until_cancelled(connections.join_next()).await {
                Some(_ended) => continue,
                None => break,
            }
        }
        match stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => {
                connections.spawn(connection(stream, routes.clone(), &graceful));
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the console stopped");
    }
}

fn connection(
    stream: TcpStream,
    routes: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL_TIMEOUT));
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = timeout(REQUEST_TIMEOUT, routes.clone().oneshot(request));
        async move {
            let late = |_| {
                let detail = "the request or its answer took too long";
                Problem::new(StatusCode::REQUEST_TIMEOUT, "Too slow", detail).into_response()
            };
            Ok::<_, Infallible>(answer.await.map_or_else(late, |Ok(answer)| answer))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let served = graceful.watch(served);
    async move {
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::SocketAddr};

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::Instant,
    };

    use super::*;

    async fn text(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("closed");
        text
    }

    async fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("listening");
        stream.write_all(bytes).await.expect("sent");
        // The clock moves once the server has read what there is.
        sleep(Duration::from_secs(1)).await;
        stream
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_hand_is_answered_and_one_half_sent_does_not_delay_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, go) = (CancellationToken::new(), CancellationToken::new());
        let goes = go.clone();
        let slow = move || async move {
            goes.cancelled().await;
            "done"
        };
        let routes = Router::new().route("/", get(slow));
        let asking = async {
            let mut whole = sent(address, b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
            let half = sent(address, b"GET / HT").await;
            stop.cancel();
            let since = Instant::now();
            go.cancel();
            let answer = text(&mut whole).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
            (since, half)
        };
        let serving = timeout(Duration::from_hours(1), serve(listener, routes, &stop));
        let (ended, (since, _half)) = tokio::join!(async { serving.await.map(|()| Instant::now()) }, asking);
        assert_eq!((ended.expect("it ends") - since).as_secs(), DRAIN_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_sent_request_and_a_slow_answer_do_not_last() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, routes) = (CancellationToken::new(), Router::new().route("/", get(pending::<()>)));
        let asking = async {
            let mut half = sent(address, b"GET / HT").await;
            assert_eq!(timeout(HEADER_TIMEOUT, text(&mut half)).await.expect("closed"), "");
            let mut whole = sent(address, b"GET / HTTP/1.0\r\n\r\n").await;
            let answer = timeout(REQUEST_TIMEOUT, text(&mut whole)).await.expect("answered");
            assert!(answer.starts_with("HTTP/1.0 408 "), "{answer}");
            stop.cancel();
        };
        tokio::join!(serve(listener, routes, &stop), asking);
    }
}
