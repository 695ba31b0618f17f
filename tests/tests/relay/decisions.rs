//! The decisions about an order, as a table. Each row lists what happened to the order, the next call to TOP, and the
//! order's state after that.
//!
//! Left: the events, oldest first. Each event is decided before the next one.
//! - `link 38` links Alitrip's ship order 38 with one ticket, `link 38 for 2` with two tickets.
//! - `link A` links a flight with ticket number A, `link without tickets` a flight without ticket numbers.
//! - `link scenic` links a `fliggy_ticket`, which leads to no call.
//! - `booked x` is a voucher push for a booked order with one voucher with code x.
//! - `sent` starts an attempt at TOP. `told` (TOP accepted the call), `refused`, `no answer` or `not executed` ends it.
//! - `replay`, `dismiss`, `withdraw`, `close` and `resolve` are operators' requests.
//!
//! Middle: the next call, with its order number at TOP and its content, or `-` for none.
//!
//! Right: the state, which is `waits for` or `needs attention because of` with the reason's code, and `done` otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_decide::{Settings, decide, finish};
use relay_tests::bodies::{cancel, flight, sctt, ship, tsy};
use relay_types::failure::{Failure, Reply};
use relay_types::notification::NotificationKind;
use relay_types::order::{OrderKey, Partner};
use relay_types::reason::Reason;
use relay_types::record::{
    Attempted, Bodies, Body, Fact, Instruction, LaneFound, LinkFact, MAX_NOTIFICATIONS, Notification, OrderRecord,
    RecordKey, Resolution, Sending, digest_of,
};
use relay_types::time::EpochMillis;
use serde_json::{Value, json};

const TABLE: &str = "
# Events                                          | Next call to TOP           | State

# Ship orders
booked x                                          | -                          | waits for no_link
link 38                                           | -                          | done
link 38, booked x                                 | ship-notify/38 booked x     | done
booked x, link 38                                 | ship-notify/38 booked x     | done
link 38, booked x, sent, told                     | -                          | done
link 38, waiting                                  | -                          | done
link 38, booked without vouchers                  | -                          | done
link 38, booked with 3 vouchers                   | -                          | needs attention because of vouchers_mismatch
link 38, status 9                                 | -                          | needs attention because of odd_status
link 38, failed                                   | ship-notify/38 not booked   | done
link 38, cancelled                                | ship-notify/38 not booked   | done
link 38, failed, cancelled                        | ship-notify/38 not booked   | done
link scenic, booked x                             | -                          | done
link scenic, booked x, link 38                    | ship-notify/38 booked x     | done

# The newest notification counts. If an older one is repeated after it, the order needs attention.
link 38, booked x, booked y                       | ship-notify/38 booked y     | done
link 38, booked x, booked x                       | ship-notify/38 booked x     | done
link 38, booked x, cancelled                      | ship-notify/38 not booked   | done
link 38, booked x, cancelled, booked x            | ship-notify/38 not booked   | needs attention because of came_again
link 38, booked x, cancelled, booked x, replay    | ship-notify/38 booked x     | done
link 38, failed, sent, told, booked x             | ship-notify/38 booked x     | done
link 38, booked x, sent, told, booked x           | -                          | done

# TOP keeps the first success.
link 38, booked x, sent, told, cancelled          | -                          | needs attention because of keeps_first
link 38, booked x, sent, told, booked y           | -                          | needs attention because of keeps_first
link 38, booked x, sent, told, link 38 for 2      | -                          | needs attention because of keeps_first

# Corrected links
link 38, booked x, link 39                        | ship-notify/39 booked x     | done
link 38, booked x, sent, link 39                  | ship-notify/38 booked x     | waits for attempt_open
link 38, booked x, sent, link 39, not executed    | ship-notify/39 booked x     | done
link 38, booked x, sent, link 39, told            | -                          | needs attention because of other_lane
link 38, booked x, sent, told, link 39            | -                          | needs attention because of other_lane
link 38, booked x, sent, told, link scenic        | -                          | needs attention because of opposite

