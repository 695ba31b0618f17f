//! SQS `notifications`: reads an order, decides what a notification leads to, records the call, enqueues its
//! key, and marks the notification. In this order, so that stopping anywhere leaves something that a second
//! delivery of the message completes, and running twice writes one call.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use shared::call::{CallId, CallKey, CallKind, CallRequest};
use shared::clock::{SharedClock, SharedRandom};
use shared::decide::{Decision, Order, decide};
use shared::delivery::CallMessage;
use shared::notification::{Notification, NotificationKey, NotificationState};
use shared::order::Link;
use shared::queue::batch::{BatchRunner, Handled, Invocation, Message};
use shared::queue::{Queue, SendError, backoff};
use shared::record::calls::{Asked, CallState, NewCall, Replace, new_revision};
use shared::record::orders::{LinkRecord, NotificationRecord, OrderRecords, Verdict};
use shared::record::{StoreError, Table};
use shared::top::ship_notify::ConfirmBook;
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

/// Largest request that is recorded, in bytes: a DynamoDB item holds 400 KB.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// How long a run may still be about to record a call that it has told the link of: the end of its invocation, and
/// clocks that differ.
const STILL_AT_WORK: Duration = Duration::from_secs(120);

/// Why an itinerary is taken back.
const LINKED_ANEW: &str = "the order was linked anew";

/// A decision, with the verdict where it asks for no call.
enum Decided {
    Call(CallRequest),
    NoCall(Verdict),
}

