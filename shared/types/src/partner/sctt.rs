//! SCTT's pushes. The voucher push has an order's status, and its vouchers once the order is booked. The cancel push
//! has the results of cancellations.
//!
//! Sources: SCTT's pages "voucher push" and "cancel push".

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::json::{self, FieldError, Unread};
use crate::order::OrderId;
use crate::partner::named_order;

/// The members with an order's id: the company's and SCTT's.
const NAMES: [&str; 2] = ["trade_number", "order_code"];

/// `order_status`: the order is not booked yet.
pub const WAITING: i64 = 1;
/// `order_status`: the order is booked.
pub const BOOKED: i64 = 2;
/// `order_status`: booking failed.
pub const FAILED: i64 = 3;
/// `order_status`: the order was cancelled.
pub const CANCELLED: i64 = 4;

/// The values of `order_status` in words, from 1.
pub const ORDER_STATUS: [&str; 4] = ["waiting", "booked", "failed", "cancelled"];

/// `cancel_status`: the cancellation failed.
pub const CANCEL_FAILED: i64 = 1;
/// `cancel_status`: the cancellation is pending.
pub const CANCEL_WAITING: i64 = 2;
/// `cancel_status`: the cancellation is done.
pub const CANCEL_DONE: i64 = 3;
/// The values of `cancel_status` in words, from 1.
pub const CANCEL_STATUS: [&str; 3] = ["failed", "waiting", "done"];

/// The members that authenticate a push. The page's table lists them, but its sample of the voucher push has none of
/// them. They are therefore optional and checked only if configured. A member of the wrong type counts as absent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Envelope {
    /// The company's merchant id at SCTT.
    #[serde(default, deserialize_with = "json::text_if_any")]
    pub merchant_id: Option<String>,
    /// When this delivery was sent: `yyyy-MM-dd HH:mm:ss`, read as GMT+8 (the page names no time zone).
    #[serde(default, deserialize_with = "json::text_if_any")]
    pub request_time: Option<String>,
    /// The signature in upper-case hex.
    #[serde(default, deserialize_with = "json::text_if_any")]
    pub sign: Option<String>,
}

impl Envelope {
    /// Reads the members from a push.
    ///
    /// # Errors
    /// Names the field of the wrong type.
    pub fn from_json(body: &Value) -> Result<Self, FieldError> {
        json::read(body)
    }
}

/// The status and vouchers of an order. The record keeps members that are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [{"required": ["trade_number"]}, {"required": ["order_code"]}])))]
pub struct VoucherPush {
    /// The company's order id.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub trade_number: Unread<Option<String>>,
    /// SCTT's order number.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub order_code: Unread<Option<String>>,
    /// The order's price: a decimal amount of `order_currency`.
    #[serde(default)]
    pub total_price: Unread<Option<Number>>,
    /// A three-letter currency code according to the page. Its sample shows `A$`.
    #[serde(default)]
    pub order_currency: Unread<Option<String>>,
    /// 1 waiting, 2 booked, 3 failed, 4 cancelled.
    #[serde(deserialize_with = "json::integer")]
    pub order_status: i64,
    /// How vouchers are delivered; 1 is immediately.
    #[serde(default)]
    pub certificate_mode: Unread<Option<i64>>,
    /// URL of the itinerary.
    #[serde(default, deserialize_with = "json::text_if_any")]
    pub travel_itinerary_url: Option<String>,
    /// Groups of vouchers. They matter only for a booked order, so a push with unreadable vouchers is accepted.
    #[serde(default = "no_vouchers", deserialize_with = "vouchers")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<VoucherGroup>"))]
    pub vouchers: Result<Vec<VoucherGroup>, FieldError>,
    /// The company's remaining credit: a decimal amount.
    #[serde(default)]
    pub surplus_quota: Unread<Option<Number>>,
    /// 1 never, 2 manually, 3 by rule, 4 no change, 5 free before a date is booked.
    #[serde(default)]
    pub cancel_type: Unread<Option<i64>>,
    /// The reason of a refusal.
    #[serde(default)]
    pub remark: Unread<Option<String>>,
    /// Cancellation rules.
    #[serde(default)]
    pub cancels: Unread<Vec<CancelRule>>,
}

