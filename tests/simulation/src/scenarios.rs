//! The scenarios of the explorer. A scenario prepares a state step by step, starts a few runs together, and may add
//! steps afterwards. Then everything comes to rest.
//!
//! To add one, write it into the table of [`all`] with the helper functions below it.

use relay_tests::bodies;
use relay_types::order::Partner;
use serde_json::{Value, json};

use crate::callers::{Instruction, OrderName, pk_of_redemption, pk_of_totals};

/// An action of a caller, or an invocation of a function.
#[derive(Debug, Clone)]
pub enum Action {
    /// Deliver a notification, as a partner.
    Push {
        /// The order.
        order: OrderName,
        /// The body.
        body: String,
    },
    /// Link an order, as the booking system.
    Link {
        /// The order.
        order: OrderName,
        /// The link.
        body: String,
    },
    /// Submit a call.
    Submit {
        /// The call.
        call: &'static str,
        /// The partition key of the call's record.
        pk: String,
        /// The call's key.
        key: &'static str,
        /// The body.
        body: String,
    },
    /// Send an operator's request about an order.
    Instruct(OrderName, Instruction),
    /// Resolve a call, as an operator.
    Resolve {
        /// The call.
        call: &'static str,
        /// Its key.
        key: &'static str,
        /// The outcome.
        outcome: &'static str,
    },
    /// Perform one action after the other.
    Chain(Vec<Self>),
    /// Let this many seconds pass for everybody, although requests are in flight.
    Wait(u64),
    /// Let dispatch receive one message.
    Dispatch,
    /// Let the function of this call's queue receive one message.
    Send(&'static str),
    /// Run the sweep.
    Sweep,
}

/// A step before or after the runs.
#[derive(Debug, Clone)]
pub enum Step {
    /// Perform an action alone.
    Do(Action),
    /// Set TOP's answer to its next request.
    Top(Value),
    /// Copy every message of a queue.
    Copy(&'static str),
    /// Let this many seconds pass.
    Wait(u64),
    /// Deliver messages until none is visible.
    Deliver,
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self::Do(action)
    }
}

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name: the concurrent runs, or the case of the design.
    pub name: &'static str,
    /// The steps before the runs.
    pub setup: Vec<Step>,
    /// The runs that start together.
    pub together: Vec<Action>,
    /// The steps after the runs, before everything comes to rest.
    pub afterwards: Vec<Step>,
}

impl Scenario {
    /// The orders of the scenario.
    pub fn orders(&self) -> Vec<OrderName> {
        fn named(action: &Action, orders: &mut Vec<OrderName>) {
            match action {
                Action::Push { order, .. } | Action::Link { order, .. } | Action::Instruct(order, _) => {
                    orders.extend(Some(order.clone()).filter(|order| !orders.contains(order)));
                }
                Action::Chain(actions) => actions.iter().for_each(|action| named(action, orders)),
                _ => {}
            }
        }
        let mut orders = Vec::new();
        let steps = self.setup.iter().chain(&self.afterwards).filter_map(|step| match step {
            Step::Do(action) => Some(action),
            _ => None,
        });
        steps.chain(&self.together).for_each(|action| named(action, &mut orders));
        orders
    }
}

macro_rules! scenarios {
    ($($name:literal: [$($setup:expr),* $(,)?] together [$($together:expr),* $(,)?] $(then [$($then:expr),* $(,)?])?;)*) => {
        vec![$(Scenario {
            name: $name,
            setup: vec![$(Step::from($setup)),*],
            together: vec![$($together),*],
            afterwards: vec![$($(Step::from($then)),*)?],
        }),*]
    };
}

