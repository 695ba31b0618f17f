//! AWS with the credentials and region that the AWS CLI would use, and signed requests to services without an SDK here.
//!
//! The SDKs of API Gateway, Lambda and CloudWatch Logs are large, and this program needs one request of each.

use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;

use crate::http::{self, Answer};

/// What to do without credentials.
const LOG_IN: &str = "no credentials found; log in as you do for the AWS CLI";

/// Reads the configuration from the sources of the AWS CLI.
///
/// # Errors
/// If no region is configured.
pub async fn configured(region: Option<&str>, profile: Option<&str>) -> Result<SdkConfig> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http::client());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let sdk = loader.load().await;
    if sdk.region().is_none() {
        bail!("no region configured; pass --region, set AWS_REGION, or configure it in the AWS CLI");
    }
    Ok(match profile {
        Some(profile) => as_profile(sdk, profile),
        None => sdk,
    })
}

/// The configuration with the credentials of a profile. As in the AWS CLI, a profile given by name takes precedence over
/// credentials in the environment.
pub fn as_profile(sdk: SdkConfig, profile: &str) -> SdkConfig {
    let settings = ProviderConfig::without_region().with_http_client(http::client()).with_region(sdk.region().cloned());
    let credentials = ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile).build();
    sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build()
}

/// The region of a configuration.
pub fn region(sdk: &SdkConfig) -> Result<&str> {
    sdk.region().map(AsRef::as_ref).context("no region configured; pass --region or set AWS_REGION")
}

/// The domain of a region's services.
fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Whether a URL belongs to AWS, as opposed to an emulator or a custom domain.
pub fn is_of_aws(url: &str) -> bool {
    let host = host(url).and_then(|host| host.split(':').next()).unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|suffix| host.ends_with(suffix))
}

fn host(url: &str) -> Option<&str> {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).filter(|host| !host.is_empty())
}

/// The URL of a service, without a trailing slash: `AWS_ENDPOINT_URL` if set, as for the SDK.
pub fn endpoint(sdk: &SdkConfig, service: &str) -> Result<String> {
    if let Some(url) = sdk.endpoint_url() {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let region = region(sdk)?;
    Ok(format!("https://{service}.{region}.{}", suffix(region)))
}

/// Sends a request signed for a service, and returns the answer, whatever its status.
pub async fn send(
    sdk: &SdkConfig,
    service: &str,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let provider = sdk.credentials_provider().context(LOG_IN)?;
    let identity = provider.provide_credentials().await.context(LOG_IN)?.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region(sdk)?)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let host = host(url).with_context(|| format!("{url} has no host; check --api-url and AWS_ENDPOINT_URL"))?;
    let headers = [("host", host)].into_iter().chain(headers.iter().copied());
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let signed = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new(method, url, signed, SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _) = sign(request, &parameters)?.into_parts();
    let added = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Vec<_> = headers.iter().cloned().chain(added).collect();
    http::send(method, url, &headers, body).await
}

/// Gets a resource of a REST service, such as `/account` of `apigateway`.
///
/// # Errors
/// If the service does not answer 200 with JSON.
pub async fn get(sdk: &SdkConfig, service: &str, path: &str) -> Result<Value> {
    let url = format!("{}{path}", endpoint(sdk, service)?);
    read(service, send(sdk, service, "GET", &url, &[], "").await?)
}

/// Calls an operation of a service with AWS's JSON protocol, such as `Logs_20140328.FilterLogEvents` of `logs`.
///
/// # Errors
/// If the service does not answer 200 with JSON.
pub async fn call(sdk: &SdkConfig, service: &str, operation: &str, body: &Value) -> Result<Value> {
    let url = format!("{}/", endpoint(sdk, service)?);
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", operation)];
    read(service, send(sdk, service, "POST", &url, &headers, &body.to_string()).await?)
}

fn read(service: &str, Answer { status, body, .. }: Answer) -> Result<Value> {
    let json: Result<Value, _> = serde_json::from_str(&body);
    match json {
        Ok(json) if status == 200 => Ok(json),
        Ok(json) => {
            // Some services write the member's name with a capital letter.
            let message = ["message", "Message", "__type"].iter().find_map(|name| json[*name].as_str());
            Err(anyhow!("{service} answered {status}: {}", message.unwrap_or(&body)))
        }
        Err(_) => Err(anyhow!("{service} answered {status} with a body that is not JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(region: &'static str, url: Option<&str>) -> String {
        let mut sdk = SdkConfig::builder().region(Region::new(region));
        sdk.set_endpoint_url(url.map(str::to_owned));
        endpoint(&sdk.build(), "lambda").unwrap()
    }

    #[test]
    fn endpoint_follows_the_region_and_the_environment() {
        assert_eq!(of("eu-west-1", None), "https://lambda.eu-west-1.amazonaws.com");
        assert_eq!(of("cn-north-1", None), "https://lambda.cn-north-1.amazonaws.com.cn");
        assert_eq!(of("eu-west-1", Some("http://localhost:4566/")), "http://localhost:4566");
    }

    #[test]
    fn only_hosts_under_the_domains_of_aws_are_of_aws() {
        assert!(is_of_aws("https://abc.execute-api.cn-north-1.amazonaws.com.cn/v1"));
        assert!(is_of_aws("https://abc.execute-api.eu-west-1.amazonaws.com:443/v1"));
        for url in ["http://localhost:4566/x.amazonaws.com", "https://relay.example", "https://amazonaws.com.evil"] {
            assert!(!is_of_aws(url), "{url}");
        }
    }

    #[test]
    fn refusal_names_the_service_and_its_message() {
        let answer = |status, body: &str| Answer { status, body: body.to_owned(), date: None };
        let refused = read("lambda", answer(403, r#"{"Message": "not you"}"#)).unwrap_err();
        assert_eq!(refused.to_string(), "lambda answered 403: not you");
        assert!(read("lambda", answer(200, "<html>")).unwrap_err().to_string().contains("not JSON"));
        assert_eq!(read("lambda", answer(200, r#"{"a": 1}"#)).unwrap()["a"], 1);
    }
}
