//! HTTP connections to AWS and to TOP. They share one TLS configuration and one store of trusted roots, and can be
//! opened before they are needed.
//!
//! The AWS SDK's own client reads and parses the system's certificates again for every service. That was most of a
//! function's start-up cost. Here Mozilla's roots are compiled in, already parsed. To trust other roots (a proxy that
//! inspects TLS, a private gateway), set `SSL_CERT_FILE` to a PEM file, as for OpenSSL.
//!
//! HTTP/1.1 only: every service supports it, and a function has too few requests in flight to gain from HTTP/2.

use std::error::Error as StdError;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, io};

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper::rt::{Read as _, ReadBuf};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{self, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lambda_http::http::Uri;
use relay_types::error::chain;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

/// How long an idle connection to AWS is reused. Servers close idle connections, and a function that was frozen in
/// between notices only when it writes.
const KEPT_FOR_AWS: Duration = Duration::from_secs(60);
/// How long an idle connection to TOP is reused. Shorter: a request on a closed connection has an unknown outcome.
const KEPT_FOR_TOP: Duration = Duration::from_secs(20);
/// Connect time-out for AWS.
const AWS_CONNECTS_WITHIN: Duration = Duration::from_secs(1);
/// Connect time-out for TOP.
const TOP_CONNECTS_WITHIN: Duration = Duration::from_secs(3);
/// Connect time-out in advance: a starting function should not wait for a gateway that is down.
const PREPARED_WITHIN: Duration = Duration::from_secs(1);

type BoxError = Box<dyn StdError + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why no HTTP client could be built.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file of trusted roots cannot be read, or holds no certificate.
    #[error("cannot use SSL_CERT_FILE={path}: {cause}; set it to a PEM file of certificates, or unset it")]
    Roots {
        /// The file's path.
        path: PathBuf,
        /// What is wrong with the file.
        cause: String,
    },
    /// The TLS library does not support the protocol versions.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The TLS and TCP set-up that all of a function's clients share.
#[derive(Clone)]
pub struct Http {
    connector: HttpsConnector<connect::HttpConnector>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    /// Trusts the roots in the PEM file `roots`, or Mozilla's if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate.
    pub fn new(roots: Option<&Path>) -> Result<Self, TrustError> {
        let roots = match roots {
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            Some(path) => read_roots(path).map_err(|cause| TrustError::Roots { path: path.to_owned(), cause })?,
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = connect::HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Ok(Self { connector: connector.wrap_connector(tcp) })
    }

    /// The connection pool that all AWS clients share.
    #[must_use]
    pub fn for_aws(&self) -> Connections {
        Connections::new(self, AWS_CONNECTS_WITHIN, KEPT_FOR_AWS)
    }

    /// The connection pool for TOP's gateway.
    #[must_use]
    pub fn for_top(&self) -> Connections {
        Connections::new(self, TOP_CONNECTS_WITHIN, KEPT_FOR_TOP)
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    // Certificates that the library cannot parse are skipped.
    roots.add_parsable_certificates(certificates.map_err(|error| error.to_string())?);
    if roots.is_empty() { Err("no readable certificate in the file".to_owned()) } else { Ok(roots) }
}

/// A pool of reusable connections, in the form that the AWS SDK and TOP's client expect.
#[derive(Clone)]
pub struct Connections {
    client: Client<Connector, SdkBody>,
    connector: Connector,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("kept_for", &self.connector.kept_for).finish_non_exhaustive()
    }
}

impl Connections {
    fn new(http: &Http, within: Duration, kept_for: Duration) -> Self {
        let https = http.connector.clone();
        let connector = Connector { https, within, kept_for, prepared: Arc::default() };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(kept_for)
            .build(connector.clone());
        Self { client, connector }
    }

    /// Connects to the host of `url` in advance, so the first request finds the connection open. Sends no request.
    ///
    /// At a small memory size, TLS handshakes dominate the first event, while a starting function has a whole
    /// processor. A failure is only logged: the first request connects again.
    pub async fn prepare(&self, url: &str) {
        let Ok(uri) = url.parse::<Uri>() else { return };
        match self.connector.connect(uri.clone(), PREPARED_WITHIN).await {
            Ok(stream) => self.connector.keep(&uri, stream),
            Err(error) => {
                tracing::warn!(
                    host = uri.host(),
                    error = chain(&*error),
                    "early connection failed; the first request will connect"
                );
            }
        }
    }

    /// The pool as a connector, for TOP's client.
    #[must_use]
    pub fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }

    /// The pool as an HTTP client, for the AWS SDK.
    #[must_use]
    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.connector()
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        // Lets the SDK discard a connection that failed, so the retry uses another one.
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || {
                captured.connection_metadata().as_ref()?;
                let captured = captured.clone();
                let poison = move || captured.connection_metadata().as_ref().map_or((), connect::Connected::poison);
                Some(ConnectionMetadata::builder().proxied(false).poison_fn(poison).build())
            });
        }
        let answer = self.client.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(connector_error)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Classifies an error for the SDK: everything is retryable except a request that cannot be written as HTTP.
fn connector_error(error: ClientError) -> ConnectorError {
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    if source.is_some_and(hyper::Error::is_user) {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

/// A connection that was opened in advance and not used yet.
struct Prepared {
    scheme_and_host: String,
    since: Instant,
    stream: Stream,
}

#[derive(Clone)]
struct Connector {
    https: HttpsConnector<connect::HttpConnector>,
    within: Duration,
    kept_for: Duration,
    prepared: Arc<Mutex<Vec<Prepared>>>,
}

impl Connector {
    fn connect(&self, uri: Uri, within: Duration) -> impl Future<Output = Result<Stream, BoxError>> + Send + 'static {
        let connecting = self.https.clone().call(uri);
        async move {
            let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {within:?}"));
            tokio::time::timeout(within, connecting).await.map_err(timed_out)?
        }
    }

    fn keep(&self, uri: &Uri, stream: Stream) {
        let prepared = Prepared { scheme_and_host: scheme_and_host(uri), since: Instant::now(), stream };
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).push(prepared);
    }

    fn take_prepared(&self, uri: &Uri) -> Option<Stream> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        // The server may have closed an older connection, and its notice may still be in flight.
        prepared.retain(|connection| connection.since.elapsed() < self.kept_for);
        let wanted = scheme_and_host(uri);
        while let Some(position) = prepared.iter().position(|connection| connection.scheme_and_host == wanted) {
            let mut stream = prepared.swap_remove(position).stream;
            if is_open(&mut stream) {
                return Some(stream);
            }
        }
        None
    }
}

/// Whether an unused connection is still open, that is, has nothing to read. Otherwise the server has closed it, and a
/// request on it would count as sent. TLS session tickets do not show up here.
fn is_open(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), buffer.unfilled()).is_pending()
}

fn scheme_and_host(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let default_port = if scheme == "https" { 443 } else { 80 };
    format!("{scheme}://{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(default_port))
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self.take_prepared(&uri) {
            Some(stream) => Box::pin(std::future::ready(Ok(stream))),
            None => Box::pin(self.connect(uri, self.within)),
        }
    }
}
