//! Serves DynamoDB, SQS, Secrets Manager and TOP over loopback HTTP, and counts every request. The embedded services of
//! the relay's tests answer the requests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector as _, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use relay_tests::cloud::Cloud;
use tokio::net::TcpListener;

/// The path of TOP's gateway.
const TOP_PATH: &str = "/router/rest";

/// The number of requests by operation, such as `dynamodb UpdateItem`.
pub type Requests = BTreeMap<String, u64>;

/// The running services.
pub struct Services {
    /// The host and port of all services.
    pub address: SocketAddr,
    counted: Rc<RefCell<Requests>>,
    top_delay: Rc<Cell<Duration>>,
}

impl Services {
    /// Serves `cloud` on a free port, on this thread, until the program ends.
    pub async fn start(cloud: std::sync::Arc<Cloud>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let components = RuntimeComponentsBuilder::for_tests().build().map_err(io::Error::other)?;
        let aws = cloud.http_client().http_connector(&HttpConnectorSettings::default(), &components);
        let desk =
            Rc::new(Desk { aws, top: cloud.top_connector(), cloud, counted: Rc::default(), top_delay: Rc::default() });
        let (counted, top_delay) = (desk.counted.clone(), desk.top_delay.clone());
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Otherwise one side waits for the other's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let desk = desk.clone();
                let service = service_fn(move |request| {
                    let desk = desk.clone();
                    async move { Ok::<_, Infallible>(desk.answer(request).await) }
                });
                tokio::task::spawn_local(async move {
                    // A stopped function cuts its connections.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, counted, top_delay })
    }

    /// Returns the requests since the last call of this method, and resets the count.
    pub fn take_requests(&self) -> Requests {
        self.counted.take()
    }

    /// Delays each answer of TOP by `delay`.
    pub fn delay_top(&self, delay: Duration) {
        self.top_delay.set(delay);
    }
}

struct Desk {
    aws: SharedHttpConnector,
    top: SharedHttpConnector,
    cloud: std::sync::Arc<Cloud>,
    counted: Rc<RefCell<Requests>>,
    top_delay: Rc<Cell<Duration>>,
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.perform(request).await.unwrap_or_else(|problem| {
            let mut response = Response::new(Full::from(problem));
            *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
            response
        })
    }

    async fn perform(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let is_top = parts.uri.path() == TOP_PATH;
        let mut inner = Request::from_parts(parts, SdkBody::from(body.to_vec()));
        if inner.uri().authority().is_none() {
            // The embedded services recognize an AWS service by its host name.
            let host = if is_top { "top" } else { service_of(&inner) };
            let uri = format!("http://{host}.us-east-1.amazonaws.com{}", inner.uri().path());
            *inner.uri_mut() = uri.parse().map_err(|_| "invalid request path".to_owned())?;
        }
        let inner = HttpRequest::try_from(inner).map_err(|error| error.to_string())?;
        let connector = if is_top { &self.top } else { &self.aws };
        if is_top && !self.top_delay.get().is_zero() {
            tokio::time::sleep(self.top_delay.get()).await;
        }
        let answered = connector.call(inner).await.map_err(|error| error.to_string())?;
        for sent in self.cloud.take_sent() {
            let name = if is_top { "top".to_owned() } else { format!("{} {}", sent.service, sent.operation) };
            *self.counted.borrow_mut().entry(name).or_default() += 1;
        }
        let status = answered.status().as_u16();
        let body = answered.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let content_type = if is_top { "text/javascript;charset=UTF-8" } else { "application/x-amz-json-1.0" };
        Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Full::new(body))
            .map_err(|error| error.to_string())
    }
}

fn service_of(request: &Request<SdkBody>) -> &'static str {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    match target.split('.').next() {
        Some("AmazonSQS") => "sqs",
        Some("secretsmanager") => "secretsmanager",
        _ => "dynamodb",
    }
}
