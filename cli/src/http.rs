//! HTTP from an operator's machine: trusts the system's root certificates, and uses the environment's proxy if set.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings, SharedHttpClient};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;

/// Time-out for opening a connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// Time-out for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(35);

/// One for all requests, so they share connections.
static CONNECTOR: LazyLock<Connector> = LazyLock::new(connector);

/// No complete answer arrived. A request that changes something may have been performed.
#[derive(Debug)]
pub struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

fn connector() -> Connector {
    let settings =
        HttpConnectorSettings::builder().connect_timeout(CONNECTS_WITHIN).read_timeout(ANSWERS_WITHIN).build();
    Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build()
}

/// The HTTP client for the AWS SDK.
pub fn client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|_, _| connector())
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The `Date` header as the server sent it.
    pub date: Option<String>,
}

/// Sends a request and reads the whole answer.
pub async fn send(method: &str, url: &str, headers: &[(String, String)], body: &str) -> Result<Answer> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method)?;
    request.set_uri(url)?;
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    let answer = CONNECTOR.call(request).await;
    let no_answer = |problem: String| NoAnswer(format!("{url} {problem}"));
    let mut answer =
        answer.map_err(|error| no_answer(format!("did not answer: {}", relay_types::error::chain(&error))))?;
    let date = answer.headers().get("date").map(str::to_owned);
    let body = answer.take_body().collect().await;
    let body = body.map_err(|error| no_answer(format!("sent an answer that was cut off: {error}")))?;
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Answer { status: answer.status().as_u16(), body, date })
}
