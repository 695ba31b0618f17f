//! Every request that the relay accepts is valid for the TOP simulator, which checks what TOP's pages say: signature,
//! types and completeness, for any strings.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relay_top::credentials::Credentials;
use relay_top::error::ErrorClasses;
use relay_top::form;
use relay_top::response::{self, Outcome};
use relay_top::sign::{SignMethod, sign};
use relay_types::call::{CallKind, CallRequest};
use relay_types::redact::Redacted;
use relay_types::time::EpochMillis;
use serde_json::{Value, json};
use top_simulator::{Answer, Simulator};

const NOW: i64 = 1_767_240_000_000;

/// Non-empty strings, often with characters that are likely to break a form or a signature.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{1,20}", "[&=+%#?;\"\\\\{}\\[\\],: 罗大佑🎫é\u{1}\n]{1,20}"]
}

fn ship() -> impl Strategy<Value = Value> {
    let ticket = (text(), text(), 0_i64.., proptest::option::of(text())).prop_map(|(id, title, price, pwd)| {
        json!({"ticket_id": id, "ticket_type": "1", "ticket_price": price, "ticket_title": title, "ticket_pwd": pwd,
            "ticket_status": "2", "ticket_sub_type": "11", "expire_time": "2019-12-20 00:00:00"})
    });
    let passenger = (text(), proptest::collection::vec(ticket, 0..3)).prop_map(
        |(name, tickets)| json!({"passenger_name": name, "passenger_cert_type": "1", "ticket_list": tickets}),
    );
    let passengers = proptest::collection::vec(passenger, 0..3);
    (text(), text(), any::<bool>(), any::<i64>(), text(), passengers).prop_map(
        |(agent, alitrip, success, price, free, passengers)| {
            json!({"agent_order_id": agent, "alitrip_order_id": alitrip, "success": success, "total_price": price,
            "main_biz_order_id": price, "message": free, "order_attr": free, "fetch_tickets_address": free,
            "fetch_tickets_number": free, "fetch_tickets_pwd": free, "ticket_wicket": free, "ticket_count": 0,
            "failed_code": free, "passenger_list": passengers})
        },
    )
}

fn verify() -> impl Strategy<Value = Value> {
    let voucher = (text(), any::<u32>()).prop_map(
        |(code, used)| json!({"confirm_code": code, "used_quantity": used, "used_date": "2020-01-11 14:00:00"}),
    );
    (any::<i64>(), text(), 0..2_i64, proptest::collection::vec(voucher, 1..4), any::<u32>()).prop_map(
        |(order_id, out_order_id, kind, vouchers, number)| {
            json!({"order_id": order_id, "out_order_id": out_order_id, "write_off_type": kind, "voucher_infos": vouchers,
                "check_num": number, "return_num": 0, "total_num": number, "confirm_code": out_order_id})
        },
    )
}

fn itinerary() -> impl Strategy<Value = Value> {
    (text(), text(), proptest::collection::vec(text(), 1..4)).prop_map(|(order, other, tickets)| {
        json!({"out_relation_order_id": order, "tes_head_id": other, "cwt_account_no": other, "emp_no": other,
            "ht_user_id": other, "ticket_no_list": tickets})
    })
}

fn ship_refund() -> impl Strategy<Value = Value> {
    (any::<i64>(), "[^\\p{C}\u{fffd}]{1,20}", 0..2_i64, 1..3_i64, text(), proptest::bool::ANY).prop_map(
        |(order, id, kind, status, free, is_ticket)| {
            let named = if is_ticket { "agent_ticket_id" } else { "passenger_id" };
            json!({"alitrip_order_id": order, "agent_order_id": free, "agent_refund_amount": order,
                "agent_return_ticket_code": order, "agent_return_ticket_status": status,
                "agent_return_ticket_type": kind, "agent_return_mode": "offline", "agent_refund_trans_id": free,
                "agent_return_time": "2019-12-20 00:00:00", "agent_ext_attr": free, named: format!("id {id}")})
        },
    )
}

fn ticket_refund() -> impl Strategy<Value = Value> {
    (any::<i64>(), "[^\\p{C}\u{fffd}]{1,20}", 1..3_i64, text(), any::<u32>()).prop_map(
        |(order, batch, status, free, number)| {
            json!({"order_id": order, "refund_batch_no": format!("batch {batch}"), "refund_status": status,
                "refund_failure_reason": free, "refund_num": number})
        },
    )
}

fn accepted(kind: CallKind, body: &Value) {
    let request = CallRequest::from_json(kind, body).unwrap();
    let credentials = Credentials {
        app_key: "12345678".to_owned(),
        app_secret: "helloworld".to_owned().into(),
        session: Redacted::new("test".to_owned()),
    };
    for method in [SignMethod::Md5, SignMethod::Hmac, SignMethod::HmacSha256] {
        let mut simulator = Simulator::new(top_simulator::Credentials {
            app_key: "12345678".to_owned(),
            app_secret: "helloworld".to_owned(),
            session: "test".to_owned(),
        });
        let form = form::build(&request, &credentials, method, EpochMillis(NOW));
        let answer = simulator.handle(NOW, Some(form::CONTENT_TYPE), None, form.as_bytes());
        let Answer::Reply { status, body: answer, .. } = answer else { panic!("no answer") };
        let outcome = response::read(kind, status, &answer, &ErrorClasses::default());
        assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
    }
}

