//! The three APIs' documentation pages as field tables. Copied from the pages by hand, not shared with the relay.

use serde_json::{Map, Value};

use crate::answer::TopError;
use crate::form::Form;
use crate::validation::check_object;

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
    /// The first violation: TOP 40 for a missing argument, 41 for one of the wrong type, and 50 `isv.invalid-parameter` for
    /// a value or name that the page does not list. Public reports show that the gateway also checks members of JSON.
    pub(crate) fn read(self, form: &Form) -> Result<Map<String, Value>, TopError> {
        let fields = self.fields();
        let known = |name: &str| PROTOCOL_PARAMETERS.contains(&name) || fields.iter().any(|field| field.name == name);
        if let Some(name) = form.params.keys().find(|name| !known(name)) {
            return Err(TopError::invalid_parameter(format_args!("{name} is not a parameter of this API")));
        }
        if let Some(name) = form.files.first() {
            return Err(TopError::invalid_parameter(format_args!("{name} is a file, and this API takes none")));
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
        assert_eq!(error.sub_code.as_deref(), (error.code == 50).then_some("isv.invalid-parameter"));
        let said = error.sub_msg.unwrap_or(error.msg);
        Some(format!("{} {}", error.code, said.trim_start_matches("非法参数: ")))
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

    /// The complaint about the field at `path`; `rest` follows the path.
    fn expected(code: i64, path: &str, rest: &str) -> Option<String> {
        let before = if code == 40 { "Missing required arguments:" } else { "" };
        Some(format!("{code} {before}{path}{rest}"))
    }

    /// Each row sets one field of the object at a JSON pointer in the sample, or removes it (`None`), and names the
    /// expected complaint.
    #[test]
    fn ship_notify_is_validated_field_by_field() {
        let passenger = "/passenger_list/0";
        let ticket = "/passenger_list/0/ticket_list/0";
        let unlisted = " is not one of the values that the page lists";
        let date = " must be a date yyyy-MM-dd HH:mm:ss";
        let list = " must be a list of at most 999 objects";
        let rows = [
            ("", "agent_order_id", None, 40, ""),
            ("", "alitrip_order_id", Some(json!("")), 40, ""),
            ("", "alitrip_order_id", Some(json!(389)), 41, " must be a string"),
            ("", "success", None, 40, ""),
            ("", "success", Some(json!("true")), 41, " must be true or false"),
            ("", "ticket_count", Some(json!("3")), 41, " must be an integer"),
            ("", "total_price", Some(json!(230.0)), 41, " must be an integer"),
            ("", "message", Some(Value::Null), 41, " must be a string"),
            ("", "passenger_list", Some(json!({})), 41, list),
            ("", "passenger_list", Some(json!([1])), 41, "[0] must be an object"),
            ("", "ticket_list", Some(json!([])), 50, " is unknown"),
            (passenger, "success", Some(json!(true)), 50, " is unknown"),
            (ticket, "ticket_id", None, 40, ""),
            (ticket, "ticket_price", Some(json!("100")), 41, " must be an integer"),
            (ticket, "ticket_type", Some(json!("5")), 50, unlisted),
            (ticket, "ticket_sub_type", Some(json!("13")), 50, unlisted),
            (ticket, "ticket_status", Some(json!(2)), 41, " must be a string"),
            (ticket, "expire_time", Some(json!("2019-12-20")), 41, date),
            (ticket, "expire_time", Some(json!("2019-2-20 00:00:00")), 41, date),
            (ticket, "expire_time", Some(json!("2019-02-30 00:00:00")), 41, date),
        ];
        for (at, name, value, code, rest) in rows {
            let mut content = ship();
            let object = content.pointer_mut(at).unwrap().as_object_mut().unwrap();
            match value.clone() {
                Some(value) => object.insert(name.to_owned(), value),
                None => object.remove(name),
            };
            let path = format!("confirm_book_r_q{}.{name}", at.replace("/0", "[0]").replace('/', "."));
            let said = check(Api::ShipNotify, "confirm_book_r_q", &content);
            assert_eq!(said, expected(code, &path, rest), "{value:?}");
        }
    }

    #[test]
    fn itinerary_is_validated_field_by_field() {
        let rows = [
            (
                "out_relation_order_id",
                None,
                "40 Missing required arguments:flight_itinerary_request.out_relation_order_id",
            ),
            ("tes_head_id", Some(json!("")), "40 Missing required arguments:flight_itinerary_request.tes_head_id"),
            ("cwt_account_no", Some(json!(12)), "41 flight_itinerary_request.cwt_account_no must be a string"),
            ("ticket_no_list", Some(json!("23142134")), "41 flight_itinerary_request.ticket_no_list must be a list"),
            (
                "ticket_no_list",
                Some(json!([])),
                "40 Missing required arguments:flight_itinerary_request.ticket_no_list",
            ),
            ("ticket_no_list", Some(json!(["1", ""])), "41 flight_itinerary_request.ticket_no_list must be a list"),
            ("ticket_no_list", Some(json!([1])), "41 flight_itinerary_request.ticket_no_list must be a list"),
            ("order_no", Some(json!("1")), "50 flight_itinerary_request.order_no is unknown"),
        ];
        for (name, value, wanted) in rows {
            let mut content = itinerary();
            let object = content.as_object_mut().unwrap();
            match value.clone() {
                Some(value) => object.insert(name.to_owned(), value),
                None => object.remove(name),
            };
            let said = check(Api::ItineraryPostback, "flight_itinerary_request", &content);
            assert!(said.clone().unwrap_or_default().starts_with(wanted), "{name} = {value:?}: {said:?}");
        }
    }

    #[test]
    fn wrapper_must_be_a_json_object() {
        for (pairs, wanted) in [
            (vec![], "40 Missing required arguments:confirm_book_r_q"),
            (vec![("confirm_book_r_q", String::new())], "40 Missing required arguments:confirm_book_r_q"),
            (vec![("confirm_book_r_q", "{".to_owned())], "41 confirm_book_r_q must be JSON"),
            (vec![("confirm_book_r_q", "[1]".to_owned())], "41 confirm_book_r_q must be an object"),
            (
                vec![("confirm_book_r_q", ship().to_string()), ("success", "true".to_owned())],
                "50 success is not a parameter",
            ),
        ] {
            let said = complaint(Api::ShipNotify, &pairs).unwrap_or_default();
            assert!(said.starts_with(wanted), "{pairs:?}: {said:?}");
        }
    }

    #[test]
    fn redemption_is_validated_field_by_field() {
        let vouchers = |count: usize| json!(vec![json!({"confirm_code": "1"}); count]).to_string();
        let rows = [
            ("order_id", "12.0".to_owned(), Some("41 order_id must be a decimal integer")),
            ("order_id", "+12".to_owned(), Some("41 order_id must be a decimal integer")),
            ("order_id", String::new(), Some("41 order_id must be a decimal integer")),
            ("check_num", "one".to_owned(), Some("41 check_num must be a decimal integer")),
            ("write_off_type", "2".to_owned(), Some("50 write_off_type is not one of")),
            ("voucher_infos", vouchers(999), None),
            ("voucher_infos", vouchers(1000), Some("41 voucher_infos must be a list of at most 999")),
            ("voucher_infos", "{}".to_owned(), Some("41 voucher_infos must be a list")),
            ("voucher_infos", "[[]]".to_owned(), Some("41 voucher_infos[0] must be an object")),
            (
                "voucher_infos",
                r#"[{"used_quantity":"1"}]"#.to_owned(),
                Some("41 voucher_infos[0].used_quantity must be an integer"),
            ),
            (
                "voucher_infos",
                r#"[{"used_date":"2020-01-11T14:00:00"}]"#.to_owned(),
                Some("41 voucher_infos[0].used_date must be a date"),
            ),
            ("voucher_infos", r#"[{"code":"1"}]"#.to_owned(), Some("50 voucher_infos[0].code is unknown")),
            ("used_quantity", "1".to_owned(), Some("50 used_quantity is not a parameter")),
        ];
        for (name, value, wanted) in rows {
            let pairs = [("order_id", "12345678".to_owned()), (name, value)];
            let said = complaint(Api::TicketVerify, &pairs);
            match wanted {
                Some(wanted) => assert!(said.clone().unwrap_or_default().starts_with(wanted), "{name}: {said:?}"),
                None => assert_eq!(said, None, "{name}"),
            }
        }
        let nameless = complaint(Api::TicketVerify, &[("check_num", "1".to_owned())]);
        assert!(nameless.unwrap().starts_with("50 order_id and out_order_id are both missing"));
    }
}
