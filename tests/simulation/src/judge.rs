//! What must hold when a run has come to rest, judged from the table, TOP's ledger and what the callers know; not by
//! the code that is judged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared::digest::canonical_digest;
use shared::notification::CHANGES_ON_RESEND;
use shared::order::Partner;
use top_simulator::{LedgerEntry, Outcome};

use crate::story::{About, Knowledge, Order, Story, Told};
use crate::table::{Call, Link, Marks, Notification, Snapshot};
use crate::world::{World, lock};

/// The requests of a call that TOP got.
fn entries_of(world: &World, call: &Call) -> Vec<LedgerEntry> {
    let parameter = |entry: &LedgerEntry, name: &str| -> Value {
        entry.params.get(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let is_its_own = |entry: &LedgerEntry| match call.call.as_str() {
        "ticket-verify" => parameter(entry, "voucher_infos")[0]["confirm_code"] == call.key.as_str(),
        "ship-notify" => {
            let told = parameter(entry, "confirm_book_r_q");
            let same = |name: &str| told[name] == call.request[name];
            same("alitrip_order_id") && same("success")
        }
        _ => parameter(entry, "flight_itinerary_request") == call.request,
    };
    lock(&world.top).ledger().iter().filter(|entry| is_its_own(entry)).cloned().collect()
}

/// How often a call took effect at TOP.
pub fn effects_of(world: &World, call: &Call) -> usize {
    entries_of(world, call).iter().filter(|entry| entry.effect).count()
}

/// Judges a run that has come to rest. `mended`: operators have had everything decided again and settled since
/// nothing goes wrong any more.
pub fn judge(story: &Story, mended: bool) {
    let world = &story.lambda.world;
    let judge = Judge { world, story, knowledge: &lock(&story.knowledge), table: Snapshot::of(world), mended };
    judge.acknowledged_notifications();
    judge.acknowledged_links();
    judge.acknowledged_redemptions();
    judge.index();
    judge.calls();
    for order in &story.orders {
        judge.order(order);
    }
}

/// Longest time, in milliseconds, from what makes a step possible to its end while nothing goes wrong: polling, and
/// the pauses of a ship order whose two calls look for each other.
const PROMPT_MS: i64 = 20_000;

/// Judges a run in which nothing went wrong: no step had to wait for the sweep.
pub fn judge_promptness(story: &Story) {
    let world = &story.lambda.world;
    let table = Snapshot::of(world);
    for one in table.notifications.iter().filter(|one| one.state == "dispatched" && one.replays == 0) {
        let linked = table.links.iter().find(|link| link.pk == one.pk).map_or(0, |link| link.updated_at);
        let ready = one.delivered_at.max(linked);
        if one.decided_at > ready + PROMPT_MS {
            world.violated(format!("{} was decided {} ms late", one.pk, one.decided_at - ready));
        }
    }
    for call in table.calls.iter().filter(|call| call.state == "succeeded") {
        if call.updated_at > call.created_at + PROMPT_MS {
            world.violated(format!("{} was made late: {}", call.pk, call.updated_at - call.created_at));
        }
    }
}

struct Judge<'a> {
    world: &'a World,
    story: &'a Story,
    knowledge: &'a Knowledge,
    table: Snapshot,
    mended: bool,
}

fn order_pk(order: &Order) -> String {
    format!("order#{}#{}", order.partner(), order.id())
}

impl Judge<'_> {
    fn violated(&self, what: impl Into<String>) {
        let when = if self.mended { "after mending: " } else { "" };
        self.world.violated(format!("{when}{}", what.into()));
    }

    fn order_of(&self, told: &Told) -> &Order {
        &self.story.orders[told.order]
    }

    fn link_of(&self, pk: &str) -> Option<&Link> {
        self.table.links.iter().find(|link| link.pk == pk)
    }

    fn call(&self, id: &str) -> Option<&Call> {
        self.table.calls.iter().find(|call| format!("{}/{}", call.call, call.key) == id)
    }

    fn acknowledged_notifications(&self) {
        for told in self.knowledge.notifications.iter().filter(|told| told.acknowledged) {
            let body: Value = serde_json::from_str(&told.body).unwrap_or_default();
            let digest = canonical_digest(&body, &CHANGES_ON_RESEND);
            let pk = order_pk(self.order_of(told));
            let recorded =
                self.table.notifications.iter().any(|one| one.pk == pk && one.sk.ends_with(&format!("#{digest}")));
            if !recorded {
                self.violated(format!("an acknowledged notification of {pk} is lost: {}", told.body));
            }
        }
    }

    /// The link is the last one that was acknowledged, or one that was put since and got no answer.
    fn acknowledged_links(&self) {
        for order in &self.story.orders {
            let put: Vec<_> = self.knowledge.links.iter().filter(|told| told.order == order.number).collect();
            let Some(last) = put.iter().rposition(|told| told.acknowledged) else { continue };
            let stored = self.link_of(&order_pk(order)).map(|link| link.link.clone()).unwrap_or_default();
            let holds = put[last..].iter().any(|told| {
                // What is stored has members that were left out; what was put must all be there.
                contains(&stored, &serde_json::from_str(&told.body).unwrap_or_default())
            });
            if !holds {
                self.violated(format!("the link of {} is none that was put last: {stored}", order.id()));
            }
        }
    }

    fn acknowledged_redemptions(&self) {
        for told in self.knowledge.redemptions.iter().filter(|told| told.acknowledged) {
            if self.call(&format!("ticket-verify/{}", told.body)).is_none() {
                self.violated(format!("an acknowledged redemption is lost: {}", told.body));
            }
        }
    }

    /// The index holds exactly the unfinished, each with who must look; only what is finished expires.
    fn index(&self) {
        let check = |pk: &str, state: &str, marks: &Marks| {
            let looker = match state {
                "received" | "waiting" | "pending" | "in_progress" => Some("sweep#"),
                "attention" | "unknown" => Some("person#"),
                _ => None,
            };
            // What waits is looked at every six hours; a call that is banned for the day, after that.
            let soon = self.world.now().0 + 13 * 3_600_000;
            if looker == Some("sweep#") && marks.look_at.is_some_and(|look_at| look_at > soon) {
                self.violated(format!("{pk} is looked at far too late"));
            }
            let in_index = marks.unfinished.is_some() && marks.look_at.is_some();
            let right = match looker {
                Some(looker) => in_index && marks.unfinished.as_deref().is_some_and(|mark| mark.starts_with(looker)),
                None => marks.unfinished.is_none() && marks.look_at.is_none(),
            };
            if !right {
                self.violated(format!("{pk} is {state} and stands in the index as {marks:?}"));
            }
            if marks.expires != looker.is_none() {
                self.violated(format!("{pk} is {state}; it expires: {}", marks.expires));
            }
        };
        for call in &self.table.calls {
            check(&call.pk, &call.state, &call.marks);
        }
        for one in &self.table.notifications {
            check(&one.pk, &one.state, &one.marks);
        }
    }

    fn calls(&self) {
        let mut said = BTreeMap::new();
        for call in &self.table.calls {
            self.one_call(call);
            let twice = said.insert((call.call.clone(), call.request.to_string()), call.key.clone());
            if let Some(other) = twice {
                self.violated(format!("{} and {} of {} say the same", other, call.key, call.call));
            }
        }
    }

    fn one_call(&self, call: &Call) {
        let id = format!("{}/{}", call.call, call.key);
        let entries = entries_of(self.world, call);
        let effects = entries.iter().filter(|entry| entry.effect).count();
        let answered = entries.iter().any(|entry| entry.outcome == Outcome::Success);
        let last = call.outcomes.last().map(String::as_str).unwrap_or_default();
        match call.state.as_str() {
            "succeeded" => {
                let told = if last == "resolved_succeeded" { effects > 0 } else { answered || effects > 0 };
                if !told {
                    self.violated(format!("{id} is succeeded, but TOP never had it"));
                }
                // TOP takes no correction, so what it took is what the record says.
                let differs = |entry: &LedgerEntry| {
                    let told =
                        entry.params.get("confirm_book_r_q").and_then(|told| serde_json::from_str::<Value>(told).ok());
                    entry.effect && told.is_some_and(|told| told != call.request)
                };
                if call.key.ends_with("-issued") && entries.iter().any(differs) {
                    self.violated(format!("{id} is succeeded, but TOP took another request"));
                }
                // After "issued", TOP answers "failed" with its first success and changes nothing.
                if effects == 0 && !(call.key.ends_with("-failed") && self.issued(call)) {
                    self.violated(format!("{id} is succeeded, but had no effect"));
                }
            }
            "rejected" => {
                if effects > 0 {
                    self.violated(format!("{id} is rejected, but took effect"));
                }
                let refused = entries
                    .iter()
                    .any(|entry| matches!(entry.outcome, Outcome::BusinessFailure | Outcome::Error { .. }));
                match last {
                    "resolved_rejected" => {}
                    "rejected" if refused => {}
                    _ if call.may_be_asked_again => self.world.saw("a call was withdrawn"),
                    _ => self.violated(format!("{id} is rejected, but TOP did not refuse it")),
                }
            }
            "unknown" => {
                self.world.saw("a call ended as unknown");
                let once_only = call.call == "ticket-verify" && call.request["write_off_type"] != 1;
                let never_again = |entry: &LedgerEntry| entry.outcome.to_string().contains("null-pointer");
                if !once_only && last != "rejected" && !entries.iter().any(never_again) {
                    self.violated(format!("{id} may be repeated, and was given up: {:?}", call.outcomes));
                }
                if self.mended {
                    self.violated(format!("{id} is still unknown"));
                }
            }
            state => self.violated(format!("{id} is {state} with nothing that goes on")),
        }
        let once = match call.call.as_str() {
            "ship-notify" => call.key.ends_with("-issued"),
            "itinerary-postback" => self.is_only_content(call),
            _ => true,
        };
        if once && effects > 1 {
            self.violated(format!("{id} took effect {effects} times"));
        }
    }

    /// Whether TOP was told that the ship order of a call is issued.
    fn issued(&self, call: &Call) -> bool {
        let issued = Call {
            call: "ship-notify".to_owned(),
            request: serde_json::json!({"alitrip_order_id": call.request["alitrip_order_id"], "success": true}),
            ..call.clone()
        };
        effects_of(self.world, &issued) > 0
    }

    /// Whether no other request of the same business key was made: one content after another takes effect each time.
    fn is_only_content(&self, call: &Call) -> bool {
        let business = |request: &Value| match call.call.as_str() {
            "itinerary-postback" => request["out_relation_order_id"].clone(),
            "ship-notify" => request["alitrip_order_id"].clone(),
            _ => Value::from(call.key.as_str()),
        };
        let others = self.table.calls.iter().filter(|other| other.call == call.call && other.key != call.key);
        call.call == "ticket-verify"
            || !others.into_iter().any(|other| business(&other.request) == business(&call.request))
    }

    fn order(&self, order: &Order) {
        let pk = order_pk(order);
        let link = self.link_of(&pk).map(|link| &link.link);
        let notifications: Vec<_> = self.table.notifications.iter().filter(|one| one.pk == pk).collect();
        for one in &notifications {
            self.notification(order, link, one);
        }
        let told: BTreeSet<_> = notifications
            .iter()
            .flat_map(|one| &one.calls)
            .filter_map(|id| self.call(id))
            .map(|call| call.pk.clone())
            .collect();
        let told: Vec<_> = self.table.calls.iter().filter(|call| told.contains(&call.pk)).collect();
        if let (About::Ship(tickets), Some(_)) = (order.about, link) {
            self.ship(order, tickets, &notifications, &told);
        }
        self.last_word(order, link);
        // Nothing stood in the way: the effect is there.
        let linked_well = link.is_some() && !lacks_tickets(link);
        if self.mended && order.plain && linked_well && !notifications.is_empty() && order.about != About::Scenic {
            let done = told.iter().any(|call| {
                call.state == "succeeded" || call.outcomes.iter().any(|outcome| outcome.starts_with("resolved"))
            });
            if !done {
                self.violated(format!("TOP was never told of {}", order.id()));
            }
        }
    }

    /// If TOP took what the link says now, nothing older came after it.
    fn last_word(&self, order: &Order, link: Option<&Value>) {
        let tickets = link.map(|link| &link["happytrip_flight"]["ticket_no_list"]);
        let Some(tickets) = tickets.filter(|tickets| tickets.is_array()) else { return };
        let relation = format!("R{}", order.number);
        let is_its = |call: &&Call| {
            call.call == "itinerary-postback" && call.request["out_relation_order_id"] == relation.as_str()
        };
        let taken = self
            .table
            .calls
            .iter()
            .filter(is_its)
            .any(|call| call.state == "succeeded" && call.request["ticket_no_list"] == *tickets);
        // A request that was given up and came late overtakes whom it likes.
        let overtaken = lock(&self.world.late).iter().any(|form| form.contains(&format!("%22{relation}%22")));
        // So does a person who has an older one sent again.
        let by_hand = |call: &Call| call.outcomes.iter().any(|outcome| outcome == "resolved_retry");
        if !taken || overtaken || self.table.calls.iter().filter(is_its).any(by_hand) {
            return;
        }
        let told = lock(&self.world.top)
            .ledger()
            .iter()
            .filter(|entry| entry.effect)
            .filter_map(|entry| serde_json::from_str::<Value>(entry.params.get("flight_itinerary_request")?).ok())
            .rfind(|told| told["out_relation_order_id"] == relation.as_str());
        if told.is_some_and(|told| told["ticket_no_list"] != *tickets) {
            self.violated(format!("an older itinerary of {} came after the newer", order.id()));
        }
    }

    fn notification(&self, order: &Order, link: Option<&Value>, one: &Notification) {
        let id = format!("{} {}", one.pk, one.sk.get(..32).unwrap_or(&one.sk));
        if one.replays > 0 && one.replayed_by.is_empty() {
            self.violated(format!("{id} was replayed, and does not say by whom"));
        }
        for call in &one.calls {
            if self.call(call).is_none() {
                self.violated(format!("{id} names {call}, which does not exist"));
            }
        }
        let lacks_tickets = lacks_tickets(link);
        let decisive = match order.partner() {
            Partner::Tsy => one.payload["type"] == "issued",
            Partner::Sctt => one.payload["order_status"] == 2 || ended(one),
        };
        match one.state.as_str() {
            "dispatched" => {
                if one.calls.is_empty() && one.reason.is_empty() {
                    self.violated(format!("{id} is dispatched without a call and without a reason"));
                }
                if order.about == About::Flight && (one.calls.is_empty() || !decisive) {
                    self.violated(format!("{id} is dispatched: {} {}", one.payload, one.reason));
                }
            }
            "waiting" => {
                self.world.saw("a notification waited to the end");
                if !decisive || !(link.is_none() || (order.about == About::Flight && lacks_tickets)) {
                    self.violated(format!("{id} waits for what is there: {}", one.reason));
                }
            }
            "attention" => {
                self.world.saw("a notification was for a person");
                if one.reason.is_empty() {
                    self.violated(format!("{id} needs a person and does not say why"));
                }
                let must_go = match order.about {
                    About::Flight => decisive,
                    About::Scenic => true,
                    About::Ship(_) => order.plain,
                };
                if must_go {
                    self.violated(format!("{id} needs a person for no reason: {}", one.reason));
                }
            }
            state => self.violated(format!("{id} is {state} with nothing that goes on")),
        }
    }

    /// A ship order's pushes are never dropped in silence, and TOP has the last word of them.
    fn ship(&self, order: &Order, tickets: usize, notifications: &[&Notification], told: &[&Call]) {
        let vouchers = |one: &Notification| one.payload["vouchers"][0]["voucherlist"].as_array().map_or(0, Vec::len);
        let mut decisive: Vec<(i64, bool)> = notifications
            .iter()
            .filter_map(|one| match one.payload["order_status"].as_i64() {
                Some(2) if vouchers(one) > 0 => Some((one.received_at, true)),
                _ if ended(one) => Some((one.received_at, false)),
                _ => None,
            })
            .collect();
        decisive.sort_unstable();
        let Some((_, last_word)) = decisive.last().copied() else { return };
        let for_a_person = notifications.iter().any(|one| one.state == "attention");
        // A replay that died halfway may have let a refused call be asked for again.
        let by_top = |call: &Call| call.outcomes.last().is_some_and(|outcome| outcome == "rejected");
        let refused = told.iter().any(|call| match call.state.as_str() {
            "unknown" => true,
            "rejected" => !call.may_be_asked_again || by_top(call),
            _ => false,
        });
        let effects = |success: bool| {
            let call = Call {
                pk: String::new(),
                call: "ship-notify".to_owned(),
                key: String::new(),
                state: String::new(),
                request: serde_json::json!({"alitrip_order_id": order.alitrip_id(), "success": success}),
                created_at: 0,
                updated_at: 0,
                may_be_asked_again: false,
                attempt: 0,
                outcomes: Vec::new(),
                marks: Marks { unfinished: None, look_at: None, expires: false },
            };
            effects_of(self.world, &call)
        };
        if for_a_person || refused {
            return;
        }
        let matching = |one: &&Notification| vouchers(one) == tickets || vouchers(one) == 1;
        let (issued, failed) = (effects(true) > 0, effects(false) > 0);
        if last_word && !issued {
            let any_matching = notifications.iter().filter(|one| one.payload["order_status"] == 2).any(matching);
            self.violated(format!("{} is booked, and TOP was not told (a push matches: {any_matching})", order.id()));
        }
        if !last_word && (issued || !failed) {
            self.violated(format!("{} is not booked; TOP was told issued: {issued}, failed: {failed}", order.id()));
        }
    }
}

/// Whether a push says that its order failed or was cancelled.
fn ended(push: &Notification) -> bool {
    let status = push.payload["order_status"].as_i64();
    matches!(status, Some(3 | 4)) || push.payload["orderlist"][0]["cancel_status"] == 3
}

/// Whether a flight's link has no ticket numbers yet.
fn lacks_tickets(link: Option<&Value>) -> bool {
    let flight = link.map(|link| &link["happytrip_flight"]).filter(|flight| flight.is_object());
    flight.is_some_and(|flight| flight["ticket_no_list"].as_array().is_none_or(Vec::is_empty))
}

/// Whether `whole` has every member of `part`, at every level.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|present| contains(present, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        _ => whole == part,
    }
}