/// Returns all scenarios.
///
/// `A`, `B` and `C` are orders, and `38` and `39` are Alitrip order ids. Prices and ticket numbers distinguish links.
/// The strings `first`, `second` and `third` distinguish vouchers. The last number of a push is the hour of its
/// `request_time`.
pub fn all() -> Vec<Scenario> {
    use Action::{Chain, Dispatch, Send, Sweep};
    use Step::{Copy, Deliver, Wait};
    scenarios! {
        // Pushes and links.
        "two-pushes": [ship("A", "38", 1), booked("A", "first", 1), booked("A", "second", 2)]
            together [Dispatch, Dispatch];
        "push-while-dispatching": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, booked("A", "second", 2)];
        "push-and-link-at-once": [] together [booked("A", "first", 1), ship("A", "38", 1)];
        "one-push-twice-at-once": [ship("A", "38", 1)] together [booked("A", "first", 1), booked("A", "first", 1)];
        "dispatch-and-corrected-link": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, ship("A", "38", 2)];
        "two-links": [booked("A", "first", 1), Deliver] together [ship("A", "38", 1), ship("A", "38", 2)];
        "two-links-of-a-flight": [issued("A", ""), Deliver] together [flight("A", "t1"), flight("A", "t2")];
        "two-dispatches-and-a-corrected-link": [ship("A", "38", 1), booked("A", "first", 1), booked("A", "second", 2)]
            together [Dispatch, Dispatch, ship("A", "38", 2)];
        "booked-and-cancelled": [ship("A", "38", 1), booked("A", "first", 1), cancelled("A", 2)]
            together [Dispatch, Dispatch];
        "booked-and-cancelled-while-sending": [ship("A", "38", 1), booked("A", "first", 1), Dispatch, cancelled("A", 2)]
            together [Send("ship-notify"), Dispatch];
        "late-copy-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1), cancelled("A", 2)]
            together [Dispatch, booked("A", "first", 1)];
        "long-push-and-sender": [ship("A", "38", 1), failed("A", 1), Dispatch]
            together [Send("ship-notify"), long("A", 2)];
        "booked-cancelled-booked": [ship("A", "38", 1), booked("A", "first", 1), cancelled("A", 2), booked("A", "first", 3)]
            together [Dispatch, Dispatch];
        "booked-cancelled-booked-each-dispatched": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![cancelled("A", 2), Dispatch, booked("A", "first", 3), Dispatch])];

        // Lanes.
        "lane-corrected-while-dispatching": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, ship("A", "39", 1)];
        "lane-corrected-while-sending": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [Send("ship-notify"), ship("A", "39", 1)] then [replay("A")];
        "two-orders-on-one-lane": [ship("A", "38", 1), ship("B", "38", 2), booked("A", "first", 1), booked("B", "second", 1)]
            together [Dispatch, Dispatch];
        "two-orders-one-corrected": [ship("A", "38", 1), ship("B", "38", 2), booked("A", "first", 1), booked("B", "second", 1)]
            together [Dispatch, Dispatch, ship("A", "39", 1)];
        "two-orders-take-over-one-lane": [ship("A", "38", 1), booked("A", "first", 1), Dispatch, ship("A", "39", 1), Dispatch,
            ship("B", "38", 2), ship("C", "38", 3), booked("B", "second", 1), booked("C", "third", 1)]
            together [Dispatch, Dispatch];
        "submitted-call-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![submit_ship("38"), Dispatch])];
        "submitted-call-and-sender": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [Send("ship-notify"), Chain(vec![submit_ship("38"), Dispatch])];

        // Senders.
        "sender-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1), Dispatch, booked("A", "second", 2)]
            together [Send("ship-notify"), Dispatch];
        "sender-and-push": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [Send("ship-notify"), booked("A", "second", 2)];
        "sender-and-corrected-link": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [Send("ship-notify"), ship("A", "38", 2)];
        "sender-and-corrected-flight": [flight("A", "t1"), issued("A", ""), Dispatch]
            together [Send("itinerary-postback"), flight("A", "t2")];
        "two-senders": [ship("A", "38", 1), booked("A", "first", 1), Dispatch, Copy("ship-notify")]
            together [Send("ship-notify"), Send("ship-notify")];
        "two-senders-and-a-lost-answer": [ship("A", "38", 1), booked("A", "first", 1), Dispatch, Copy("ship-notify"),
            top("alitrip.ship.order.notify", json!({"fault": "http_500", "after_effect": true}))]
            together [Send("ship-notify"), Send("ship-notify")];
        "failure-without-an-answer-then-booked": [ship("A", "38", 1), cancelled("A", 1), Dispatch, booked("A", "first", 2),
            top("alitrip.ship.order.notify", json!({"fault": "http_500", "after_effect": false}))]
            together [Send("ship-notify"), Dispatch];
        "a-refused-call": [ship("A", "38", 1), booked("A", "first", 1), Dispatch,
            top("alitrip.ship.order.notify", json!({"fault": "business_failure"}))]
            together [Send("ship-notify")];

        // Redemptions.
        "totals-1-2-3": [total("k1", 1), total("k2", 2), total("k3", 3)]
            together [Chain(vec![Dispatch, Send("ticket-verify")]), Chain(vec![Dispatch, Send("ticket-verify")])];
        "totals-sent-and-submitted": [total("k1", 1), Dispatch]
            together [Send("ticket-verify"), Chain(vec![total("k2", 2), Dispatch])];
        "two-totals-submitted-at-once": [] together [total("k1", 1), total("k2", 2)];
        "a-counted-redemption-sent-twice": [counted("k1"), Dispatch, Copy("ticket-verify")]
            together [Send("ticket-verify"), Send("ticket-verify")];
        "a-counted-redemption-submitted-again": [counted("k1"), Dispatch] together [Send("ticket-verify"), counted("k1")];
        "redemption-corrected-and-taken-back": [counted("k1"), refused_redemption(), Deliver,
            counted_of("k1", 2), refused_redemption(), Deliver]
            together [counted("k1"), Sweep];
        "retry-of-a-corrected-redemption": [counted("k1"), refused_redemption(), Deliver,
            counted_of("k1", 2), refused_redemption(), Deliver]
            together [resolve("ticket-verify", "k1", "retry"), Sweep];
        "resolve-while-sending": [counted("k1"), Dispatch, Copy("ticket-verify"), lost_redemption(), Send("ticket-verify"), Wait(180)]
            together [resolve("ticket-verify", "k1", "succeeded"), Send("ticket-verify")];
        "resolve-twice": [counted("k1"), unanswered_redemption(), Deliver, Wait(180)]
            together [resolve("ticket-verify", "k1", "retry"), resolve("ticket-verify", "k1", "retry")];

        // Operators and the sweep.
        "sweep-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1), Wait(400)] together [Sweep, Dispatch];
        "sweep-and-sender": [ship("A", "38", 1), booked("A", "first", 1), Dispatch, Wait(400)]
            together [Sweep, Send("ship-notify")];
        "replay-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1)] together [replay("A"), Dispatch];
        "replay-and-sender": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [replay("A"), Send("ship-notify")];
        "dismiss-and-dispatch": [ship("A", "38", 1), mismatched("A", 1), Deliver, booked("A", "first", 2)]
            together [dismiss("A"), Dispatch];
        "dismiss-and-push": [ship("A", "38", 1), mismatched("A", 1), Deliver]
            together [dismiss("A"), booked("A", "first", 2)];
        "dismiss-and-repeat": [ship("A", "38", 1), mismatched("A", 1), Deliver] together [dismiss("A"), mismatched("A", 2)];
        "resolve-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1),
            top("alitrip.ship.order.notify", json!({"fault": "business_failure"})), Deliver, booked("A", "second", 2)]
            together [resolve("ship-notify", "38", "retry"), Dispatch];

        // The cases of the design.
        "case-01-older-push-decided-late": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![booked("A", "second", 2), Dispatch])];
        "case-01-older-push-decided-late-newer-told": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![booked("A", "second", 2), Dispatch, Send("ship-notify")])];
        "case-01-older-link-decided-late": [flight("A", "t1"), issued("A", "")]
            together [Dispatch, Chain(vec![flight("A", "t2"), Dispatch])];
        "case-01-older-ship-link-decided-late": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![ship("A", "38", 2), Dispatch])];
        "case-02-failed-booked-failed-again": [ship("A", "38", 1), failed("A", 1), booked("A", "first", 2)]
            together [Dispatch, failed("A", 3)];
        "case-02-booked-cancelled-booked-told": [ship("A", "38", 1), booked("A", "first", 1), cancelled("A", 2)]
            together [Dispatch, booked("A", "first", 3)];
        "case-03-corrected-link-during-ban": [ship("A", "38", 1), booked("A", "first", 1), ban("alitrip.ship.order.notify"), Deliver]
            together [ship("A", "38", 2)];
        "case-03-corrected-lane-during-ban": [ship("A", "38", 1), booked("A", "first", 1), ban("alitrip.ship.order.notify"), Deliver]
            together [ship("A", "39", 1)] then [replay("A")];
        "case-03-corrected-lane-and-other-order": [ship("A", "38", 1), booked("A", "first", 1), ban("alitrip.ship.order.notify"), Deliver,
            ship("B", "38", 2), booked("B", "second", 1)]
            together [ship("A", "39", 1), Dispatch] then [replay("A")];
        "case-04-link-of-a-kind-that-leads-to-nothing": [scenic("A"), booked("A", "first", 1), Deliver]
            together [ship("A", "38", 1)];
        "case-05-submitted-call-is-pending": [submit_ship("38"), Dispatch, ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Send("ship-notify")];
        "case-06-total-1-is-banned": [total("k1", 1), ban("taobao.travel.ticket.order.verify"), Deliver]
            together [total("k2", 2)];
        "case-06-total-1-is-tried-again": [total("k1", 1),
            top("taobao.travel.ticket.order.verify", json!({"fault": "http_500", "after_effect": false})), Deliver]
            together [Chain(vec![total("k2", 2), Dispatch, Send("ticket-verify")])];
        "case-07-itinerary-a-b-a": [flight("A", "t1"), issued("A", ""), Deliver, flight("A", "t2"), issued("A", "again"), Deliver]
            together [flight("A", "t1")] then [replay_flight("A")];
        "case-08-stale-withdrawal": [ship("A", "38", 1), booked("A", "first", 1), cancelled("A", 2), booked("A", "second", 3)]
            together [Dispatch, Dispatch];
        "case-08-run-that-stalls": [ship("A", "38", 1), cancelled("A", 1)]
            together [Dispatch, Chain(vec![booked("A", "first", 2), Dispatch, failed("A", 3), Dispatch])];
        "case-09-rejected-after-issued": [issued("A", ""), Deliver, rejected("A")] together [Dispatch, flight("A", "t1")];
        "case-10-voucher-fills-one-number": [ship_with_password("A", "38"), half_voucher("A", 1)] together [Dispatch];
        "case-11-replay-after-a-dismissal": [ship("A", "38", 1), mismatched("A", 1), Deliver, dismiss("A")]
            together [replay("A")];
        "case-11-dismissal-of-what-waits": [booked("A", "first", 1), Deliver] together [dismiss("A")] then [Wait(30_000)];
        "case-11-dismissal-of-what-was-refused": [ship("A", "38", 1), booked("A", "first", 1),
            top("alitrip.ship.order.notify", json!({"fault": "business_failure"})), Deliver]
            together [dismiss("A")];
        "case-e-newer-push-during-ban": [ship("A", "38", 1), booked("A", "first", 1), ban("alitrip.ship.order.notify"), Deliver,
            booked("A", "second", 2)]
            together [Dispatch];
        "case-e-newer-push-after-an-unknown-outcome": [ship("A", "38", 1), cancelled("A", 1),
            top("alitrip.ship.order.notify", json!({"fault": "http_500", "after_effect": true})), Deliver, booked("A", "first", 2)]
            together [Dispatch, Send("ship-notify")];
        "case-f-lane-given-up-for-another-order": [ship("A", "38", 1), booked("A", "first", 1), Dispatch,
            ship("B", "38", 2), booked("B", "second", 1), Dispatch]
            together [ship("A", "39", 1), Send("ship-notify")] then [replay("A"), replay("B")];
        "case-k-counted-redemption-and-submission": [counted("k1"), Dispatch]
            together [Send("ticket-verify"), counted("k1"), Sweep];

        // Requests that outlive their senders.
        "late-finish-and-next-sender": [ship("A", "38", 1), booked("A", "first", 1), Dispatch,
            top("alitrip.ship.order.notify", json!({"fault": "business_failure"}))]
            together [Send("ship-notify"), Chain(vec![Action::Wait(200), Send("ship-notify")])];
        "late-claim-and-next-sender": [counted("k1"), Dispatch, Copy("ticket-verify")]
            together [Send("ticket-verify"), Chain(vec![Action::Wait(200), Send("ticket-verify")])];
        "late-itinerary-and-a-newer-one": [flight("A", "t1"), issued("A", ""), Dispatch]
            together [Chain(vec![Send("itinerary-postback"), flight("A", "t2"), Dispatch, Action::Wait(40),
                Send("itinerary-postback"), Dispatch, Send("itinerary-postback")])];
        "late-decision-and-next-dispatch": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![Action::Wait(200), booked("A", "second", 2), Dispatch])];
        "late-owner-and-next-dispatch": [ship("A", "38", 1), ship("B", "38", 2), booked("A", "first", 1), booked("B", "second", 1)]
            together [Dispatch, Chain(vec![Action::Wait(200), ship("A", "39", 1), Dispatch])];

        // The operators' other requests.
        "withdraw-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1)] together [withdraw("A"), Dispatch];
        "withdraw-and-sender": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [withdraw("A"), Send("ship-notify")];
        "withdraw-and-push": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [withdraw("A"), booked("A", "second", 2)];
        "withdraw-then-replay-while-sending": [ship("A", "38", 1), booked("A", "first", 1), Dispatch]
            together [Chain(vec![withdraw("A"), replay("A")]), Send("ship-notify")];
        "close-and-dispatch": [ship("A", "38", 1), booked("A", "first", 1)] together [close("A"), Dispatch];
        "close-and-push": [ship("A", "38", 1), mismatched("A", 1), Deliver] together [close("A"), booked("A", "second", 2)];
        "close-and-corrected-link": [ship("A", "38", 1), booked("A", "first", 1), cancelled("A", 2)]
            together [close("A"), ship("A", "39", 1)];

        // The scenario with the most schedules.
        "two-orders-and-a-slow-run": [ship("A", "38", 1), booked("A", "first", 1)]
            together [Dispatch, Chain(vec![booked("A", "second", 2), Dispatch]),
                Chain(vec![ship("B", "38", 2), booked("B", "third", 1), Dispatch])];
    }
}

