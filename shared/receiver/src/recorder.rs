//! Records the notifications in a partner's body, and enqueues their keys.

use std::collections::HashSet;
use std::fmt;

use futures_util::stream::{self, StreamExt as _};
use relay_runtime::queue::{MAX_ENTRIES, Queue};
use relay_store::Store;
use relay_store::order::{Delivered, Delivery};
use relay_types::digest::canonical_digest;
use relay_types::json::{self, FieldError};
use relay_types::notification::NotificationKind;
use relay_types::order::{OrderId, OrderKey};
use relay_types::partner::CHANGES_ON_RESEND;
use relay_types::record::RecordKey;
use relay_types::time::{SharedClock, SharedRandom, is_china_time};
use serde_json::Value;

/// How many hex digits of its SHA-256 identify a notification within its order.
const SHOWN_DIGITS: usize = 32;
/// How many notifications of one body are recorded concurrently. A push of 256 KiB may name about 7,000 orders.
const AT_ONCE: usize = 16;
/// How many batches of their keys are enqueued concurrently.
const BATCHES_AT_ONCE: usize = 2;

/// Records notifications of one kind.
pub struct Recorder {
    /// The kind of notification.
    pub kind: NotificationKind,
    /// Records the notifications.
    pub store: Store,
    /// The queue for their record keys.
    pub notifications: Queue,
    /// Gives the time of each delivery.
    pub clock: SharedClock,
    /// Generates the tokens of deliveries.
    pub random: SharedRandom,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A body, and the orders that it is about.
#[derive(Debug)]
pub struct ReadBody {
    /// The body.
    pub json: Value,
    /// The orders, or why a part of the body cannot be used. At least one.
    pub orders: Vec<Result<OrderId, FieldError>>,
}

/// What became of the notifications in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether all are recorded and enqueued, or quarantined. If not, the body must be taken once more.
    pub stored: bool,
    /// Whether a notification was quarantined, because its order has too many undecided deliveries.
    pub aside: bool,
}

/// The result of recording a notification.
enum Recorded {
    /// Recorded under this key, which the caller must enqueue.
    As(RecordKey),
    /// Quarantined.
    Aside,
    /// Not recorded.
    Not,
}

impl Recorder {
    /// Reads a body.
    ///
    /// # Errors
    /// If it names no order: says which field is missing or wrong.
    pub fn read(&self, bytes: &[u8]) -> Result<ReadBody, FieldError> {
        let json = json::parse_object(bytes)?;
        Ok(ReadBody { orders: self.kind.orders_of(&json)?, json })
    }

    /// Records every notification in a body, and enqueues their keys.
    pub async fn take(&self, bytes: &[u8], read: ReadBody, trace_header: Option<&str>) -> Taken {
        let ReadBody { json, orders } = read;
        // Recorded bodies lose the byte order mark, quarantined ones keep it.
        let (json, whole) = (&json, json::without_mark(bytes));
        // Equal entries of one push count as one delivery.
        let mut told = HashSet::new();
        let (mut parts, mut unusable) = (Vec::new(), Vec::new());
        for (index, order_id) in orders.into_iter().enumerate() {
            match order_id {
                Ok(order_id) => {
                    let part = self.kind.part_of(json, &[index]);
                    let digest = digest_of(part.as_ref().unwrap_or(json));
                    if told.insert((order_id.clone(), digest.clone())) {
                        parts.push((order_id, part, digest));
                    }
                }
                Err(problem) => unusable.push((index, problem)),
            }
        }
        let kept = self.keep_unusable(json, &unusable).await;
        stream::iter(parts)
            .map(|(order_id, part, digest)| async move {
                let text = part.map_or_else(|| String::from_utf8_lossy(whole).into_owned(), |part| part.to_string());
                self.record(order_id, &text, json, &digest).await
            })
            .buffer_unordered(AT_ONCE)
            .chunks(MAX_ENTRIES)
            .map(|recorded| self.enqueue(recorded, trace_header))
            .buffer_unordered(BATCHES_AT_ONCE)
            .fold(Taken { stored: kept, aside: false }, async |all, some| Taken {
                stored: all.stored & some.stored,
                aside: all.aside | some.aside,
            })
            .await
    }

