//! The services at the far end of the network: what a request does there.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use relay_tests::cloud::dynamodb;
use relay_types::time::EpochMillis;
use serde_json::{Value, json};
use top_simulator::Answer;

use crate::gate::{self, Access, Footprint};
use crate::request::{Request, gate_queue, respond, subject};
use crate::world::{World, lock};
use crate::{queues, table};

/// A request and the services that perform it.
pub struct Far {
    pub world: Arc<World>,
    pub request: Request,
}

impl Far {
    /// Performs the request after its sender has stopped waiting.
    pub async fn arrive_late(self) {
        self.world.note(|| format!("late: {} {}", self.request.name, subject(&self.request)));
        self.perform_whatever().await;
    }

    /// Performs the request and leaves its footprint at the gate.
    pub async fn perform_at_gate(&self) -> Result<HttpResponse, ConnectorError> {
        let mut footprint = Footprint::default();
        match self.request.service {
            "dynamodb" => {
                let body: Value = serde_json::from_slice(&self.request.body).unwrap_or_default();
                let key = table::key_of(&body);
                let before = self.world.image(key);
                let answer = self.perform().await;
                let succeeded = answer.as_ref().is_ok_and(|answer| answer.status().is_success());
                let footprint = gate::footprint_of_dynamodb(&body, &before, &self.world.image(key), succeeded);
                self.world.gate.leave_footprint(footprint);
                return answer;
            }
            // The order of arrival may decide which message is received first.
            "sqs" => footprint.add(("queue", gate_queue(&self.request)), Access::Write),
            // TOP's bans and the injected faults apply to one API.
            _ => footprint.add(("top", self.request.name), Access::Write),
        }
        self.world.gate.leave_footprint(footprint);
        self.perform().await
    }

    pub async fn perform(&self) -> Result<HttpResponse, ConnectorError> {
        let body = String::from_utf8_lossy(&self.request.body);
        Ok(match self.request.service {
            "dynamodb" => {
                let (status, body) = self.dynamodb(&body);
                respond(status, body)
            }
            "sqs" => sqs(&self.world, &self.request.operation, &body, &|_| false),
            "sns" => sns(&self.world, &self.request.body, &|_| false),
            "secretsmanager" => respond(200, secret()),
            _ => return self.top().await,
        })
    }

    /// Performs a request to DynamoDB, on the table or, for some reads, on the stale replica.
    pub fn dynamodb(&self, body: &str) -> (u16, String) {
        let world = &self.world;
        let operation = self.request.operation.as_str();
        let mut replica = lock(&world.replica);
        if matches!(operation, "PutItem" | "UpdateItem") {
            let request: Value = serde_json::from_str(body).unwrap_or_default();
            let key = table::key_of(&request);
            let before = lock(&world.stream).is_some().then(|| world.image(key));
            let answer = dynamodb(&world.database, operation, body);
            if answer.0 == 200 {
                world.wrote(key);
                if key["pk"]["S"] == "breaker" {
                    lock(&world.bans).wrote(&world.image(key), world.now());
                }
                lock(&world.facts).performed(operation, &request, || world.image(key));
                if let (Some(stream), Some(before)) = (&mut *lock(&world.stream), before) {
                    stream.push((before, world.image(key)));
                }
                if let Some(replica) = &mut *replica {
                    replica.performed(world.now(), operation, body);
                }
            }
            return answer;
        }
        let Some(replica) = &mut *replica else { return dynamodb(&world.database, operation, body) };
        let request: Value = serde_json::from_str(body).unwrap_or_default();
        let tables = request["RequestItems"].as_object();
        let is_consistent = tables.map_or_else(
            || request["ConsistentRead"] == true,
            |tables| tables.values().all(|table| table["ConsistentRead"] == true),
        );
        if is_consistent || !world.is_delayed(1.0) {
            return dynamodb(&world.database, operation, body);
        }
        world.saw("a read returned stale data");
        let behind = i64::try_from(world.delay(100, 8_000).as_millis()).unwrap_or_default();
        replica.catch_up(EpochMillis(world.now().0 - behind));
        world.note(|| format!("  reads the table as of {behind} ms ago, or later"));
        dynamodb(&replica.database, operation, body)
    }