fn sctt(id: &str) -> OrderName {
    OrderName { partner: Partner::Sctt, id: id.to_owned() }
}

fn tsy(id: &str) -> OrderName {
    OrderName { partner: Partner::Tsy, id: id.to_owned() }
}

fn voucher_push(id: &str, hour: u8, mut body: Value) -> Action {
    body["request_time"] = json!(format!("2026-01-01 {hour:02}:00:00"));
    Action::Push { order: sctt(id), body: body.to_string() }
}

/// SCTT pushes "booked" with one voucher.
fn booked(id: &str, voucher: &str, hour: u8) -> Action {
    let mut body = bodies::sctt(id, 2, 1);
    body["vouchers"][0]["voucherlist"][0]["voucher_confirmation"] = json!(voucher);
    voucher_push(id, hour, body)
}

/// SCTT pushes "booked" in a body that does not fit the record.
fn long(id: &str, hour: u8) -> Action {
    let mut body = bodies::sctt(id, 2, 1);
    body["remark"] = json!("long ".repeat(400));
    voucher_push(id, hour, body)
}

/// SCTT pushes "booked" with three vouchers, which match no link here.
fn mismatched(id: &str, hour: u8) -> Action {
    voucher_push(id, hour, bodies::sctt(id, 2, 3))
}