    /// Records a delivery, or quarantines it if the order's record is full.
    async fn record(&self, order_id: OrderId, text: &str, json: &Value, digest: &str) -> Recorded {
        let key = RecordKey::Order(OrderKey { partner: self.kind.partner(), order_id });
        let delivery = Delivery {
            key: &key,
            kind: self.kind,
            digest,
            body: text,
            // Any other value cannot tell a repeat from a late copy, and could exceed the record's size.
            request_time: json["request_time"].as_str().filter(|time| is_china_time(time)),
            token: &format!("{:08x}", (self.random)() >> 32),
        };
        match self.store.deliver(delivery, self.clock.now()).await {
            Ok(Delivered::Recorded) => {
                tracing::info!(record = %key, kind = %self.kind, digest, "notification recorded");
                Recorded::As(key)
            }
            // Quarantined, and on the attention list: the partner's retries would change nothing.
            Ok(Delivered::Full) => {
                let problem = "too many undecided deliveries of this order";
                if self.keep(text.as_bytes(), problem).await { Recorded::Aside } else { Recorded::Not }
            }
            Err(error) => {
                tracing::error!(record = %key, kind = %self.kind, %error, "notification not recorded: the partner must send again");
                Recorded::Not
            }
        }
    }

    /// Enqueues the keys of recorded notifications, in one request.
    async fn enqueue(&self, recorded: Vec<Recorded>, trace_header: Option<&str>) -> Taken {
        let aside = recorded.iter().any(|one| matches!(one, Recorded::Aside));
        let is_whole = !recorded.iter().any(|one| matches!(one, Recorded::Not));
        let key = |one| match one {
            Recorded::As(key) => Some(key),
            Recorded::Aside | Recorded::Not => None,
        };
        let keys: Vec<RecordKey> = recorded.into_iter().filter_map(key).collect();
        let sent = match keys.as_slice() {
            [] => Ok(()),
            [key] => self.notifications.send(key, trace_header).await,
            keys => self.notifications.send_all_in_trace(keys, trace_header).await,
        };
        if let Err(error) = &sent {
            let record = keys.first().map(ToString::to_string).unwrap_or_default();
            tracing::error!(record, keys = keys.len(), kind = %self.kind, %error, "notifications recorded, but not enqueued: the partner must send again");
        }
        Taken { stored: is_whole && sent.is_ok(), aside }
    }

    /// Quarantines the unusable entries of a push, so the others can be recorded. All of them form one item, so a push
    /// cannot flood the attention list. `true` if that succeeded.
    async fn keep_unusable(&self, json: &Value, unusable: &[(usize, FieldError)]) -> bool {
        let Some((_, first)) = unusable.first() else { return true };
        let indices: Vec<_> = unusable.iter().map(|(index, _)| *index).collect();
        let part = self.kind.part_of(json, &indices).unwrap_or_default();
        let others = match unusable.len() - 1 {
            0 => String::new(),
            1 => "; another entry cannot be used either".to_owned(),
            others => format!("; {others} other entries cannot be used either"),
        };
        self.keep(part.to_string().as_bytes(), &format!("{first}{others}")).await
    }

    /// Quarantines a body for an operator. `true` if that succeeded.
    pub(crate) async fn keep(&self, body: &[u8], problem: &str) -> bool {
        if let Err(error) = self.store.quarantine(self.kind, body, problem, self.clock.now()).await {
            tracing::error!(kind = %self.kind, %error, "body not quarantined: the partner must send again");
            return false;
        }
        tracing::error!(kind = %self.kind, problem, "body quarantined");
        true
    }
}

/// The digest that identifies a notification within its order.
fn digest_of(json: &Value) -> String {
    let mut digest = canonical_digest(json, &CHANGES_ON_RESEND);
    digest.truncate(SHOWN_DIGITS);
    digest
}
