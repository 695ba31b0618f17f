//! Finds an order or call by whatever somebody has on a slip of paper.
//!
//! Passengers, tickets and vouchers cannot be searched: they are personal data, so the table has no index of them.

use anyhow::{Result, bail};
use futures_util::future::join_all;
use relay_types::call::CallKind;
use relay_types::order::Partner;
use serde_json::{Value, json};

use crate::Answer;
use crate::api::{Refused, ask, path};
use crate::deployment::Deployment;
use crate::table::{table, text};

/// A place to look, and what a hit there was found as.
struct Place {
    path: String,
    found_as: String,
}

/// Asks everywhere at the same time. Each hit is the order or the call, with what it was found as.
pub async fn hits(deployment: &Deployment, id: &str) -> Result<Vec<Value>> {
    let orders = Partner::ALL.map(|partner| Place {
        path: path(["orders", partner.into(), id]) + "?payload=none",
        found_as: format!("order id of {}", <&str>::from(partner)),
    });
    let calls = CallKind::ALL.map(|call| Place {
        path: path(["calls", call.as_ref(), id]),
        found_as: format!("key or order number of {call}"),
    });
    let places: Vec<_> = orders.into_iter().chain(calls).collect();
    let mut hits = Vec::new();
    for (place, answer) in places.iter().zip(join_all(places.iter().map(|place| look(deployment, place))).await) {
        if let Some(mut hit) = answer? {
            hit["found_as"] = json!(place.found_as);
            hits.push(hit);
        }
    }
    Ok(hits)
}

/// Finds whatever has this id; it is an error if nothing has.
pub async fn find(deployment: &Deployment, id: &str) -> Result<Answer> {
    let hits = hits(deployment, id).await?;
    if hits.is_empty() {
        bail!(Refused {
            status: 404,
            message: format!(
                "nothing found for {id}; searched: order ids, keys of calls, order numbers at Fliggy. Passengers, tickets and \
                 vouchers cannot be searched: they are personal data, and not indexed"
            ),
        });
    }
    let rows = hits.iter().map(|hit| {
        let is_order = hit["calls"].is_array();
        let order = ["partner", "order_id"].map(|name| text(hit, name)).join(" ");
        let call = if is_order { String::new() } else { ["call", "key"].map(|name| text(hit, name)).join(" ") };
        [order.trim().to_owned(), call, state(hit), text(hit, "found_as")]
    });
    let shown = table(["order", "call", "state", "found as"], rows);
    let items: Vec<_> = hits.iter().map(summary).collect();
    Ok(Answer::new(json!({"items": items}), shown))
}

async fn look(deployment: &Deployment, place: &Place) -> Result<Option<Value>> {
    match ask(deployment, "GET", &place.path, &[], "").await {
        Ok(found) => Ok(Some(found)),
        // An id that cannot be one of this partner's is 400.
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| matches!(refused.status, 400 | 404)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The state of an order or a call, with its reason.
pub fn state(hit: &Value) -> String {
    let reasons = |of: &Value| {
        let reasons = of["reasons"].as_array().into_iter().flatten();
        reasons.map(|reason| text(reason, "code")).collect::<Vec<_>>().join(", ")
    };
    match () {
        () if !hit["calls"].is_array() => text(hit, "state"),
        () if !hit["attention"].is_null() => format!("attention: {}", reasons(&hit["attention"])),
        () if !hit["waits_for"].is_null() => format!("waiting: {}", text(&hit["waits_for"], "code")),
        () if !hit["stopped"].is_null() => text(hit, "stopped"),
        () => {
            let calls = hit["calls"].as_array().into_iter().flatten();
            calls.map(|call| format!("{} {}", text(call, "call"), text(call, "state"))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn summary(hit: &Value) -> Value {
    let mut summary = json!({"state": state(hit)});
    for name in ["partner", "order_id", "call", "key", "found_as"] {
        if !hit[name].is_null() {
            summary[name] = hit[name].clone();
        }
    }
    summary
}
