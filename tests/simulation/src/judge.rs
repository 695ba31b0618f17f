//! Checks a run that has come to rest. The judge takes the facts in the table's order. From them it derives what TOP
//! may know, which orders wait or need attention, and why. It uses no code of the relay.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use top_simulator::{LedgerEntry, Outcome};

use crate::callers::{Knowledge, OrderName, Told};
use crate::desire::{Desire, State};
use crate::facts::Fact;
use crate::table::{Record, Snapshot};
use crate::world::{World, lock};

/// Returns the lane and the content of a request to TOP, in the terms of [`Desire::Tell`].
fn told(entry: &LedgerEntry) -> Option<(String, Value)> {
    let parameter = |name: &str| -> Option<Value> { serde_json::from_str(entry.params.get(name)?).ok() };
    said(parameter("confirm_book_r_q"), parameter("flight_itinerary_request"), parameter("voucher_infos"))
}

fn said(ship: Option<Value>, itinerary: Option<Value>, vouchers: Option<Value>) -> Option<(String, Value)> {
    if let Some(ship) = ship {
        let lane = format!("ship-notify/{}", ship["alitrip_order_id"].as_str()?);
        if ship["success"] != true {
            return Some((lane, json!({"success": false})));
        }
        let passengers = ship["passenger_list"].as_array().into_iter().flatten();
        let tickets = passengers.flat_map(|passenger| passenger["ticket_list"].as_array().into_iter().flatten());
        let mut codes: Vec<_> =
            tickets.map(|ticket| ticket["e_ticket_no"].clone()).filter(|code| !code.is_null()).collect();
        codes.extend(Some(ship["fetch_tickets_number"].clone()).filter(|code| !code.is_null()));
        return Some((lane, json!({"success": true, "total_price": ship["total_price"], "codes": codes})));
    }
    if let Some(itinerary) = itinerary {
        let id = itinerary["out_relation_order_id"].as_str()?;
        return Some((format!("itinerary-postback/{id}"), itinerary["ticket_no_list"].clone()));
    }
    let voucher = vouchers?;
    Some(("ticket-verify".to_owned(), voucher[0]["confirm_code"].clone()))
}

/// Returns the lane and the content of the request of an order's call.
fn said_by(request: &Value) -> Option<(String, Value)> {
    let is_ship = !request["alitrip_order_id"].is_null();
    let request = Some(request.clone());
    if is_ship { said(request, None, None) } else { said(None, request, None) }
}

/// Whether a call of an order took effect.
pub fn took_effect(world: &World, record: &Record) -> bool {
    let wanted = said_by(&record.request);
    lock(&world.top).ledger().iter().any(|entry| entry.effect && told(entry) == wanted)
}

/// The lanes (`call/id`) on which something took effect.
pub fn lanes_with_effect(world: &World) -> BTreeSet<String> {
    let top = lock(&world.top);
    top.ledger().iter().filter(|entry| entry.effect).filter_map(told).map(|(lane, _)| lane).collect()
}

/// Counts the effects of a submitted call: a redemption, whose confirmation code is its key, or a call on a lane.
pub fn effects_of(world: &World, pk: &str, key: &str) -> usize {
    let is_its = |entry: &&LedgerEntry| {
        entry.effect
            && told(entry).is_some_and(|(lane, said)| {
                said == *key || pk.strip_prefix("submission#").is_some_and(|own| own == lane.replacen('/', "#", 1))
            })
    };
    lock(&world.top).ledger().iter().filter(is_its).count()
}

/// Judges a run that has come to rest. `repaired` means that operators resolved and replayed everything after the
/// faults had ended.
pub fn judge(world: &World, orders: &[OrderName], knowledge: &Knowledge, repaired: bool) {
    let judge = Judge { world, orders, knowledge, table: Snapshot::of(world), repaired };
    judge.acknowledged();
    judge.submissions();
    judge.totals();
    for record in &judge.table.records {
        judge.index(record);
        judge.owner(record);
    }
    for order in orders {
        judge.order(order);
    }
}