/// A confirmation and its vouchers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoucherGroup {
    /// URL of the confirmation.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub confirmation_url: Option<String>,
    /// Remarks on the confirmation.
    #[serde(default)]
    pub confirm_remarks: Unread<Option<String>>,
    /// The vouchers.
    #[serde(default, deserialize_with = "json::list")]
    pub voucherlist: Vec<Voucher>,
}

/// One voucher.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Voucher {
    /// 1 PDF, 2 bar code, 3 QR code, 4 confirmation number, 5 URL.
    #[serde(deserialize_with = "json::integer")]
    pub voucher_type: i64,
    /// URL; filled for types 1 and 5.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub voucher_url: Option<String>,
    /// Confirmation number; filled for types 2, 3 and 4.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub voucher_confirmation: Option<String>,
    /// Verification number; filled for types 2, 3 and 4.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub voucher_verification: Option<String>,
}

/// A cancellation rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelRule {
    /// 1 to 5; the meanings are not published.
    #[serde(default)]
    pub canr_type: Unread<Option<i64>>,
    /// First day, or number of days before.
    #[serde(default)]
    pub canr_startday: Unread<Option<String>>,
    /// Last day.
    #[serde(default)]
    pub canr_endday: Unread<Option<String>>,
    /// Percentage that is kept.
    #[serde(default)]
    pub canr_percent: Unread<Option<String>>,
    /// The rule as text.
    #[serde(default)]
    pub canr_text: Unread<Option<String>>,
}

impl VoucherPush {
    /// Reads a notification and the order that it is about.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or not a usable id.
    pub fn from_json(body: &Value) -> Result<(OrderId, Self), FieldError> {
        Ok((named_order(body, NAMES)?, json::read(body)?))
    }

    /// Whether the order failed or was cancelled.
    #[must_use]
    pub const fn says_not_booked(&self) -> bool {
        matches!(self.order_status, FAILED | CANCELLED)
    }

    /// The vouchers of all groups, in the order of the push.
    ///
    /// # Errors
    /// Names the unreadable field.
    pub fn vouchers(&self) -> Result<Vec<&Voucher>, &FieldError> {
        Ok(self.vouchers.as_ref()?.iter().flat_map(|group| &group.voucherlist).collect())
    }
}

fn no_vouchers() -> Result<Vec<VoucherGroup>, FieldError> {
    Ok(Vec::new())
}

fn vouchers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Result<Vec<VoucherGroup>, FieldError>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let groups = json::read::<Option<Vec<VoucherGroup>>>(&value).map(Option::unwrap_or_default);
    Ok(groups.map_err(|error| error.within("vouchers")))
}

impl Voucher {
    /// Confirmation and verification number; `None` if the voucher's type has none, or both are empty.
    #[must_use]
    pub fn codes(&self) -> Option<VoucherCodes> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (confirmation, verification) = (filled(&self.voucher_confirmation), filled(&self.voucher_verification));
        let has_codes = matches!(self.voucher_type, 2..=4) && (confirmation.is_some() || verification.is_some());
        has_codes.then_some(VoucherCodes { confirmation, verification })
    }
}

/// The codes that a traveller shows for boarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoucherCodes {
    /// Confirmation number.
    pub confirmation: Option<String>,
    /// Verification number.
    pub verification: Option<String>,
}

/// The result of cancelling one order. The record keeps members that are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [{"required": ["trade_number"]}, {"required": ["order_code"]}])))]
pub struct Cancellation {
    /// The company's order id.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub trade_number: Unread<Option<String>>,
    /// SCTT's order number.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub order_code: Unread<Option<String>>,
    /// The meanings of the values are not published.
    #[serde(default)]
    pub cancel_type: Unread<Option<i64>>,
    /// 1 failed, 2 waiting, 3 done.
    #[serde(deserialize_with = "json::integer")]
    pub cancel_status: i64,
    /// A remark.
    #[serde(default)]
    pub remark: Unread<Option<String>>,
}

