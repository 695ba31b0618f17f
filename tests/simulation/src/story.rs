//! The story of a run: partners push, the booking system links and submits, operators look and repair. The seed decides
//! all of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_http::RequestExt as _;
use relay_tests::bodies;
use relay_tests::events::{Body, api_request};
use relay_types::order::Partner;
use relay_types::time::EpochMillis;
use serde_json::{Value, json};

use crate::callers::{Callers, Instruction, OrderName, pk_of_redemption, pk_of_totals};
use crate::lambda::{Lambda, spawn};
use crate::table::Snapshot;
use crate::world::World;

/// The number of attempts before a caller gives up.
const TRIES: usize = 5;

/// The kind of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A flight sold through TSY.
    Flight,
    /// A ship order sold through SCTT, with this many tickets.
    Ship(usize),
    /// A scenic-spot order sold through SCTT.
    Scenic,
}

/// An order of a run.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its number in the run.
    pub number: usize,
    /// Its kind.
    pub about: About,
    /// Whether all its pushes agree with each other.
    pub plain: bool,
    /// The Alitrip order id that its first link names by mistake, until it is corrected.
    pub wrong: Option<String>,
}

impl Order {
    /// The partner.
    pub const fn partner(&self) -> Partner {
        match self.about {
            About::Flight => Partner::Tsy,
            About::Ship(_) | About::Scenic => Partner::Sctt,
        }
    }

    /// The partner's id of it. It contains a "#", which also separates the parts of a record's key.
    pub fn id(&self) -> String {
        format!("O#{}", self.number)
    }

    /// Its name for callers.
    pub fn name(&self) -> OrderName {
        OrderName { partner: self.partner(), id: self.id() }
    }

    /// Its Alitrip order id.
    pub fn alitrip_id(&self) -> String {
        format!("38{}", self.number)
    }
}

/// The orders of a run and everyone who acts on them.
pub struct Story {
    /// The callers.
    pub callers: Callers,
    /// The orders.
    pub orders: Vec<Order>,
    busy: AtomicUsize,
}

impl Story {
    /// Draws the orders.
    pub fn draw(lambda: Arc<Lambda>) -> Arc<Self> {
        let world = &lambda.world;
        let count = [1, 1, 1, 2, 2, 3][world.draw(|chance| chance.usize(..6))];
        let order = |number| {
            let about = match world.draw(|chance| chance.u8(..5)) {
                0 | 1 => About::Flight,
                2 | 3 => About::Ship(world.draw(|chance| chance.usize(1..=2))),
                _ => About::Scenic,
            };
            let wrong = match about {
                About::Ship(_) if world.happens(0.15) => {
                    Some(format!("38{}", world.draw(|chance| chance.usize(0..=3))))
                }
                _ => None,
            };
            Order { number, about, plain: world.happens(0.5), wrong }
        };
        let orders = (0..count).map(order).collect();
        Arc::new(Self { callers: Callers::new(lambda), orders, busy: AtomicUsize::new(0) })
    }

    /// Whether every caller has finished.
    pub fn is_over(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0
    }

    fn world(&self) -> &Arc<World> {
        &self.callers.lambda.world
    }

