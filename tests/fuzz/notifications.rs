//! Pushes of the partners.

use super::*;

/// Sends a body as a partner, and checks the answer, the table and the queue.
pub fn notification(kind: NotificationKind, sent: &Edited) {
    let partner = kind.partner();
    on_empty_relay(async |relay| {
        let post = async || {
            let route = format!("/{partner}/{{token}}/{kind}");
            let request = request("POST", &route, json!({"token": TOKEN}), json!({}), sent);
            answered(relay.receiver(kind).handle(&request).await)
        };
        let (status, answer) = post().await;
        let written = relay.cloud.take_sent();
        let mut messages = relay.receive("notifications").await;
        // A push of many orders leads to more than the ten messages of one receive.
        while messages.len() % 10 == 0 {
            match relay.receive("notifications").await {
                more if more.is_empty() => break,
                more => messages.extend(more),
            }
        }
        assert_eq!(status == 413, sent.bytes.len() > LARGEST, "{} bytes", sent.bytes.len());
        if status != 200 {
            let message = partner_refusal(partner, status, &answer, &sent.bytes);
            assert_eq!(messages.len(), 0, "a refused body was enqueued");
            match status {
                400 => {
                    let sk = format!("{kind}#{}", sha256_hex(&sent.bytes));
                    let kept = item(relay, &format!("quarantine#{partner}"), &sk).await;
                    let kept = kept.expect("a refused body is in quarantine");
                    assert_eq!(kept["body"].as_b().unwrap().as_ref(), sent.bytes);
                    assert_eq!(kept["unreadable"].as_m().unwrap()["problem"].as_s().unwrap(), &message);
                    assert_eq!(written.len(), 1, "{written:?}");
                }
                413 => assert_eq!(written, []),
                _ => panic!("unexpected status {status} with a valid token"),
            }
            return;
        }
        assert_eq!(answer, acknowledgement(partner));
        let sent_text = without_mark(&sent.bytes);
        let body: Value = serde_json::from_slice(sent_text).expect("an accepted body is JSON");
        let mut told = keys(&messages);
        let mut orders = Vec::new();
        for (order_id, part) in orders_of(kind, &body) {
            let key = json!({"partner": partner.as_ref(), "order_id": order_id});
            let place = told
                .iter()
                .position(|told| *told == key)
                .unwrap_or_else(|| panic!("{key} was recorded, but not enqueued: {told:?}"));
            told.swap_remove(place);
            let bodies = recorded(relay, partner, &order_id).await;
            // serde_json cannot read every object as a value: a first member with the name of its own marker is an error.
            let text = part.to_string();
            let is_part = |recorded: &String| {
                *recorded == text || serde_json::from_str(recorded).is_ok_and(|recorded: Value| recorded == part)
            };
            assert!(bodies.iter().any(is_part), "{part} was not recorded, only {bodies:?}");
            if kind != NotificationKind::CancelPush {
                assert!(bodies.iter().any(|body| body.as_bytes() == sent_text));
            }
            orders.push(order_id);
        }
        assert_eq!(told, Vec::<Value>::new(), "keys of other orders were enqueued");
        assert_eq!(post().await, (200, answer), "a repeat got a different answer");
        handled(relay, "notifications", &messages).await;
        for order_id in orders {
            let record = relay.record(&format!("order#{partner}#{order_id}")).await;
            assert_eq!(record.facts, [], "the facts were not decided");
        }
    });
}

/// Returns the bodies of an order's notifications.
async fn recorded(relay: &Relay, partner: Partner, order_id: &str) -> Vec<String> {
    let record = relay.record(&format!("order#{partner}#{order_id}")).await;
    let mut bodies = Vec::new();
    for body in record.notifications.values().filter_map(|one| one.body.as_ref()) {
        bodies.extend(relay.store.body(&record.key, body).await.unwrap());
    }
    bodies
}

/// Whether the relay can read an entry of a cancel push.
fn relay_reads(entry: &Value) -> bool {
    relay_types::json::read::<relay_types::partner::sctt::Cancellation>(entry).is_ok()
}

/// Returns the order ids in a body, each with the part of the body about that order.
fn orders_of(kind: NotificationKind, body: &Value) -> Vec<(String, Value)> {
    // A second name counts only if the first is absent or empty.
    let first_of = |body: &Value, names: &[&str]| {
        let id = names.iter().map(|name| &body[*name]).find(|id| !id.is_null() && **id != json!(""));
        id.and_then(text)
    };
    let named = |names| first_of(body, names);
    let order_id = match kind {
        NotificationKind::IssueNotify => named(&["orderId"]),
        NotificationKind::ChangePricePush => named(&["merchantOrder", "orderNum"]),
        NotificationKind::ChangeResultPush => {
            let mut ids = ["merchantOrder", "orderNum"].into_iter().filter_map(|name| text(&body[name]));
            let usable = ids.find(|id| OrderId::try_from(id.clone()).is_ok());
            let own = || format!("-{}", &canonical_digest(body, &["sign", "request_time"])[..16]);
            Some(usable.unwrap_or_else(own))
        }
        NotificationKind::VoucherPush => named(&["trade_number", "order_code"]),
        NotificationKind::CancelPush => {
            let part = |entry: &Value| {
                // The first few short scalars around the list.
                let mut kept = 0;
                let mut part = body.clone();
                part.as_object_mut().expect("an accepted body is an object").retain(|name, value| {
                    let is_scalar = !value.is_object() && !value.is_array();
                    let is_kept =
                        is_scalar && name.len() + value.to_string().len() <= 96 && name != "orderlist" && kept < 8;
                    kept += usize::from(is_kept);
                    is_kept
                });
                part["orderlist"] = json!([entry]);
                // An entry that names no order, or has no status, is quarantined.
                let id =
                    first_of(entry, &["trade_number", "order_code"]).filter(|id| OrderId::try_from(id.clone()).is_ok());
                Some((id.filter(|_| relay_reads(entry))?, part))
            };
            let mut parts: Vec<(String, Value)> = Vec::new();
            for part in body["orderlist"].as_array().expect("an accepted body has a list").iter().filter_map(part) {
                // Equal entries are one delivery.
                if !parts
                    .iter()
                    .any(|(id, other)| *id == part.0 && canonical_digest(other, &[]) == canonical_digest(&part.1, &[]))
                {
                    parts.push(part);
                }
            }
            return parts;
        }
    };
    vec![(order_id.expect("an accepted body names an order"), body.clone())]
}

/// Reads an item of the table.
async fn item(relay: &Relay, pk: &str, sk: &str) -> Option<HashMap<String, AttributeValue>> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let get = relay.dynamodb.get_item().table_name("relay").consistent_read(true);
    get.key("pk", text(pk)).key("sk", text(sk)).send().await.unwrap().item
}
