//! What TOP may say besides what it should.

use serde_json::{Value, json};
use top_simulator::Fault;

use crate::world::{World, lock};

/// What TOP calls the end of a day's quota.
pub const DAY_QUOTA: &str = "accesscontrol.limited-by-app-access-count";

/// Each with what it is counted as.
fn kinds(world: &World) -> Vec<(Value, Option<&'static str>)> {
    let error = |code: i64, sub_code: Option<&str>, sub_msg: Option<String>| json!({"fault": "error", "code": code, "msg": "simulated", "sub_code": sub_code, "sub_msg": sub_msg});
    let after = world.happens(0.5);
    let seconds = world.draw(|chance| chance.u64(1..=900));
    let ban = format!("This ban will last for {seconds} more seconds");
    vec![
        (json!({"fault": "timeout_before_effect"}), Some("TOP did neither")),
        (json!({"fault": "timeout_after_effect"}), Some("TOP acted and did not answer")),
        (json!({"fault": "http_500", "after_effect": after}), None),
        (json!({"fault": "not_json", "after_effect": after}), None),
        (json!({"fault": "business_failure"}), Some("TOP refused a call")),
        (json!({"fault": "delay", "ms": world.draw(|chance| chance.u64(100..=14_000))}), None),
        (error(7, Some("accesscontrol.limited-by-api-access-count"), Some(ban)), Some("TOP banned an API for seconds")),
        (error(7, Some(DAY_QUOTA), None), Some("TOP banned an API for the day")),
        (error(31, None, None), None),
        (error(27, None, None), Some("TOP found the credentials wrong")),
        (error(10, None, None), None),
        (error(15, Some("isv.simulated-refusal"), None), Some("TOP refused a call")),
        (error(15, Some("isp.remote-service-timeout"), None), None),
        (error(15, Some("isp.null-pointer-exception"), None), None),
    ]
}

/// Has TOP say one of them to the next request of that name.
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
    let fault: Fault = serde_json::from_value(fault).expect("a fault that the simulator knows");
    lock(&world.top).add_faults(vec![fault]);
}
