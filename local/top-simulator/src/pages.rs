//! The three APIs' documentation pages as field tables, and the validation of requests against them. Copied from the
//! pages by hand, not shared with the relay.

use jiff::civil::DateTime;
use serde_json::{Map, Value};

use crate::answer::TopError;
use crate::form::Form;

/// TOP's date layout, for `timestamp` and for fields of type Date.
pub(crate) const DATE_LAYOUT: &str = "%Y-%m-%d %H:%M:%S";

/// The simulated APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// 订单信息回填(出票回调): a ship ticket was issued, or failed to be issued.
    ShipNotify,
    /// 飞猪门票核销通知: a scenic ticket was used.
    TicketVerify,
    /// 机票行程单同步: a flight's ticket numbers.
    ItineraryPostback,
}

impl Api {
    pub(crate) fn from_method(method: &str) -> Option<Self> {
        [Self::ShipNotify, Self::TicketVerify, Self::ItineraryPostback].into_iter().find(|api| api.method() == method)
    }

    /// The value of the protocol parameter `method`.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::ShipNotify => "alitrip.ship.order.notify",
            Self::TicketVerify => "taobao.travel.ticket.order.verify",
            Self::ItineraryPostback => "alibaba.happytrip.flight.order.itinerary.postback",
        }
    }

    /// The root key of a response, as in the pages' samples.
    pub(crate) fn root_key(self) -> &'static str {
        match self {
            Self::ShipNotify => "alitrip_ship_order_notify_response",
            Self::TicketVerify => "travel_ticket_order_verify_response",
            Self::ItineraryPostback => "alibaba_happytrip_flight_order_itinerary_postback_response",
        }
    }

    /// Whether the API needs a seller's authorisation: only the ship page's sample sends a session key.
    pub(crate) fn needs_session(self) -> bool {
        self == Self::ShipNotify
    }

    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::ShipNotify => SHIP_NOTIFY,
            Self::TicketVerify => TICKET_VERIFY,
            Self::ItineraryPostback => ITINERARY_POSTBACK,
        }
    }

    /// Reads the API's own parameters and returns them with the page's types.
    ///
    /// # Errors
    /// TOP 50 `isv.invalid-parameter`, with the first offending field in `sub_msg`.
    pub(crate) fn read(self, form: &Form) -> Result<Map<String, Value>, TopError> {
        let fields = self.fields();
        let known = |name: &str| PROTOCOL_PARAMETERS.contains(&name) || fields.iter().any(|field| field.name == name);
        if let Some(name) = form.params.keys().find(|name| !known(name)) {
            return Err(TopError::invalid_parameter(format_args!("{name} is not a parameter of this API")));
        }
        let mut content = Map::new();
        for field in fields {
            let Some(text) = form.params.get(field.name) else {
                continue;
            };
            content.insert(field.name.to_owned(), field.kind.parse(field.name, text)?);
        }
        check_object(fields, &content, "")?;
        // The page marks every field optional, but a redemption without an order makes no sense (inferred).
        if self == Self::TicketVerify && !content.contains_key("order_id") && !content.contains_key("out_order_id") {
            return Err(TopError::invalid_parameter("order_id and out_order_id are both missing"));
        }
        Ok(content)
    }
}

/// The protocol's parameters, common to all APIs.
const PROTOCOL_PARAMETERS: [&str; 10] =
    ["method", "app_key", "session", "timestamp", "format", "v", "sign_method", "sign", "simplify", "partner_id"];

pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

