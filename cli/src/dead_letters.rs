//! Dead letters: lists them, moves them back to their queues (redrive), or deletes one.
//!
//! A redrive sends a message to its queue before it deletes the dead letter, so the message is never lost. A message
//! that is in its queue twice changes nothing, since messages carry keys only.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use futures_util::future::try_join_all;
use indicatif::{ProgressBar, ProgressStyle};
use relay_types::call::CallKind;
use relay_types::record::RecordKey;
use serde::Serialize;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::table::{table, text};

/// The queues, with the prefix of their outputs in the stack.
pub fn queues() -> impl Iterator<Item = (&'static str, String)> {
    let calls = CallKind::ALL.into_iter().map(|kind| (kind.into(), kind.logical_prefix()));
    std::iter::once(("notifications", "Notifications".to_owned())).chain(calls)
}

/// SQS's limit of messages per request.
const MAX_ENTRIES: u32 = 10;
/// Maximum messages listed per queue.
const MAX_SHOWN: usize = 1000;
/// Visibility time-out of messages that are being listed or redriven, in seconds.
const HIDDEN_SECONDS: i32 = 60;

/// A queue and its dead-letter queue.
struct Pair {
    name: &'static str,
    url: String,
    dead_letters_url: String,
}

fn pairs(deployment: &Deployment, only: Option<&str>) -> Result<Vec<Pair>> {
    let wanted = queues().filter(|(name, _)| only.is_none_or(|only| only == *name));
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

fn pair(deployment: &Deployment, queue: &str) -> Result<Pair> {
    pairs(deployment, Some(queue))?.pop().with_context(|| format!("there is no queue {queue}"))
}

/// The number of dead letters of a queue that were, or would be, redriven.
#[derive(Debug, Serialize)]
pub struct Tally {
    /// The queue's name.
    pub queue: &'static str,
    /// The number of messages.
    pub count: u64,
    /// Further messages that are hidden: somebody else holds them, or received them less than a minute ago.
    pub hidden: u64,
    /// The error, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Tally {
    /// Whether every dead letter was redriven.
    pub const fn is_good(&self) -> bool {
        self.hidden == 0 && self.problem.is_none()
    }
}

/// Counts the dead letters of each queue. SQS's numbers are approximate.
pub async fn tallies(deployment: &Deployment, only: Option<&str>) -> Result<Vec<Tally>> {
    let client = Client::new(&deployment.sdk);
    let pairs = pairs(deployment, only)?;
    let counts = pairs.iter().map(async |pair| {
        let (count, hidden) = count(&client, &pair.dead_letters_url).await?;
        Ok(Tally { queue: pair.name, count, hidden, problem: None })
    });
    try_join_all(counts).await
}

/// Counts the messages in flight of each queue: received, and not yet deleted or visible again.
pub async fn in_flight(deployment: &Deployment) -> Result<Vec<(&'static str, u64)>> {
    let client = Client::new(&deployment.sdk);
    let pairs = pairs(deployment, None)?;
    try_join_all(pairs.iter().map(async |pair| Ok((pair.name, count(&client, &pair.url).await?.1)))).await
}

/// Formats tallies as a table, followed by problems and hidden messages.
pub fn tallied(tallies: &[Tally], what: &str) -> String {
    let mut shown =
        table(["queue", what], tallies.iter().map(|tally| [tally.queue.to_owned(), tally.count.to_string()]));
    for Tally { queue, hidden, problem, .. } in tallies {
        // Writing to a String cannot fail.
        if let Some(problem) = problem {
            let _ = writeln!(shown, "{queue}: {problem}");
        }
        if *hidden > 0 {
            let _ = writeln!(shown, "{queue}: {hidden} more {HIDDEN}");
        }
    }
    shown
}

/// The explanation for hidden messages.
const HIDDEN: &str = "are hidden because somebody is reading them or a run was interrupted; retry in a minute";

/// Counts visible and hidden messages.
async fn count(client: &Client, url: &str) -> Result<(u64, u64)> {
    let names =
        [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible];
    let got = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.clone().into())).send().await;
    let got = got.map_err(|error| anyhow!("{url}: {}", relay_runtime::aws::cause(&error)))?;
    let [visible, hidden] =
        names.map(|name| got.attributes().and_then(|all| all.get(&name)?.parse().ok()).unwrap_or_default());
    Ok((visible, hidden))
}