/// SCTT pushes "booked" with a voucher that has a number and no password.
fn half_voucher(id: &str, hour: u8) -> Action {
    let mut body = bodies::sctt(id, 2, 1);
    body["vouchers"][0]["voucherlist"][0]["voucher_verification"] = json!("");
    voucher_push(id, hour, body)
}

/// SCTT pushes "booking failed".
fn failed(id: &str, hour: u8) -> Action {
    voucher_push(id, hour, bodies::sctt(id, 3, 0))
}

/// SCTT pushes "cancelled".
fn cancelled(id: &str, hour: u8) -> Action {
    let mut body = parsed(&bodies::cancel(&[(id, 3)]));
    body["request_time"] = json!(format!("2026-01-01 {hour:02}:00:00"));
    Action::Push { order: sctt(id), body: body.to_string() }
}

/// TSY pushes "issued".
fn issued(id: &str, message: &str) -> Action {
    let body = bodies::tsy(id, "issued").replace("\"msg\":\"\"", &format!("\"msg\":\"{message}\""));
    Action::Push { order: tsy(id), body }
}

/// TSY pushes "rejected".
fn rejected(id: &str) -> Action {
    Action::Push { order: tsy(id), body: bodies::tsy(id, "rejected") }
}

/// The booking system links a ship order with one ticket.
fn ship(id: &str, alitrip_order_id: &str, price: i64) -> Action {
    let body = bodies::ship(alitrip_order_id, 1).replace("23000", &price.to_string());
    Action::Link { order: sctt(id), body }
}

