//! Runs the functions behind queues.

use std::collections::BTreeMap;

use super::*;

/// A message that is in flight until it is due.
pub(super) struct Postponed {
    queue: &'static str,
    due: EpochMillis,
    received: u64,
    message: Message,
}

impl Relay {
    /// The function that sends calls of this kind.
    pub fn sender(&self, kind: CallKind) -> &Sender {
        self.senders.iter().find(|sender| sender.kind == kind).unwrap()
    }

    /// Receives up to ten messages from a queue.
    pub async fn receive(&self, queue: &str) -> Vec<Message> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(self.queue_url(queue))
            .max_number_of_messages(10)
            .visibility_timeout(180)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .unwrap();
        let messages = received.messages.unwrap_or_default();
        self.messages.lock().unwrap().extend(messages.iter().filter_map(|message| message.body.clone()));
        messages
    }

    /// Builds a Lambda event of these messages, with 30 s to its deadline.
    pub fn event(&self, messages: &[Message]) -> LambdaEvent<SqsEvent> {
        let record = |message: &Message| {
            json!({
                "messageId": message.message_id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": {"ApproximateReceiveCount": message.attributes.as_ref()
                    .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount)).map_or("1", String::as_str)},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            })
        };
        let records: Vec<_> = messages.iter().map(record).collect();
        let mut context = Context::default();
        context.request_id = format!("invocation-{}", self.invocations.fetch_add(1, Ordering::Relaxed));
        context.deadline = u64::try_from(self.clock.now().plus(Duration::from_secs(30)).0).unwrap();
        LambdaEvent::new(serde_json::from_value(json!({"Records": records})).unwrap(), context)
    }

    /// The batch runner of a queue.
    pub fn runner(&self, queue: &str) -> BatchRunner {
        let queue = Queue::new(self.sqs.clone(), self.queue_url(queue).to_owned());
        BatchRunner::new(queue, self.clock.clone(), counted_random())
    }

    /// Runs the function behind a queue on a batch.
    pub async fn invoke(&self, queue: &str, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
        let runner = self.runner(queue);
        match queue.parse::<CallKind>().ok() {
            None => self.dispatch.handle(&runner, event).await,
            Some(kind) => self.sender(kind).handle(&runner, event).await,
        }
    }

    /// Polls a queue once, as Lambda does, and returns the numbers of received and failed messages.
    ///
    /// Messages that the function does not report as failed are deleted. Failed messages become visible at once, so
    /// tests need not wait.
    pub async fn poll(&self, queue: &str) -> (usize, usize) {
        let messages = self.receive(queue).await;
        if messages.is_empty() {
            return (0, 0);
        }
        let response = self.invoke(queue, self.event(&messages)).await;
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        for message in &messages {
            let handle = message.receipt_handle.clone().unwrap();
            if message.message_id.as_ref().is_some_and(|id| failed.contains(id)) {
                let change = self.sqs.change_message_visibility().queue_url(self.queue_url(queue));
                change.receipt_handle(handle).visibility_timeout(0).send().await.unwrap();
            } else {
                let delete = self.sqs.delete_message().queue_url(self.queue_url(queue));
                delete.receipt_handle(handle).send().await.unwrap();
            }
        }
        (messages.len(), failed.len())
    }

    /// Polls a queue once, like [`Relay::poll`], but failed messages come back only when they are due.
    pub async fn poll_in_time(&self, queue: &'static str) {
        let now = self.clock.now();
        let mut messages = self.receive(queue).await;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        self.postponed.lock().unwrap().retain(|one| {
            let is_due = one.queue == queue && one.due <= now && messages.len() < 10;
            if is_due {
                counts.insert(one.message.message_id.clone().unwrap(), one.received);
                messages.push(one.message.clone());
            }
            !is_due
        });
        if messages.is_empty() {
            return;
        }
        let mut event = self.event(&messages);
        for record in &mut event.payload.records {
            let count = counts.entry(record.message_id.clone().unwrap()).or_default();
            *count += 1;
            record.attributes.insert("ApproximateReceiveCount".to_owned(), count.to_string());
        }
        let response = self.invoke(queue, event).await;
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        let pauses = self.cloud.visibility_timeouts();
        for message in messages {
            let (id, handle) = (message.message_id.clone().unwrap(), message.receipt_handle.clone().unwrap());
            if failed.contains(&id) {
                let pause = pauses.get(&handle).copied().unwrap_or_default();
                let due = now.plus(Duration::from_secs(pause));
                self.postponed.lock().unwrap().push(Postponed { queue, due, received: counts[&id], message });
            } else {
                let delete = self.sqs.delete_message().queue_url(self.queue_url(queue));
                delete.receipt_handle(handle).send().await.unwrap();
            }
        }
    }

    /// How often the most often received message of [`Relay::poll_in_time`] was received.
    pub fn most_receives(&self) -> u64 {
        self.postponed.lock().unwrap().iter().map(|one| one.received).max().unwrap_or_default()
    }

    /// Polls all queues until they are empty. Advances the clock by 20 s whenever a message failed.
    pub async fn run_until_idle(&self) {
        let names: Vec<_> = self.queues.iter().map(|(name, _)| *name).collect();
        for _ in 0..200 {
            let (mut received, mut failed) = (0, 0);
            for name in &names {
                let (came, again) = self.poll(name).await;
                received += came;
                failed += again;
            }
            if received == 0 {
                return;
            }
            if failed > 0 {
                self.clock.advance(Duration::from_secs(20));
            }
        }
        panic!("the queues did not become empty");
    }
}