/// The results of cancelling one or more orders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelPush {
    /// One entry per order, at least one.
    #[serde(deserialize_with = "json::list")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub orderlist: Vec<Cancellation>,
}

/// The entries of a push, to be read one by one.
#[derive(Deserialize)]
struct CancelEntries {
    #[serde(deserialize_with = "json::list")]
    orderlist: Vec<Value>,
}

/// Maximum length of a member outside the list that is recorded with each order: name plus value as JSON, in bytes.
const MAX_KEPT_BYTES: usize = 96;
/// Maximum number of members outside the list that are recorded with each order.
const MAX_KEPT: usize = 8;

impl Cancellation {
    /// Reads the orders of a push, in its order. An entry without a usable order id or status is an error in the list.
    ///
    /// # Errors
    /// If no entry is usable: names the field that is missing or of the wrong type.
    pub fn orders_of(body: &Value) -> Result<Vec<Result<OrderId, FieldError>>, FieldError> {
        let CancelEntries { orderlist } = json::read(body)?;
        let entry = |(index, entry): (usize, Value)| {
            let read = json::read::<Self>(&entry).and_then(|_| named_order(&entry, NAMES));
            read.map_err(|problem| problem.within(&format!("orderlist[{index}]")))
        };
        let orders: Vec<_> = orderlist.into_iter().enumerate().map(entry).collect();
        if orders.is_empty() {
            return Err(FieldError::at("orderlist", "must name at least one order"));
        }
        match orders.iter().all(Result::is_err).then(|| orders.first().cloned()) {
            Some(Some(Err(problem))) => Err(problem),
            _ => Ok(orders),
        }
    }

    /// The part of a push to record for its entries at `indices`: the push with only these entries, so it does not
    /// depend on the others. Outside the list, it keeps only the first few short scalars, because 3,000 orders would
    /// repeat all other members 3,000 times.
    #[must_use]
    pub fn part_of(body: &Value, indices: &[usize]) -> Value {
        let is_short = |(name, value): &(&String, &Value)| {
            let is_scalar = !value.is_object() && !value.is_array();
            is_scalar && name.len() + value.to_string().len() <= MAX_KEPT_BYTES
        };
        let around = body.as_object().into_iter().flatten().filter(|(name, _)| *name != "orderlist");
        let kept = around.filter(is_short).take(MAX_KEPT).map(|(name, value)| (name.clone(), value.clone()));
        let entries = indices.iter().map(|index| body["orderlist"][*index].clone()).collect();
        Value::Object(kept.chain([("orderlist".to_owned(), Value::Array(entries))]).collect())
    }

    /// Reads the recorded push of one order.
    ///
    /// # Errors
    /// If it is not a push with exactly one order.
    pub fn from_json(body: &Value) -> Result<Self, FieldError> {
        let push: CancelPush = json::read(body)?;
        let mut orders = push.orderlist.into_iter();
        match (orders.next(), orders.next()) {
            (Some(order), None) => Ok(order),
            _ => Err(FieldError::at("orderlist", "must name exactly one order")),
        }
    }

