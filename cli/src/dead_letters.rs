//! Messages that were given up: what they are, and back into their queues with them.
//!
//! A message is put back before it is taken from the dead letters, so that it is lost at no moment; one that is in its
//! queue twice changes nothing, since messages carry keys only.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::table::{table, text};

/// The queues, and what they are called in the stack's outputs.
pub const QUEUES: [(&str, &str); 4] = [
    ("notifications", "Notifications"),
    ("itinerary-postback", "ItineraryPostback"),
    ("ticket-verify", "TicketVerify"),
    ("ship-notify", "ShipNotify"),
];

/// Most messages in one request, by SQS.
const MAX_ENTRIES: u32 = 10;
/// Most messages that are listed of a queue.
const MAX_SHOWN: usize = 1000;
/// How long a message that is looked at, or put back, is hidden from others who do the same, in seconds.
const HIDDEN_SECONDS: i32 = 60;

/// One queue and its dead letters.
struct Pair {
    name: &'static str,
    url: String,
    dead_letters_url: String,
}

fn pairs(deployment: &Deployment, only: Option<&str>) -> Result<Vec<Pair>> {
    let wanted = QUEUES.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    wanted
        .map(|(name, output)| {
            Ok(Pair {
                name,
                url: deployment.output(&format!("{output}QueueUrl"))?.to_owned(),
                dead_letters_url: deployment.output(&format!("{output}DeadLetterQueueUrl"))?.to_owned(),
            })
        })
        .collect()
}

/// How many messages each queue has among its dead letters, as SQS reckons.
pub async fn counts(deployment: &Deployment, only: Option<&str>) -> Result<Vec<(&'static str, u64)>> {
    let client = Client::new(&deployment.sdk);
    let mut counts = Vec::new();
    for pair in pairs(deployment, only)? {
        counts.push((pair.name, count(&client, &pair.dead_letters_url).await?));
    }
    Ok(counts)
}

async fn count(client: &Client, url: &str) -> Result<u64> {
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let got = client.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await;
    let got = got.map_err(|error| anyhow!("{url}: {}", shared::aws::cause(&error)))?;
    Ok(got.attributes().and_then(|attributes| attributes.get(&name)?.parse().ok()).unwrap_or_default())
}

async fn receive(client: &Client, url: &str, most: u32) -> Result<Vec<Message>> {
    let got = client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(i32::try_from(most.min(MAX_ENTRIES))?)
        .visibility_timeout(HIDDEN_SECONDS)
        // Asks all of SQS's servers, not a sample of them.
        .wait_time_seconds(1)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await;
    let got = got.map_err(|error| anyhow!("{url}: {}", shared::aws::cause(&error)))?;
    Ok(got.messages.unwrap_or_default())
}

/// Lists dead letters, and leaves them where they are.
pub async fn shown(deployment: &Deployment, only: Option<&str>) -> Result<Vec<Value>> {
    let client = Client::new(&deployment.sdk);
    let mut shown = Vec::new();
    for pair in pairs(deployment, only)? {
        let mut seen: BTreeMap<String, Message> = BTreeMap::new();
        loop {
            let messages = receive(&client, &pair.dead_letters_url, MAX_ENTRIES).await?;
            if messages.is_empty() || seen.len() >= MAX_SHOWN {
                break;
            }
            seen.extend(
                messages.into_iter().map(|message| (message.message_id().unwrap_or_default().to_owned(), message)),
            );
        }
        let seen: Vec<_> = seen.into_values().collect();
        for messages in seen.chunks(MAX_ENTRIES as usize) {
            let entries: Result<Vec<_>, _> = messages
                .iter()
                .enumerate()
                .map(|(index, message)| {
                    ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(index.to_string())
                        .set_receipt_handle(message.receipt_handle.clone())
                        .visibility_timeout(0)
                        .build()
                })
                .collect();
            let request = client.change_message_visibility_batch().queue_url(&pair.dead_letters_url);
            // If that fails they are hidden for a minute, and nothing else.
            let _ = request.set_entries(Some(entries?)).send().await;
        }
        shown.extend(seen.iter().map(|message| described(pair.name, message)));
    }
    Ok(shown)
}

