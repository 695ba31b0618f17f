//! Builds a TOP request for the wire: protocol parameters, the call's parameters and the signature in one form.

use relay_types::call::{CallRequest, itinerary_postback, ship_notify, ship_return_notify};
use relay_types::time::EpochMillis;

use crate::credentials::Credentials;
use crate::method_spec;
use crate::sign::{SignMethod, sign};

/// Identifies this program to TOP as the value of `partner_id`.
const PARTNER_ID: &str = concat!("ticket-relay/", env!("CARGO_PKG_VERSION"));

/// Builds the signed body of a request. Everything goes into the body, to keep `session` and `sign` out of access logs.
/// The time stamp is `now`, so build a new body for every attempt.
#[must_use]
pub fn build(request: &CallRequest, credentials: &Credentials, method: SignMethod, now: EpochMillis) -> String {
    let spec = method_spec(request.kind());
    let timestamp = now.china_time();
    let own = own_parameters(request);
    let mut parameters = vec![
        ("method", spec.method),
        ("app_key", credentials.app_key.as_str()),
        ("timestamp", &timestamp),
        ("format", "json"),
        ("v", "2.0"),
        ("sign_method", method.as_ref()),
        ("partner_id", PARTNER_ID),
    ];
    if spec.needs_session {
        parameters.push(("session", credentials.session.reveal()));
    }
    parameters.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    let signature = sign(method, &credentials.app_secret, parameters.iter().copied());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).append_pair("sign", &signature).finish()
}

/// The form fields of the call. A struct is one field of JSON, and a scalar is one field. Absent values are left out;
/// `false` and `0` are sent.
fn own_parameters(request: &CallRequest) -> Vec<(&'static str, String)> {
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    match request {
        CallRequest::ItineraryPostback(_) => vec![(itinerary_postback::FIELD, request.to_json())],
        CallRequest::ShipNotify(_) => vec![(ship_notify::FIELD, request.to_json())],
        CallRequest::ShipReturnNotify(_) => vec![(ship_return_notify::FIELD, request.to_json())],
        CallRequest::TicketRefundNotify(refund) => present([
            ("refund_num", number(refund.refund_num)),
            ("order_id", number(Some(refund.order_id))),
            ("refund_status", number(Some(refund.refund_status))),
            ("refund_failure_reason", refund.refund_failure_reason.clone()),
            ("refund_batch_no", Some(refund.refund_batch_no.clone())),
        ]),
        CallRequest::TicketVerify(verify) => {
            // Serialising a list of strings and numbers cannot fail.
            let vouchers = (!verify.voucher_infos.is_empty())
                .then(|| serde_json::to_string(&verify.voucher_infos).unwrap_or_default());
            present([
                ("check_num", number(verify.check_num)),
                ("order_id", number(verify.order_id)),
                ("return_num", number(verify.return_num)),
                ("total_num", number(verify.total_num)),
                ("out_order_id", verify.out_order_id.clone()),
                ("confirm_code", verify.confirm_code.clone()),
                ("voucher_infos", vouchers),
                ("write_off_type", number(verify.write_off_type)),
            ])
        }
    }
}

