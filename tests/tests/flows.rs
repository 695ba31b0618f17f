//! What notifications and submitted calls lead to, from end to end.

use relay_tests::relay::Relay;
#[tokio::test(start_paused = true)]
async fn smoke() {
    let relay = Relay::new().await;
    let answer = relay.post_tsy(r#"{"msg":"","orderNo":"1","orderId":"P-1","type":"issued"}"#).await;
    assert_eq!(answer, (200, r#"{"msg":"success","code":"0"}"#.to_owned()));
    relay.settle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "waiting");
}
