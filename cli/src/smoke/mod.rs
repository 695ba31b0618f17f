//! `relay smoke`: proves that a deployment works from end to end, without a request to TOP.
//!
//! It pushes a notification of TSY that rejects an order. No TOP call reports a rejection, so the order needs attention,
//! and a dismissal ends it. The order stays in the table until `RetentionDays` have passed.

mod events;
mod steps;
mod sweep;

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use relay_types::redact::Redacted;
use serde_json::{Value, json};

use self::events::Subscription;
use self::steps::{Done, Steps, eventually};
use crate::api::{self, ask, path};
use crate::aws;
use crate::deployment::Deployment;
use crate::http::{self, Answer};
use crate::table::list;

/// A token that no deployment accepts.
const WRONG_TOKEN: &str = "smoke-wrong-token";
/// The note of the dismissal.
const NOTE: &str = "relay smoke";
/// What TSY gets for a notification that was recorded.
const ACKNOWLEDGED: &str = "0";

/// How to run the steps.
#[derive(Debug)]
pub struct Options {
    /// The token in TSY's URL.
    pub tsy_token: Redacted<String>,
    /// A profile that may not invoke the API.
    pub unprivileged_profile: Option<String>,
    /// Time limit of each effect.
    pub wait: Duration,
}

/// Runs all steps. Returns their results for programs and for people, and whether none failed.
pub async fn run(deployment: &Deployment, options: &Options) -> (Value, String, bool) {
    let order_id = format!("SMOKE-{}", jiff::Timestamp::now().as_millisecond());
    let smoke = Smoke { deployment, options, order_id };
    let mut steps = Steps::new();
    steps.run("unsigned request is refused", smoke.unsigned()).await;
    steps.run("unprivileged caller is refused", smoke.unprivileged()).await;
    steps.run("wrong token is refused", smoke.wrong_token()).await;
    // Before the push: a subscriber does not get earlier events.
    let subscription = Subscription::create(deployment).await;
    if steps.run("notification is acknowledged", smoke.push()).await {
        steps.run("order needs attention", smoke.needs_attention()).await;
        steps.run("order is dismissed", smoke.dismiss()).await;
        steps.run("order events arrive", smoke.events(subscription.as_ref())).await;
    } else {
        for name in ["order needs attention", "order is dismissed", "order events arrive"] {
            steps.skip(name, "no notification was acknowledged");
        }
    }
    if let Ok(subscription) = &subscription {
        steps.run("temporary queue is deleted", subscription.delete()).await;
    }
    steps.run("sweep runs", sweep::runs(deployment, options.wait)).await;
    steps.report(&smoke.order_id)
}

/// The smoke test of one deployment.
struct Smoke<'a> {
    deployment: &'a Deployment,
    options: &'a Options,
    order_id: String,
}

