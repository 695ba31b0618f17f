//! The simulator's HTTP server: the gateway at `/router/rest`, and the routes under `/_sim/` for tests to inspect and
//! control the simulator.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::{IncomingStream, Listener};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::answer::Answer;
use crate::faults::Fault;
use crate::pages::Api;
use crate::simulator::Simulator;

/// How long an unanswered request hangs: longer than any sensible caller's time-out.
const HANG: Duration = Duration::from_secs(60);

/// Serves a simulator on the system's clock until the listener fails.
///
/// `/router/rest` is the gateway, for GET and POST. Tests use `GET /_sim/ledger`, `POST /_sim/faults`, `DELETE /_sim/faults`,
/// `POST /_sim/reset` and `GET /_sim/health`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, simulator: Arc<Mutex<Simulator>>) -> io::Result<()> {
    serve_hanging(listener, simulator, HANG).await
}

async fn serve_hanging(listener: TcpListener, simulator: Arc<Mutex<Simulator>>, hang: Duration) -> io::Result<()> {
    let router = Router::new()
        .route("/router/rest", any(gateway))
        .route("/_sim/ledger", get(ledger))
        .route("/_sim/faults", post(add_faults).delete(clear_faults))
        .route("/_sim/reset", post(reset))
        .route("/_sim/health", get(|| async { "ok" }))
        .with_state(Desk { simulator, hang });
    let service = router.into_make_service_with_connect_info::<Scissors>();
    axum::serve(Lines(listener), service).await
}

#[derive(Clone)]
struct Desk {
    simulator: Arc<Mutex<Simulator>>,
    hang: Duration,
}

