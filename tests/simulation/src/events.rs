//! What subscribers must hear of a run: each thing that happened, recognisable by its id however often it comes. Lambda hands
//! the stream over in batches, again and again until a batch was published whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use order_events::event::StreamRecord;
use order_events::{OrderEvents, StreamEvent};
use serde_json::{Value, json};

use crate::judge::lanes_with_effect;
use crate::world::{Change, World, lock};

/// One request in so many is refused whole, as many in part, and as many are not answered.
const ONE_IN: u64 = 60;

const SOURCE: &str = "simulation";

/// SNS: takes what is published, or some of it, or takes it and does not answer.
#[derive(Debug, Clone)]
struct Sns {
    world: Arc<World>,
    published: Arc<Mutex<Vec<Value>>>,
}

impl HttpClient for Sns {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sns {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.publish_batch(request.body().bytes().unwrap_or_default()))
    }
}

impl Sns {
    fn publish_batch(&self, form: &[u8]) -> Result<HttpResponse, ConnectorError> {
        let fault = self.world.draw(|chance| chance.u64(..ONE_IN));
        let form: BTreeMap<_, _> = form_urlencoded::parse(form).into_owned().collect();
        let (mut taken, mut refused) = (String::new(), String::new());
        for index in 1.. {
            let member = |name: &str| form.get(&format!("PublishBatchRequestEntries.member.{index}.{name}"));
            let Some((id, message)) = member("Id").zip(member("Message")) else { break };
            if fault == 0 || (fault == 1 && self.world.happens(0.5)) {
                refused += &format!(
                    "<member><Id>{id}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>"
                );
                continue;
            }
            taken += &format!("<member><Id>{id}</Id><MessageId>{index}</MessageId></member>");
            lock(&self.published).push(serde_json::from_str(message).unwrap_or_default());
        }
        if fault == 2 {
            self.world.saw("SNS published and did not answer");
            return Err(ConnectorError::io("the connection broke".into()));
        }
        if !refused.is_empty() {
            self.world.saw("SNS refused some events");
        }
        let answer = format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult>\
             <Successful>{taken}</Successful><Failed>{refused}</Failed></PublishBatchResult></PublishBatchResponse>"
        );
        Ok(HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(answer)))
    }
}

/// Publishes the changes as Lambda has it done: in batches of any size, each again until it was published whole, and now
/// and then once more.
async fn publish(world: &Arc<World>, changes: &[Value]) -> Vec<Value> {
    let sns = Sns { world: world.clone(), published: Arc::default() };
    // Building a client draws from the generator that the pauses of its retries come from.
    let seed = fastrand::get_seed();
    let sdk = relay_tests::relay::sdk_config(SharedHttpClient::new(sns.clone()));
    let partition = RetryPartition::custom("events").token_bucket(TokenBucket::unlimited()).build();
    let client = aws_sdk_sns::config::Builder::from(&sdk).retry_partition(partition).build();
    let events = OrderEvents {
        sns: aws_sdk_sns::Client::from_conf(client),
        topic_arn: "arn:aws:sns:us-east-1:123456789012:order-events".to_owned(),
        source: SOURCE.to_owned(),
    };
    fastrand::seed(seed);
    let mut rest = changes;
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(world.draw(|chance| chance.usize(1..=rest.len().min(100))));
        let mut times = if world.happens(0.2) { 2 } else { 1 };
        while times > 0 {
            match events.handle(StreamEvent { records: batch.to_vec() }).await {
                Ok(_) => times -= 1,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        rest = behind;
    }
    std::mem::take(&mut *lock(&sns.published))
}

fn record_of((before, after): &Change) -> Value {
    let mut change = json!({"dynamodb": {"NewImage": **after}});
    if !before.is_null() {
        change["dynamodb"]["OldImage"] = (**before).clone();
    }
    change
}

/// Publishes what happened in a run that is at rest, if somebody follows it, and judges what subscribers got.
pub async fn judge(world: &Arc<World>) {
    let Some(changes) = lock(&world.stream).take() else { return };
    let changes: Vec<Value> = changes.iter().map(record_of).collect();
    let mut expected = BTreeSet::new();
    for change in &changes {
        let change: StreamRecord = serde_json::from_value(change.clone()).expect("a change of a stream");
        for event in change.events(SOURCE) {
            if !expected.insert(event.id.clone()) {
                world.violated(format!("an event was published of two changes: {event:?}"));
            }
        }
    }
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    for event in publish(world, &changes).await {
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        let known = by_id.entry(id).or_insert_with(|| event.clone());
        if *known != event {
            world.violated(format!("two events have one id: {known} and {event}"));
        }
    }
    for missing in expected.iter().filter(|id| !by_id.contains_key(*id)) {
        world.violated(format!("event {missing} was not published"));
    }
    let outcome = |event: &&Value, outcome: &str| event["data"]["outcome"] == outcome;
    let succeeded: BTreeSet<_> = by_id
        .values()
        .filter(|event| outcome(event, "succeeded") && event["data"]["said_by_person"] != true)
        .filter_map(|event| Some(format!("{}/{}", event["data"]["kind"].as_str()?, event["data"]["key"].as_str()?)))
        .filter(|lane| !lane.starts_with("ticket-verify/"))
        .collect();
    let with_effect = lanes_with_effect(world);
    for lane in succeeded.difference(&with_effect) {
        world.violated(format!("subscribers were told that {lane} succeeded, and it had no effect"));
    }
    let received = by_id.values().filter(|event| outcome(event, "received")).count();
    let notifications: usize = crate::table::notifications(world);
    if received != notifications {
        world.violated(format!("{received} notifications were published, and {notifications} are in the table"));
    }
}
