//! A model of SQS: delivery at least once, in any order, with visibility time-outs and dead-letter queues.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use relay_types::call::CallKind;
use relay_types::time::EpochMillis;
use tokio::sync::Notify;

use crate::table;
use crate::world::{World, lock};

/// The queues' visibility time-out in milliseconds, the same as in the template.
const VISIBILITY_MS: i64 = 180_000;
/// The number of receives before a message moves to the dead-letter queue: the smallest that the template allows.
const MAX_RECEIVES: u32 = 10;

/// The names of the queues: the last parts of their URLs.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once("notifications").chain(CallKind::ALL.into_iter().map(Into::into))
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The message id of SQS.
    pub id: u64,
    /// Its body.
    pub body: String,
    /// Whether it was sent while there were no faults.
    pub fair: bool,
    /// The number of times that it was received.
    pub received: u32,
    /// The time from which it may be received again.
    pub visible_at: EpochMillis,
    /// The latest receipt handle.
    pub receipt: u64,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    dead: Vec<Message>,
}

/// All queues.
#[derive(Debug, Default)]
pub struct Queues {
    queues: Mutex<BTreeMap<&'static str, Queue>>,
    numbers: Mutex<u64>,
    changed: [Notify; CallKind::ALL.len() + 1],
}

/// Returns the name of the queue with that URL.
pub fn named(url: &str) -> Option<&'static str> {
    let name = url.rsplit('/').next()?;
    names().find(|known| *known == name)
}

impl Queues {
    fn number(&self) -> u64 {
        let mut numbers = lock(&self.numbers);
        *numbers += 1;
        *numbers
    }

    /// Adds a message to a queue, visible after a delay, and returns its id.
    pub fn send(&self, world: &World, queue: &'static str, body: &str, delay: Duration) -> u64 {
        let id = self.number();
        let fair = world.weather().is_fair() && !world.faults_are_planned.load(Ordering::Relaxed);
        let visible_at = world.now().plus(delay);
        let message = Message { id, body: body.to_owned(), fair, received: 0, visible_at, receipt: 0 };
        lock(&self.queues).entry(queue).or_default().messages.push(message);
        self.changed(queue).notify_waiters();
        id
    }

    /// Notifies when a message arrives or its visibility changes.
    pub fn changed(&self, queue: &'static str) -> &Notify {
        let index = names().position(|name| name == queue).unwrap_or_default();
        &self.changed[index]
    }

    /// Whether another message of the queue has this body.
    pub fn holds_another(&self, queue: &'static str, message: &Message) -> bool {
        let queues = lock(&self.queues);
        let messages = queues.get(queue).map(|queue| queue.messages.as_slice()).unwrap_or_default();
        messages.iter().any(|one| one.id != message.id && one.body == message.body)
    }

    /// The time at which the next message is visible, if there is one.
    pub fn next_visible(&self, queue: &'static str) -> Option<EpochMillis> {
        lock(&self.queues).get(queue)?.messages.iter().map(|message| message.visible_at).min()
    }

    /// Receives up to `most` visible messages, in any order.
    pub fn receive(&self, world: &World, queue: &'static str, most: usize) -> Vec<Message> {
        let now = world.now();
        let weather = world.weather();
        let name = queue;
        let mut queues = lock(&self.queues);
        let queue = queues.entry(queue).or_default();
        let mut visible: Vec<usize> =
            (0..queue.messages.len()).filter(|index| queue.messages[*index].visible_at <= now).collect();
        world.draw(|chance| chance.shuffle(&mut visible));
        visible.truncate(most);
        visible.sort_unstable();
        let mut given = Vec::new();
        let mut gone = Vec::new();
        for index in visible {
            let message = &mut queue.messages[index];
            message.received += 1;
            if message.received > MAX_RECEIVES {
                gone.push(index);
                world.saw("a message moved to the dead-letter queue");
                // An itinerary may have to wait for an older one, so a notification may be received in vain for long.
                let is_key = table::named_by(world, &message.body).is_some();
                if message.fair && is_key && name != "notifications" {
                    world.violated(format!(
                        "a message of {name} was not handled although there were no faults: {}",
                        message.body
                    ));
                }
                world.note(|| format!("sqs: message {} moved to the dead-letter queue: {}", message.id, message.body));
                continue;
            }
            if world.happens(weather.queue / 4.0) {
                gone.push(index);
                world.saw("a message was lost");
                world.note(|| format!("sqs: message {} lost: {}", message.id, message.body));
                continue;
            }
            message.receipt = self.number();
            message.visible_at = if world.happens(weather.queue) {
                world.saw("a message was delivered twice");
                now
            } else {
                EpochMillis(now.0 + VISIBILITY_MS)
            };
            given.push(message.clone());
        }
        for index in gone.into_iter().rev() {
            let message = queue.messages.remove(index);
            queue.dead.push(message);
        }
        world.draw(|chance| chance.shuffle(&mut given));
        given
    }

    /// Deletes a message that was handled. Sometimes the deletion is forgotten, and the message comes again.
    pub fn delete(&self, world: &World, queue: &'static str, id: u64) {
        if world.happens(world.weather().queue) {
            world.saw("a message was delivered after its deletion");
            return;
        }
        if let Some(queue) = lock(&self.queues).get_mut(queue) {
            queue.messages.retain(|message| message.id != id);
        }
    }

    /// Sets the visibility time-out of a received message, in seconds from now.
    pub fn change_visibility(&self, world: &World, queue: &'static str, receipt: u64, seconds: i64) {
        if let Some(entry) = lock(&self.queues).get_mut(queue)
            && let Some(message) = entry.messages.iter_mut().find(|message| message.receipt == receipt)
        {
            message.visible_at = EpochMillis(world.now().0 + seconds * 1000);
        }
        self.changed(queue).notify_waiters();
    }

    /// Sends a copy of every message of a queue.
    pub fn copy_all(&self, world: &World, queue: &'static str) {
        let bodies: Vec<_> =
            lock(&self.queues).entry(queue).or_default().messages.iter().map(|one| one.body.clone()).collect();
        for body in bodies {
            self.send(world, queue, &body, Duration::ZERO);
        }
    }

    /// Lists the messages of all queues, sorted independently of their order of arrival.
    pub fn summary(&self) -> Vec<(&'static str, String, u32, i64)> {
        let queues = lock(&self.queues);
        let messages = queues.iter().flat_map(|(name, queue)| {
            queue.messages.iter().map(|one| (*name, one.body.clone(), one.received, one.visible_at.0))
        });
        let mut messages: Vec<_> = messages.collect();
        messages.sort_unstable();
        messages
    }

    /// Whether all queues are empty.
    pub fn are_empty(&self) -> bool {
        lock(&self.queues).values().all(|queue| queue.messages.is_empty())
    }
}
