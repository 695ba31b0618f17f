//! Connections over real sockets: prepared in advance, limited to trusted roots, and not reused after a failure.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use relay_runtime::aws;
use relay_runtime::connections::{Connections, Http};
use relay_runtime::environment::AwsConfig;
use relay_top::client::{SendError, TopClient};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server that counts its connections. Its response depends on the request number, which starts at 0.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(tls: Option<TlsAcceptor>, answer: fn(usize) -> &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, requests) = (connections.clone(), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (tls, requests) = (tls.clone(), requests.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &requests, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &requests, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until the server has accepted this many connections. The client's side is connected earlier.
    async fn wait_for_connections(&self, count: usize) {
        let accepted = async {
            while self.connections() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, accepted).await.unwrap();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: &AtomicUsize,
    answer: fn(usize) -> &'static str,
) {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&received).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("0");
        if body.len() < length.parse().unwrap() {
            continue;
        }
        received.clear();
        stream.write_all(answer(requests.fetch_add(1, Ordering::SeqCst)).as_bytes()).await.unwrap();
    }
}

fn fine(_: usize) -> &'static str {
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
}

fn top(connections: &Connections, url: &str) -> TopClient {
    TopClient::new(connections.connector(), url.to_owned())
}

#[tokio::test]
async fn first_request_uses_the_prepared_connection() {
    let server = Server::start(None, fine).await;
    let url = format!("http://{}/router/rest", server.address);
    let connections = Http::new(None).unwrap().for_top();
    connections.prepare(&url).await;
    server.wait_for_connections(1).await;
    let top = top(&connections, &url);
    for _ in 0..3 {
        assert_eq!(top.send("a=1".to_owned(), PATIENCE).await.unwrap().status, 200);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn prepared_connection_that_may_be_closed_is_not_used() {
    let server = Server::start(None, fine).await;
    let url = format!("http://{}/router/rest", server.address);
    let connections = Http::new(None).unwrap().for_top();
    connections.prepare(&url).await;
    server.wait_for_connections(1).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    tokio::time::resume();
    assert_eq!(top(&connections, &url).send("a=1".to_owned(), PATIENCE).await.unwrap().status, 200);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn prepared_connection_that_is_closed_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/router/rest", listener.local_addr().unwrap());
    let connections = Http::new(None).unwrap().for_top();
    connections.prepare(&url).await;
    let (first, _) = listener.accept().await.unwrap();
    drop(first);
    // The close must reach the client first. To be sure, a later connection is closed too and read to its end.
    let mut other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    drop(listener.accept().await.unwrap());
    assert_eq!(other.read(&mut [0]).await.unwrap(), 0);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, &AtomicUsize::new(0), fine).await;
    });
    assert_eq!(top(&connections, &url).send("a=1".to_owned(), PATIENCE).await.unwrap().status, 200);
}

#[tokio::test]
async fn prepared_connection_serves_only_its_host() {
    let (server, other) = (Server::start(None, fine).await, Server::start(None, fine).await);
    let connections = Http::new(None).unwrap().for_top();
    connections.prepare(&format!("http://{}/", server.address)).await;
    let url = format!("http://{}/router/rest", other.address);
    assert_eq!(top(&connections, &url).send("a=1".to_owned(), PATIENCE).await.unwrap().status, 200);
    assert_eq!(other.connections(), 1);
}

#[tokio::test]
async fn failed_preparation_is_retried_on_the_first_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/router/rest");
    let connections = Http::new(None).unwrap().for_top();
    connections.prepare(&url).await;
    connections.prepare("no URL").await;
    let result = top(&connections, &url).send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn server_with_an_unknown_root_is_trusted_only_with_a_root_file() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let server = Server::start(Some(TlsAcceptor::from(Arc::new(tls))), fine).await;
    let url = format!("https://localhost:{}/router/rest", server.address.port());

    let stranger = top(&Http::new(None).unwrap().for_top(), &url).send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(stranger, Err(SendError::NotSent(_))), "{stranger:?}");

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(cert.pem().as_bytes()).unwrap();
    let connections = Http::new(Some(file.path())).unwrap().for_top();
    connections.prepare(&url).await;
    let before = server.connections();
    assert_eq!(top(&connections, &url).send("a=1".to_owned(), PATIENCE).await.unwrap().status, 200);
    assert_eq!(server.connections(), before, "the prepared TLS connection was used");
}

#[test]
fn unusable_root_file_is_named_in_the_error() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"no certificate").unwrap();
    let empty = Http::new(Some(file.path())).unwrap_err().to_string();
    assert!(
        empty.contains(file.path().to_str().unwrap()) && empty.contains("no readable certificate in the file"),
        "{empty}"
    );
    let missing = Http::new(Some("/no/such/file.pem".as_ref())).unwrap_err().to_string();
    assert!(missing.contains("/no/such/file.pem"), "{missing}");
}

#[tokio::test]
async fn sdk_retries_on_a_new_connection_after_a_failure() {
    let server = Server::start(None, |request| match request {
        0 => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}",
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"MessageId\":\"1\"}",
    })
    .await;
    let endpoint = format!("http://{}", server.address);
    let environment = |name: &str| match name {
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
        _ => None,
    };
    let config = AwsConfig::read(&environment).unwrap();
    let connections = Http::new(None).unwrap().for_aws();
    let sqs = aws_sdk_sqs::Client::new(&aws::sdk_config(&config, connections.client()));
    for _ in 0..2 {
        let sent = sqs.send_message().queue_url("http://queue/1").message_body("{}").send().await.unwrap();
        assert_eq!(sent.message_id(), Some("1"));
    }
    assert_eq!(server.connections(), 2, "one connection for the failure, one for all later requests");
}

#[tokio::test]
async fn function_connects_to_its_services_before_its_first_event() {
    let server = Server::start(None, fine).await;
    let endpoint = format!("http://{}", server.address);
    let environment = |name: &str| match name {
        "AWS_DEFAULT_REGION" => Some("cn-north-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
        _ => None,
    };
    let aws = aws::Aws::new(&AwsConfig::read(&environment).unwrap()).unwrap();
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    server.wait_for_connections(2).await;
}

#[test]
fn missing_aws_variables_are_named_in_the_error() {
    let problems = AwsConfig::read(&|_| None).unwrap_err().to_string();
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"] {
        assert!(problems.contains(name), "{problems}");
    }
}
