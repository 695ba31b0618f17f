//! Sends a request to TOP's gateway once and reports whether it may have arrived.

use std::error::Error as StdError;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http::{Request, header};
use hyper_util::client::legacy::Error as HyperClientError;
use relay_types::error::{chain, sources};
use thiserror::Error;

use crate::form::CONTENT_TYPE;

/// Maximum size of a response, in bytes. TOP's responses to these calls have a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// TOP's response before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The response body.
    pub body: Vec<u8>,
}

/// Why there is no complete response.
#[derive(Debug, Error)]
pub enum SendError {
    /// The request was not sent, so it cannot have taken effect at TOP.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The request was sent, or may have been sent, so TOP may have acted on it.
    #[error("the request was sent, but no complete response arrived: {0}")]
    NoAnswer(String),
}

/// A client for one gateway. It reuses connections.
#[derive(Debug, Clone)]
pub struct TopClient {
    connector: SharedHttpConnector,
    url: String,
}

impl TopClient {
    /// Creates a client for the gateway at `url` that uses `connector`.
    #[must_use]
    pub const fn new(connector: SharedHttpConnector, url: String) -> Self {
        Self { connector, url }
    }

    /// Sends a form and waits at most `timeout` for the complete response. Never retries: only the caller knows whether
    /// a retry does no harm.
    ///
    /// # Errors
    /// The variant says whether the request may have arrived.
    pub async fn send(&self, form: String, timeout: Duration) -> Result<RawAnswer, SendError> {
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::CONTENT_LENGTH, form.len())
            .header(header::ACCEPT, "application/json")
            .body(SdkBody::from(form))
            .map_err(|error| SendError::NotSent(error.to_string()))?;
        let request = HttpRequest::try_from(request).map_err(|error| SendError::NotSent(error.to_string()))?;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::NoAnswer(format!("timed out after {} ms", timeout.as_millis()))),
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<RawAnswer, SendError> {
        let response = self.connector.call(request).await.map_err(|error| {
            let chain = chain(&error);
            if failed_to_connect(&error) { SendError::NotSent(chain) } else { SendError::NoAnswer(chain) }
        })?;
        let status = response.status().as_u16();
        let mut chunks = ByteStream::new(response.into_body());
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            body.extend(chunk.map_err(|error| SendError::NoAnswer(chain(&error)))?);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(SendError::NoAnswer(format!("the response is larger than {MAX_ANSWER_BYTES} bytes")));
            }
        }
        Ok(RawAnswer { status, body })
    }
}

/// Whether the connection failed before anything could be written to it.
fn failed_to_connect(error: &(dyn StdError + 'static)) -> bool {
    sources(error).any(|source| source.downcast_ref::<HyperClientError>().is_some_and(HyperClientError::is_connect))
}
