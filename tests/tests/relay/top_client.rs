//! TOP's client over real sockets: what can have arrived, and what cannot.

use std::time::Duration;

use relay_runtime::connections::Http;
use relay_top::client::{SendError, TopClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(10);

fn over_network(url: String) -> TopClient {
    TopClient::new(Http::new(None).unwrap().for_top().connector(), url)
}

/// A gateway that reads the request's head and then does this with the connection.
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
async fn a_refused_connection_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/router/rest", listener.local_addr().unwrap());
    drop(listener);
    let result = over_network(url).send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_not_sent() {
    let client = over_network("http://no-such-host.invalid/router/rest".to_owned());
    let result = client.send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[tokio::test]
async fn a_handshake_that_fails_was_not_sent() {
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
async fn a_connection_cut_after_the_request_leaves_it_open_whether_it_arrived() {
    let client = gateway(async |stream| drop(stream)).await;
    let result = client.send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "{result:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_it_open() {
    let client = gateway(async |stream| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let result = client.send("a=1".to_owned(), Duration::from_millis(200)).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "{result:?}");
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_leaves_it_open() {
    let client = gateway(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":").await;
    })
    .await;
    let result = client.send("a=1".to_owned(), PATIENCE).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "{result:?}");
}

#[tokio::test]
async fn a_whole_answer_is_given_as_it_came_whatever_its_status() {
    let client = gateway(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy").await;
    })
    .await;
    let answer = client.send("a=1".to_owned(), PATIENCE).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (503, &b"busy"[..]));
}
