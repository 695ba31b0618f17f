//! The simulated gateway: validates, answers and records one request after another.

use crate::answer::{Answer, Envelope, TopError};
use crate::effects::{self, Effects};
use crate::faults::{Bans, Fault, FaultKind, FaultQueue};
use crate::form::Form;
use crate::ledger::{LedgerEntry, Outcome, rfc3339};
use crate::pages::Api;
use crate::protocol::{self, Credentials};

/// TOP as one application sees it. Callers pass in the time, so tests need not sleep.
pub struct Simulator {
    accounts: Vec<Credentials>,
    /// The number of requests since the start. A reset keeps it, so each `request_id` is unique.
    requests: u64,
    faults: FaultQueue,
    bans: Bans,
    effects: Effects,
    ledger: Vec<LedgerEntry>,
}

/// The result of one request.
struct Verdict {
    answer: Answer,
    outcome: Outcome,
    effect: bool,
}

impl Simulator {
    /// A gateway without requests, faults or bans.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            accounts: vec![credentials],
            requests: 0,
            faults: FaultQueue::default(),
            bans: Bans::default(),
            effects: Effects::default(),
            ledger: Vec::new(),
        }
    }

    /// Accepts another account: another application with another seller's session.
    pub fn add_account(&mut self, credentials: Credentials) {
        self.accounts.push(credentials);
    }

    /// Validates and carries out one `POST /router/rest`, or one `GET` if there is no body.
    ///
    /// `now_ms` is the time in Unix epoch milliseconds; `query` is the URL's query as sent, still encoded.
    pub fn handle(&mut self, now_ms: i64, content_type: Option<&str>, query: Option<&str>, body: &[u8]) -> Answer {
        match Form::decode(content_type, query, body) {
            Ok(form) => {
                let envelope = self.envelope(&form);
                let verdict = self.judge(now_ms, &form, &envelope);
                self.enter(now_ms, form, verdict)
            }
            Err(error) => self.refuse(now_ms, query, &error),
        }
    }

    /// Refuses a request that is neither a POST nor a GET with TOP 9.
    pub(crate) fn refuse_http_action(&mut self, now_ms: i64, query: Option<&str>) -> Answer {
        self.refuse(now_ms, query, &TopError::new(9, "Http action not allowed"))
    }

    /// Appends faults to the pending ones.
    pub fn add_faults(&mut self, faults: Vec<Fault>) {
        self.faults.add(faults);
    }

    /// Removes pending faults and ends every ban.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
        self.bans = Bans::default();
    }

    /// All requests since the start or the last reset, oldest first.
    #[must_use]
    pub fn ledger(&self) -> &[LedgerEntry] {
        &self.ledger
    }

    /// Clears ledger, faults, effects and bans; keeps the credentials.
    pub fn reset(&mut self) {
        self.clear_faults();
        self.effects = Effects::default();
        self.ledger.clear();
    }

    fn envelope(&mut self, form: &Form) -> Envelope {
        self.requests += 1;
        Envelope {
            json: form.get("format") == Some("json"),
            simplify: form.get("simplify") == Some("true"),
            request_id: format!("sim{:09}", self.requests),
        }
    }

    /// Refuses a request that cannot be read as a form; the query may still say how to answer.
    fn refuse(&mut self, now_ms: i64, query: Option<&str>, error: &TopError) -> Answer {
        let envelope = self.envelope(&Form::decode_query(query).unwrap_or_default());
        self.enter(now_ms, Form::default(), refusal(&envelope, error))
    }

    fn enter(&mut self, now_ms: i64, form: Form, verdict: Verdict) -> Answer {
        self.ledger.push(LedgerEntry {
            at: rfc3339(now_ms),
            method: form.get("method").unwrap_or_default().to_owned(),
            params: form.params,
            outcome: verdict.outcome,
            effect: verdict.effect,
        });
        verdict.answer
    }

    /// Decides the result of a request. The order matters: protocol, bans, faults, then the API's page.
    fn judge(&mut self, now_ms: i64, form: &Form, envelope: &Envelope) -> Verdict {
        let api = match protocol::judge(&self.accounts, now_ms, form) {
            Ok(api) => api,
            Err(error) => return refusal(envelope, &error),
        };
        if let Some(error) = self.bans.standing(now_ms, form.get("app_key").unwrap_or_default(), api) {
            return refusal(envelope, &error);
        }
        match self.faults.take(api, form) {
            None => self.carry_out(api, form, envelope),
            Some(FaultKind::Delay { ms }) => {
                let mut verdict = self.carry_out(api, form, envelope);
                if let Answer::Reply { after_ms, .. } = &mut verdict.answer {
                    *after_ms = ms;
                }
                verdict
            }
            Some(FaultKind::TimeoutBeforeEffect {}) => {
                Verdict { answer: Answer::Hang, outcome: Outcome::TimeoutBeforeEffect, effect: false }
            }
            Some(FaultKind::TimeoutAfterEffect {}) => Verdict {
                answer: Answer::Hang,
                outcome: Outcome::TimeoutAfterEffect,
                effect: self.carry_out(api, form, envelope).effect,
            },
            Some(FaultKind::Http500 { after_effect }) => Verdict {
                answer: page(500, "<html><body>500 Internal Server Error</body></html>"),
                outcome: Outcome::Http500,
                effect: after_effect && self.carry_out(api, form, envelope).effect,
            },
            Some(FaultKind::NotJson { after_effect }) => Verdict {
                answer: page(200, "<html><body>be right back</body></html>"),
                outcome: Outcome::NotJson,
                effect: after_effect && self.carry_out(api, form, envelope).effect,
            },
            Some(FaultKind::Error { code, msg, sub_code, sub_msg }) => {
                let error = TopError { code, msg, sub_code, sub_msg };
                self.bans.note(now_ms, form.get("app_key").unwrap_or_default(), api, &error);
                refusal(envelope, &error)
            }
            Some(FaultKind::BusinessFailure { code, msg }) => Verdict {
                answer: envelope.response(api, effects::business_failure(api, &code, &msg)),
                outcome: Outcome::BusinessFailure,
                effect: false,
            },
        }
    }

    fn carry_out(&mut self, api: Api, form: &Form, envelope: &Envelope) -> Verdict {
        match api.read(form) {
            Ok(content) => Verdict {
                effect: self.effects.apply(api, &content),
                answer: envelope.response(api, effects::success(api)),
                outcome: Outcome::Success,
            },
            Err(error) => refusal(envelope, &error),
        }
    }
}