    /// Performs the request without waiting for an answer that never comes.
    pub async fn perform_whatever(&self) {
        let performed = std::pin::pin!(self.perform());
        let mut performed = performed;
        let _ = std::future::poll_fn(|context| {
            let _ = performed.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }

    pub fn perform_partly(&self) -> HttpResponse {
        let body = String::from_utf8_lossy(&self.request.body);
        let refuse = |_: usize| self.world.happens(0.5);
        match self.request.service {
            "sns" => sns(&self.world, &self.request.body, &refuse),
            _ => sqs(&self.world, &self.request.operation, &body, &refuse),
        }
    }

    pub async fn throttle(&self) -> Result<HttpResponse, ConnectorError> {
        let kind = match self.request.service {
            "dynamodb" => "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "sqs" => "com.amazonaws.sqs#RequestThrottled",
            "secretsmanager" => "ThrottlingException",
            "sns" => {
                let error = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>";
                return Ok(respond(400, error));
            }
            _ => {
                crate::top_says::order(&self.world, self.request.name);
                return self.perform().await;
            }
        };
        Ok(respond(400, json!({"__type": kind, "message": "simulated"}).to_string()))
    }

    pub async fn top(&self) -> Result<HttpResponse, ConnectorError> {
        if self.world.happens(self.world.weather().top) {
            crate::top_says::order(&self.world, self.request.name);
        }
        let now = self.world.now();
        let content_type = self.request.content_type.as_deref();
        let answer = lock(&self.world.top).handle(now.0, content_type, None, &self.request.body);
        let outcome =
            lock(&self.world.top).ledger().last().map(|entry| format!("{} effect={}", entry.outcome, entry.effect));
        self.world.note(|| format!("top: {} {}", self.request.name, outcome.unwrap_or_default()));
        match answer {
            Answer::Hang => std::future::pending().await,
            Answer::Reply { status, body, after_ms } => {
                if after_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                }
                Ok(respond(status, body))
            }
        }
    }
}

pub fn secret() -> String {
    let credentials = crate::run::credentials();
    let value =
        json!({"app_key": credentials.app_key, "app_secret": credentials.app_secret, "session": credentials.session});
    json!({"ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:top", "Name": "top",
        "SecretString": value.to_string()})
    .to_string()
}

pub fn sqs(world: &World, operation: &str, body: &str, refuse: &dyn Fn(usize) -> bool) -> HttpResponse {
    let body: Value = serde_json::from_str(body).expect("a valid SDK request");
    let queue = body["QueueUrl"].as_str().and_then(queues::named).expect("a queue of the relay");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let delay = |message: &Value| Duration::from_secs(message["DelaySeconds"].as_u64().unwrap_or(0));
    let send = |message: &Value| world.queues.send(world, queue, &text(&message["MessageBody"]), delay(message));
    let answer = match operation {
        "SendMessage" => json!({"MessageId": send(&body).to_string(), "MD5OfMessageBody": ""}),
        "SendMessageBatch" | "ChangeMessageVisibilityBatch" => {
            let (mut successful, mut failed) = (Vec::new(), Vec::new());
            for (index, entry) in body["Entries"].as_array().into_iter().flatten().enumerate() {
                let id = text(&entry["Id"]);
                if refuse(index) {
                    failed.push(json!({"Id": id, "SenderFault": false, "Code": "InternalError"}));
                } else if operation == "SendMessageBatch" {
                    let message = send(entry).to_string();
                    successful.push(json!({"Id": id, "MessageId": message, "MD5OfMessageBody": ""}));
                } else {
                    let receipt = text(&entry["ReceiptHandle"]).parse().unwrap_or(0);
                    let seconds = entry["VisibilityTimeout"].as_i64().unwrap_or(0);
                    world.queues.change_visibility(world, queue, receipt, seconds);
                    successful.push(json!({"Id": id}));
                }
            }
            json!({"Successful": successful, "Failed": failed})
        }
        other => panic!("unexpected operation: sqs {other}"),
    };
    respond(200, answer.to_string())
}

pub fn sns(world: &World, form: &[u8], refuse: &dyn Fn(usize) -> bool) -> HttpResponse {
    let form: BTreeMap<_, _> = form_urlencoded::parse(form).into_owned().collect();
    let (mut successful, mut failed) = (String::new(), String::new());
    for index in 1.. {
        let member = |name: &str| form.get(&format!("PublishBatchRequestEntries.member.{index}.{name}"));
        let Some((id, message)) = member("Id").zip(member("Message")) else { break };
        if refuse(index) {
            failed +=
                &format!("<member><Id>{id}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>");
        } else {
            successful += &format!("<member><Id>{id}</Id><MessageId>{index}</MessageId></member>");
            lock(&world.published).push(serde_json::from_str(message).unwrap_or_default());
        }
    }
    let answer = format!(
        "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult>\
         <Successful>{successful}</Successful><Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>"
    );
    respond(200, answer)
}