struct Judge<'a> {
    world: &'a World,
    orders: &'a [OrderName],
    knowledge: &'a Knowledge,
    table: Snapshot,
    repaired: bool,
}

/// The partition key of an order's record.
pub fn order_pk(order: &OrderName) -> String {
    format!("order#{}#{}", order.partner, order.id)
}

impl Judge<'_> {
    fn violated(&self, what: impl Into<String>) {
        let when = if self.repaired { "after repairs: " } else { "" };
        self.world.violated(format!("{when}{}", what.into()));
    }

    /// Everything acknowledged is among the facts. The last link among them is the last acknowledged one, or a later
    /// one.
    fn acknowledged(&self) {
        let facts = lock(&self.world.facts);
        let knowledge = self.knowledge;
        for told in knowledge.notifications.iter().filter(|told| told.acknowledged) {
            let body: Value = serde_json::from_str(&told.body).unwrap_or_default();
            let pk = order_pk(&told.order);
            let is_it = |fact: &Fact| matches!(fact, Fact::Delivery { body: delivered, .. } if same(delivered, &body));
            if !facts.of(&pk).iter().any(is_it) {
                self.violated(format!("an acknowledged notification of {pk} was lost: {}", told.body));
            }
        }
        for order in self.orders {
            let put: Vec<_> = self.knowledge.links.iter().filter(|told| told.order == *order).collect();
            if put.iter().all(|told| !told.acknowledged) {
                continue;
            }
            let link = facts.of(&order_pk(order)).iter().rev().find_map(|fact| match fact {
                Fact::Link(link) => Some(link.clone()),
                _ => None,
            });
            let link = link.unwrap_or_default();
            let is_latest =
                |told: &&&Told| !put.iter().any(|other| other.acknowledged && other.during.0 > told.during.1);
            let of = |told: &&Told| serde_json::from_str(&told.body).unwrap_or_default();
            if !put.iter().filter(is_latest).any(|told| contains(&link, &of(told))) {
                self.violated(format!("the link of {} is older than the last acknowledged one: {link}", order.id));
            }
        }
    }

    /// A redemption that counts each time takes effect at most once. An acknowledged call took effect, or it is
    /// refused, or it needs attention.
    fn submissions(&self) {
        for submitted in &self.knowledge.submitted {
            let (pk, key) = (&submitted.pk, &submitted.key);
            let effects = effects_of(self.world, pk, key);
            let record = self.table.record(pk);
            let one = record.and_then(|record| record.submissions.iter().rfind(|(known, ..)| known == key));
            if pk.contains("#key#") && effects > 1 {
                self.violated(format!("redemption {key} took effect {effects} times"));
            }
            let Some((record, (_, outcome, refused))) = record.zip(one) else {
                if submitted.acknowledged {
                    self.violated(format!("an acknowledged call was lost: {pk} {key}"));
                }
                continue;
            };
            let is_for_a_person = record.attention.is_some() || !record.dismissed.is_empty();
            match outcome.as_str() {
                "succeeded" | "resolved_succeeded" if effects == 0 => {
                    self.violated(format!("call {key} is {outcome}, but had no effect"));
                }
                "resolved_rejected" if effects > 0 => {
                    self.violated(format!("call {key} was resolved as rejected, but took effect"));
                }
                "" if *refused && effects > 0 => {
                    self.violated(format!("call {key} is refused, but took effect"));
                }
                "" if *refused => {}
                "" if !is_for_a_person => self.violated(format!("call {key} did not end, and does not need attention")),
                "" => self.person_is_needed(&record.pk, record),
                _ => {}
            }
        }
    }

    /// The totals of an order take effect in the order in which they were submitted.
    fn totals(&self) {
        let of_total = |pk: &&String| pk.contains("#total#");
        let pks: BTreeSet<_> =
            self.knowledge.submitted.iter().map(|submitted| &submitted.pk).filter(of_total).collect();
        for pk in pks {
            let facts = lock(&self.world.facts);
            let submitted: Vec<_> = facts
                .of(pk)
                .iter()
                .filter_map(|fact| match fact {
                    Fact::Submitted(key, _) => Some(key.clone()),
                    _ => None,
                })
                .collect();
            let place = |code: &Value| submitted.iter().position(|key| code == key.as_str());
            let places: Vec<_> = lock(&self.world.top)
                .ledger()
                .iter()
                .filter(|entry| entry.effect)
                .filter_map(told)
                .filter_map(|(_, code)| place(&code))
                .collect();
            if !places.is_sorted() {
                self.violated(format!("the totals of {pk} took effect out of order: {places:?}"));
            }
        }
    }

    /// A submitted call needs attention only if TOP refused it, its outcome cannot be known, or its lane is taken.
    fn person_is_needed(&self, pk: &str, record: &Record) {
        let reasons = record.attention.clone().unwrap_or_default();
        let never_again = record.failures.iter().any(|failure| failure.contains("null-pointer"));
        for reason in &reasons {
            let right = match reason.as_str() {
                "refused" => record.failures.iter().any(|failure| failure.starts_with("refused")),
                "unknown" => {
                    let late = record.failures.iter().any(|failure| failure.starts_with("unknown"));
                    let once = pk.contains("ticket-verify#key#");
                    let was_refused = late && self.was_refused_by_top();
                    late && (once || never_again || was_refused)
                }
                "lane_taken" => {
                    let lane = pk.strip_prefix("submission#ship-notify#").unwrap_or_default();
                    self.knowledge.links.iter().any(|told| told.names(lane))
                }
                _ => false,
            };
            if !right {
                self.violated(format!("{pk} needs attention for a false reason: {reason} {:?}", record.failures));
            }
        }
        if self.repaired && reasons.iter().any(|reason| reason == "unknown") {
            self.violated(format!("the call of {pk} is still unknown"));
        }
    }

    fn was_refused_by_top(&self) -> bool {
        let refused = |entry: &LedgerEntry| matches!(entry.outcome, Outcome::BusinessFailure | Outcome::Error { .. });
        lock(&self.world.top).ledger().iter().any(refused)
    }

    /// A record expires exactly if it neither waits nor needs attention. The sweep looks at every waiting record.
    fn index(&self, record: &Record) {
        if record.pk.contains("#key#") && record.revision == 0 {
            return;
        }
        if record.undecided > 0 || record.is_sending || (record.target.is_some() && record.end.is_none()) {
            self.violated(format!("{} came to rest with its work undone: {record:?}", record.pk));
        }
        let waits = record.waits.is_some()
            || record.attention.as_ref().is_some_and(|reasons| reasons.contains(&"lane_taken".to_owned()));
        let is_finished = !waits && record.attention.is_none();
        if record.expires != is_finished {
            self.violated(format!(
                "{} has the wrong expiry: {}, waits {waits}, attention {:?}",
                record.pk, record.expires, record.attention
            ));
        }
        let soon = self.world.now().0 + 13 * 3_600_000;
        if waits && record.look_at.is_none_or(|look_at| look_at > soon) {
            self.violated(format!("the sweep looks at {} far too late: {:?}", record.pk, record.look_at));
        }
    }

    /// A record that told TOP something on a lane, or may do so, owns the lane. It is therefore the only such record.
    fn owner(&self, record: &Record) {
        let lanes = record.told.iter().chain(&record.target).filter(|lane| !lane.starts_with("ticket-verify/"));
        for lane in lanes {
            let owner = self.table.owners.get(lane);
            if owner != Some(&record.pk) {
                self.violated(format!("{} uses {lane}, but the owner is {owner:?}", record.pk));
            }
        }
    }

    fn order(&self, order: &OrderName) {
        let pk = order_pk(order);
        let Some(record) = self.table.record(&pk) else { return };
        let facts = lock(&self.world.facts).of(&pk).to_vec();
        let mut state = State::default();
        // What the facts wanted TOP to know at each time.
        let mut desires = Vec::new();
        for fact in &facts {
            state.take(fact);
            desires.push(state.desire(order));
        }
        let Some(desire) = desires.last().cloned() else { return };
        self.claims(order, &desires);
        self.deliveries(order, record, &facts);
        let ledger: Vec<_> = lock(&self.world.top).ledger().to_vec();
        let effects: Vec<_> = ledger.iter().filter(|entry| entry.effect).filter_map(told).collect();
        let own: BTreeSet<_> = desires
            .iter()
            .filter_map(|desire| match desire {
                Desire::Tell(lane, _) => Some(lane.clone()),
                _ => None,
            })
            .collect();
        let shared = |lane: &String| self.knowledge.shares(order, lane);
        // TOP was told nothing that the facts never wanted.
        for (lane, said) in effects.iter().filter(|(lane, _)| own.contains(lane) && !shared(lane)) {
            if !desires.contains(&Desire::Tell(lane.clone(), said.clone())) {
                self.violated(format!("TOP was told something of {} that no fact wanted: {said}", order.id));
            }
        }
        let on = |lane: &str| {
            effects.iter().filter(|(told, _)| told == lane).map(|(_, said)| said.clone()).collect::<Vec<_>>()
        };
        let tried = |lane: &str| ledger.iter().filter_map(told).any(|(told, _)| told == lane);
        let lanes_told: Vec<_> = own.iter().filter(|lane| !on(lane).is_empty() && !shared(lane)).cloned().collect();
        if lanes_told.len() > 1 {
            self.violated(format!("TOP was told of {} on several lanes: {lanes_told:?}", order.id));
        }
        let reasons = record.attention.clone().unwrap_or_default();
        let named = |reason: &str| reasons.iter().chain(&record.dismissed).any(|named| named == reason);
        self.reasons_are_true(order, record, &state, &desire, &own, &on, &tried);
        // A new fact undoes an earlier dismissal.
        for reason in record.dismissed.iter().filter(|reason| !state.dismissed.contains(*reason)) {
            self.violated(format!("{} hides {reason}, although a new fact undid the dismissal", order.id));
        }
        if state.odd && !named("odd_status") {
            self.violated(format!("{} had an odd push, but does not need attention", order.id));
        }
        if state.repeat.is_some() && !named("came_again") {
            self.violated(format!("{} had a repeat of an older notification, but does not need attention", order.id));
        }
        match &desire {
            Desire::Nothing => {
                if let Some(lane) = lanes_told.first().filter(|_| !named("opposite")) {
                    self.violated(format!(
                        "{} wants nothing, but TOP was told on {lane}, and it does not need attention",
                        order.id
                    ));
                }
            }
            Desire::Wait => {
                self.world.saw("an order still waited at rest");
                if record.waits.is_none() {
                    self.violated(format!("{} does not wait: {record:?}", order.id));
                }
            }
            Desire::Person(reason) => {
                if !named(reason) {
                    self.violated(format!("{} does not need attention for {reason}: {:?}", order.id, reasons));
                }
            }
            Desire::Tell(lane, said) => {
                let mut heard = on(lane);
                if lane.starts_with("ship-notify/")
                    && let Some(first) = heard.iter().position(|said| said["success"] == true)
                {
                    heard.truncate(first + 1);
                }
                let knows = heard.last() == Some(said);
                let excused = ["refused", "unknown", "keeps_first", "other_lane", "lane_taken"]
                    .iter()
                    .any(|reason| named(reason));
                if !knows && !excused && !record.is_stopped {
                    self.violated(format!("{} wants {said} on {lane}; TOP knows {heard:?}; {record:?}", order.id));
                }
                if knows && record.end.as_deref() == Some("refused") && !shared(lane) {
                    self.violated(format!("the call of {} is refused, but took effect", order.id));
                }
                if knows
                    && reasons.iter().any(|reason| ["keeps_first", "opposite"].contains(&reason.as_str()))
                    && !shared(lane)
                {
                    self.violated(format!("TOP knows what {} wants, but it needs attention: {reasons:?}", order.id));
                }
            }
        }
        if record.waits.is_some() && desire != Desire::Wait {
            self.violated(format!("{} waits for {:?}, but wants {desire:?}", order.id, record.waits));
        }
    }

    /// Each delivery counts once, however often its write was performed.
    fn deliveries(&self, order: &OrderName, record: &Record, facts: &[Fact]) {
        for (digest, counted) in &record.deliveries {
            let came = facts.iter().filter(|fact| matches!(fact, Fact::Delivery { digest: of, .. } if of == digest));
            let came = came.count();
            if !usize::try_from(*counted).is_ok_and(|counted| counted == came) {
                self.violated(format!("{} counts {counted} deliveries of {digest}, but {came} came", order.id));
            }
        }
    }

    /// The first claim of a call matches the facts that the table had taken by then.
    fn claims(&self, order: &OrderName, desires: &[Desire]) {
        let mut claimed = BTreeSet::new();
        for claim in lock(&self.world.facts).claims_of(&order_pk(order)) {
            let Some((lane, says)) = said_by(&claim.request).filter(|_| claimed.insert(&claim.generation)) else {
                continue;
            };
            let desire = claim.facts.checked_sub(1).and_then(|newest| desires.get(newest));
            if desire != Some(&Desire::Tell(lane.clone(), says.clone())) {
                self.violated(format!(
                    "a call of {} was claimed against its facts: {says} on {lane}; the facts want {desire:?}",
                    order.id
                ));
            }
        }
    }

    /// An order needs attention only for true reasons.
    #[expect(clippy::too_many_arguments, reason = "everything known about the order")]
    fn reasons_are_true(
        &self,
        order: &OrderName,
        record: &Record,
        state: &State,
        desire: &Desire,
        own: &BTreeSet<String>,
        on: &dyn Fn(&str) -> Vec<Value>,
        tried: &dyn Fn(&str) -> bool,
    ) {
        let wanted = match desire {
            Desire::Tell(lane, _) => lane.clone(),
            _ => String::new(),
        };
        for reason in record.attention.iter().flatten() {
            self.world.saw("an order needed attention");
            let right = match reason.as_str() {
                "odd_status" => state.odd,
                "came_again" => state.repeat.is_some(),
                "rejected" | "wrong_link" | "vouchers_mismatch" => *desire == Desire::Person(reason_of(reason)),
                "opposite" => own.iter().any(|lane| tried(lane)),
                "other_lane" => own.iter().any(|lane| *lane != wanted && tried(lane)),
                "lane_taken" => self.knowledge.shares(order, &wanted),
                "keeps_first" => on(&wanted).iter().any(|said| said["success"] == true),
                // A replay sends a refused call again, and nothing refuses it after the faults have ended.
                "refused" => !self.repaired && record.failures.iter().any(|failure| failure.starts_with("refused")),
                "unknown" => !self.repaired && record.failures.iter().any(|failure| failure.starts_with("unknown")),
                _ => false,
            };
            if !right {
                self.violated(format!(
                    "{} needs attention for a false reason: {reason}; wants {desire:?}; {record:?}",
                    order.id
                ));
            }
        }
    }
}

fn reason_of(reason: &str) -> &'static str {
    ["rejected", "wrong_link", "vouchers_mismatch"].into_iter().find(|known| *known == reason).unwrap_or_default()
}

/// Whether two bodies are the same notification, apart from the members that change in each delivery.
fn same(one: &Value, other: &Value) -> bool {
    let mut bodies = [one.clone(), other.clone()];
    for body in &mut bodies {
        if let Some(members) = body.as_object_mut() {
            members.shift_remove("request_time");
            members.shift_remove("sign");
        }
    }
    bodies[0] == bodies[1]
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