    /// Starts a caller's task.
    fn act<F: Future<Output = ()> + 'static>(self: &Arc<Self>, act: impl FnOnce(Arc<Self>) -> F) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let acting = act(self.clone());
        let story = self.clone();
        spawn(async move {
            acting.await;
            story.busy.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Starts all callers. Each begins within `within`.
    pub fn begin(self: &Arc<Self>, within: Duration) {
        let world = self.world().clone();
        let within = u64::try_from(within.as_millis()).unwrap_or_default();
        for order in self.orders.clone() {
            let mut notified = Vec::new();
            for (at, push) in self.pushes(&order, within) {
                notified.push(at);
                let order = order.clone();
                self.act(|story| async move { story.notify(&order, at, push).await });
            }
            if world.happens(0.93) {
                let at = world.between(0, within);
                if notified.iter().all(|notified| at < *notified) {
                    world.saw("a link came before all notifications");
                } else if notified.iter().all(|notified| at > *notified) {
                    world.saw("a link came after all notifications");
                } else {
                    world.saw("a link came between notifications");
                }
                let order = order.clone();
                self.act(|story| async move { story.link(&order, at).await });
            }
            if order.about == About::Scenic {
                for n in 0..world.draw(|chance| chance.usize(1..=3)) {
                    let (order, at) = (order.clone(), world.between(0, within));
                    self.act(|story| async move { story.redeem(&order, n, at).await });
                }
            }
            if world.happens(0.25) {
                let at = world.between(within / 4, within * 2);
                self.act(|story| async move { story.operate(&order, at).await });
            }
        }
        if world.happens(0.2) {
            let at = world.between(0, within);
            self.act(|story| async move {
                tokio::time::sleep(at).await;
                story.poison();
            });
        }
        if world.happens(0.5) {
            let at = world.between(within, within * 3);
            self.act(|story| async move {
                tokio::time::sleep(at).await;
                story.resolve_unknown().await;
            });
        }
    }

    /// Draws the pushes of an order and their times.
    fn pushes(&self, order: &Order, within: u64) -> Vec<(Duration, String)> {
        let world = self.world();
        let pick = |choices: &[i64]| choices[world.draw(|chance| chance.usize(..choices.len()))];
        let mut pushes = Vec::new();
        match order.about {
            About::Flight => {
                let kind = if order.plain {
                    "issued"
                } else {
                    ["issued", "issued", "rejected", "void"][usize::try_from(pick(&[0, 1, 2, 3])).unwrap_or(0)]
                };
                pushes.push(bodies::tsy(&order.id(), kind));
                if !order.plain && world.happens(0.3) {
                    pushes.push(bodies::tsy(&order.id(), "issued").replace("\"msg\":\"\"", "\"msg\":\"again\""));
                }
            }
            About::Ship(tickets) => {
                let booked = |vouchers| bodies::sctt(&order.id(), 2, vouchers).to_string();
                // 5 is the cancel push that says the same as a voucher push with 4.
                let other = |status| match status {
                    5 => bodies::cancel(&[(&order.id(), 3)]),
                    status => bodies::sctt(&order.id(), status, 0).to_string(),
                };
                if order.plain {
                    pushes.push(if world.happens(0.7) { booked(tickets) } else { other(pick(&[3, 4, 5])) });
                } else {
                    for _ in 0..world.draw(|chance| chance.usize(1..=3)) {
                        pushes.push(match pick(&[2, 2, 2, 0, 3, 4, 5, 1, 9]) {
                            2 => booked(tickets),
                            0 => booked(world.draw(|chance| chance.usize(0..=3))),
                            status => other(status),
                        });
                    }
                }
            }
            About::Scenic => pushes.push(bodies::sctt(&order.id(), pick(&[2, 3]), 1).to_string()),
        }
        pushes.dedup();
        pushes.into_iter().map(|push| (world.between(0, within), push)).collect()
    }

    /// Pushes until the partner gets a success, and perhaps once more after that.
    async fn notify(&self, order: &Order, at: Duration, body: String) {
        let world = self.world();
        tokio::time::sleep(at).await;
        let mut once_more = world.happens(0.3);
        let mut acknowledged = false;
        for attempt in 0..TRIES {
            if attempt > 0 {
                world.saw("a partner retried");
            }
            // Each delivery has its own time stamp.
            let body = body.replace("2026-01-01 12:00:00", &world.now().china_time());
            world.note(|| format!("{}: push {body}", order.partner()));
            if let Some((200, _)) = self.callers.notify(&order.name(), &body).await {
                acknowledged = true;
                if !std::mem::take(&mut once_more) {
                    break;
                }
            }
            tokio::time::sleep(world.between(200, 120_000)).await;
        }
        if !acknowledged {
            world.saw("a partner gave up");
        }
        self.callers.notified(&order.name(), body, acknowledged);
    }

    /// Links an order, and perhaps replaces the link later.
    async fn link(&self, order: &Order, at: Duration) {
        let world = self.world();
        tokio::time::sleep(at).await;
        let mut links = vec![link_of(order, 0)];
        if let Some(wrong) = &order.wrong {
            world.saw("an order was linked to another lane");
            if self.orders.iter().any(|other| other.number != order.number && other.alitrip_id() == *wrong) {
                world.saw("two orders were linked to the same lane");
            }
            links.insert(0, link_of(order, 0).replace(&format!("\"{}\"", order.alitrip_id()), &format!("\"{wrong}\"")));
        } else if world.happens(0.25) {
            let early = match order.about {
                About::Flight if world.happens(0.5) => {
                    r#"{"happytrip_flight":{"tes_head_id":"1","cwt_account_no":"2"}}"#.to_owned()
                }
                _ => link_of(order, 1),
            };
            links.insert(0, early);
            world.saw("a link was replaced");
        }
        for link in links {
            let pause = async || tokio::time::sleep(world.between(100, 60_000)).await;
            self.callers.link(&order.name(), &link, TRIES, pause).await;
            // Sometimes at once, when a write of the previous link may still be in flight.
            let most = if world.happens(0.4) { 2_000 } else { 400_000 };
            tokio::time::sleep(world.between(0, most)).await;
        }
    }

    /// Submits a redemption until it is accepted.
    async fn redeem(&self, order: &Order, n: usize, at: Duration) {
        let world = self.world();
        tokio::time::sleep(at).await;
        let write_off_type = i64::from(world.happens(0.3));
        let key = format!("{}-{n}", order.number);
        let body = redemption(&key, write_off_type, order.number + 1);
        let mut acknowledged = false;
        for _ in 0..TRIES {
            world.note(|| format!("booking system: redeem {key}, write_off_type {write_off_type}"));
            match self.callers.submit("ticket-verify", Some(&key), &body).await {
                Some((200 | 202, _)) => {
                    acknowledged = true;
                    break;
                }
                Some((status @ 400..500, answer)) => {
                    world.violated(format!("a redemption was refused with {status}: {answer}"));
                    break;
                }
                _ => tokio::time::sleep(world.between(100, 60_000)).await,
            }
        }
        world.saw("a call was submitted");
        let pk = match write_off_type {
            1 => pk_of_totals(order.number + 1),
            _ => pk_of_redemption(&key),
        };
        self.callers.submitted(pk, &key, acknowledged);
    }

    /// Reads an order and the attention list, and sends an operator's request about the order.
    async fn operate(&self, order: &Order, at: Duration) {
        tokio::time::sleep(at).await;
        self.callers.look(&order.name()).await;
        let query = HashMap::from([("limit".to_owned(), "3".to_owned())]);
        let request = api_request("GET", "/attention", json!({}), json!({}), Body::None);
        self.callers.lambda.request("attention", request.with_query_string_parameters(query)).await;
        let instruction = match self.world().draw(|chance| chance.u8(..4)) {
            0 => Instruction::Dismiss,
            1 => Instruction::Withdraw,
            2 => Instruction::Close,
            _ => Instruction::Replay,
        };
        let answer = self.callers.instruct(&order.name(), instruction).await;
        let was_heard = answer.is_some_and(|(status, _)| status == 202);
        match instruction {
            Instruction::Replay => self.world().saw("an operator replayed an order"),
            Instruction::Dismiss if was_heard => self.world().saw("an operator dismissed an order"),
            Instruction::Withdraw | Instruction::Close if was_heard => {
                self.world().saw("an operator withdrew or closed an order");
            }
            _ => {}
        }
    }

    /// Sends a message that is not a key to each queue.
    fn poison(&self) {
        let world = self.world();
        world.saw("a message was not a key");
        for queue in crate::queues::names() {
            world.queues.send(world, queue, r#"{"no": "key"}"#, std::time::Duration::ZERO);
        }
    }

    /// Resolves unknown calls as TOP's ledger says. It skips calls of which a request may still be in flight.
    pub async fn resolve_unknown(&self) {
        let world = self.world();
        for record in Snapshot::of(world).records {
            let asked_too_soon = EpochMillis(record.ended_at).plus(Duration::from_secs(151)) > world.now();
            let Some(lane) = record.target.as_ref().filter(|_| record.end.as_deref() == Some("unknown")) else {
                continue;
            };
            if asked_too_soon {
                continue;
            }
            let (call, id) = lane.split_once('/').unwrap_or_default();
            let open = record.submissions.iter().find(|(_, outcome, refused)| outcome.is_empty() && !refused);
            let (key, outcome) = match (call, open) {
                ("ticket-verify", Some((key, ..))) => {
                    let outcome = match crate::judge::effects_of(world, &record.pk, key) {
                        0 if world.happens(0.7) => "retry",
                        0 => "rejected",
                        _ => "succeeded",
                    };
                    (key.clone(), outcome)
                }
                _ if crate::judge::took_effect(world, &record) => (id.to_owned(), "succeeded"),
                _ => (id.to_owned(), "retry"),
            };
            world.saw("an operator resolved a call");
            self.callers.resolve(call, &key, outcome, Some(record.attempt)).await;
        }
    }
}

/// Reads the attention list page by page. It must match the table, oldest first, with a reason for each item.
pub async fn audit_attention(lambda: &Lambda) {
    let world = &lambda.world;
    let mut shown = Vec::new();
    let mut after = None;
    loop {
        let limit = world.draw(|chance| chance.u8(1..=3)).to_string();
        let query = [("limit", Some(limit)), ("after", after)];
        let query: HashMap<_, _> =
            query.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let request = api_request("GET", "/attention", json!({}), json!({}), Body::None);
        let answer = lambda.request("attention", request.with_query_string_parameters(query)).await;
        let page: Value = match &answer {
            Some((200, page)) => serde_json::from_str(page).unwrap_or_default(),
            other => {
                world.violated(format!("GET /attention failed: {other:?}"));
                return;
            }
        };
        shown.extend(page["items"].as_array().cloned().unwrap_or_default());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let since: Vec<_> = shown.iter().map(|item| text(item, "since")).collect();
    if !since.is_sorted() || shown.iter().any(|item| text(item, "reason").is_empty()) {
        world.violated(format!("GET /attention is out of order or lacks a reason: {shown:?}"));
    }
    let mut named: Vec<_> = shown
        .iter()
        .map(|item| match item["kind"].as_str() {
            Some("call") => format!("{}#{}", text(item, "call"), text(item, "key")),
            _ => format!("order#{}#{}", text(item, "partner"), text(item, "order_id")),
        })
        .collect();
    named.sort_unstable();
    let records = Snapshot::of(world).records;
    let mut there: Vec<_> = records
        .iter()
        .filter(|record| record.attention.is_some())
        .map(|record| match (&record.target, record.pk.strip_prefix("submission#")) {
            (Some(_), Some(submission)) => {
                let call = submission.split('#').next().unwrap_or_default();
                format!("{call}#{}", record.key)
            }
            (None, Some(submission)) => submission.replace("#key#", "#"),
            _ => record.pk.clone(),
        })
        .collect();
    there.sort_unstable();
    if named != there {
        world.violated(format!("GET /attention differs from the table: expected {there:?}, got {named:?}"));
    }
}

/// Returns the `n`-th link of an order.
fn link_of(order: &Order, n: usize) -> String {
    match order.about {
        About::Flight => bodies::flight().replace("23142134", &format!("ticket-{}-{n}", order.number)).replace(
            "\"cwt_account_no\"",
            &format!("\"out_relation_order_id\":\"R{}\",\"cwt_account_no\"", order.number),
        ),
        About::Ship(tickets) => bodies::ship(&order.alitrip_id(), tickets)
            .replace("\"total_price\":23000", &format!("\"total_price\":{}", 23_000 + n)),
        About::Scenic => json!({"fliggy_ticket": {"order_id": order.number + 1}}).to_string(),
    }
}

/// Returns a redemption whose confirmation code is its key, which distinguishes it in the ledger.
fn redemption(key: &str, write_off_type: i64, order: usize) -> String {
    let order = i64::try_from(order).unwrap_or_default();
    let mut body: Value =
        serde_json::from_str(&bodies::redemption(order, write_off_type)).expect("the tests' bodies are JSON");
    body["voucher_infos"][0]["confirm_code"] = json!(key);
    body.to_string()
}