impl Desk {
    /// Locks the simulator. Never hold the lock across an await: a hung request must not delay others.
    fn simulator(&self) -> MutexGuard<'_, Simulator> {
        self.simulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn gateway(
    State(desk): State<Desk>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now_ms = Timestamp::now().as_millisecond();
    let answer = {
        let mut simulator = desk.simulator();
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let answer = match method {
            Method::POST => simulator.handle(now_ms, content_type, query.as_deref(), &body),
            Method::GET => simulator.handle(now_ms, None, query.as_deref(), b""),
            _ => simulator.refuse_http_action(now_ms, query.as_deref()),
        };
        if let Some(entry) = simulator.ledger().last() {
            // Log no parameter except a known method: others may be personal or secret.
            let method = Api::from_method(&entry.method).map_or("unknown", Api::method);
            tracing::info!(method, outcome = %entry.outcome, effect = entry.effect, "request answered");
        }
        answer
    };
    match answer {
        Answer::Reply { status, body, after_ms } => {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            // TOP declares its JSON as text/javascript.
            let content_type = match body.first() {
                Some(b'{') => "text/javascript;charset=UTF-8",
                _ if body.starts_with(b"<?xml") => "text/xml;charset=UTF-8",
                _ => "text/html;charset=UTF-8",
            };
            (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Answer::Hang => {
            tokio::time::sleep(desk.hang).await;
            scissors.cut();
            // Never reaches the caller, because the connection is cut.
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn ledger(State(desk): State<Desk>) -> Response {
    let body = json!({ "calls": desk.simulator().ledger() }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn add_faults(State(desk): State<Desk>, body: Bytes) -> Response {
    match serde_json::from_slice::<Vec<Fault>>(&body) {
        Ok(faults) => {
            desk.simulator().add_faults(faults);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("invalid list of faults: {error}\n")).into_response(),
    }
}

async fn clear_faults(State(desk): State<Desk>) -> StatusCode {
    desk.simulator().clear_faults();
    StatusCode::NO_CONTENT
}

async fn reset(State(desk): State<Desk>) -> StatusCode {
    desk.simulator().reset();
    StatusCode::NO_CONTENT
}

/// Ends a connection without an answer. HTTP libraries always answer, so writing to the connection fails instead.
#[derive(Clone, Default)]
struct Scissors(Arc<AtomicBool>);

impl Scissors {
    fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl Connected<IncomingStream<'_, Lines>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().scissors.clone()
    }
}

/// A listener whose connections can be cut.
struct Lines(TcpListener);

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Line { stream, scissors: Scissors::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Line {
    stream: TcpStream,
    scissors: Scissors,
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.scissors.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed_request::{FORM, SignedRequest, credentials};
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Starts a simulator on a free port; hung requests end after `hang`.
    async fn start(hang: Duration) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let simulator = Arc::new(Mutex::new(Simulator::new(credentials())));
        tokio::spawn(serve_hanging(listener, simulator, hang));
        address
    }

    /// Sends one request and returns everything received until the server closes the connection.
    async fn send(to: SocketAddr, line: &str, content_type: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The request with the current time stamp.
    fn fresh(request: &SignedRequest) -> SignedRequest {
        let now = jiff::tz::offset(8).to_datetime(Timestamp::now());
        request.clone().with("timestamp", &now.strftime(crate::validation::DATE_LAYOUT).to_string())
    }

    async fn call(to: SocketAddr, request: &SignedRequest) -> String {
        send(to, "POST /router/rest", FORM, &fresh(request).body()).await
    }

    async fn outcomes(of: SocketAddr) -> Vec<String> {
        let answer = send(of, "GET /_sim/ledger", "", "").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let ledger: Value = serde_json::from_str(body).unwrap();
        let line = |call: &Value| format!("{} {}", call["outcome"].as_str().unwrap(), call["effect"]);
        ledger["calls"].as_array().unwrap().iter().map(line).collect()
    }

    #[tokio::test]
    async fn gateway_and_control_routes_work_over_http() {
        let simulator = start(HANG).await;
        assert!(send(simulator, "GET /_sim/health", "", "").await.ends_with("\r\n\r\nok"));
        let answer = call(simulator, &SignedRequest::ship("1")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(r#"{"alitrip_ship_order_notify_response":{"ret_code":"0""#), "{answer}");
        let itinerary = fresh(&SignedRequest::itinerary("1")).with("format", "xml").body();
        let answer = send(simulator, &format!("GET /router/rest?{itinerary}"), "", "").await;
        assert!(answer.contains("content-type: text/xml;charset=UTF-8\r\n"), "{answer}");
        assert!(answer.contains("<ht_success>true</ht_success>"), "{answer}");
        let answer = send(simulator, "PUT /router/rest?method=x", "", "").await;
        assert!(answer.contains("<code>9</code>"), "{answer}");
        assert_eq!(outcomes(simulator).await, ["success true", "success true", "error 9 false"]);
        let answer = send(simulator, "POST /_sim/reset", "", "").await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        assert!(outcomes(simulator).await.is_empty());
    }

    #[tokio::test]
    async fn faults_are_injected_over_http_and_invalid_ones_are_explained() {
        let simulator = start(HANG).await;
        let json = "application/json";
        let answer = send(simulator, "POST /_sim/faults", json, r#"[{"fault":"http_500"},{"fault":"nap"}]"#).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("unknown variant `nap`"), "{answer}");
        let answer = send(simulator, "POST /_sim/faults", json, r#"[{"fault":"http_500"}]"#).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let answer = call(simulator, &SignedRequest::verify("1", "0")).await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert_eq!(outcomes(simulator).await, ["http_500 false"]);
    }

    #[tokio::test]
    async fn deleting_faults_ends_bans_and_keeps_the_ledger() {
        let simulator = start(HANG).await;
        let ban = r#"{"fault":"error","code":7,"sub_msg":"This ban will last for 600 more seconds"}"#;
        let faults = format!(r#"[{ban},{{"fault":"http_500","times":9}}]"#);
        send(simulator, "POST /_sim/faults", "application/json", &faults).await;
        call(simulator, &SignedRequest::verify("1", "0")).await;
        call(simulator, &SignedRequest::ship("1")).await;
        let answer = send(simulator, "DELETE /_sim/faults", "", "").await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        call(simulator, &SignedRequest::verify("1", "0")).await;
        call(simulator, &SignedRequest::ship("1")).await;
        assert_eq!(outcomes(simulator).await, ["error 7 false", "http_500 false", "success true", "success true"]);
    }

    #[tokio::test]
    async fn hung_requests_end_without_an_answer_and_delay_no_other_request() {
        let simulator = start(Duration::from_millis(500)).await;
        let fault = r#"[{"fault":"timeout_after_effect","times":50,"match":"hung"}]"#;
        send(simulator, "POST /_sim/faults", "application/json", fault).await;
        let hung: Vec<_> = (0..50)
            .map(|number| {
                let request = SignedRequest::ship(&format!("hung-{number}"));
                tokio::spawn(async move { call(simulator, &request).await })
            })
            .collect();
        while outcomes(simulator).await.len() < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answer = call(simulator, &SignedRequest::ship("1")).await;
        assert!(answer.contains("\"ret_success\":true"), "{answer}");
        assert!(hung.iter().all(|request| !request.is_finished()));
        for request in hung {
            assert_eq!(request.await.unwrap(), "");
        }
    }

    #[tokio::test]
    async fn delayed_answer_arrives_after_its_delay() {
        let simulator = start(HANG).await;
        send(simulator, "POST /_sim/faults", "application/json", r#"[{"fault":"delay","ms":150}]"#).await;
        let start = std::time::Instant::now();
        let answer = call(simulator, &SignedRequest::itinerary("1")).await;
        assert!(start.elapsed() >= Duration::from_millis(150));
        assert!(answer.contains("\"ht_success\":true"), "{answer}");
    }
}