fn refusal(envelope: &Envelope, error: &TopError) -> Verdict {
    Verdict {
        answer: envelope.error(error),
        outcome: Outcome::Error { code: error.code, sub_code: error.sub_code.clone() },
        effect: false,
    }
}

fn page(status: u16, html: &str) -> Answer {
    Answer::Reply { status, body: html.as_bytes().to_vec(), after_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed_request::{FORM, NOW_MS, SignedRequest, credentials};
    use serde_json::Value;

    fn send_at(simulator: &mut Simulator, now_ms: i64, request: &SignedRequest) -> Answer {
        simulator.handle(now_ms, Some(FORM), None, request.body().as_bytes())
    }

    fn send(simulator: &mut Simulator, request: &SignedRequest) -> Answer {
        send_at(simulator, NOW_MS, request)
    }

    fn json_of(answer: &Answer) -> Value {
        match answer {
            Answer::Reply { status: 200, body, .. } => serde_json::from_slice(body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn faults(json: &str) -> Vec<Fault> {
        serde_json::from_str(json).unwrap()
    }

    /// The ledger as one string "outcome effect" per request.
    fn ledger(simulator: &Simulator) -> Vec<String> {
        let line = |entry: &LedgerEntry| format!("{} {}", entry.outcome, entry.effect);
        simulator.ledger().iter().map(line).collect()
    }

    #[test]
    fn each_api_answers_under_its_root_key_with_a_new_request_id() {
        let mut simulator = Simulator::new(credentials());
        let rows = [
            (SignedRequest::ship("1"), "alitrip_ship_order_notify_response", "ret_success"),
            (SignedRequest::verify("1", "0"), "travel_ticket_order_verify_response", "is_success"),
            (SignedRequest::itinerary("1"), "alibaba_happytrip_flight_order_itinerary_postback_response", "ht_success"),
        ];
        let mut ids = std::collections::BTreeSet::new();
        for (request, root, flag) in rows {
            let answer = json_of(&send(&mut simulator, &request));
            assert_eq!(answer[root][flag], Value::Bool(true), "{answer}");
            ids.insert(answer[root]["request_id"].as_str().unwrap().to_owned());
            let simplified = json_of(&send(&mut simulator, &request.with("simplify", "true")));
            assert_eq!(simplified[flag], Value::Bool(true), "{simplified}");
            ids.insert(simplified["request_id"].as_str().unwrap().to_owned());
        }
        assert_eq!(ids.len(), 6);
    }

    /// Each row breaks one thing in a valid request and names the expected code.
    #[test]
    fn each_protocol_violation_has_its_own_code() {
        let ship = || SignedRequest::ship("1");
        let verify = || SignedRequest::verify("1", "0");
        let rows = [
            ("valid", ship(), None),
            ("hmac", ship().with("sign_method", "hmac"), None),
            ("hmac-sha256", ship().with("sign_method", "hmac-sha256"), None),
            ("no method", ship().without("method"), Some(21)),
            ("empty method", ship().with("method", ""), Some(21)),
            ("foreign method", ship().with("method", "taobao.time.get"), Some(22)),
            ("no app_key", ship().without("app_key"), Some(28)),
            ("foreign app_key", ship().with("app_key", "87654321"), Some(29)),
            ("no sign", ship().with_sign(""), Some(24)),
            ("foreign sign", ship().with_sign("66987CB115214E59E6EC978214934FB8"), Some(25)),
            ("lower-case sign", ship().with_lower_case_sign(), Some(25)),
            ("unknown sign_method", ship().with("sign_method", "sha1"), Some(25)),
            ("no sign_method", ship().without("sign_method"), Some(40)),
            ("no timestamp", ship().without("timestamp"), Some(30)),
            ("ISO timestamp", ship().with("timestamp", "2026-01-01T12:00:00"), Some(31)),
            ("UTC timestamp", ship().with("timestamp", "2026-01-01 04:00:00"), Some(31)),
            ("timestamp in seconds", ship().with("timestamp", "1767240000"), Some(31)),
            ("signed timestamp", ship().with("timestamp", "-1767240000000"), Some(31)),
            ("huge timestamp", ship().with("timestamp", "99999999999999999999"), Some(31)),
            ("ten minutes old", ship().with("timestamp", "2026-01-01 11:50:00"), None),
            ("older", ship().with("timestamp", "2026-01-01 11:49:59"), Some(31)),
            ("ten minutes ahead", ship().with("timestamp", "2026-01-01 12:10:00"), None),
            ("further ahead", ship().with("timestamp", "2026-01-01 12:10:01"), Some(31)),
            ("ten minutes old in ms", ship().with("timestamp", "1767239400000"), None),
            ("older in ms", ship().with("timestamp", "1767239399999"), Some(31)),
            ("ten minutes ahead in ms", ship().with("timestamp", "1767240600000"), None),
            ("further ahead in ms", ship().with("timestamp", "1767240600001"), Some(31)),
            ("no session", ship().without("session"), Some(26)),
            ("wrong session", ship().with("session", "old"), Some(27)),
            ("session not needed", verify(), None),
            ("session right though not needed", verify().with("session", "test"), None),
            ("session wrong though not needed", verify().with("session", "old"), Some(27)),
            ("no version", ship().without("v"), Some(32)),
            ("old version", ship().with("v", "1.0"), Some(33)),
            ("field changed after signing", ship().tampered("timestamp", "2026-01-01 12:00:01"), Some(25)),
            ("repeated parameter", ship().tampered_with_repetition("v", "2.0"), Some(43)),
            ("unknown parameter", ship().with("fields", "a"), Some(50)),
            ("missing argument", ship().without("confirm_book_r_q"), Some(40)),
            ("argument of the wrong type", verify().with("order_id", "one"), Some(41)),
        ];
        for (what, request, code) in rows {
            let mut simulator = Simulator::new(credentials());
            let answer = json_of(&send(&mut simulator, &request));
            assert_eq!(answer["error_response"]["code"].as_i64(), code, "{what}: {answer}");
            assert_eq!(simulator.ledger()[0].effect, code.is_none(), "{what}");
        }
    }

    #[test]
    fn unreadable_requests_are_in_the_ledger() {
        let mut simulator = Simulator::new(credentials());
        simulator.handle(NOW_MS, Some("application/json"), None, b"{}");
        simulator.handle(NOW_MS, Some(FORM), None, b"a=%FF");
        simulator.refuse_http_action(NOW_MS, None);
        assert_eq!(ledger(&simulator), ["error 43 false", "error 47 false", "error 9 false"]);
        let entry = &simulator.ledger()[0];
        assert_eq!(entry.at, "2026-01-01T04:00:00.000Z");
        assert!(entry.method.is_empty() && entry.params.is_empty());
    }

    #[test]
    fn ledger_holds_every_parameter() {
        let mut simulator = Simulator::new(credentials());
        let request = SignedRequest::ship("3892200000033");
        send(&mut simulator, &request);
        let entry = &simulator.ledger()[0];
        assert_eq!(entry.method, "alitrip.ship.order.notify");
        assert_eq!(entry.params, request.params());
    }

    #[test]
    fn repeated_ship_notification_gets_the_same_answer_without_effect() {
        let mut simulator = Simulator::new(credentials());
        let first = json_of(&send(&mut simulator, &SignedRequest::ship("1")));
        let failed = SignedRequest::ship("1").replacing(r#""success":true"#, r#""success":false"#);
        let second = json_of(&send(&mut simulator, &failed));
        let root = "alitrip_ship_order_notify_response";
        for field in ["ret_success", "ret_code", "ret_msg"] {
            assert_eq!(first[root][field], second[root][field]);
        }
        assert_ne!(first[root]["request_id"], second[root]["request_id"]);
        assert_eq!(ledger(&simulator), ["success true", "success false"]);
    }

    #[test]
    fn each_fault_has_its_own_answer_outcome_and_effect() {
        let html = |status| move |answer: &Answer| matches!(answer, Answer::Reply { status: s, body, .. } if *s == status && body.starts_with(b"<html>"));
        let hang = |answer: &Answer| *answer == Answer::Hang;
        type Check = Box<dyn Fn(&Answer) -> bool>;
        let rows: [(&str, Check, &str, &str); 9] = [
            (r#"{"fault":"timeout_before_effect"}"#, Box::new(hang), "timeout_before_effect false", "success true"),
            (r#"{"fault":"timeout_after_effect"}"#, Box::new(hang), "timeout_after_effect true", "success false"),
            (r#"{"fault":"http_500"}"#, Box::new(html(500)), "http_500 false", "success true"),
            (r#"{"fault":"http_500","after_effect":true}"#, Box::new(html(500)), "http_500 true", "success false"),
            (r#"{"fault":"not_json"}"#, Box::new(html(200)), "not_json false", "success true"),
            (r#"{"fault":"not_json","after_effect":true}"#, Box::new(html(200)), "not_json true", "success false"),
            (
                r#"{"fault":"error","code":15,"msg":"m","sub_code":"isp.x","sub_msg":"s"}"#,
                Box::new(|answer| {
                    let mut error = json_of(answer)["error_response"].take();
                    error.as_object_mut().unwrap().remove("request_id").is_some()
                        && error == serde_json::json!({"code": 15, "msg": "m", "sub_code": "isp.x", "sub_msg": "s"})
                }),
                "error 15 isp.x false",
                "success true",
            ),
            (
                r#"{"fault":"business_failure","code":"12","msg":"m"}"#,
                Box::new(|answer| {
                    let root = &json_of(answer)["alitrip_ship_order_notify_response"];
                    root["ret_success"] == false && root["ret_code"] == "12" && root["ret_msg"] == "m"
                }),
                "business_failure false",
                "success true",
            ),
            (
                r#"{"fault":"delay","ms":70}"#,
                Box::new(|answer| matches!(answer, Answer::Reply { status: 200, after_ms: 70, .. })),
                "success true",
                "success false",
            ),
        ];
        for (fault, check, during, afterwards) in rows {
            let mut simulator = Simulator::new(credentials());
            simulator.add_faults(faults(&format!("[{fault}]")));
            let answer = send(&mut simulator, &SignedRequest::ship("1"));
            assert!(check(&answer), "{fault}: {answer:?}");
            send(&mut simulator, &SignedRequest::ship("1"));
            assert_eq!(ledger(&simulator), [during, afterwards], "{fault}");
        }
    }

    #[test]
    fn time_out_after_an_unacceptable_request_has_no_effect() {
        let mut simulator = Simulator::new(credentials());
        simulator.add_faults(faults(r#"[{"fault":"timeout_after_effect"}]"#));
        send(&mut simulator, &SignedRequest::ship("1").replacing("ticket_count", "tickets"));
        assert_eq!(ledger(&simulator), ["timeout_after_effect false"]);
    }

    #[test]
    fn refused_request_uses_up_no_fault() {
        let mut simulator = Simulator::new(credentials());
        simulator.add_faults(faults(r#"[{"fault":"http_500"}]"#));
        send(&mut simulator, &SignedRequest::ship("1").with_sign("0"));
        send(&mut simulator, &SignedRequest::ship("1"));
        assert_eq!(ledger(&simulator), ["error 25 false", "http_500 false"]);
    }

    #[test]
    fn faults_are_used_up_in_order_by_matching_requests() {
        let mut simulator = Simulator::new(credentials());
        simulator.add_faults(faults(
            r#"[{"fault":"not_json","method":"taobao.travel.ticket.order.verify"},
                {"fault":"http_500","match":"order-b"},
                {"fault":"error","code":10,"times":2}]"#,
        ));
        simulator.add_faults(faults(r#"[{"fault":"timeout_before_effect"}]"#));
        for request in [
            SignedRequest::ship("order-a"),
            SignedRequest::ship("order-b"),
            SignedRequest::ship("order-b"),
            SignedRequest::verify("1", "0"),
            SignedRequest::ship("order-b"),
            SignedRequest::ship("order-b"),
        ] {
            send(&mut simulator, &request);
        }
        assert_eq!(
            ledger(&simulator),
            [
                "error 10 false",
                "http_500 false",
                "error 10 false",
                "not_json false",
                "timeout_before_effect false",
                "success true"
            ]
        );
    }

    #[test]
    fn ban_refuses_every_request_of_its_method_with_the_seconds_left() {
        let mut simulator = Simulator::new(credentials());
        simulator.add_faults(faults(
            r#"[{"fault":"error","code":7,"sub_code":"accesscontrol.x","sub_msg":"This ban will last for 3 more seconds"}]"#,
        ));
        let ship = SignedRequest::ship("1");
        for (after_ms, seconds) in [(0, Some("3")), (1, Some("3")), (1000, Some("2")), (2999, Some("1")), (3000, None)]
        {
            let answer = json_of(&send_at(&mut simulator, NOW_MS + after_ms, &ship));
            let sub_msg = answer["error_response"]["sub_msg"].as_str().map(str::to_owned);
            let expected = seconds.map(|s| format!("This ban will last for {s} more seconds"));
            assert_eq!(sub_msg, expected, "after {after_ms} ms: {answer}");
            if after_ms == 1 {
                send(&mut simulator, &SignedRequest::itinerary("1"));
            }
        }
        let banned = "error 7 accesscontrol.x false";
        assert_eq!(ledger(&simulator), [banned, banned, "success true", banned, banned, "success true"]);
    }

    #[test]
    fn other_errors_start_no_ban() {
        for fault in [
            r#"{"fault":"error","code":7}"#,
            r#"{"fault":"error","code":8,"sub_msg":"This ban will last for 9 more seconds"}"#,
        ] {
            let mut simulator = Simulator::new(credentials());
            simulator.add_faults(faults(&format!("[{fault}]")));
            send(&mut simulator, &SignedRequest::ship("1"));
            send(&mut simulator, &SignedRequest::ship("1"));
            assert_eq!(ledger(&simulator)[1], "success true", "{fault}");
        }
    }

    #[test]
    fn reset_clears_everything_but_the_credentials() {
        let mut simulator = Simulator::new(credentials());
        simulator.add_faults(faults(
            r#"[{"fault":"error","code":7,"sub_msg":"This ban will last for 9 more seconds","match":"order-a"},
                {"fault":"http_500","match":"order-b"}]"#,
        ));
        let itinerary = SignedRequest::itinerary("1");
        send(&mut simulator, &itinerary);
        send(&mut simulator, &SignedRequest::ship("order-a"));
        simulator.reset();
        assert!(simulator.ledger().is_empty());
        send(&mut simulator, &itinerary);
        send(&mut simulator, &SignedRequest::ship("order-b"));
        assert_eq!(ledger(&simulator), ["success true", "success true"]);
    }
}
