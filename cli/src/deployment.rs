//! A deployment: the stack of that name, and what it says of itself.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;

use crate::args::Global;
use crate::http;

/// A deployment.
#[derive(Debug)]
pub struct Deployment {
    /// What clients are built from.
    pub sdk: SdkConfig,
    /// The stack's name.
    pub stack: String,
    /// What CloudFormation says of it, such as `UPDATE_COMPLETE`.
    pub status: String,
    outputs: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    api_url: Option<String>,
}

impl Deployment {
    /// Finds the stack, with the credentials and the region that the AWS CLI would use.
    pub async fn find(global: &Global) -> Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http::client());
        if let Some(region) = &global.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &global.profile {
            loader = loader.profile_name(profile);
        }
        let mut sdk = loader.load().await;
        if sdk.region().is_none() {
            bail!("no region: say --region, or set AWS_REGION, or `region` in the AWS CLI's configuration");
        }
        if let Some(profile) = &global.profile {
            // As with the AWS CLI, credentials that are asked for by name come before those of the environment.
            let settings =
                ProviderConfig::without_region().with_http_client(http::client()).with_region(sdk.region().cloned());
            let credentials =
                ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile).build();
            sdk = sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        }
        let described =
            aws_sdk_cloudformation::Client::new(&sdk).describe_stacks().stack_name(&global.stack).send().await;
        let described = described.map_err(|error| {
            // CloudFormation has no code of its own for a stack that is not there.
            if error.message().is_some_and(|message| message.contains("does not exist")) {
                anyhow!("the stack {} was not found; say --stack, --region or --profile", global.stack)
            } else {
                anyhow!(
                    "CloudFormation could not be asked for the stack {}: {}",
                    global.stack,
                    relay_runtime::aws::cause(&error)
                )
            }
        })?;
        let stack = described.stacks().first().context("CloudFormation described no stack")?;
        let pair = |key: Option<&str>, value: Option<&str>| Some((key?.to_owned(), value?.to_owned()));
        Ok(Self {
            stack: global.stack.clone(),
            status: stack.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            outputs: stack
                .outputs()
                .iter()
                .filter_map(|output| pair(output.output_key(), output.output_value()))
                .collect(),
            parameters: stack
                .parameters()
                .iter()
                .filter_map(|parameter| pair(parameter.parameter_key(), parameter.parameter_value()))
                .collect(),
            api_url: global.api_url.clone(),
            sdk,
        })
    }

    /// An output of the stack.
    pub fn output(&self, name: &str) -> Result<&str> {
        self.outputs.get(name).map(String::as_str).with_context(|| {
            format!(
                "the stack {} has no output {name}: it is of another version; deploy template.yaml again",
                self.stack
            )
        })
    }

    /// A parameter of the stack; empty if it has none of that name.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Where the API is, without a slash at its end.
    pub fn api_url(&self) -> Result<&str> {
        let url = self.api_url.as_deref().map_or_else(|| self.output("ApiUrl"), Ok)?;
        Ok(url.trim_end_matches('/'))
    }

    /// The text of a secret.
    pub async fn secret(&self, arn: &str) -> Result<String> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.sdk);
        let got = secrets.get_secret_value().secret_id(arn).send().await;
        let got = got.map_err(|error| anyhow!("{arn} could not be read: {}", relay_runtime::aws::cause(&error)))?;
        got.secret_string.with_context(|| format!("{arn} holds no text"))
    }
}
