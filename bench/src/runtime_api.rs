//! Serves the Lambda Runtime API to one function process: passes one event after another and receives the answers.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The time-out of the functions, as in the template.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a function before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request of the function to the API.
enum Said {
    Next,
    Answer { body: Bytes, error: bool },
}

/// The Runtime API of one process.
pub struct RuntimeApi {
    /// The host and port to connect to.
    pub address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    said: mpsc::UnboundedReceiver<(Instant, Said)>,
    server: JoinHandle<()>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Desk {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    said: mpsc::UnboundedSender<(Instant, Said)>,
    arn: String,
}

impl RuntimeApi {
    /// Listens on a free port.
    pub async fn start(function: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, said) = mpsc::unbounded_channel();
        let arn = format!("arn:aws:lambda:us-east-1:123456789012:function:{function}");
        let desk = Rc::new(Desk { events: Mutex::new(receiver), said: sender, arn });
        let server = tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let desk = desk.clone();
                let service = service_fn(move |request| {
                    let desk = desk.clone();
                    async move { Ok::<_, Infallible>(desk.answer(request).await) }
                });
                tokio::task::spawn_local(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, events, said, server })
    }

    /// Waits until the function asks for an event; returns the time of that request.
    pub async fn wait_for_next(&mut self) -> Result<Instant, String> {
        match self.hear().await? {
            (at, Said::Next) => Ok(at),
            (_, Said::Answer { body, .. }) => {
                Err(format!("the function did not start: {}", String::from_utf8_lossy(&body)))
            }
        }
    }

    /// Passes an event to a function that asked for one; returns the answer and the time that it took. It waits until
    /// the function asks for the next event, so the work for this event is finished.
    pub async fn invoke(&mut self, event: Bytes) -> Result<(Bytes, Duration), String> {
        let start = Instant::now();
        self.events.send(event).map_err(|_| "the Runtime API has stopped".to_owned())?;
        let (at, Said::Answer { body, error }) = self.hear().await? else {
            return Err("the function asked for another event before it answered".to_owned());
        };
        if error {
            return Err(format!("the function failed: {}", String::from_utf8_lossy(&body)));
        }
        self.wait_for_next().await?;
        Ok((body, at - start))
    }

    async fn hear(&mut self) -> Result<(Instant, Said), String> {
        let heard = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        heard
            .map_err(|_| format!("the function did nothing for {PATIENCE:?}"))?
            .ok_or_else(|| "the Runtime API has stopped".to_owned())
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() == Method::GET {
            let _ = self.said.send((Instant::now(), Said::Next));
            let Some(event) = self.events.lock().await.recv().await else {
                // The measurement of this process is over.
                return std::future::pending().await;
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let id = format!("{:08x}-0000-4000-8000-{:012x}", now.as_secs(), now.as_nanos() & 0xffff_ffff_ffff);
            let mut response = Response::new(Full::new(event));
            let headers = [
                ("content-type", "application/json".to_owned()),
                ("lambda-runtime-aws-request-id", id),
                ("lambda-runtime-deadline-ms", (now + TIMEOUT).as_millis().to_string()),
                ("lambda-runtime-invoked-function-arn", self.arn.clone()),
                ("lambda-runtime-trace-id", "Root=1-67891233-abcdef012345678912345678;Sampled=0".to_owned()),
            ];
            for (name, value) in headers {
                if let Ok(value) = value.parse() {
                    response.headers_mut().insert(name, value);
                }
            }
            return response;
        }
        let error = request.uri().path().ends_with("/error");
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let _ = self.said.send((Instant::now(), Said::Answer { body, error }));
        let mut response = Response::new(Full::new(Bytes::from_static(br#"{"status":"OK"}"#)));
        *response.status_mut() = StatusCode::ACCEPTED;
        response
    }
}
