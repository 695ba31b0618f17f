//! A deployment: a CloudFormation stack with its outputs and parameters.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use aws_sdk_cloudformation::types::Stack;

use crate::args::Global;
use crate::aws;

/// A deployed stack, and the configuration to reach it.
#[derive(Debug)]
pub struct Deployment {
    /// The configuration that AWS clients are built from.
    pub sdk: SdkConfig,
    /// The stack's name.
    pub stack: String,
    /// The stack's status, such as `UPDATE_COMPLETE`.
    pub status: String,
    outputs: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    api_url: Option<String>,
}

/// The stack of this name; `None` if there is none.
///
/// # Errors
/// If CloudFormation did not describe it.
pub async fn stack(sdk: &SdkConfig, name: &str) -> Result<Option<Stack>> {
    match aws_sdk_cloudformation::Client::new(sdk).describe_stacks().stack_name(name).send().await {
        Ok(described) => Ok(described.stacks.unwrap_or_default().into_iter().next()),
        // CloudFormation has no error code for a missing stack.
        Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => Ok(None),
        Err(error) => {
            Err(anyhow!("CloudFormation could not describe stack {name}: {}", relay_runtime::aws::cause(&error)))
        }
    }
}

impl Deployment {
    /// Finds the stack with the credentials and the region that the AWS CLI would use.
    pub async fn find(global: &Global) -> Result<Self> {
        let sdk = aws::configured(global.region.as_deref(), global.profile.as_deref()).await?;
        let stack = stack(&sdk, &global.stack)
            .await?
            .with_context(|| format!("stack {} not found; pass --stack, --region or --profile", global.stack))?;
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
                "stack {} has no output {name} because it is of another version; deploy template.yaml again",
                self.stack
            )
        })
    }

    /// A parameter of the stack; empty if the stack does not have it.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The API's URL, without a trailing slash.
    pub fn api_url(&self) -> Result<&str> {
        let url = self.api_url.as_deref().map_or_else(|| self.output("ApiUrl"), Ok)?;
        Ok(url.trim_end_matches('/'))
    }

    /// The value of a secret.
    pub async fn secret(&self, arn: &str) -> Result<String> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.sdk);
        let got = secrets.get_secret_value().secret_id(arn).send().await;
        // A secret of the template has no value until somebody fills it in.
        if got.as_ref().is_err_and(|error| error.code() == Some("ResourceNotFoundException")) {
            bail!("secret {arn} does not exist or is not filled in");
        }
        let got =
            got.map_err(|error| anyhow!("secret {arn} could not be read: {}", relay_runtime::aws::cause(&error)))?;
        got.secret_string.with_context(|| format!("secret {arn} has no string value"))
    }
}
