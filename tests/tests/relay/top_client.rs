//! The TOP client over real sockets: which requests may have arrived, and which cannot have.

use std::time::Duration;

use relay_runtime::connections::Http;
use relay_top::client::{SendError, TopClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(10);

fn over_network(url: String) -> TopClient {
    TopClient::new(Http::new(None).unwrap().for_top().connector(), url)
}

/// Returns a client of a gateway that reads the request's head and then passes the connection to `then`.
async fn gateway<F, Fut>(then: F) -> TopClient
where
    F: Fn(tokio::net::TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/router/rest", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            then(stream).await;
        }
    });
    over_network(url)
}

#[tokio::test]
async fn refused_connection_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/router/rest", listener.local_addr().unwrap());
    drop(listener);
    let result = over_network(url).send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn unresolvable_host_means_not_sent() {
    let client = over_network("http://no-such-host.invalid/router/rest".to_owned());
    let result = client.send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn failed_handshake_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/router/rest", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"this is not TLS").await;
        }
    });
    let result = over_network(url).send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn connection_closed_after_the_request_means_no_answer() {
    let client = gateway(async |stream| drop(stream)).await;
    let result = client.send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "{result:?}");
}

#[tokio::test]
async fn timeout_means_no_answer() {
    let client = gateway(async |stream| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let result = client.send("a=1".to_owned(), Duration::from_millis(200)).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "{result:?}");
}

#[tokio::test]
async fn truncated_response_means_no_answer() {
    let client = gateway(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":").await;
    })
    .await;
    let result = client.send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "{result:?}");
}

#[tokio::test]
async fn complete_response_is_returned_with_any_status() {
    let client = gateway(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy").await;
    })
    .await;
    let answer = client.send("a=1".to_owned(), PATIENCE).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (503, &b"busy"[..]));
}