proptest! {
    #[test]
    fn every_ship_notification_is_accepted(body in ship()) {
        accepted(CallKind::ShipNotify, &body);
    }

    #[test]
    fn every_redemption_is_accepted(body in verify()) {
        accepted(CallKind::TicketVerify, &body);
    }

    #[test]
    fn every_ship_refund_is_accepted(body in ship_refund()) {
        accepted(CallKind::ShipReturnNotify, &body);
    }

    #[test]
    fn every_ticket_refund_is_accepted(body in ticket_refund()) {
        accepted(CallKind::TicketRefundNotify, &body);
    }

    #[test]
    fn every_itinerary_postback_is_accepted(body in itinerary()) {
        accepted(CallKind::ItineraryPostback, &body);
    }
}

/// Names and values of form fields.
type Fields = &'static [(&'static str, &'static str)];

/// Requests and signatures (HMAC-SHA256) that Python's `hmac` computed from the platform's protocol page.
const SIGNED: [(CallKind, &str, Fields, &str); 2] = [
    (
        CallKind::ShipReturnNotify,
        r#"{"alitrip_order_id":3892200000033,"agent_order_id":"A-1","agent_refund_amount":100,"agent_return_ticket_code":0,"agent_return_ticket_status":1,"agent_return_ticket_type":0,"agent_ticket_id":"票 1&=+%"}"#,
        &[
            (
                "confirm_refund_r_q",
                r#"{"agent_order_id":"A-1","agent_refund_amount":100,"agent_return_ticket_code":0,"agent_return_ticket_status":1,"agent_return_ticket_type":0,"agent_ticket_id":"票 1&=+%","alitrip_order_id":3892200000033}"#,
            ),
            ("session", "test"),
        ],
        "5A2B2E892E242352D681A015B140D0D580BBBF5889DEA20FFEA64DB189E11499",
    ),
    (
        CallKind::TicketRefundNotify,
        r#"{"order_id":12345678,"refund_status":2,"refund_num":0,"refund_failure_reason":"已核销 100%+&","refund_batch_no":"B-1="}"#,
        &[
            ("order_id", "12345678"),
            ("refund_batch_no", "B-1="),
            ("refund_failure_reason", "已核销 100%+&"),
            ("refund_num", "0"),
            ("refund_status", "2"),
        ],
        "59B8E64CD1F764A13AED1E0335F2BDEAC65D5AC6AE770A9CF18136B8E3BACD37",
    ),
];

#[test]
fn refunds_are_built_and_signed_as_in_the_worked_examples() {
    let credentials = Credentials {
        app_key: "12345678".to_owned(),
        app_secret: "helloworld".to_owned().into(),
        session: Redacted::new("test".to_owned()),
    };
    for (kind, body, own, signature) in SIGNED {
        let request = CallRequest::from_json(kind, &serde_json::from_str(body).unwrap()).unwrap();
        let form = form::build(&request, &credentials, SignMethod::HmacSha256, EpochMillis(NOW));
        let mut sent: BTreeMap<String, String> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        // The examples leave out the version of this program.
        let left_out = (sent.remove("sign"), sent.remove("partner_id"));
        assert!(left_out.0.is_some() && left_out.1.is_some());
        let pairs = sent.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(sign(SignMethod::HmacSha256, &credentials.app_secret, pairs), signature, "{kind}");
        for (name, value) in own {
            assert_eq!(sent[*name], *value);
        }
        assert_eq!(sent.len(), own.len() + 6, "{sent:?}");
    }
}

#[test]
fn changed_or_late_request_is_refused() {
    let request =
        CallRequest::from_json(CallKind::TicketVerify, &json!({"order_id": 1, "check_num": 1, "confirm_code": "1"}))
            .unwrap();
    let credentials = Credentials {
        app_key: "12345678".to_owned(),
        app_secret: "helloworld".to_owned().into(),
        session: Redacted::new("test".to_owned()),
    };
    let form = form::build(&request, &credentials, SignMethod::HmacSha256, EpochMillis(NOW));
    let judge = |form: &str, now: i64| {
        let mut simulator = Simulator::new(top_simulator::Credentials {
            app_key: "12345678".to_owned(),
            app_secret: "helloworld".to_owned(),
            session: "test".to_owned(),
        });
        let Answer::Reply { status, body, .. } = simulator.handle(now, Some(form::CONTENT_TYPE), None, form.as_bytes())
        else {
            panic!("no answer")
        };
        match response::read(CallKind::TicketVerify, status, &body, &ErrorClasses::default()) {
            Outcome::Succeeded(_) => 0,
            Outcome::Failed(_, failure) => failure.code.unwrap(),
        }
    };
    assert_eq!(judge(&form, NOW), 0);
    assert_eq!(judge(&form, NOW + 9 * 60_000), 0);
    assert_eq!(judge(&form, NOW + 11 * 60_000), 31);
    assert_eq!(judge(&form.replace("check_num=1", "check_num=2"), NOW), 25);
    assert_eq!(judge(&form.replace("app_key=12345678", "app_key=1"), NOW), 29);
}
