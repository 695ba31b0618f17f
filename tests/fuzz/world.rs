//! One relay for all inputs of a target, emptied before each. Building a relay takes longer than most inputs.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::Request;
use relay_tests::events::{Body, api_request};
use relay_tests::relay::Relay;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::edits::Edited;

/// The number of inputs before a new relay is built. It bounds the memory that a relay collects with each input.
const LIFETIME: u32 = 5000;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

struct World {
    runtime: Runtime,
    relay: Relay,
    inputs: u32,
}

impl World {
    fn new() -> Self {
        static COUNT_PANICS: Once = Once::new();
        COUNT_PANICS.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |reason| {
                PANICS.set(PANICS.get() + 1);
                before(reason);
            }));
        });
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let relay = runtime.block_on(Relay::new());
        Self { runtime, relay, inputs: 0 }
    }
}

/// Runs a test on an empty relay.
///
/// # Panics
/// If the test panics, or if code under test panicked and the panic was caught.
pub fn on_empty_relay(test: impl AsyncFnOnce(&Relay)) {
    // Taken out, so the next input cannot use a relay that a failure left in an incomplete state.
    let mut world = WORLD.take().filter(|world| world.inputs < LIFETIME).unwrap_or_else(World::new);
    let panics = PANICS.get();
    let World { runtime, relay, inputs } = &mut world;
    *inputs += 1;
    runtime.block_on(async {
        relay.clear().await;
        test(relay).await;
    });
    assert_eq!(PANICS.get(), panics, "a panic was caught");
    WORLD.set(Some(world));
}

/// Builds a request with an edited body. API Gateway encodes a body that is not UTF-8 in base64.
pub fn request(method: &str, resource: &str, parameters: Value, headers: Value, body: &Edited) -> Request {
    match std::str::from_utf8(&body.bytes) {
        Ok(text) if !body.base64 => api_request(method, resource, parameters, headers, Body::Text(text)),
        _ => api_request(method, resource, parameters, headers, Body::Base64(&STANDARD.encode(&body.bytes))),
    }
}

/// Builds a request without a body.
pub fn bare(method: &str, resource: &str, parameters: Value) -> Request {
    api_request(method, resource, parameters, json!({}), Body::None)
}
