//! Every request that the relay accepts is valid for the TOP simulator, which checks what TOP's pages say: signature,
//! types and completeness, for any strings.

use proptest::prelude::*;
use relay_top::credentials::Credentials;
use relay_top::error::ErrorClasses;
use relay_top::form;
use relay_top::response::{self, Outcome};
use relay_top::sign::SignMethod;
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
    fn every_itinerary_postback_is_accepted(body in itinerary()) {
        accepted(CallKind::ItineraryPostback, &body);
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