fn described(queue: &str, message: &Message) -> Value {
    let attribute = |name: &MessageSystemAttributeName| message.attributes().and_then(|all| all.get(name)).cloned();
    let sent = attribute(&MessageSystemAttributeName::SentTimestamp)
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis.parse().ok()?).ok());
    json!({
        "queue": queue,
        "sent_at": sent.map(|at| at.to_string()),
        "received": attribute(&MessageSystemAttributeName::ApproximateReceiveCount),
        "message": message.body(),
    })
}

/// Dead letters as a table.
pub fn listed(messages: &[Value]) -> String {
    if messages.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let rows =
        messages.iter().map(|message| ["queue", "sent_at", "received", "message"].map(|name| text(message, name)));
    table(["queue", "sent (UTC)", "tried", "message"], rows)
}

/// Puts dead letters back into their queues, at most `rate` a second. Says how many of each.
pub async fn redrive(deployment: &Deployment, only: Option<&str>, rate: u32) -> Result<Vec<(&'static str, u64)>> {
    let client = Client::new(&deployment.sdk);
    let mut moved = Vec::new();
    for pair in pairs(deployment, only)? {
        let bar = ProgressBar::new(count(&client, &pair.dead_letters_url).await?);
        let style = ProgressStyle::with_template("{prefix:20} {bar:40} {pos}/{len} {per_sec} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(pair.name);
        let mut of_queue = 0;
        loop {
            let started = tokio::time::Instant::now();
            let messages = receive(&client, &pair.dead_letters_url, rate).await?;
            if messages.is_empty() {
                break;
            }
            let put_back = put_back(&client, &pair, &messages).await?;
            of_queue += u64::from(put_back);
            bar.inc(put_back.into());
            tokio::time::sleep_until(started + Duration::from_secs(1) * put_back / rate).await;
        }
        bar.finish_with_message("done");
        moved.push((pair.name, of_queue));
    }
    Ok(moved)
}

async fn put_back(client: &Client, pair: &Pair, messages: &[Message]) -> Result<u32> {
    let entries: Result<Vec<_>, _> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            let body = message.body().unwrap_or_default();
            SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build()
        })
        .collect();
    let sent = client.send_message_batch().queue_url(&pair.url).set_entries(Some(entries?)).send().await;
    let sent = sent.map_err(|error| anyhow!("{}: {}", pair.url, shared::aws::cause(&error)))?;
    let taken = sent
        .successful()
        .iter()
        .filter_map(|entry| Some((entry.id(), messages.get(entry.id().parse::<usize>().ok()?)?)));
    let entries: Result<Vec<_>, _> = taken
        .map(|(id, message)| {
            DeleteMessageBatchRequestEntry::builder().id(id).set_receipt_handle(message.receipt_handle.clone()).build()
        })
        .collect();
    let entries = entries?;
    let count = u32::try_from(entries.len())?;
    if !entries.is_empty() {
        let deleted = client.delete_message_batch().queue_url(&pair.dead_letters_url).set_entries(Some(entries));
        let deleted = deleted.send().await;
        let deleted = deleted.map_err(|error| anyhow!("{}: {}", pair.dead_letters_url, shared::aws::cause(&error)))?;
        if let Some(first) = deleted.failed().first() {
            bail!(
                "{} dead letters of {} are in their queue again, and were not taken away: {}",
                deleted.failed().len(),
                pair.name,
                first.code()
            );
        }
    }
    if let Some(first) = sent.failed().first() {
        bail!(
            "SQS did not take {} of the messages for {}: {}; they stay dead letters",
            sent.failed().len(),
            pair.name,
            first.code()
        );
    }
    Ok(count)
}