/// The booking system links a ship order whose ticket already has a password.
fn ship_with_password(id: &str, alitrip_order_id: &str) -> Action {
    let mut body = parsed(&bodies::ship(alitrip_order_id, 1));
    body["fliggy_ship"]["passenger_list"][0]["ticket_list"][0]["ticket_pwd"] = json!("own");
    Action::Link { order: sctt(id), body: body.to_string() }
}

/// The booking system links a scenic-spot order.
fn scenic(id: &str) -> Action {
    Action::Link { order: sctt(id), body: json!({"fliggy_ticket": {"order_id": 1}}).to_string() }
}

/// The booking system links a flight with one ticket number.
fn flight(id: &str, ticket: &str) -> Action {
    Action::Link { order: tsy(id), body: bodies::flight().replace("23142134", ticket) }
}

/// An operator submits the call that reports a ship order as issued, without vouchers.
fn submit_ship(alitrip_order_id: &'static str) -> Action {
    let pk = format!("submission#ship-notify#{alitrip_order_id}");
    Action::Submit { call: "ship-notify", pk, key: alitrip_order_id, body: bodies::ship_call(alitrip_order_id, true) }
}

/// The booking system submits a total. The confirmation code is the key, which distinguishes it in the ledger.
fn total(key: &'static str, quantity: i64) -> Action {
    let mut body = parsed(&bodies::redemption(1, 1));
    body["voucher_infos"][0]["used_quantity"] = json!(quantity);
    body["voucher_infos"][0]["confirm_code"] = json!(key);
    let pk = pk_of_totals(1);
    Action::Submit { call: "ticket-verify", pk, key, body: body.to_string() }
}