# Attempts
link 38, booked x, sent, refused                  | -                          | needs attention because of refused
link 38, booked x, sent, refused, replay          | ship-notify/38 booked x     | done
link 38, booked x, sent, refused, booked y        | ship-notify/38 booked y     | done
link 38, booked x, sent, not executed             | ship-notify/38 booked x     | done
link 38, booked x, sent, no answer                | ship-notify/38 booked x     | done
link 38, booked x, sent, no answer, sent, told    | -                          | done
link 38, booked x, sent, no answer, sent, refused | -                          | needs attention because of unknown
link 38, booked x, sent, no answer, sent, refused, resolve succeeded | -       | done
link 38, booked x, sent, no answer, sent, refused, resolve retry | ship-notify/38 booked x | done

# Operators' requests
link 38, booked with 3 vouchers, dismiss          | -                          | done
link 38, booked with 3 vouchers, dismiss, booked x| ship-notify/38 booked x     | done
link 38, booked x, withdraw                       | -                          | done
link 38, booked x, withdraw, replay               | ship-notify/38 booked x     | done
link 38, booked x, withdraw, booked y             | ship-notify/38 booked y     | done
link 38, booked with 3 vouchers, close            | -                          | done
link 38, booked x, sent, refused, dismiss         | -                          | done

# Flights
issued                                            | -                          | waits for no_link
link A, issued                                    | itinerary-postback/I A      | done
link without tickets, issued                      | -                          | waits for no_tickets
link without tickets, issued, link A              | itinerary-postback/I A      | done
link A, rejected                                  | -                          | needs attention because of rejected
issued, rejected, link A                          | -                          | needs attention because of rejected
link A, issued, sent, told, rejected              | -                          | needs attention because of rejected
link A, void                                      | -                          | needs attention because of odd_status
link A, issued, sent, told, link B                | itinerary-postback/I B      | done
link A, issued, sent, told, link B, sent, told, link A | itinerary-postback/I A | done
link A, issued, change price                      | itinerary-postback/I A      | done
";

const NOW: EpochMillis = EpochMillis(1_767_240_000_000);

struct Order {
    record: OrderRecord,
    bodies: Bodies,
    settings: Settings,
    now: EpochMillis,
    steps: i64,
}

impl Order {
    fn new(partner: Partner) -> Self {
        let key = OrderKey { partner, order_id: "T-1".to_owned().try_into().unwrap() };
        let settings = Settings {
            failed_code: Some("1".to_owned()),
            retention: Duration::from_secs(86_400),
            unnotified_after: None,
        };
        let record = OrderRecord::empty(RecordKey::Order(key));
        Self { record, bodies: Bodies::new(), settings, now: NOW, steps: 0 }
    }

