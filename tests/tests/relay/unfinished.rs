//! The list of everything unfinished.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use relay_tests::bodies::{flight, redemption, sctt, ship, ship_call, tsy};
use relay_tests::relay::Relay;
use relay_types::notification::NotificationKind;
use relay_types::unfinished::{State, Step, Unfinished, UnfinishedPage};
use serde_json::{Value, json};

async fn list(relay: &Relay, query: &[(&str, &str)]) -> UnfinishedPage {
    let (status, body) = relay.unfinished(query).await;
    assert_eq!(status, 200, "{query:?}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The order id or key of each item.
fn names(page: &UnfinishedPage) -> Vec<&str> {
    let name = |item: &'_ Unfinished| item.order_id.clone().or_else(|| item.key.clone());
    assert!(page.items.iter().all(|item| name(item).is_some() != (item.state == State::Unreadable)));
    page.items.iter().map(|item| item.order_id.as_deref().or(item.key.as_deref()).unwrap_or("body")).collect()
}

async fn dispatched(relay: &Relay) {
    while relay.poll("notifications").await.0 > 0 {}
}

/// One record in every state, each a minute younger than the one before.
async fn one_of_each() -> Relay {
    let mut relay = Relay::new().await;
    relay.order_link.unnotified_after = Some(Duration::from_secs(3600));
    relay.dispatch.settings.unnotified_after = Some(Duration::from_secs(3600));
    let minute = || relay.clock.advance(Duration::from_secs(60));
    relay.put_order("tsy", "unnotified", &flight()).await;
    minute();
    relay.post_tsy(&tsy("waiting", "issued")).await;
    dispatched(&relay).await;
    minute();
    relay.post(NotificationKind::VoucherPush, "{}").await;
    minute();
    relay.put_order("sctt", "attention", &ship("38", 3)).await;
    relay.post_sctt(&sctt("attention", 2, 2).to_string()).await;
    dispatched(&relay).await;
    minute();
    relay.top_faults(json!([{"fault": "error", "code": 40, "match": "refused", "times": 1}]));
    relay.submit_and_decide("ship-notify", None, &ship_call("refused", true)).await;
    relay.poll_in_time("ship-notify").await;
    minute();
    relay.top_faults(json!([{"fault": "timeout_after_effect", "times": 1}]));
    relay.submit_and_decide("ticket-verify", Some("unknown"), &redemption(7, 0)).await;
    relay.poll_in_time("ticket-verify").await;
    minute();
    relay.top_faults(json!([{"fault": "error", "code": 27, "times": 1}]));
    relay.submit_as("ship-notify", "flights", None, &ship_call("held", true)).await;
    dispatched(&relay).await;
    let account = |key: &str| json!({"app_key": key, "app_secret": relay_tests::relay::APP_SECRET});
    let accounts = json!({"accounts": {"default": account("12345678"), "flights": account("12345678")}});
    relay.put_secret(relay_tests::relay::TOP_SECRET_ID, &accounts).await;
    relay.poll_in_time("ship-notify").await;
    minute();
    relay.submit_and_decide("ship-notify", None, &ship_call("pending", true)).await;
    minute();
    relay.post_tsy(&tsy("undecided", "issued")).await;
    relay
}

#[tokio::test(start_paused = true)]
async fn everything_unfinished_is_listed_with_its_reason_and_what_happens_next() {
    let relay = one_of_each().await;
    let page = list(&relay, &[]).await;
    let expected = [
        ("unnotified", State::Unnotified, Step::Notification, ""),
        ("waiting", State::Waiting, Step::Link, "no_link"),
        ("body", State::Unreadable, Step::Person, "unreadable"),
        ("attention", State::Attention, Step::Person, "vouchers_mismatch"),
        ("refused", State::Refused, Step::Person, "refused"),
        ("unknown", State::Unknown, Step::Person, "unknown"),
        ("held", State::Held, Step::Attempt, "configuration_fault"),
        ("pending", State::Pending, Step::Attempt, ""),
        ("undecided", State::Pending, Step::Decision, ""),
    ];
    let why = |item: &Unfinished| {
        let reason = item.reasons.first().map(|reason| reason.code.as_ref().to_owned());
        reason.or_else(|| item.held_back.first().map(|held| held.cause.as_ref().to_owned())).unwrap_or_default()
    };
    let found: Vec<_> = names(&page)
        .into_iter()
        .zip(&page.items)
        .map(|(name, item)| (name, item.state, item.next.step, why(item)))
        .collect();
    let expected: Vec<_> =
        expected.into_iter().map(|(name, state, step, why)| (name, state, step, why.to_owned())).collect();
    assert_eq!(found, expected);
    let at = |name: &str| page.items[names(&page).iter().position(|one| *one == name).unwrap()].next.at.clone();
    assert_eq!(at("unnotified").as_deref(), Some("2026-01-01T05:00:00.000Z"), "when it rings");
    assert_eq!(at("held").as_deref(), Some("2026-01-01T04:08:00.000Z"), "the trial is due");
    assert_eq!(at("attention"), None);
    assert!(page.complete && page.next.is_none());
    assert_eq!(page.total, 9);
    let states: BTreeMap<String, usize> = State::ALL
        .iter()
        .filter(|state| **state != State::InProgress)
        .map(|state| (state.as_ref().to_owned(), if *state == State::Pending { 2 } else { 1 }))
        .collect();
    assert_eq!(page.states, states);
}

#[tokio::test(start_paused = true)]
async fn list_is_filtered_and_counts_what_other_filters_would_show() {
    let relay = one_of_each().await;
    for (query, expected) in [
        (vec![("state", "held")], vec!["held"]),
        (vec![("state", "refused,unknown")], vec!["refused", "unknown"]),
        (vec![("partner", "tsy")], vec!["unnotified", "waiting", "undecided"]),
        (vec![("partner", "sctt")], vec!["body", "attention"]),
        (vec![("kind", "voucher-push")], vec!["body", "attention"]),
        (vec![("call", "ticket-verify")], vec!["unknown"]),
        (vec![("call", "ship-notify"), ("account", "default")], vec!["refused", "pending"]),
        (vec![("account", "flights")], vec!["held"]),
        (vec![("reason", "no_link")], vec!["waiting"]),
        (vec![("reason", "configuration_fault")], vec!["held"]),
        (vec![("since", "2026-01-01T04:06:00Z")], vec!["held", "pending", "undecided"]),
        (vec![("until", "2026-01-01T04:01:00Z")], vec!["unnotified"]),
        (vec![("state", "held"), ("partner", "tsy")], vec![]),
    ] {
        let page = list(&relay, &query).await;
        assert_eq!((names(&page), page.total), (expected.clone(), expected.len()), "{query:?}");
    }
    let page = list(&relay, &[("partner", "tsy"), ("state", "waiting")]).await;
    let states = [("pending", 1), ("unnotified", 1), ("waiting", 1)];
    assert_eq!(page.states, states.map(|(state, count)| (state.to_owned(), count)).into());
    assert_eq!(page.reasons, [("no_link".to_owned(), 1)].into());
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let relay = Relay::new().await;
    for id in 0..7 {
        relay.post_tsy(&tsy(&format!("P-{id}"), "issued")).await;
        dispatched(&relay).await;
        relay.clock.advance(Duration::from_millis(id % 2));
    }
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "2")];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let page = list(&relay, &query).await;
        assert_eq!(page.total, 7);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|id| format!("P-{id}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn wrong_filters_are_refused_by_name() {
    let relay = Relay::new().await;
    for (name, value) in [
        ("state", "open"),
        ("state", ""),
        ("partner", "other"),
        ("kind", "push"),
        ("call", "other"),
        ("account", "a b"),
        ("reason", "because"),
        ("since", "yesterday"),
        ("until", "2026-01-01"),
        ("limit", "0"),
        ("limit", "1001"),
        ("after", "x"),
    ] {
        let (status, body) = relay.unfinished(&[(name, value)]).await;
        let refusal: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &refusal["field"]), (400, &json!(name)), "{name}={value}: {body}");
    }
    let (status, body) = relay.unfinished(&[("reasons", "no_link")]).await;
    assert!(status == 400 && body.contains("reasons"), "a misspelt filter must not match everything: {body}");
}

