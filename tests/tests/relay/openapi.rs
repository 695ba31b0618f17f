//! The OpenAPI description is up to date, and real responses match it.

use std::collections::BTreeSet;

use relay_openapi::answers::{ScttAnswer, TsyAnswer};
use relay_tests::bodies::{flight, redemption, sctt, ship, tsy};
use relay_tests::relay::{Relay, answered};
use relay_types::api::{Accepted, AttentionPage, Call, CallState, Linked, Order, Refusal, Submitted};
use relay_types::call::CallKind;
use serde::de::DeserializeOwned;
use serde_json::json;

#[test]
fn openapi_file_matches_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.yaml");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == relay_openapi::yaml().unwrap(), "docs/openapi.yaml is out of date; run `make openapi`");
}

#[test]
fn description_has_exactly_the_routes_of_the_template() {
    let template = include_str!("../../../template.yaml");
    // Each route takes any method; the functions answer wrong ones with 405.
    let paths: Vec<_> =
        template.lines().filter_map(|line| line.trim().strip_prefix("Path: ").map(str::to_owned)).collect();
    assert_eq!(template.matches("Method: any\n").count(), paths.len());
    // The template has a path parameter for the partner or the call. The description has a route for each value.
    let spelled = |path: String| {
        let names: &[&str] = match &path {
            path if path.contains("{partner}") => &["tsy", "sctt"],
            path if path.contains("{call}") => &CallKind::ALL.map(Into::into),
            _ => &[""],
        };
        let spell = |name: &&str| path.replace("{partner}", name).replace("{call}", name);
        names.iter().map(spell).collect::<Vec<_>>()
    };
    let routes: BTreeSet<_> = paths.into_iter().flat_map(spelled).collect();
    let document = relay_openapi::document();
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(routes, described);
    assert!(routes.len() > 20);
}

/// Parses a response with this status as a `T` without other members.
fn read<T: DeserializeOwned>((status, body): (u16, String), expected: u16) -> T {
    assert_eq!(status, expected, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
}

#[tokio::test(start_paused = true)]
async fn real_responses_match_the_description() {
    let relay = Relay::new().await;
    let _: TsyAnswer = read(relay.post_tsy(&tsy("P-1", "issued")).await, 200);
    let _: TsyAnswer = read(relay.post_tsy("{").await, 400);
    let _: ScttAnswer = read(relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await, 200);
    let _: ScttAnswer = read(relay.post_sctt("{}").await, 400);
    relay.run_until_idle().await;
    let waiting: Order = read(relay.get_order("tsy", "P-1").await, 200);
    assert!(waiting.link.is_none());
    let linked: Linked = read(relay.put_order("tsy", "P-1", &flight()).await, 200);
    assert_eq!((linked.version, linked.notifications), (1, 1));
    relay.put_order("sctt", "T-1", &ship("387654", 1)).await;
    relay.top_faults(json!([{"fault": "business_failure", "match": "387654", "times": 1}]));
    relay.run_until_idle().await;
    let refused: Order = read(relay.get_order("sctt", "T-1").await, 200);
    assert!(refused.calls[0].last_error.is_some() && !refused.timeline.is_empty());
    let done: Order = read(relay.get_order("tsy", "P-1").await, 200);
    assert!(done.calls[0].response.is_some());
    let _: Accepted = read(relay.instruct("dismiss", "sctt", "T-1", "handled").await, 202);
    relay.run_until_idle().await;
    let _: Refusal = read(relay.instruct("dismiss", "sctt", "T-1", "handled").await, 409);
    relay.top_faults(json!([{"fault": "timeout_after_effect", "times": 1}]));
    let _: Submitted = read(answered(relay.submit("ticket-verify", Some("k"), &redemption(1, 0)).await), 202);
    relay.run_until_idle().await;
    let unknown: Call = read(answered(relay.submit("ticket-verify", Some("k"), &redemption(1, 0)).await), 200);
    assert_eq!(unknown.state, CallState::Unknown);
    let page: AttentionPage = read(relay.attention(None, None).await, 200);
    assert_eq!(page.items.len(), 3, "two unreadable bodies and an unknown redemption");
    let _: Refusal = read(relay.resolve("ticket-verify", "k", r#"{"outcome": "perhaps"}"#).await, 400);
    let _: Call = read(relay.resolve("ticket-verify", "k", r#"{"outcome": "succeeded", "note": "n"}"#).await, 202);
    relay.run_until_idle().await;
    let resolved: Call = read(relay.get_call("ticket-verify", "k").await, 200);
    assert!(resolved.history.last().unwrap().note.is_some());
    let _: Refusal = read(relay.get_call("ticket-verify", "other").await, 404);
}
