//! The floor for an endpoint's work: a signed `UpdateItem` and a signed `SendMessage`, as large as ours, over one open
//! connection each.
//!
//! It has no SDK, retries, time-outs, TLS or error recovery, and it does not read the answers' bodies. So it is a lower
//! limit, not an alternative.

use std::env;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// The part of an event that the handler reads.
#[derive(Deserialize)]
struct Event {
    body: String,
}

/// An AWS service with one open connection.
struct Service {
    connection: Mutex<SendRequest<Full<Bytes>>>,
    authority: String,
    name: &'static str,
    content_type: &'static str,
}

impl Service {
    async fn connect(authority: &str, name: &'static str, content_type: &'static str) -> Result<Self, Error> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(Self { connection: Mutex::new(connection), authority: authority.to_owned(), name, content_type })
    }

    async fn send(&self, credentials: &Credentials, target: &str, body: String) -> Result<(), Error> {
        let uri = format!("http://{}/", self.authority);
        let headers =
            [("host", self.authority.as_str()), ("content-type", self.content_type), ("x-amz-target", target)];
        let identity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(self.name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new("POST", &uri, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let mut connection = self.connection.lock().await;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        if status.is_success() { Ok(()) } else { Err(format!("{target} was answered {status}").into()) }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let endpoint = variable("AWS_ENDPOINT_URL")?;
    let authority = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (table, queue) = (variable("TABLE_NAME")?, variable("NOTIFICATIONS_QUEUE_URL")?);
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID")?,
        variable("AWS_SECRET_ACCESS_KEY")?,
        env::var("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    );
    let dynamodb = &Service::connect(&authority, "dynamodb", "application/x-amz-json-1.0").await?;
    let sqs = &Service::connect(&authority, "sqs", "application/x-amz-json-1.0").await?;
    let (table, queue, credentials) = (&table, &queue, &credentials);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        let payload = event.payload.body.as_str();
        let id = &event.context.request_id;
        let text = |text: &str| json!({ "S": text });
        let update = json!({
            "TableName": table,
            "Key": {"pk": text(&format!("order#floor#{id}")), "sk": text("notification#floor")},
            "UpdateExpression": "SET #state = if_not_exists(#state, :received), payload = if_not_exists(payload, :payload), \
                received_at = if_not_exists(received_at, :now), kind = :kind, digest = :digest, \
                unfinished = if_not_exists(unfinished, :unfinished), look_at = if_not_exists(look_at, :now), \
                last_received_at = :now ADD deliveries :one",
            "ConditionExpression": "attribute_not_exists(pk) OR #state <> :dispatched",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {
                ":received": text("received"), ":dispatched": text("dispatched"), ":payload": text(payload),
                ":kind": text("floor"), ":digest": text(id), ":unfinished": text("sweep#0"),
                ":now": {"N": "1767240000000"}, ":one": {"N": "1"},
            },
            "ReturnValues": "UPDATED_OLD",
        });
        dynamodb.send(credentials, "DynamoDB_20120810.UpdateItem", update.to_string()).await?;
        let message = json!({"partner": "floor", "order_id": id, "kind": "floor", "digest": id}).to_string();
        let message = json!({"QueueUrl": queue, "MessageBody": message});
        sqs.send(credentials, "AmazonSQS.SendMessage", message.to_string()).await?;
        Ok::<_, Error>(json!({"statusCode": 200, "body": r#"{"msg":"success","code":"0"}"#}))
    }))
    .await
}