/// The booking system submits a redemption that counts each time.
fn counted(key: &'static str) -> Action {
    counted_of(key, 1)
}

/// The booking system submits a redemption of that many tickets that counts each time.
fn counted_of(key: &'static str, quantity: i64) -> Action {
    let mut body = parsed(&bodies::redemption(1, 0));
    body["voucher_infos"][0]["used_quantity"] = json!(quantity);
    body["voucher_infos"][0]["confirm_code"] = json!(key);
    let pk = pk_of_redemption(key);
    Action::Submit { call: "ticket-verify", pk, key, body: body.to_string() }
}

fn replay(id: &str) -> Action {
    Action::Instruct(sctt(id), Instruction::Replay)
}

fn replay_flight(id: &str) -> Action {
    Action::Instruct(tsy(id), Instruction::Replay)
}

fn dismiss(id: &str) -> Action {
    Action::Instruct(sctt(id), Instruction::Dismiss)
}

fn withdraw(id: &str) -> Action {
    Action::Instruct(sctt(id), Instruction::Withdraw)
}

fn close(id: &str) -> Action {
    Action::Instruct(sctt(id), Instruction::Close)
}

fn resolve(call: &'static str, key: &'static str, outcome: &'static str) -> Action {
    Action::Resolve { call, key, outcome }
}

/// Sets TOP's next answer to this method.
fn top(method: &str, mut fault: Value) -> Step {
    fault["method"] = json!(method);
    fault["times"] = json!(1);
    Step::Top(fault)
}

/// TOP bans this method for ten minutes.
fn ban(method: &str) -> Step {
    let message = "This ban will last for 600 more seconds";
    let limit = "accesscontrol.limited-by-api-access-count";
    top(method, json!({"fault": "error", "code": 7, "msg": "banned", "sub_code": limit, "sub_msg": message}))
}

/// TOP executes the next redemption and does not answer.
fn lost_redemption() -> Step {
    top("taobao.travel.ticket.order.verify", json!({"fault": "timeout_after_effect"}))
}

/// TOP does not execute the next redemption and answers 500.
fn unanswered_redemption() -> Step {
    top("taobao.travel.ticket.order.verify", json!({"fault": "http_500", "after_effect": false}))
}

/// TOP refuses the next redemption.
fn refused_redemption() -> Step {
    top("taobao.travel.ticket.order.verify", json!({"fault": "business_failure"}))
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).expect("the tests' bodies are JSON")
}
