//! The smallest possible function: the runtime and a constant answer. It is the floor for start time, memory and size.

use std::convert::Infallible;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(async |_: LambdaEvent<Value>| {
        Ok::<_, Infallible>(serde_json::json!({"statusCode": 200, "body": r#"{"msg":"success","code":"0"}"#}))
    }))
    .await
}