#[tokio::test(start_paused = true)]
async fn finished_records_are_not_listed_and_hundreds_are_read_with_few_requests() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.poll("ship-notify").await;
    for id in 0..250 {
        relay.post_tsy(&tsy(&format!("P-{id}"), "issued")).await;
    }
    dispatched(&relay).await;
    relay.cloud.take_sent();
    let page = list(&relay, &[("limit", "1000")]).await;
    assert_eq!((page.items.len(), page.total), (250, 250));
    let mut requests = BTreeMap::<String, usize>::new();
    for sent in relay.cloud.take_sent() {
        *requests.entry(sent.operation).or_default() += 1;
    }
    // Four shards of two indexes, the breakers, and a hundred records in each request.
    assert_eq!(requests, [("BatchGetItem".to_owned(), 3), ("Query".to_owned(), 9)].into());
}

#[tokio::test(start_paused = true)]
async fn link_without_a_notification_needs_a_person_after_the_hours_of_the_parameter() {
    let mut relay = Relay::new().await;
    relay.order_link.unnotified_after = Some(Duration::from_secs(3600));
    relay.dispatch.settings.unnotified_after = Some(Duration::from_secs(3600));
    for id in ["P-1", "P-2", "P-3"] {
        relay.put_order("tsy", id, &flight()).await;
    }
    // A notification within the hour.
    relay.post_tsy(&tsy("P-2", "issued")).await;
    relay.clock.advance(Duration::from_secs(3599));
    relay.sweep().await.unwrap();
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
    assert_eq!(names(&list(&relay, &[("state", "unnotified")]).await), ["P-1", "P-3"]);
    relay.clock.advance(Duration::from_secs(20));
    relay.sweep().await.unwrap();
    relay.run_until_idle().await;
    let page = list(&relay, &[]).await;
    assert_eq!(page.states, [("attention".to_owned(), 2)].into());
    assert_eq!(page.reasons, [("not_notified".to_owned(), 2)].into());
    // It is handled as any other: closed, or notified after all.
    assert_eq!(relay.instruct("close", "tsy", "P-1", "cancelled by phone").await.0, 202);
    relay.post_tsy(&tsy("P-3", "issued")).await;
    relay.run_until_idle().await;
    assert_eq!(list(&relay, &[]).await.items, []);
    assert_eq!(relay.effects(), 2);
    let record = relay.record("order#tsy#P-1").await;
    assert!(record.expires_at.is_some() && record.look_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn link_that_another_request_put_meanwhile_is_not_overwritten() {
    use relay_store::order::Linked;
    use relay_types::record::{OrderRecord, RecordKey};
    use relay_types::time::Clock as _;
    let relay = Relay::new().await;
    let key = RecordKey::parse("order#tsy#P-1").unwrap();
    let (now, rings_at) = (relay.clock.now(), Some(relay.clock.now().plus(Duration::from_secs(3600))));
    let put = async |seen: &OrderRecord, token| relay.store.put_link(seen, "{}", ("by", token), rings_at, now).await;
    let seen = OrderRecord::empty(key.clone());
    assert_eq!(put(&seen, "first").await.unwrap(), Linked::Recorded { decide: false });
    assert_eq!(put(&seen, "second").await.unwrap(), Linked::Changed);
    let present = relay.store.record(&key).await.unwrap().unwrap();
    assert_eq!(put(&present, "third").await.unwrap(), Linked::Recorded { decide: false });
    assert_eq!(put(&present, "fourth").await.unwrap(), Linked::Changed);
}

#[tokio::test(start_paused = true)]
async fn order_that_was_closed_rings_again_after_another_link() {
    let mut relay = Relay::new().await;
    relay.order_link.unnotified_after = Some(Duration::from_secs(3600));
    relay.dispatch.settings.unnotified_after = Some(Duration::from_secs(3600));
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.instruct("close", "tsy", "P-1", "a mistake").await;
    relay.run_until_idle().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_secs(3700));
    relay.sweep().await.unwrap();
    relay.run_until_idle().await;
    assert_eq!(list(&relay, &[]).await.reasons, [("not_notified".to_owned(), 1)].into());
}

#[tokio::test(start_paused = true)]
async fn list_without_a_record_of_another_version_says_that_it_is_not_complete() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.post_sctt(&sctt("T-2", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    let update = relay.dynamodb.update_item().table_name("relay").update_expression("SET waits = :other");
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let update = update.key("pk", text("order#sctt#T-1")).key("sk", text("record"));
    update.expression_attribute_values(":other", text("a_reason_of_the_next_version")).send().await.unwrap();
    let (status, body) = relay.unfinished(&[]).await;
    let page: UnfinishedPage = serde_json::from_str(&body).unwrap();
    assert_eq!((status, page.total, page.complete), (200, 1, false));
}
