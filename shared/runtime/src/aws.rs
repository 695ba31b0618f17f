//! AWS clients, built once per function. Their time-outs leave an invocation enough time to answer.

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use relay_types::error::chain;

use crate::connections::{Connections, Http, TrustError};
use crate::environment::AwsConfig;

/// Time limit of one attempt; the SDK then retries.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit of one operation, all its attempts together.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(6);

/// Resolves a service's endpoint URL. Each SDK has a resolver type of its own with the same interface, hence a macro.
macro_rules! endpoint {
    ($service:ident, $sdk:expr) => {{
        use $service::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
        let parameters = Params::builder()
            .set_region($sdk.region().map(ToString::to_string))
            .set_use_fips($sdk.use_fips())
            .set_use_dual_stack($sdk.use_dual_stack())
            .set_endpoint($sdk.endpoint_url().map(str::to_owned))
            .build();
        match parameters {
            Ok(parameters) => DefaultResolver::new().resolve_endpoint(&parameters).await.ok(),
            Err(_) => None,
        }
        .map(|endpoint| endpoint.url().to_owned())
    }};
}

/// A function's AWS clients. They share one connection pool.
pub struct Aws {
    sdk: SdkConfig,
    /// Connects these clients and TOP's client.
    pub http: Http,
    connections: Connections,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

impl Aws {
    /// Builds the clients from the configuration that Lambda provides.
    ///
    /// # Errors
    /// If the trusted roots cannot be read.
    pub fn new(config: &AwsConfig) -> Result<Self, TrustError> {
        let http = Http::new(config.trusted_roots.as_deref())?;
        let connections = http.for_aws();
        Ok(Self { sdk: sdk_config(config, connections.client()), http, connections })
    }

    /// The SDK configuration, for a client that only one function needs.
    #[must_use]
    pub const fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// A client for SQS.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    /// A client for Secrets Manager.
    #[must_use]
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.sdk)
    }

    /// Connects to DynamoDB in advance, so the first event finds the connection open.
    pub async fn connect_to_dynamodb(&self) {
        if let Some(url) = endpoint!(aws_sdk_dynamodb, self.sdk) {
            self.connections.prepare(&url).await;
        }
    }

    /// Connects to SQS in advance.
    pub async fn connect_to_sqs(&self) {
        if let Some(url) = endpoint!(aws_sdk_sqs, self.sdk) {
            self.connections.prepare(&url).await;
        }
    }
}

/// The SDK configuration of every client: the function's credentials and region, three attempts, short time-outs.
#[must_use]
pub fn sdk_config(config: &AwsConfig, http_client: SharedHttpClient) -> SdkConfig {
    let credentials = Credentials::new(
        config.access_key_id.clone(),
        config.secret_access_key.reveal().clone(),
        config.session_token.as_ref().map(|token| token.reveal().clone()),
        None,
        "Lambda's environment",
    );
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // Lambda's credentials last as long as the process, so nothing needs a refresh.
        .identity_cache(IdentityCache::no_cache())
        .http_client(http_client)
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        // Responses are small, and each attempt has a time limit.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .use_fips(config.use_fips)
        .use_dual_stack(config.use_dual_stack);
    builder.set_endpoint_url(config.endpoint_url.clone());
    builder.build()
}

/// The message of an SDK error, without the response. The SDK's long form would quote the response body, which may hold
/// the contents of a record or a secret.
#[must_use]
pub fn cause<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error.as_service_error().and_then(|service| Some((service.code()?, service.message().unwrap_or_default()))) {
        Some((code, message)) => format!("{code}: {message}"),
        None => chain(error),
    }
}
