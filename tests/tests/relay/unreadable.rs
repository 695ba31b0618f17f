//! Bodies that could not be read, as an operator handles them.

use relay_tests::bodies::{cancel, flight, tsy};
use relay_tests::relay::Relay;
use relay_types::notification::NotificationKind;
use serde_json::{Value, json};

/// Keeps a body aside, as an earlier version that could not read it did. Returns its digest.
async fn keep(relay: &Relay, kind: NotificationKind, body: &[u8]) -> String {
    use relay_types::time::Clock as _;
    relay.store.quarantine(kind, body, "orderStatus is unknown", relay.clock.now()).await.unwrap();
    relay_types::digest::sha256_hex(body)
}

async fn in_attention(relay: &Relay) -> usize {
    let page: Value = serde_json::from_str(&relay.attention(None, None).await.1).unwrap();
    page["items"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn body_is_shown_only_if_it_is_asked_for() {
    let relay = Relay::new().await;
    let digest = keep(&relay, NotificationKind::IssueNotify, br#"{"name":"PLANTED"}"#).await;
    let (status, body) = relay.unreadable("issue-notify", &digest, "", &[]).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    let expected = json!({"endpoint": "issue-notify", "digest": digest, "problem": "orderStatus is unknown", "bytes": 18,
        "deliveries": 1, "last_received_at": "2026-01-01T04:00:00.000Z", "needs_attention": true});
    assert_eq!(shown, expected);
    let (_, body) = relay.unreadable("issue-notify", &digest, "", &[("body", "true")]).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["body"], r#"{"name":"PLANTED"}"#);
    let gbk = keep(&relay, NotificationKind::IssueNotify, b"\xb6\xa9").await;
    let (_, body) = relay.unreadable("issue-notify", &gbk, "", &[("body", "true")]).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["body_base64"], "tqk=");
    for (endpoint, digest, query, expected) in [
        ("issue-notify", "0".repeat(64), vec![], 404),
        ("voucher-push", digest.clone(), vec![], 404),
        ("other", digest.clone(), vec![], 404),
        ("issue-notify", digest.clone(), vec![("body", "yes")], 400),
    ] {
        assert_eq!(relay.unreadable(endpoint, &digest, "", &query).await.0, expected, "{endpoint} {query:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_this_version_can_read_is_taken_in_as_if_it_had_just_arrived() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    let digest = keep(&relay, NotificationKind::IssueNotify, tsy("P-1", "issued").as_bytes()).await;
    assert_eq!(in_attention(&relay).await, 1);
    let (status, body) = relay.unreadable("issue-notify", &digest, "retry", &[("note", "fixed in 0.2.0")]).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["orders"], json!(["P-1"]));
    relay.run_until_idle().await;
    assert_eq!((relay.effects(), in_attention(&relay).await), (1, 0));
    let (_, body) = relay.unreadable("issue-notify", &digest, "", &[]).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&shown["needs_attention"], &shown["dismissed_note"]), (&json!(false), &json!("fixed in 0.2.0")));
    // Once more: the notification counts as delivered again, and TOP is not told again.
    assert_eq!(relay.unreadable("issue-notify", &digest, "retry", &[("note", "again")]).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(relay.ledger().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn body_that_is_still_unreadable_stays_in_the_list() {
    let relay = Relay::new().await;
    let nameless = r#"{"orders":[{"status":1}]}"#;
    for (kind, body) in [
        (NotificationKind::IssueNotify, "{}"),
        (NotificationKind::VoucherPush, "not JSON"),
        (NotificationKind::CancelPush, nameless),
    ] {
        let digest = keep(&relay, kind, body.as_bytes()).await;
        let (status, answer) = relay.unreadable(kind.as_ref(), &digest, "retry", &[("note", "n")]).await;
        assert!(status == 422 && answer.contains("still unreadable"), "{kind}: {status} {answer}");
    }
    assert_eq!(in_attention(&relay).await, 3);
    let digest = keep(&relay, NotificationKind::IssueNotify, tsy("P-1", "issued").as_bytes()).await;
    assert_eq!(relay.unreadable("issue-notify", &digest, "retry", &[]).await.0, 400, "a note is needed");
}

#[tokio::test(start_paused = true)]
async fn usable_part_of_a_push_is_taken_in_and_the_rest_stays() {
    let relay = Relay::new().await;
    let mut push: Value = serde_json::from_str(&cancel(&[("T-1", 1)])).unwrap();
    let list = push.as_object_mut().unwrap().values_mut().find(|value| value.is_array());
    let list = list.expect("a push is a list of orders").as_array_mut().unwrap();
    list.push(json!({"order_status": 1}));
    let digest = keep(&relay, NotificationKind::CancelPush, push.to_string().as_bytes()).await;
    let (status, body) = relay.unreadable("cancel-push", &digest, "retry", &[("note", "n")]).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["orders"], json!(["T-1"]));
    assert_eq!(in_attention(&relay).await, 1, "the entry without an order");
}