async fn receive(client: &Client, url: &str, most: u32) -> Result<Vec<Message>> {
    let got = client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(i32::try_from(most.min(MAX_ENTRIES))?)
        .visibility_timeout(HIDDEN_SECONDS)
        // Long polling asks all of SQS's servers, not a sample of them.
        .wait_time_seconds(1)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await;
    let got = got.map_err(|error| anyhow!("{url}: {}", relay_runtime::aws::cause(&error)))?;
    Ok(got.messages.unwrap_or_default())
}

/// Listed dead letters.
#[derive(Debug, Serialize)]
pub struct Listing {
    messages: Vec<Value>,
    /// The number of unlisted messages by queue: beyond the maximum, or hidden.
    not_listed: BTreeMap<&'static str, u64>,
}

/// Lists dead letters without removing them: by queue, and the oldest first. Asks all queues at the same time.
pub async fn list(deployment: &Deployment, only: Option<&str>) -> Result<Listing> {
    let client = Client::new(&deployment.sdk);
    let pairs = pairs(deployment, only)?;
    let lists = try_join_all(pairs.iter().map(async |pair| {
        let (visible, hidden) = count(&client, &pair.dead_letters_url).await?;
        let seen = receive_all(&client, pair, |_| false).await?;
        let left = (visible + hidden).saturating_sub(seen.len() as u64);
        let mut messages: Vec<_> =
            seen.iter().map(|message| (sent_at(message), described(pair.name, message))).collect();
        messages.sort_by(|(a, one), (b, other)| (a, text(one, "id")).cmp(&(b, text(other, "id"))));
        let messages: Vec<Value> = messages.into_iter().map(|(_, message)| message).collect();
        anyhow::Ok((pair.name, messages, left))
    }))
    .await?;
    let mut listing = Listing { messages: Vec::new(), not_listed: BTreeMap::new() };
    for (queue, messages, left) in lists {
        listing.messages.extend(messages);
        if left > 0 {
            listing.not_listed.insert(queue, left);
        }
    }
    Ok(listing)
}

/// Receives each dead letter once, until one `is_meant` or none is left, and makes all visible again but the one that is
/// meant. Receiving only raises SQS's count, which has no effect in a dead-letter queue.
async fn receive_all(client: &Client, pair: &Pair, is_meant: impl Fn(&Message) -> bool) -> Result<Vec<Message>> {
    let mut seen: BTreeMap<String, Message> = BTreeMap::new();
    let mut found = false;
    while seen.len() < MAX_SHOWN && !found {
        let messages = receive(client, &pair.dead_letters_url, MAX_ENTRIES).await?;
        let before = seen.len();
        found = messages.iter().any(&is_meant);
        seen.extend(messages.into_iter().map(|message| (message.message_id().unwrap_or_default().to_owned(), message)));
        // No message is left, or the first ones are visible again.
        if seen.len() == before {
            break;
        }
    }
    let (meant, others): (Vec<_>, Vec<_>) = seen.into_values().partition(&is_meant);
    for messages in others.chunks(MAX_ENTRIES as usize) {
        let_be_received(client, pair, messages).await;
    }
    Ok(if meant.is_empty() { others } else { meant })
}

/// Receives the dead letter with this id.
async fn receive_one(client: &Client, pair: &Pair, id: &str) -> Result<Message> {
    let found = receive_all(client, pair, |message| message.message_id() == Some(id)).await?;
    found
        .into_iter()
        .find(|message| message.message_id() == Some(id))
        .with_context(|| format!("{} has no visible dead letter {id}; `relay dead-letters show` lists them", pair.name))
}