    /// Whether the cancellation is done.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.cancel_status == CANCEL_DONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn samples() -> Value {
        serde_json::from_str(include_str!("../../testdata/inbound-bodies.json")).unwrap()
    }

    #[test]
    fn published_sample_is_read_with_and_without_authentication_fields() {
        for name in ["sctt_voucher_push", "sctt_voucher_push_seed_shape_without_auth_fields"] {
            let (order_id, push) = VoucherPush::from_json(&samples()[name]).unwrap();
            assert_eq!((order_id.as_str(), push.order_status), ("T-1", BOOKED));
            let codes: Vec<_> = push.vouchers().unwrap().into_iter().filter_map(Voucher::codes).collect();
            assert_eq!(codes, [VoucherCodes { confirmation: Some("1213".into()), verification: Some("31".into()) }]);
        }
    }

    #[test]
    fn order_code_identifies_the_order_if_trade_number_is_empty() {
        for body in [
            json!({"trade_number": "", "order_code": 9007199254740993_i64, "order_status": "2"}),
            json!({"trade_number": null, "order_code": "9007199254740993", "order_status": 2}),
        ] {
            assert_eq!(VoucherPush::from_json(&body).unwrap().0.as_str(), "9007199254740993");
        }
    }

    #[test]
    fn error_names_a_field_that_is_missing_or_has_the_wrong_type() {
        for (body, message) in [
            (json!({"order_status": 2}), "field trade_number is missing, and so is order_code: send one of them"),
            (json!({"trade_number": "T"}), "field order_status is missing"),
            (json!({"trade_number": "T", "order_status": "two"}), "field order_status must be a whole number"),
            (
                json!({"trade_number": "a\tb", "order_status": 2}),
                "field trade_number must be 1 to 256 bytes long, without control characters or U+FFFD, and neither . nor ..",
            ),
        ] {
            assert_eq!(VoucherPush::from_json(&body).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn push_with_unreadable_vouchers_is_read_and_the_field_is_named() {
        for (vouchers, message) in [
            (json!({}), "field vouchers must be a list"),
            (
                json!([{"voucherlist": [{"voucher_type": []}]}]),
                "field vouchers[0].voucherlist[0].voucher_type must be a whole number",
            ),
        ] {
            let body = json!({"trade_number": "T", "order_status": 2, "vouchers": vouchers});
            let (order_id, push) = VoucherPush::from_json(&body).unwrap();
            assert_eq!(order_id.as_str(), "T");
            assert_eq!(push.vouchers().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn cancel_push_is_split_into_one_push_per_order() {
        let body = &samples()["sctt_cancel_push_of_two"];
        assert_eq!(Cancellation::from_json(&samples()["sctt_cancel_push"]).unwrap().cancel_status, CANCEL_DONE);
        let ids: Vec<_> =
            Cancellation::orders_of(body).unwrap().iter().map(|id| id.as_ref().unwrap().as_str().to_owned()).collect();
        assert_eq!(ids, ["T-1", "T-2"]);
        for (index, entry) in body["orderlist"].as_array().unwrap().iter().enumerate() {
            let part = Cancellation::part_of(body, &[index]);
            assert_eq!(part["orderlist"], json!([entry]));
            assert_eq!(part["merchant_id"], body["merchant_id"]);
            assert_eq!(Cancellation::from_json(&part).unwrap().cancel_status, entry["cancel_status"].as_i64().unwrap());
        }
        assert!(Cancellation::from_json(body).is_err());
    }

    #[test]
    fn error_in_a_cancel_push_names_the_path() {
        for (orders, message) in [
            (json!([]), "field orderlist must name at least one order"),
            (json!({}), "field orderlist must be a list"),
            (json!([{"trade_number": "T"}]), "field orderlist[0].cancel_status is missing"),
            (
                json!([{"order_code": "a\u{0}", "cancel_status": 3}]),
                "field orderlist[0].order_code must be 1 to 256 bytes long, without control characters or U+FFFD, and neither . nor ..",
            ),
        ] {
            assert_eq!(Cancellation::orders_of(&json!({"orderlist": orders})).unwrap_err().to_string(), message);
        }
        assert_eq!(Cancellation::orders_of(&json!({})).unwrap_err().to_string(), "field orderlist is missing");
        let mixed = json!({"orderlist": [{"trade_number": "T", "cancel_status": 3}, {"cancel_status": 3}]});
        let orders = Cancellation::orders_of(&mixed).unwrap();
        assert!(orders[0].is_ok());
        let problem = "field orderlist[1].trade_number is missing, and so is order_code: send one of them";
        assert_eq!(orders[1].as_ref().unwrap_err().to_string(), problem);
    }
}
