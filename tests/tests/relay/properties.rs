//! Properties that hold for every input, checked with many generated ones.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use relay_receiver::authentication::{SignatureFormula, SignatureHash, TokenHashes};
use relay_top::error::ErrorClasses;
use relay_top::response;
use relay_top::sign::{SignMethod, SigningKey, sign};
use relay_types::call::{CallKind, CallRequest};
use relay_types::digest::canonical_digest;
use relay_types::json;
use relay_types::link::Link;
use relay_types::order::Partner;
use relay_types::partner::CHANGES_ON_RESEND;
use relay_types::partner::sctt::VoucherPush;
use relay_types::partner::tsy::IssueNotify;
use relay_types::redact::mask_personal;
use relay_types::time::EpochMillis;
use serde_json::{Map, Number, Value};

/// Any JSON, often with names that the relay knows.
fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        "-?[0-9]{1,30}(\\.[0-9]{1,9})?"
            .prop_filter_map("a number", |text| text.parse::<Number>().ok().map(Value::Number)),
        ".{0,20}".prop_map(Value::String),
    ];
    scalar.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            btree_map(name(), inner, 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let names = [
        "msg",
        "orderNo",
        "orderId",
        "type",
        "trade_number",
        "order_code",
        "order_status",
        "vouchers",
        "voucherlist",
        "voucher_type",
        "voucher_confirmation",
        "sign",
        "request_time",
        "merchant_id",
        "happytrip_flight",
        "fliggy_ship",
        "passenger_list",
        "ticket_list",
        "ticket_id",
        "success",
        "order_id",
        "voucher_infos",
        "write_off_type",
        "error_response",
        "code",
        "sub_code",
        "sub_msg",
        "ret_success",
        "alitrip_ship_order_notify_response",
        "alitrip_order_id",
        "agent_order_id",
        "ticket_no_list",
        "out_relation_order_id",
        "tes_head_id",
    ];
    prop_oneof![4 => proptest::sample::select(names.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().rev().map(|(name, member)| (name.clone(), reversed(member))).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(reversed).collect()),
        scalar => scalar.clone(),
    }
}

proptest! {
    #[test]
    fn member_order_does_not_change_a_digest(value in json()) {
        prop_assert_eq!(canonical_digest(&value, &[]), canonical_digest(&reversed(&value), &[]));
    }

    #[test]
    fn new_signature_and_request_time_do_not_change_a_digest(members in btree_map(name(), json(), 0..8), sign in ".*", time in ".*") {
        let mut body: Map<String, Value> = members.into_iter().collect();
        let before = canonical_digest(&Value::Object(body.clone()), &CHANGES_ON_RESEND);
        body.insert("sign".to_owned(), Value::from(sign));
        body.insert("request_time".to_owned(), Value::from(time));
        prop_assert_eq!(before, canonical_digest(&Value::Object(body), &CHANGES_ON_RESEND));
    }

    #[test]
    fn different_content_has_a_different_digest(a in json(), b in json()) {
        prop_assume!(a != b);
        prop_assert_ne!(canonical_digest(&a, &[]), canonical_digest(&b, &[]));
    }

    #[test]
    fn no_body_panics_and_no_error_quotes_a_value(body in json()) {
        // Replaces every string with a marker, which shows if an error quotes one.
        fn marked(value: &Value) -> Value {
            match value {
                Value::String(_) => Value::from("QUOTED"),
                Value::Array(elements) => Value::Array(elements.iter().map(marked).collect()),
                Value::Object(members) => Value::Object(members.iter().map(|(name, member)| (name.clone(), marked(member))).collect()),
                scalar => scalar.clone(),
            }
        }
        for body in [&body, &marked(&body)] {
            let mut errors = Vec::new();
            errors.extend(IssueNotify::from_json(body).err());
            errors.extend(VoucherPush::from_json(body).err());
            errors.extend([Partner::Tsy, Partner::Sctt].iter().filter_map(|partner| Link::from_json(*partner, body).err()));
            errors.extend(CallKind::ALL.iter().filter_map(|kind| CallRequest::from_json(*kind, body).err()));
            for error in errors {
                prop_assert!(!error.to_string().contains("QUOTED"), "{}", error);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = json::parse_object(&bytes);
        for kind in CallKind::ALL {
            let _ = response::read(kind, 200, &bytes, &ErrorClasses::default());
        }
    }

    #[test]
    fn no_response_of_top_panics(answer in json()) {
        for kind in CallKind::ALL {
            let _ = response::read(kind, 200, answer.to_string().as_bytes(), &ErrorClasses::default());
        }
    }

    #[test]
    fn accepted_request_is_stored_and_read_back_unchanged(body in json()) {
        for kind in CallKind::ALL {
            if let Ok(request) = CallRequest::from_json(kind, &body) {
                prop_assert_eq!(CallRequest::from_stored(kind, &request.to_json()).unwrap(), request);
            }
        }
    }

    #[test]
    fn parameter_order_does_not_change_a_signature(parameters in btree_map("[a-z_]{1,10}", ".{0,30}", 0..10)) {
        let key = SigningKey::from("s".to_owned());
        for method in [SignMethod::Md5, SignMethod::Hmac, SignMethod::HmacSha256] {
            let forwards = sign(method, &key, parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let backwards = sign(method, &key, parameters.iter().rev().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(&forwards, &backwards);
            prop_assert!(forwards.chars().all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c)));
        }
    }

    #[test]
    fn masking_removes_personal_data(value in json(), secret in "[A-Z]{12}") {
        let mut value = serde_json::json!({"passenger_list": [{"passenger_name": secret.clone(), "ticket_list": [{"ticket_pwd": secret.clone()}]}], "rest": value});
        mask_personal(&mut value);
        prop_assert!(!value["passenger_list"].to_string().contains(&secret));
    }

    #[test]
    fn no_signature_formula_or_hash_list_panics(text in ".*") {
        let _ = SignatureFormula::parse(&text, SignatureHash::Md5);
        let _ = TokenHashes::parse(&text);
    }

    #[test]
    fn china_time_reads_back(seconds in -60_000_000_000_i64..250_000_000_000) {
        let time = EpochMillis(seconds * 1000);
        prop_assert_eq!(EpochMillis::from_china_time(&time.china_time()), Some(time));
    }
}