    fn happens(&mut self, what: &str) {
        // Longer than any quiet period.
        self.now = self.now.plus(Duration::from_secs(600));
        self.steps += 1;
        let token = self.steps.to_string();
        let instructed = |instruction| Fact::Instructed {
            instruction,
            by: "operator".to_owned(),
            note: "seen".to_owned(),
            at: NOW,
            token: token.clone(),
        };
        if let Some(link) = what.strip_prefix("link ") {
            let body = link_of(link);
            let version = self.steps;
            let link = LinkFact { version, body: self.body(&body), at: self.now, by: "booking".to_owned(), token };
            let was = self.record.link.replace(link).as_ref().map(LinkFact::replaced);
            self.record.facts.push(Fact::Linked { was });
        } else if let Some((kind, body)) = push_of(what) {
            let digest = digest_of(&body);
            let notification = Notification::received(kind, self.body(&body), self.now);
            self.record.notifications.entry(digest.clone()).or_insert(notification);
            self.record.facts.push(Fact::Delivery { digest, at: self.now, time: None, token });
        } else if what == "sent" {
            self.claim();
            return;
        } else if let Some(attempted) = self.attempted(what) {
            self.record = finish(&self.record, &attempted, self.now, &self.settings).map_or_else(
                |_| {
                    let mut record = self.record.clone();
                    record.facts.push(Fact::Ended {
                        owner: "me".to_owned(),
                        attempted: attempted.clone(),
                        at: self.now,
                        began: None,
                    });
                    record
                },
                |decided| decided.record,
            );
        } else {
            let attention = self.record.attention.as_ref().map(|attention| attention.reasons.clone());
            self.record.facts.push(instructed(match what {
                "replay" => Instruction::Replay,
                "dismiss" => Instruction::Dismiss(attention.unwrap_or_default()),
                "withdraw" => Instruction::Withdraw,
                "close" => Instruction::Close,
                "resolve succeeded" => Instruction::Resolve(Resolution::Succeeded),
                "resolve retry" => Instruction::Resolve(Resolution::Retry),
                other => panic!("unknown event {other:?}"),
            }));
        }
        let decided = decide(&self.record, &LaneFound::Free, &self.bodies, self.now, &self.settings);
        for body in decided.bodies {
            self.bodies.insert(digest_of(&body), body);
        }
        self.record = decided.record;
    }

    fn body(&mut self, json: &str) -> Body {
        self.bodies.insert(digest_of(json), json.to_owned());
        Body::of(json)
    }

    fn claim(&mut self) {
        let target = self.record.target.as_ref().unwrap();
        assert!(target.due.is_some_and(|due| due <= self.now), "the call must be due: {target:?}");
        let until = self.now.plus(Duration::from_secs(3600));
        self.record.sending = Some(Sending { owner: "me".to_owned(), until, generation: target.generation });
        self.record.began = Some(self.now);
        self.record.attempt += 1;
        self.record.unsettled += 1;
    }

    fn attempted(&self, what: &str) -> Option<Attempted> {
        let failure = || Failure::of(what);
        Some(match what {
            "told" => Attempted::Succeeded(Reply::default()),
            "refused" => Attempted::Refused(failure()),
            "not executed" => Attempted::NotExecuted(self.now, failure()),
            "no answer" => Attempted::Resend(self.now, failure()),
            _ => return None,
        })
    }

    /// The next call and the order's state, as in the table.
    fn outcome(&self) -> (String, String) {
        let target = self.record.target.as_ref().filter(|target| target.end.is_none());
        let next = target.map_or_else(
            || "-".to_owned(),
            |target| {
                let request = match &target.request {
                    Body::Inline(json) => json,
                    Body::Stored(digest) => &self.bodies[digest],
                };
                format!("{} {}", target.lane(), says(&serde_json::from_str(request).unwrap()))
            },
        );
        let code = |reason: &Reason| json!(reason).as_str().unwrap().to_owned();
        let state = match (&self.record.attention, &self.record.waits) {
            (Some(attention), _) => {
                let mut codes: Vec<_> = attention.reasons.iter().map(code).collect();
                codes.sort_unstable();
                format!("needs attention because of {}", codes.join(" "))
            }
            (None, Some(reason)) => format!("waits for {}", code(reason)),
            (None, None) => "done".to_owned(),
        };
        (next, state)
    }
}

fn says(request: &Value) -> String {
    match request["success"].as_bool() {
        Some(true) => {
            let code = &request["passenger_list"][0]["ticket_list"][0]["e_ticket_no"];
            format!("booked {}", code.as_str().or(request["fetch_tickets_number"].as_str()).unwrap())
        }
        Some(false) => "not booked".to_owned(),
        None => request["ticket_no_list"][0].as_str().unwrap().to_owned(),
    }
}