/// Redrives one dead letter.
pub async fn redrive_by_id(deployment: &Deployment, queue: &str, id: &str) -> Result<Value> {
    let client = Client::new(&deployment.sdk);
    let pair = pair(deployment, queue)?;
    let message = receive_one(&client, &pair, id).await?;
    put_back(&client, &pair, std::slice::from_ref(&message), &mut HashSet::new())
        .await
        .map_err(|partly| partly.problem)?;
    Ok(described(pair.name, &message))
}

/// Deletes one dead letter for good. The record that it names stays.
pub async fn delete(deployment: &Deployment, queue: &str, id: &str) -> Result<Value> {
    let client = Client::new(&deployment.sdk);
    let pair = pair(deployment, queue)?;
    let message = receive_one(&client, &pair, id).await?;
    let deletion = client.delete_message().queue_url(&pair.dead_letters_url);
    let deleted = deletion.set_receipt_handle(message.receipt_handle.clone()).send().await;
    deleted.map_err(|error| anyhow!("{}: {}", pair.name, relay_runtime::aws::cause(&error)))?;
    Ok(described(pair.name, &message))
}

/// Makes messages visible again. If that fails, they stay hidden for the rest of a minute, with no other effect.
async fn let_be_received(client: &Client, pair: &Pair, messages: &[Message]) {
    let entries = messages.iter().enumerate().filter_map(|(index, message)| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(index.to_string())
            .set_receipt_handle(message.receipt_handle.clone())
            .visibility_timeout(0)
            .build()
            .ok()
    });
    let request = client.change_message_visibility_batch().queue_url(&pair.dead_letters_url);
    let _ = request.set_entries(Some(entries.collect())).send().await;
}

fn sent_at(message: &Message) -> Option<jiff::Timestamp> {
    let sent = message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    sent.and_then(|millis| jiff::Timestamp::from_millisecond(millis.parse().ok()?).ok())
}

fn described(queue: &str, message: &Message) -> Value {
    let body = message.body().unwrap_or_default();
    json!({
        "queue": queue,
        "id": message.message_id(),
        "sent_at": sent_at(message).map(|at| at.to_string()),
        // A message of the relay is the key of a record.
        "record": serde_json::from_str::<RecordKey>(body).ok().map(|key| key.to_string()),
        "message": body,
    })
}

impl Listing {
    /// The listed messages.
    pub fn messages(&self) -> &[Value] {
        &self.messages
    }

    /// The number of messages that are not listed.
    pub fn hidden(&self) -> u64 {
        self.not_listed.values().sum()
    }

    /// The listing as text for people.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        if self.messages.is_empty() {
            shown.push_str("no visible dead letters\n");
        } else {
            shown.push_str(&shown_messages(&self.messages));
        }
        for (queue, count) in &self.not_listed {
            // Writing to a String cannot fail.
            let _ = writeln!(
                shown,
                "{queue}: {count} more are not listed because they are beyond the maximum of {MAX_SHOWN} or hidden"
            );
        }
        shown
    }
}

/// Dead letters as a table.
pub fn shown_messages(messages: &[Value]) -> String {
    let rows = messages.iter().map(|message| {
        let record = match &message["record"] {
            Value::Null => format!("not sent by the relay: {}", text(message, "message")),
            _ => text(message, "record"),
        };
        [text(message, "queue"), text(message, "sent_at"), text(message, "id"), record]
    });
    table(["queue", "sent (UTC)", "id", "record"], rows)
}

/// Redrives dead letters, at most `rate` a second, and returns a tally for each queue. A problem with one queue does
/// not stop the others.
pub async fn redrive(deployment: &Deployment, only: Option<&str>, rate: u32) -> Result<Vec<Tally>> {
    let client = Client::new(&deployment.sdk);
    let mut tallies = Vec::new();
    for pair in pairs(deployment, only)? {
        let mut tally = Tally { queue: pair.name, count: 0, hidden: 0, problem: None };
        if let Err(problem) = redrive_one(&client, &pair, rate, &mut tally).await {
            tally.problem = Some(format!("{problem:#}"));
        }
        // Counted afterwards: others, or an interrupted run, hide these messages, and they still need a redrive.
        if let Ok((_, hidden)) = count(&client, &pair.dead_letters_url).await {
            tally.hidden = hidden;
        }
        tallies.push(tally);
    }
    Ok(tallies)
}

