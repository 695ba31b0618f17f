//! The faulty answers that TOP may give.

use serde_json::{Value, json};
use top_simulator::Fault;

use crate::world::{World, lock};

/// TOP's `sub_code` for an exhausted daily quota.
pub const DAY_QUOTA: &str = "accesscontrol.limited-by-app-access-count";

/// Returns the possible faults, each with the coverage event that counts it.
fn kinds(world: &World) -> Vec<(Value, Option<&'static str>)> {
    let error = |code: i64, sub_code: Option<&str>, sub_msg: Option<String>| json!({"fault": "error", "code": code, "msg": "simulated", "sub_code": sub_code, "sub_msg": sub_msg});
    let after = world.happens(0.5);
    let seconds = world.draw(|chance| chance.u64(1..=900));
    let ban = format!("This ban will last for {seconds} more seconds");
    vec![
        (json!({"fault": "timeout_before_effect"}), Some("TOP neither executed a call nor answered")),
        (json!({"fault": "timeout_after_effect"}), Some("TOP executed a call and did not answer")),
        (json!({"fault": "http_500", "after_effect": after}), None),
        (json!({"fault": "not_json", "after_effect": after}), None),
        (json!({"fault": "business_failure"}), Some("TOP refused a call")),
        (json!({"fault": "delay", "ms": world.draw(|chance| chance.u64(100..=14_000))}), None),
        (error(7, Some("accesscontrol.limited-by-api-access-count"), Some(ban)), Some("TOP banned an API for seconds")),
        (error(7, Some(DAY_QUOTA), None), Some("TOP banned an API for the day")),
        (error(31, None, None), None),
        (error(27, None, None), Some("TOP rejected the credentials")),
        (error(10, None, None), None),
        (error(15, Some("isv.simulated-refusal"), None), Some("TOP refused a call")),
        (error(15, Some("isp.remote-service-timeout"), None), None),
        (error(15, Some("isp.null-pointer-exception"), None), None),
    ]
}

/// Makes TOP answer the next request of that name with one of the faults.
pub fn order(world: &World, name: &'static str) {
    let mut kinds = kinds(world);
    let (mut fault, counted) = kinds.swap_remove(world.draw(|chance| chance.usize(..kinds.len())));
    fault["method"] = json!(match name {
        "top itinerary-postback" => "alibaba.happytrip.flight.order.itinerary.postback",
        "top ticket-verify" => "taobao.travel.ticket.order.verify",
        _ => "alitrip.ship.order.notify",
    });
    fault["times"] = json!(1);
    if let Some(what) = counted {
        world.saw(what);
    }
    let fault: Fault = serde_json::from_value(fault).expect("a fault of the simulator");
    lock(&world.top).add_faults(vec![fault]);
}