fn present<const N: usize>(fields: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The `Content-Type` of the body that [`build`] returns.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded;charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;
    use relay_types::call::CallKind;
    use relay_types::redact::Redacted;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn credentials() -> Credentials {
        Credentials {
            app_key: "12345678".to_owned(),
            app_secret: "helloworld".to_owned().into(),
            session: Redacted::new("test".to_owned()),
        }
    }

    fn fields(kind: CallKind, body: Value, now: i64) -> BTreeMap<String, String> {
        let request = CallRequest::from_json(kind, &body).unwrap();
        let form = build(&request, &credentials(), SignMethod::HmacSha256, EpochMillis(now));
        form_urlencoded::parse(form.as_bytes()).into_owned().collect()
    }

    #[test]
    fn false_and_zero_are_sent() {
        let ship = fields(
            CallKind::ShipNotify,
            json!({"agent_order_id": "A", "alitrip_order_id": "1", "success": false, "total_price": 0}),
            0,
        );
        assert_eq!(
            ship["confirm_book_r_q"],
            r#"{"agent_order_id":"A","alitrip_order_id":"1","success":false,"total_price":0}"#
        );
        let verify = fields(
            CallKind::TicketVerify,
            json!({"order_id": 1, "confirm_code": "1", "return_num": 0, "write_off_type": 0}),
            0,
        );
        assert_eq!((verify["return_num"].as_str(), verify["write_off_type"].as_str()), ("0", "0"));
        assert!(!verify.contains_key("check_num"));
    }

    #[test]
    fn list_of_structs_is_one_json_field() {
        let vouchers = json!([{"confirm_code": "2516352", "used_quantity": 1, "used_date": "2020-01-11 14:00:00"}]);
        let verify = fields(CallKind::TicketVerify, json!({"out_order_id": "1", "voucher_infos": vouchers}), 0);
        assert_eq!(verify["voucher_infos"], vouchers.to_string());
    }

    #[test]
    fn refunds_have_the_fields_of_their_pages() {
        let body = json!({"order_id": 7, "refund_status": 2, "refund_num": 0, "refund_batch_no": "B-1"});
        let mut refund = fields(CallKind::TicketRefundNotify, body, 0);
        refund.retain(|name, _| name.starts_with("refund") || name == "order_id" || name == "session");
        let expected = [("order_id", "7"), ("refund_batch_no", "B-1"), ("refund_num", "0"), ("refund_status", "2")];
        assert!(refund.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected), "{refund:?}");
        let body = json!({"agent_order_id": "A", "alitrip_order_id": "38", "agent_refund_amount": 0,
            "agent_return_ticket_code": 0, "agent_return_ticket_status": 1, "agent_return_ticket_type": 1});
        let ship = fields(CallKind::ShipReturnNotify, body, 0);
        assert_eq!(ship["session"], "test");
        assert_eq!(
            ship["confirm_refund_r_q"],
            r#"{"agent_order_id":"A","agent_refund_amount":0,"agent_return_ticket_code":0,"agent_return_ticket_status":1,"agent_return_ticket_type":1,"alitrip_order_id":38}"#
        );
    }

    #[test]
    fn every_attempt_has_a_new_time_stamp_and_signature() {
        let body = || json!({"order_id": 1, "confirm_code": "1"});
        let (first, second) = (
            fields(CallKind::TicketVerify, body(), 1_767_240_000_000),
            fields(CallKind::TicketVerify, body(), 1_767_240_001_000),
        );
        assert_eq!(
            (first["timestamp"].as_str(), second["timestamp"].as_str()),
            ("2026-01-01 12:00:00", "2026-01-01 12:00:01")
        );
        assert_ne!(first["sign"], second["sign"]);
    }

    #[test]
    fn session_is_sent_only_for_calls_that_need_one() {
        assert!(
            !fields(CallKind::TicketVerify, json!({"order_id": 1, "confirm_code": "1"}), 0).contains_key("session")
        );
        let ship = json!({"agent_order_id": "A", "alitrip_order_id": "1", "success": true});
        assert_eq!(fields(CallKind::ShipNotify, ship, 0)["session"], "test");
    }

    #[test]
    fn signed_fields_of_the_vectors_are_reproduced() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("../../types/testdata/top-signing.json")).unwrap();
        for (name, kind, field) in [
            ("ship_notify_ok", CallKind::ShipNotify, "confirm_book_r_q"),
            ("happytrip_itinerary", CallKind::ItineraryPostback, "flight_itinerary_request"),
        ] {
            let vector = vectors.iter().find(|vector| vector["name"] == name).unwrap();
            let value = vector["params"][field].as_str().unwrap();
            let sent = &fields(kind, serde_json::from_str(value).unwrap(), 1_767_240_000_000)[field];
            assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), serde_json::from_str::<Value>(value).unwrap());
        }
    }
}