/// The pages' field types, with the listed values if the page has a list.
pub(crate) enum Kind {
    Text,
    /// A String whose page lists its values.
    TextOf(&'static [&'static str]),
    Number,
    /// A Number whose page lists its values.
    NumberOf(&'static [i64]),
    Boolean,
    /// `yyyy-MM-dd HH:mm:ss`.
    Date,
    Texts,
    Object(&'static [Field]),
    Objects(&'static [Field]),
}

// The pages mark confirm_book_r_q and flight_itinerary_request optional. They are required here, because they hold the
// whole request, including required fields.
const SHIP_NOTIFY: &[Field] = &[must("confirm_book_r_q", Kind::Object(SHIP_ORDER))];

/// `ShipAgentConfirmBookRq`. The page's indentation hides that `success` and the fields after it are siblings of
/// `passenger_list`; its Java sample shows it.
const SHIP_ORDER: &[Field] = &[
    must("agent_order_id", Kind::Text),
    must("alitrip_order_id", Kind::Text),
    may("fetch_tickets_address", Kind::Text),
    may("fetch_tickets_number", Kind::Text),
    may("fetch_tickets_pwd", Kind::Text),
    may("main_biz_order_id", Kind::Number),
    may("message", Kind::Text),
    may("order_attr", Kind::Text),
    may("passenger_list", Kind::Objects(SHIP_PASSENGER)),
    must("success", Kind::Boolean),
    may("ticket_count", Kind::Number),
    may("ticket_wicket", Kind::Text),
    may("total_price", Kind::Number),
    may("failed_code", Kind::Text),
];

const SHIP_PASSENGER: &[Field] = &[
    may("passenger_cert_no", Kind::Text),
    may("passenger_cert_type", Kind::Text),
    may("passenger_id", Kind::Text),
    may("passenger_name", Kind::Text),
    may("ticket_list", Kind::Objects(SHIP_TICKET)),
];

const SHIP_TICKET: &[Field] = &[
    may("e_ticket_no", Kind::Text),
    may("ticket_desc", Kind::Text),
    must("ticket_id", Kind::Text),
    may("ticket_no", Kind::Text),
    must("ticket_price", Kind::Number),
    may("ticket_pwd", Kind::Text),
    may("ticket_seat_no", Kind::Text),
    may("ticket_status", Kind::TextOf(&["1", "2", "3", "4", "5", "6"])),
    may("ticket_sub_type", Kind::TextOf(&["11", "12", "21", "31"])),
    may("ticket_title", Kind::Text),
    must("ticket_type", Kind::TextOf(&["1", "2", "3", "4"])),
    may("ext_attr", Kind::Text),
    may("expire_time", Kind::Date),
];

const TICKET_VERIFY: &[Field] = &[
    may("check_num", Kind::Number),
    may("order_id", Kind::Number),
    may("return_num", Kind::Number),
    may("total_num", Kind::Number),
    may("out_order_id", Kind::Text),
    may("confirm_code", Kind::Text),
    may("voucher_infos", Kind::Objects(VOUCHER)),
    may("write_off_type", Kind::NumberOf(&[0, 1])),
];

const VOUCHER: &[Field] = &[
    may("confirm_code", Kind::Text),
    may("used_quantity", Kind::Number),
    // The page's type is String, with a date layout.
    may("used_date", Kind::Date),
];

const ITINERARY_POSTBACK: &[Field] = &[must("flight_itinerary_request", Kind::Object(FLIGHT_ITINERARY))];

const FLIGHT_ITINERARY: &[Field] = &[
    must("out_relation_order_id", Kind::Text),
    must("tes_head_id", Kind::Text),
    must("ticket_no_list", Kind::Texts),
    may("emp_no", Kind::Text),
    must("cwt_account_no", Kind::Text),
    may("ht_user_id", Kind::Text),
];

/// Maximum length of an object list. The page gives 999 for `voucher_infos` and no limit for the ship lists, so TOP's
/// limit applies to both.
const MAX_LIST: usize = 999;

impl Kind {
    /// Parses a form value into JSON.
    fn parse(&self, name: &str, text: &str) -> Result<Value, TopError> {
        match self {
            Self::Number | Self::NumberOf(_) => Some(text)
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
                .and_then(|text| text.parse::<i64>().ok())
                .map(Value::from)
                .ok_or_else(|| TopError::invalid_parameter(format_args!("{name} must be a decimal integer"))),
            Self::Object(_) | Self::Objects(_) if !text.is_empty() => {
                serde_json::from_str(text).map_err(|_| TopError::invalid_parameter(format_args!("{name} must be JSON")))
            }
            _ => Ok(Value::from(text)),
        }
    }

    /// The rule that the value violates, if any.
    fn violated_by(&self, value: &Value) -> Option<&'static str> {
        let (holds, wanted) = match self {
            Self::Text => (value.is_string(), "must be a string"),
            Self::TextOf(values) => (
                value.as_str().is_some_and(|text| values.contains(&text)),
                "must be one of the strings that the page lists",
            ),
            Self::Number => (value.as_i64().is_some(), "must be an integer"),
            Self::NumberOf(values) => (
                value.as_i64().is_some_and(|number| values.contains(&number)),
                "must be one of the numbers that the page lists",
            ),
            Self::Boolean => (value.is_boolean(), "must be true or false"),
            Self::Date => {
                (value.as_str().is_some_and(|text| parse_date(text).is_some()), "must be a date yyyy-MM-dd HH:mm:ss")
            }
            Self::Texts => (
                value
                    .as_array()
                    .is_some_and(|texts| texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty()))),
                "must be a list of non-empty strings",
            ),
            Self::Object(_) => (value.is_object(), "must be an object"),
            Self::Objects(_) => {
                (value.as_array().is_some_and(|list| list.len() <= MAX_LIST), "must be a list of at most 999 objects")
            }
        };
        (!holds).then_some(wanted)
    }
}