async fn redrive_one(client: &Client, pair: &Pair, rate: u32, tally: &mut Tally) -> Result<()> {
    let (visible, _) = count(client, &pair.dead_letters_url).await?;
    let bar = ProgressBar::new(visible);
    let style = ProgressStyle::with_template("{prefix:20} {bar:40} {pos}/{len} {per_sec} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(pair.name);
    // New ids of redriven messages: those that are dead letters again are left alone.
    let mut put_back_before = HashSet::new();
    loop {
        let started = tokio::time::Instant::now();
        let received = receive(client, &pair.dead_letters_url, rate).await?;
        let (dead_again, messages): (Vec<_>, Vec<_>) = received
            .into_iter()
            .partition(|message| message.message_id().is_some_and(|id| put_back_before.contains(id)));
        if !dead_again.is_empty() {
            bail!("{} redriven messages are dead letters again; fix the cause first", dead_again.len());
        }
        if messages.is_empty() {
            break;
        }
        let put_back = put_back(client, pair, &messages, &mut put_back_before).await;
        let count = put_back.as_ref().copied().unwrap_or_else(|failed| failed.count);
        tally.count += u64::from(count);
        bar.inc(count.into());
        if let Err(PartlyPutBack { problem, .. }) = put_back {
            return Err(problem);
        }
        tokio::time::sleep_until(started + Duration::from_secs(1) * count / rate).await;
    }
    bar.finish_with_message("done");
    Ok(())
}

/// A batch that was not redriven completely.
struct PartlyPutBack {
    /// The number of messages that were redriven.
    count: u32,
    problem: anyhow::Error,
}

async fn put_back(
    client: &Client,
    pair: &Pair,
    messages: &[Message],
    put_back_before: &mut HashSet<String>,
) -> Result<u32, PartlyPutBack> {
    let none = |problem| PartlyPutBack { count: 0, problem };
    let entries = messages.iter().enumerate().map(|(index, message)| {
        let body = message.body().unwrap_or_default();
        SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build()
    });
    let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(|error| none(error.into()))?;
    let sent = client.send_message_batch().queue_url(&pair.url).set_entries(Some(entries)).send().await;
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) => {
            let_be_received(client, pair, messages).await;
            return Err(none(anyhow!("{}: {}", pair.url, relay_runtime::aws::cause(&error))));
        }
    };
    put_back_before.extend(sent.successful().iter().map(|entry| entry.message_id().to_owned()));
    let at = |id: &str| messages.get(id.parse::<usize>().ok()?);
    let taken = sent.successful().iter().filter_map(|entry| {
        let receipt_handle = at(entry.id())?.receipt_handle.clone();
        DeleteMessageBatchRequestEntry::builder().id(entry.id()).set_receipt_handle(receipt_handle).build().ok()
    });
    let taken: Vec<_> = taken.collect();
    let count = u32::try_from(taken.len()).unwrap_or(MAX_ENTRIES);
    let partly = |problem| PartlyPutBack { count, problem };
    if !taken.is_empty() {
        let deleted = client.delete_message_batch().queue_url(&pair.dead_letters_url).set_entries(Some(taken));
        let problem = match deleted.send().await {
            Ok(deleted) => deleted.failed().first().map(|first| first.code().to_owned()),
            Err(error) => Some(relay_runtime::aws::cause(&error)),
        };
        if let Some(problem) = problem {
            return Err(partly(anyhow!(
                "some redriven messages were not deleted from the dead-letter queue, which is harmless: {problem}"
            )));
        }
    }
    if let Some(first) = sent.failed().first() {
        let refused: Vec<_> = sent.failed().iter().filter_map(|entry| at(entry.id())).cloned().collect();
        let_be_received(client, pair, &refused).await;
        return Err(partly(anyhow!(
            "SQS rejected {} messages, which stay dead letters: {}",
            refused.len(),
            first.code()
        )));
    }
    Ok(count)
}