impl Smoke<'_> {
    /// An emulator may let everybody through. AWS must not.
    fn is_on_aws(&self) -> Result<bool> {
        let emulator = self.deployment.sdk.endpoint_url().is_some_and(|url| !aws::is_of_aws(url));
        Ok(!emulator || aws::is_of_aws(self.deployment.api_url()?))
    }

    async fn unsigned(&self) -> Result<Done> {
        let url = format!("{}/attention?limit=1", self.deployment.api_url()?);
        let answer = http::send("GET", &url, &[], "").await?;
        self.refused(&answer, "anybody may list items that need attention: check the routes' authorization")
    }

    async fn unprivileged(&self) -> Result<Done> {
        let Some(profile) = &self.options.unprivileged_profile else {
            let how = "pass --unprivileged-profile with a profile that may not execute-api:Invoke";
            return Ok(Done::Skipped(how.to_owned()));
        };
        let sdk = aws::as_profile(self.deployment.sdk.clone(), profile);
        let url = format!("{}/attention?limit=1", self.deployment.api_url()?);
        let answer = aws::send(&sdk, "execute-api", "GET", &url, &[], "").await?;
        if answer.status == 403 && !answer.body.contains("not allowed") {
            bail!("the API answered 403 for another reason than the missing permission: {}", answer.body);
        }
        self.refused(&answer, "the profile may execute-api:Invoke: check its policies and the API's resource policy")
    }

    /// Judges the answer to a request that IAM must refuse.
    fn refused(&self, answer: &Answer, if_not: &str) -> Result<Done> {
        match answer.status {
            403 => Ok(Done::Passed("answered 403".to_owned())),
            // The API's answer to an unsigned request. Any other 404 comes from somewhere else.
            404 if answer.body.contains("not signed") => Ok(Done::Passed("answered 404".to_owned())),
            200 if !self.is_on_aws()? => Ok(Done::Skipped("nothing enforces IAM here".to_owned())),
            200 => bail!("answered 200; {if_not}"),
            status => bail!("answered {status} instead of 403 or 404: {}", answer.body),
        }
    }

    async fn wrong_token(&self) -> Result<Done> {
        let answer = self.post(WRONG_TOKEN).await?;
        if answer.status != 401 {
            bail!("answered {} instead of 401{}", answer.status, outside(answer.status));
        }
        Ok(Done::Passed("answered 401".to_owned()))
    }

    async fn push(&self) -> Result<Done> {
        let answer = self.post(self.options.tsy_token.reveal()).await?;
        let hint = match answer.status {
            401 => "; pass the token whose SHA-256 is in TsyTokenHashes",
            status => outside(status),
        };
        let code = serde_json::from_str(&answer.body).map(|body: Value| body["code"] == ACKNOWLEDGED);
        if answer.status != 200 || !code.unwrap_or(false) {
            bail!("answered {} {}{hint}", answer.status, answer.body);
        }
        Ok(Done::Passed(format!("order {} is recorded", self.order_id)))
    }

    /// Posts the notification under a token. Errors do not show the token.
    async fn post(&self, token: &str) -> Result<Answer> {
        let body = json!({"msg": NOTE, "orderNo": self.order_id, "orderId": self.order_id, "type": "rejected"});
        let url = format!("{}{}", self.deployment.api_url()?, path(["tsy", token, "issue-notify"]));
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let answer = http::send("POST", &url, &headers, &body.to_string()).await;
        let shown = format!("{}/tsy/TOKEN/issue-notify", self.deployment.api_url()?);
        answer.map_err(|error| anyhow!("{}", format!("{error:#}").replace(&url, &shown).replace(token, "TOKEN")))
    }

    async fn needs_attention(&self) -> Result<Done> {
        eventually(self.options.wait, "the order needs attention and is in the attention list", async || {
            let order = self.order().await?;
            Ok(!order["attention"].is_null() && self.is_listed().await?)
        })
        .await?;
        Ok(Done::Passed("in the attention list, without a call to TOP".to_owned()))
    }

    async fn dismiss(&self) -> Result<Done> {
        let path = path(["orders", "tsy", &self.order_id, "dismiss"]);
        let by_hand = format!("run `relay attention dismiss tsy {} --note \"{NOTE}\"`", self.order_id);
        ask(self.deployment, "POST", &path, &[], &json!({"note": NOTE}).to_string())
            .await
            .map_err(|error| anyhow!("{error:#}; {by_hand}"))?;
        eventually(self.options.wait, "the dismissed order leaves the attention list", async || {
            let order = self.order().await?;
            Ok(order["attention"].is_null() && !self.is_listed().await?)
        })
        .await?;
        Ok(Done::Passed("no longer in the attention list".to_owned()))
    }

    async fn order(&self) -> Result<Value> {
        let order = ask(self.deployment, "GET", &path(["orders", "tsy", &self.order_id]), &[], "").await?;
        if !list(&order, "calls").is_empty() {
            bail!("the order has a call to TOP, although no call reports a rejection");
        }
        Ok(order)
    }

    async fn is_listed(&self) -> Result<bool> {
        let items = api::attention(self.deployment, None).await?;
        Ok(items.iter().any(|item| item["partner"] == "tsy" && item["order_id"] == *self.order_id))
    }

    async fn events(&self, subscription: Result<&Subscription<'_>, &anyhow::Error>) -> Result<Done> {
        let subscription = subscription.map_err(|error| anyhow!("not subscribed: {error:#}"))?;
        let outcomes = subscription.outcomes_of(&self.order_id, self.options.wait).await?;
        Ok(Done::Passed(outcomes.into_iter().collect::<Vec<_>>().join(", ")))
    }
}

/// The hint for an answer of API Gateway's resource policy.
const fn outside(status: u16) -> &'static str {
    if status == 403 {
        "; this machine's address is not in TsySourceRanges, so run it from an address that is"
    } else {
        ""
    }
}