fn link_of(link: &str) -> String {
    let flight_with = |tickets: Value| {
        let mut link: Value = serde_json::from_str(&flight()).unwrap();
        link["happytrip_flight"]["ticket_no_list"] = tickets;
        link["happytrip_flight"]["out_relation_order_id"] = json!("I");
        link.to_string()
    };
    match link {
        "scenic" => json!({"fliggy_ticket": {"order_id": 1}}).to_string(),
        "without tickets" => flight_with(json!([])),
        "38 for 2" => ship("38", 2),
        number if number.parse::<u32>().is_ok() => ship(number, 1),
        ticket => flight_with(json!([ticket])),
    }
}

fn push_of(what: &str) -> Option<(NotificationKind, String)> {
    let voucher_push = |body: Value| Some((NotificationKind::VoucherPush, body.to_string()));
    match what {
        "waiting" => voucher_push(sctt("T-1", 1, 0)),
        "failed" => voucher_push(sctt("T-1", 3, 0)),
        "status 9" => voucher_push(sctt("T-1", 9, 0)),
        "booked without vouchers" => voucher_push(sctt("T-1", 2, 0)),
        "booked with 3 vouchers" => voucher_push(sctt("T-1", 2, 3)),
        "cancelled" => Some((NotificationKind::CancelPush, cancel(&[("T-1", 3)]))),
        "issued" | "rejected" | "void" => Some((NotificationKind::IssueNotify, tsy("T-1", what))),
        "change price" => {
            let body = json!({"informType": "Change_Price", "merchantOrder": "T-1"}).to_string();
            Some((NotificationKind::ChangePricePush, body))
        }
        _ => {
            let mut body = sctt("T-1", 2, 1);
            body["vouchers"][0]["voucherlist"][0]["voucher_confirmation"] = json!(what.strip_prefix("booked ")?);
            voucher_push(body)
        }
    }
}

#[test]
fn every_row_leads_to_its_call_and_state() {
    let mut wrong = BTreeMap::new();
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let [happened, next, state]: [&str; 3] = line.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        let is_flight = ["issued", "rejected", "void"].iter().any(|kind| happened.contains(kind));
        let mut order = Order::new(if is_flight { Partner::Tsy } else { Partner::Sctt });
        for what in happened.split(", ") {
            order.happens(what);
        }
        let outcome = order.outcome();
        if outcome != (next.to_owned(), state.to_owned()) {
            wrong.insert(happened, outcome);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The SDK repeats a write whose response was lost. The repeat can arrive minutes later, after other deliveries, or after
/// the notification was summarised.
#[test]
fn late_retry_of_a_write_is_not_another_delivery() {
    let mut order = Order::new(Partner::Sctt);
    for what in ["link 38", "failed", "failed", "failed", "failed"] {
        order.happens(what);
    }
    let (_, body) = push_of("failed").unwrap();
    let retry = Fact::Delivery { digest: digest_of(&body), at: order.now, time: None, token: "2".to_owned() };
    for newer in 0..=MAX_NOTIFICATIONS {
        let deliveries = order.record.notifications[&digest_of(&body)].deliveries;
        order.record.facts.push(retry.clone());
        order.happens(&format!("booked {newer}"));
        assert_eq!(order.record.notifications[&digest_of(&body)].deliveries, deliveries, "after {newer}");
        assert_eq!(order.record.repeat, None, "after {newer}");
    }
}

#[test]
fn finish_leaves_facts_whose_bodies_are_missing_to_dispatch() {
    let mut order = Order::new(Partner::Sctt);
    for what in ["link 38", "failed", "sent"] {
        order.happens(what);
    }
    let (kind, body) = push_of("booked x").unwrap();
    let notification = Notification::received(kind, Body::Stored(digest_of(&body)), order.now);
    order.record.notifications.insert("d".to_owned(), notification);
    let fact = Fact::Delivery { digest: "d".to_owned(), at: order.now, time: None, token: "t".to_owned() };
    order.record.facts.push(fact);
    let attempted = Attempted::Succeeded(Reply::default());
    assert!(finish(&order.record, &attempted, order.now, &order.settings).is_err());
}