/// Why a notification could not be dispatched this time.
enum NotDispatched {
    Store(StoreError),
    Queue(SendError),
    Missing,
    Unreadable(wire::WireError),
    Changed,
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
        let invocation = Invocation::new(&event.context, self.clock.now());
        runner.run(event.payload, &invocation, |message| self.dispatch_message(message)).await
    }

    async fn dispatch_message(&self, message: Message<NotificationKey>) -> Handled {
        let key = message.key;
        let again = || backoff::pause(message.receive_count, (self.random)());
        let error = match self.dispatch(&key, message.trace_header.as_deref()).await {
            Ok(()) => return Handled::Done,
            Err(NotDispatched::Store(error)) => error.to_string(),
            Err(NotDispatched::Queue(error)) => error.to_string(),
            Err(NotDispatched::Missing) => "there is no such notification in the table".to_owned(),
            Err(NotDispatched::Changed) => {
                tracing::info!(notification = %key, "not dispatched yet: the order changed, or an older call of it is on its way");
                return Handled::Again(again());
            }
            Err(NotDispatched::Unreadable(error)) => format!("the recorded notification cannot be read: {error}"),
        };
        tracing::error!(notification = %key, error, "not dispatched");
        Handled::Failed(again())
    }

    async fn dispatch(&self, key: &NotificationKey, trace_header: Option<&str>) -> Result<(), NotDispatched> {
        let records = self.table.order(&key.order).await?;
        let position = position_of(key, &records)?;
        if records.notifications[position].state == NotificationState::Dispatched {
            tracing::info!(notification = %key, "nothing to do: it was dispatched before");
            return Ok(());
        }
        let verdict = match self.decide(key, &records, position).await? {
            Decided::Call(request) => self.ask(key, &records, position, request, trace_header).await?,
            Decided::NoCall(verdict) => verdict,
        };
        let now = self.clock.now();
        if let Some(link) = &records.link {
            // A scenic-spot order is done with its notification; any other one with its call.
            let done = match &verdict {
                Verdict::Dispatched { call, .. } => call.is_some() || matches!(link.link, Link::FliggyTicket(_)),
                _ => false,
            };
            // An itinerary's link was told so before the call was recorded.
            let told = matches!(link.link, Link::HappytripFlight(_));
            if done && !told && is_last_open(&records, position) {
                self.table.let_link_expire(&key.order, link, now).await?;
            } else if link.expires && !matches!(verdict, Verdict::Dispatched { .. }) {
                self.table.keep_link(&key.order).await?;
            }
        }
        let written = self.table.mark(&key.order, &records.notifications[position], &verdict, now).await?;
        match verdict {
            _ if !written => {
                tracing::info!(notification = %key, "left as it is: it was dispatched, or is decided again, meanwhile");
            }
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
    ) -> Result<Decided, NotDispatched> {
        let notification = match parse(&records.notifications[position]) {
            Ok(notification) => notification,
            Err(problem) => {
                let reason = format!("the recorded notification cannot be read by this version: {problem}");
                return Ok(Decided::NoCall(Verdict::Attention(reason)));
            }
        };
        // One that cannot be read must not hold up the others; its own message says what is wrong with it.
        let newer: Vec<_> =
            records.notifications[position + 1..].iter().filter_map(|other| parse(other).ok()).collect();
        let link = records.link.as_ref().map(|record| &record.link);
        // Read only where the decision turns on it.
        let success_told = match (&notification, link) {
            (ended, Some(Link::FliggyShip(ship))) if ended.says_not_booked() => {
                self.was_sent(&ship.alitrip_order_id).await?
            }
            _ => false,
        };
        let order = Order { key: &key.order, link, newer: &newer, success_told };
        Ok(match decide(&notification, order, self.ship_failed_code.as_deref()) {
            Decision::Call(request) => Decided::Call(request),
            Decision::Nothing(reason) => Decided::NoCall(Verdict::Dispatched { call: None, reason: Some(reason) }),
            Decision::Wait(reason) => Decided::NoCall(Verdict::Waiting(reason)),
            Decision::Attention(reason) => Decided::NoCall(Verdict::Attention(reason)),
        })
    }

    /// Whether TOP was told that a ship order's tickets were issued, or may have been.
    async fn was_sent(&self, alitrip_order_id: &str) -> Result<bool, NotDispatched> {
        let key = CallKey::of_ship(alitrip_order_id, true)?;
        let issued = self.table.call(&CallId { call: CallKind::ShipNotify, key }).await?;
        Ok(issued.is_some_and(|issued| match issued.state {
            CallState::Rejected => false,
            CallState::Pending => issued.unsettled > 0,
            CallState::InProgress | CallState::Succeeded | CallState::Unknown => true,
        }))
    }

    /// Records the call and enqueues its key; a key that is taken by another request is a person's to settle.
    async fn ask(
        &self,
        key: &NotificationKey,
        records: &OrderRecords,
        position: usize,
        request: CallRequest,
        trace_header: Option<&str>,
    ) -> Result<Verdict, NotDispatched> {
        let call = request.kind();
        let (Some(call_key), Some(queue)) = (request.business_key()?, self.queue_of(call)) else {
            return Ok(Verdict::Attention(format!("{call} is never decided; submit it directly")));
        };
        if request.to_json().len() > MAX_REQUEST_BYTES {
            return Ok(Verdict::Attention(format!("the request of {call} is larger than 256 KiB")));
        }
        let id = CallId { call, key: call_key };
        let link = records.link.as_ref().filter(|_| call == CallKind::ItineraryPostback);
        if let Some(link) = link {
            self.come_after_others(key, link, &id, is_last_open(records, position)).await?;
        }
        let new = NewCall {
            id: &id,
            request: &request,
            asked_by: &key.to_string(),
            notified_at: Some(records.notifications[position].received_at),
            revision: &new_revision(&self.random),
        };
        let enqueue = match self.table.ask(new, Replace::PendingOrRejected, self.clock.now()).await? {
            Asked::Recorded => true,
            // Enqueued again, since whoever asked first may have stopped before.
            Asked::Same(record) => record.state == CallState::Pending,
            // This notification led to it before; then the order was linked anew, before that could be marked. Nothing
            // else is told than if it had been marked in time.
            Asked::Different(record) if record.asked_by == new.asked_by => false,
            Asked::Different(record) => {
                let state = record.state.as_str();
                return Ok(Verdict::Attention(format!(
                    "{id} is {state} with another request, and TOP takes no correction"
                )));
            }
        };
        // Another run may have taken this call back between its two requests here, for a link that came meanwhile.
        if let Some(link) = link.filter(|link| !link.led_to.is_empty())
            && self.table.link(&key.order).await?.is_none_or(|present| present.puts != link.puts)
        {
            self.take_back(&id, LINKED_ANEW).await?;
            return Err(NotDispatched::Changed);
        }
        if let CallRequest::ShipNotify(ship) = &request
            && let Some(verdict) = self.settle_opposite(key, &request, &id, ship).await?
        {
            return Ok(verdict);
        }
        if enqueue {
            queue.send(&CallMessage::from(id.clone()), trace_header).await?;
        }
        Ok(Verdict::Dispatched { call: Some(id), reason: None })
    }

    /// "Issued" and "failed" of one order are two calls, and their notifications may be decided at the same time.
    /// Each writes its own call first and looks for the other's then, so that at least one of them sees both; that
    /// one decides again from all that is known by now, and takes back what was not sent yet and is not true any
    /// more. Gives the verdict if the call just asked for is not to be made.
    async fn settle_opposite(
        &self,
        key: &NotificationKey,
        request: &CallRequest,
        id: &CallId,
        ship: &ConfirmBook,
    ) -> Result<Option<Verdict>, NotDispatched> {
        let call = CallKind::ShipNotify;
        let opposite = CallId { call, key: CallKey::of_ship(&ship.alitrip_order_id, !ship.success)? };
        let opposite = self.table.call(&opposite).await?.filter(|opposite| opposite.state != CallState::Rejected);
        let Some(opposite) = opposite else { return Ok(None) };
        let records = self.table.order(&key.order).await?;
        let verdict = match self.decide(key, &records, position_of(key, &records)?).await? {
            Decided::Call(again) if again == *request => {
                let withdrawn = self.table.withdraw(&opposite, "a newer notification says otherwise", self.clock.now());
                // After a failure was told, a success may be; not the other way round.
                if withdrawn.await? || ship.success {
                    return Ok(None);
                }
                Verdict::Attention(format!("{} was sent meanwhile, and TOP takes no correction", opposite.id()))
            }
            Decided::Call(_) => return Err(NotDispatched::Changed),
            Decided::NoCall(verdict) => verdict,
        };
        self.take_back(id, "a newer notification says otherwise").await?;
        Ok(Some(verdict))
    }

    /// Sees to it that this itinerary will be the last word of its order: one that the order led to before, with
    /// another link, is taken back, or is at its end; if neither is possible, this one has to wait. The link is told
    /// of it first, so that whoever comes after another link finds it, even if this run ends here.
    async fn come_after_others(
        &self,
        key: &NotificationKey,
        link: &LinkRecord,
        id: &CallId,
        expires: bool,
    ) -> Result<(), NotDispatched> {
        let now = self.clock.now();
        if !self.table.lead_to(&key.order, link, id, expires, now).await? {
            return Err(NotDispatched::Changed);
        }
        for other in link.led_to.iter().filter_map(|call| CallId::parse(call)).filter(|other| other != id) {
            let Some(other) = self.table.call(&other).await? else {
                // Whoever was about to record it may still be.
                if link.led_at.is_none_or(|at| at.until(now) > STILL_AT_WORK) {
                    continue;
                }
                return Err(NotDispatched::Changed);
            };
            let at_its_end = match other.state {
                CallState::Pending => self.table.withdraw(&other, LINKED_ANEW, self.clock.now()).await?,
                CallState::InProgress => false,
                CallState::Succeeded | CallState::Rejected | CallState::Unknown => true,
            };
            if !at_its_end {
                return Err(NotDispatched::Changed);
            }
        }
        Ok(())
    }

    /// Takes the call just asked for back, if it certainly was not sent.
    async fn take_back(&self, own: &CallId, why: &str) -> Result<(), StoreError> {
        if let Some(own) = self.table.call(own).await? {
            self.table.withdraw(&own, why, self.clock.now()).await?;
        }
        Ok(())
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

/// Whether every other notification of the order is dispatched.
fn is_last_open(records: &OrderRecords, position: usize) -> bool {
    let mut others = records.notifications.iter().enumerate().filter(|(at, _)| *at != position);
    others.all(|(_, other)| other.state == NotificationState::Dispatched)
}

fn position_of(key: &NotificationKey, records: &OrderRecords) -> Result<usize, NotDispatched> {
    let is_it = |record: &NotificationRecord| record.kind == key.kind && record.digest == key.digest;
    records.notifications.iter().position(is_it).ok_or(NotDispatched::Missing)
}

fn parse(record: &NotificationRecord) -> Result<Notification, wire::WireError> {
    Notification::from_payload(record.kind, &wire::parse_object(record.payload.as_bytes())?)
}