fn check_object(fields: &[Field], object: &Map<String, Value>, path: &str) -> Result<(), TopError> {
    for name in object.keys() {
        if !fields.iter().any(|field| field.name == name) {
            return Err(TopError::invalid_parameter(format_args!("{path}{name} is unknown")));
        }
    }
    for field in fields {
        let path = format!("{path}{}", field.name);
        let Some(value) = object.get(field.name) else {
            if field.required {
                return Err(TopError::invalid_parameter(format_args!("{path} is missing")));
            }
            continue;
        };
        let empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        if field.required && empty {
            return Err(TopError::invalid_parameter(format_args!("{path} is empty")));
        }
        check_value(&field.kind, value, &path)?;
    }
    Ok(())
}

fn check_value(kind: &Kind, value: &Value, path: &str) -> Result<(), TopError> {
    if let Some(wanted) = kind.violated_by(value) {
        return Err(TopError::invalid_parameter(format_args!("{path} {wanted}")));
    }
    match (kind, value) {
        (Kind::Object(fields), Value::Object(object)) => check_object(fields, object, &format!("{path}.")),
        (Kind::Objects(fields), Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                check_value(&Kind::Object(fields), item, &format!("{path}[{index}]"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Parses `yyyy-MM-dd HH:mm:ss`, with all digits present.
pub(crate) fn parse_date(text: &str) -> Option<DateTime> {
    // strptime alone would accept one-digit months and surrounding spaces.
    let date = DateTime::strptime(DATE_LAYOUT, text).ok()?;
    (date.strftime(DATE_LAYOUT).to_string() == text).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The ship page's example values.
    fn ship() -> Value {
        json!({"agent_order_id": "13334099888", "alitrip_order_id": "3892200000033",
            "main_biz_order_id": 3_892_200_000_033_i64, "success": true, "ticket_count": 3,
            "ticket_wicket": "xx", "total_price": 23000, "failed_code": "x",
            "passenger_list": [{"passenger_id": "30303029", "ticket_list": [
                {"ticket_id": "29018383839", "ticket_price": 100, "ticket_type": "1",
                 "ticket_status": "2", "expire_time": "2019-12-20 00:00:00"}]}]})
    }

    fn itinerary() -> Value {
        json!({"out_relation_order_id": "123421342134", "tes_head_id": "3021342134",
            "ticket_no_list": ["23142134"], "emp_no": "322558", "cwt_account_no": "12342134",
            "ht_user_id": "123421"})
    }

    fn complaint(api: Api, pairs: &[(&str, String)]) -> Option<String> {
        let mut form = Form::default();
        for (name, value) in pairs {
            form.params.insert((*name).to_owned(), value.clone());
        }
        let error = api.read(&form).err()?;
        assert_eq!(error.code, 50);
        assert_eq!(error.sub_code.as_deref(), Some("isv.invalid-parameter"));
        error.sub_msg
    }

    fn check(api: Api, wrapper: &str, content: &Value) -> Option<String> {
        complaint(api, &[(wrapper, content.to_string())])
    }

    #[test]
    fn page_examples_are_accepted() {
        assert_eq!(check(Api::ShipNotify, "confirm_book_r_q", &ship()), None);
        assert_eq!(check(Api::ItineraryPostback, "flight_itinerary_request", &itinerary()), None);
        let verify = [
            ("check_num", "1".to_owned()),
            ("order_id", "12345678".to_owned()),
            ("return_num", "0".to_owned()),
            ("total_num", "1".to_owned()),
            ("out_order_id", "12345".to_owned()),
            ("confirm_code", "2516352".to_owned()),
            (
                "voucher_infos",
                r#"[{"confirm_code":"2516352","used_quantity":1,"used_date":"2020-01-11 14:00:00"}]"#.to_owned(),
            ),
            ("write_off_type", "0".to_owned()),
        ];
        assert_eq!(complaint(Api::TicketVerify, &verify), None);
    }

    /// Each row sets one field of the object at a JSON pointer in the sample, or removes it (`None`), and names the
    /// expected complaint.
    #[test]
    fn ship_notify_is_validated_field_by_field() {
        let ticket = "/passenger_list/0/ticket_list/0";
        let rows = [
            ("".to_owned(), "agent_order_id", None, "agent_order_id is missing"),
            ("".to_owned(), "alitrip_order_id", Some(json!("")), "alitrip_order_id is empty"),
            ("".to_owned(), "alitrip_order_id", Some(json!(389)), "alitrip_order_id must be a string"),
            ("".to_owned(), "success", None, "success is missing"),
            ("".to_owned(), "success", Some(json!("true")), "success must be true or false"),
            ("".to_owned(), "ticket_count", Some(json!("3")), "ticket_count must be an integer"),
            ("".to_owned(), "total_price", Some(json!(230.0)), "total_price must be an integer"),
            ("".to_owned(), "message", Some(Value::Null), "message must be a string"),
            ("".to_owned(), "passenger_list", Some(json!({})), "passenger_list must be a list"),
            ("".to_owned(), "passenger_list", Some(json!([1])), "passenger_list[0] must be an object"),
            ("".to_owned(), "ticket_list", Some(json!([])), "confirm_book_r_q.ticket_list is unknown"),
            ("/passenger_list/0".to_owned(), "success", Some(json!(true)), "passenger_list[0].success is unknown"),
            (ticket.to_owned(), "ticket_id", None, "ticket_list[0].ticket_id is missing"),
            (ticket.to_owned(), "ticket_price", Some(json!("100")), "ticket_price must be an integer"),
            (ticket.to_owned(), "ticket_type", Some(json!("5")), "ticket_type must be one of"),
            (ticket.to_owned(), "ticket_sub_type", Some(json!("13")), "ticket_sub_type must be one of"),
            (ticket.to_owned(), "ticket_status", Some(json!(2)), "ticket_status must be one of"),
            (ticket.to_owned(), "expire_time", Some(json!("2019-12-20")), "expire_time must be a date"),
            (ticket.to_owned(), "expire_time", Some(json!("2019-2-20 00:00:00")), "expire_time must be a date"),
            (ticket.to_owned(), "expire_time", Some(json!("2019-02-30 00:00:00")), "expire_time must be a date"),
        ];
        for (at, name, value, wanted) in rows {
            let mut content = ship();
            let object = content.pointer_mut(&at).unwrap().as_object_mut().unwrap();
            match value.clone() {
                Some(value) => object.insert(name.to_owned(), value),
                None => object.remove(name),
            };
            let said = check(Api::ShipNotify, "confirm_book_r_q", &content).unwrap_or_default();
            assert!(said.contains(wanted), "{at}/{name} = {value:?}: {said:?}");
        }
    }

    #[test]
    fn itinerary_is_validated_field_by_field() {
        let rows = [
            ("out_relation_order_id", None, "out_relation_order_id is missing"),
            ("tes_head_id", Some(json!("")), "tes_head_id is empty"),
            ("cwt_account_no", Some(json!(12)), "cwt_account_no must be a string"),
            ("ticket_no_list", Some(json!("23142134")), "ticket_no_list must be a list"),
            ("ticket_no_list", Some(json!([])), "ticket_no_list is empty"),
            ("ticket_no_list", Some(json!(["1", ""])), "ticket_no_list must be a list"),
            ("ticket_no_list", Some(json!([1])), "ticket_no_list must be a list"),
            ("order_no", Some(json!("1")), "order_no is unknown"),
        ];
        for (name, value, wanted) in rows {
            let mut content = itinerary();
            let object = content.as_object_mut().unwrap();
            match value.clone() {
                Some(value) => object.insert(name.to_owned(), value),
                None => object.remove(name),
            };
            let said = check(Api::ItineraryPostback, "flight_itinerary_request", &content);
            assert!(said.clone().unwrap_or_default().contains(wanted), "{name} = {value:?}: {said:?}");
        }
    }

    #[test]
    fn wrapper_must_be_a_json_object() {
        for (pairs, wanted) in [
            (vec![], "confirm_book_r_q is missing"),
            (vec![("confirm_book_r_q", String::new())], "confirm_book_r_q is empty"),
            (vec![("confirm_book_r_q", "{".to_owned())], "confirm_book_r_q must be JSON"),
            (vec![("confirm_book_r_q", "[]".to_owned())], "confirm_book_r_q"),
            (
                vec![("confirm_book_r_q", ship().to_string()), ("success", "true".to_owned())],
                "success is not a parameter",
            ),
        ] {
            let said = complaint(Api::ShipNotify, &pairs).unwrap_or_default();
            assert!(said.contains(wanted), "{pairs:?}: {said:?}");
        }
    }

    #[test]
    fn redemption_is_validated_field_by_field() {
        let vouchers = |count: usize| json!(vec![json!({"confirm_code": "1"}); count]).to_string();
        let rows = [
            ("order_id", "12.0".to_owned(), Some("order_id must be a decimal integer")),
            ("order_id", "+12".to_owned(), Some("order_id must be a decimal integer")),
            ("order_id", String::new(), Some("order_id must be a decimal integer")),
            ("check_num", "one".to_owned(), Some("check_num must be a decimal integer")),
            ("write_off_type", "2".to_owned(), Some("write_off_type must be one of")),
            ("voucher_infos", vouchers(999), None),
            ("voucher_infos", vouchers(1000), Some("voucher_infos must be a list of at most 999")),
            ("voucher_infos", "{}".to_owned(), Some("voucher_infos must be a list")),
            ("voucher_infos", "[[]]".to_owned(), Some("voucher_infos[0] must be an object")),
            (
                "voucher_infos",
                r#"[{"used_quantity":"1"}]"#.to_owned(),
                Some("voucher_infos[0].used_quantity must be an integer"),
            ),
            (
                "voucher_infos",
                r#"[{"used_date":"2020-01-11T14:00:00"}]"#.to_owned(),
                Some("voucher_infos[0].used_date must be a date"),
            ),
            ("voucher_infos", r#"[{"code":"1"}]"#.to_owned(), Some("voucher_infos[0].code is unknown")),
            ("used_quantity", "1".to_owned(), Some("used_quantity is not a parameter")),
        ];
        for (name, value, wanted) in rows {
            let pairs = [("order_id", "12345678".to_owned()), (name, value)];
            let said = complaint(Api::TicketVerify, &pairs);
            match wanted {
                Some(wanted) => assert!(said.clone().unwrap_or_default().contains(wanted), "{name}: {said:?}"),
                None => assert_eq!(said, None, "{name}"),
            }
        }
        let nameless = complaint(Api::TicketVerify, &[("check_num", "1".to_owned())]);
        assert!(nameless.unwrap().contains("order_id and out_order_id are both missing"));
    }
}
