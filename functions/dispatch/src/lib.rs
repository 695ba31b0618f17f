//! SQS `notifications`: reads an order, decides what a notification leads to, records the call, enqueues its
//! key, and marks the notification. In this order, so that stopping anywhere leaves something that a second
//! delivery of the message completes, and running twice writes one call.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use shared::call::{CallId, CallKey, CallKind, CallRequest};
use shared::clock::{SharedClock, SharedRandom};
use shared::decide::{Decision, Order, decide};
use shared::delivery::{CallMessage, Invocation};
use shared::notification::{Notification, NotificationKey, NotificationState};
use shared::order::Link;
use shared::partner::sctt;
use shared::queue::batch::{BatchRunner, Handled, Message};
use shared::queue::{Queue, SendError, backoff};
use shared::record::calls::{Asked, CallState, NewCall, Replace};
use shared::record::orders::{NotificationRecord, OrderRecords, Verdict};
use shared::record::{StoreError, Table};
use shared::wire;

/// What the function is made of.
pub struct Dispatch {
    /// Where orders and calls are recorded.
    pub table: Table,
    /// Where the keys of itinerary postbacks go.
    pub itinerary_postback: Queue,
    /// Where the keys of ship notifications go.
    pub ship_notify: Queue,
    /// Tells TOP why issuing failed where the link does not.
    pub ship_failed_code: Option<String>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Makes revision tokens and jitter.
    pub random: SharedRandom,
}

/// Why a notification could not be dispatched this time.
enum NotDispatched {
    Store(StoreError),
    Queue(SendError),
    Missing,
    Unreadable(wire::WireError),
}

impl From<StoreError> for NotDispatched {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SendError> for NotDispatched {
    fn from(error: SendError) -> Self {
        Self::Queue(error)
    }
}

impl From<wire::WireError> for NotDispatched {
    fn from(error: wire::WireError) -> Self {
        Self::Unreadable(error)
    }
}

impl Dispatch {
    /// Handles a batch of messages.
    pub async fn handle(&self, runner: &BatchRunner, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
        let deadline = Invocation::from(&event.context).deadline;
        runner.run(event.payload, deadline, |message| self.dispatch_message(message)).await
    }

    async fn dispatch_message(&self, message: Message<NotificationKey>) -> Handled {
        let key = message.key;
        let error = match self.dispatch(&key).await {
            Ok(()) => return Handled::Done,
            Err(NotDispatched::Store(error)) => error.to_string(),
            Err(NotDispatched::Queue(error)) => error.to_string(),
            Err(NotDispatched::Missing) => "there is no such notification in the table".to_owned(),
            Err(NotDispatched::Unreadable(error)) => format!("the recorded notification cannot be read: {error}"),
        };
        tracing::error!(notification = %key, error, "not dispatched; the message comes again");
        Handled::Again(backoff::pause(message.receive_count, (self.random)()))
    }

    async fn dispatch(&self, key: &NotificationKey) -> Result<(), NotDispatched> {
        let records = self.table.order(&key.order).await?;
        let is_this = |record: &NotificationRecord| record.kind == key.kind && record.digest == key.digest;
        let Some(position) = records.notifications.iter().position(is_this) else {
            return Err(NotDispatched::Missing);
        };
        if records.notifications[position].state == NotificationState::Dispatched {
            tracing::info!(notification = %key, "nothing to do: it was dispatched before");
            return Ok(());
        }
        let decision = self.decide(key, &records, position).await?;
        let verdict = match decision {
            Decision::Call(request) => self.ask(key, request).await?,
            Decision::Nothing(reason) => Verdict::Dispatched { call: None, reason: Some(reason) },
            Decision::Wait(reason) => Verdict::Waiting(reason),
            Decision::Attention(reason) => Verdict::Attention(reason),
        };
        let now = self.clock.now();
        let written = self.table.mark(key, &verdict, now).await?;
        if written && matches!(verdict, Verdict::Dispatched { .. }) && records.link.is_some() {
            self.table.let_link_expire(&key.order, now).await?;
        }
        match verdict {
            _ if !written => tracing::info!(notification = %key, "left as it is: it was dispatched in between"),
            Verdict::Dispatched { call, reason } => {
                let call = call.map(|call| call.to_string());
                tracing::info!(notification = %key, state = "dispatched", call, reason, "decided");
            }
            Verdict::Waiting(reason) => tracing::info!(notification = %key, state = "waiting", reason, "decided"),
            Verdict::Attention(reason) => {
                tracing::warn!(notification = %key, state = "attention", reason, "decided: a person must look");
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        key: &NotificationKey,
        records: &OrderRecords,
        position: usize,
    ) -> Result<Decision, NotDispatched> {
        let parse = |record: &NotificationRecord| {
            let payload = wire::parse_object(record.payload.as_bytes())?;
            Notification::from_payload(record.kind, &payload)
        };
        let notification = parse(&records.notifications[position])?;
        let newer: Result<Vec<_>, _> = records.notifications[position + 1..].iter().map(parse).collect();
        let link = records.link.as_ref().map(|record| &record.link);
        let success_told = self.success_told(&notification, link).await?;
        let order = Order { key: &key.order, link, newer: &newer?, success_told };
        Ok(decide(&notification, order, self.ship_failed_code.as_deref()))
    }

    /// Whether TOP was told that a ship order's tickets were issued, or is about to be. Read only where the
    /// decision turns on it.
    async fn success_told(&self, notification: &Notification, link: Option<&Link>) -> Result<bool, StoreError> {
        let (Notification::Sctt(push), Some(Link::FliggyShip(ship))) = (notification, link) else {
            return Ok(false);
        };
        let key = CallKey::try_from(format!("{}-issued", ship.alitrip_order_id));
        let (sctt::FAILED | sctt::CANCELLED, Ok(key)) = (push.order_status, key) else { return Ok(false) };
        let issued = self.table.call(&CallId { call: CallKind::ShipNotify, key }).await?;
        Ok(issued.is_some_and(|issued| issued.state != CallState::Rejected))
    }

    /// Records the call and enqueues its key; a key that is taken by another request is a person's to settle.
    async fn ask(&self, key: &NotificationKey, request: CallRequest) -> Result<Verdict, NotDispatched> {
        let call = request.kind();
        let (Some(call_key), Some(queue)) = (request.business_key()?, self.queue_of(call)) else {
            return Ok(Verdict::Attention(format!("{call} is never decided; submit it directly")));
        };
        let id = CallId { call, key: call_key };
        let new = NewCall {
            id: &id,
            request: &request,
            asked_by: &key.to_string(),
            revision: &format!("{:016x}{:016x}", (self.random)(), (self.random)()),
        };
        let enqueue = match self.table.ask(new, Replace::PendingOrRejected, self.clock.now()).await? {
            Asked::Recorded => true,
            // Enqueued again, since whoever asked first may have stopped before.
            Asked::Same(record) => record.state == CallState::Pending,
            Asked::Different(record) => {
                let state = record.state.as_str();
                return Ok(Verdict::Attention(format!(
                    "{id} is {state} with another request, and TOP takes no correction"
                )));
            }
        };
        if enqueue {
            queue.send(&CallMessage::from(id.clone())).await?;
        }
        Ok(Verdict::Dispatched { call: Some(id), reason: None })
    }
    /// Where the keys of a call go that a notification can lead to.
    const fn queue_of(&self, call: CallKind) -> Option<&Queue> {
        match call {
            CallKind::ShipNotify => Some(&self.ship_notify),
            CallKind::ItineraryPostback => Some(&self.itinerary_postback),
            CallKind::TicketVerify => None,
        }
    }
}
