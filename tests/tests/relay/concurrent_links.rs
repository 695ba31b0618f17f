//! Concurrent PUTs of links.

use std::sync::Arc;

use futures_util::future::join_all;
use relay_tests::bodies::{sctt, ship};
use relay_tests::relay::Relay;
use serde_json::Value;

/// Puts eight links for one order and returns the responses. All read the record before the first writes it.
async fn put_eight_at_once(relay: &Arc<Relay>, is_same: bool) -> Vec<(u16, String)> {
    relay.cloud.hold(|sent| sent.operation == "UpdateItem");
    let put = |number: usize| {
        let relay = relay.clone();
        let link = ship(&if is_same { "38".to_owned() } else { format!("38{number}") }, 1);
        tokio::spawn(async move { relay.put_order("sctt", "T-1", &link).await })
    };
    let puts: Vec<_> = (0..8).map(put).collect();
    while relay.cloud.held() < 8 {
        tokio::task::yield_now().await;
    }
    relay.cloud.release();
    join_all(puts).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn eight_concurrent_puts_of_a_link_get_200_or_409() {
    for (has_notification, is_same) in [(false, false), (false, true), (true, false), (true, true)] {
        let relay = Arc::new(Relay::new().await);
        if has_notification {
            relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
            relay.run_until_idle().await;
        }
        let answers = put_eight_at_once(&relay, is_same).await;
        assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 409)), "{answers:?}");
        let taken: Vec<Value> = answers
            .iter()
            .filter(|(status, _)| *status == 200)
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect();
        assert!(!taken.is_empty(), "{answers:?}");
        let mut versions: Vec<_> = taken.iter().map(|body| body["version"].as_i64().unwrap()).collect();
        versions.sort_unstable();
        let expected: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected, "two links share a version: {answers:?}");
        let link = relay.record("order#sctt#T-1").await.link.unwrap();
        assert_eq!(Some(&link.version), versions.last());
        relay.run_until_idle().await;
        assert_eq!(relay.effects(), usize::from(has_notification));
    }
}
