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
        ("out_relation_order_id", None, "40 Missing required arguments:flight_itinerary_request.out_relation_order_id"),
        ("tes_head_id", Some(json!("")), "40 Missing required arguments:flight_itinerary_request.tes_head_id"),
        ("cwt_account_no", Some(json!(12)), "41 flight_itinerary_request.cwt_account_no must be a string"),
        ("ticket_no_list", Some(json!("23142134")), "41 flight_itinerary_request.ticket_no_list must be a list"),
        ("ticket_no_list", Some(json!([])), "40 Missing required arguments:flight_itinerary_request.ticket_no_list"),
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

fn ship_refund() -> Value {
    json!({"agent_order_id": "13334099888", "alitrip_order_id": 3_892_200_000_033_i64, "agent_refund_amount": 100,
        "agent_refund_trans_id": "20191220", "agent_return_mode": "online", "agent_return_ticket_code": 0,
        "agent_return_ticket_status": 1, "agent_return_ticket_type": 0, "agent_return_time": "2019-12-20 00:00:00",
        "agent_ticket_id": "29018383839", "passenger_id": "30303029", "agent_ext_attr": "{}"})
}

#[test]
fn ship_refund_is_validated_field_by_field() {
    assert_eq!(check(Api::ShipReturnNotify, "confirm_refund_r_q", &ship_refund()), None);
    let unlisted = " is not one of the values that the page lists";
    let rows = [
        ("agent_order_id", None, 40, ""),
        ("agent_refund_amount", None, 40, ""),
        ("agent_return_ticket_code", None, 40, ""),
        ("agent_return_ticket_status", Some(json!(3)), 50, unlisted),
        ("agent_return_ticket_type", Some(json!(2)), 50, unlisted),
        ("agent_return_mode", Some(json!("post")), 50, unlisted),
        ("alitrip_order_id", Some(json!("3892200000033")), 41, " must be an integer"),
        ("agent_ticket_id", Some(json!(1)), 41, " must be a string"),
        ("success", Some(json!(true)), 50, " is unknown"),
    ];
    for (name, value, code, rest) in rows {
        let mut content = ship_refund();
        let object = content.as_object_mut().unwrap();
        match value.clone() {
            Some(value) => object.insert(name.to_owned(), value),
            None => object.remove(name),
        };
        let said = check(Api::ShipReturnNotify, "confirm_refund_r_q", &content);
        assert_eq!(said, expected(code, &format!("confirm_refund_r_q.{name}"), rest), "{value:?}");
    }
    let mut nameless = ship_refund();
    nameless.as_object_mut().unwrap().retain(|name, _| name != "agent_ticket_id" && name != "passenger_id");
    let said = check(Api::ShipReturnNotify, "confirm_refund_r_q", &nameless).unwrap();
    assert!(said.starts_with("50 agent_ticket_id and passenger_id are both missing"), "{said}");
    nameless["agent_return_ticket_type"] = json!(1);
    assert_eq!(check(Api::ShipReturnNotify, "confirm_refund_r_q", &nameless), None);
}

#[test]
fn ticket_refund_is_validated_field_by_field() {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let whole = [own("order_id", "12345678"), own("refund_status", "1"), own("refund_num", "1")];
    for (changed, wanted) in [
        (own("refund_batch_no", "B-1"), None),
        (own("refund_failure_reason", "used"), None),
        (own("order_id", ""), Some("41 order_id must be a decimal integer")),
        (own("refund_status", "3"), Some("50 refund_status is not one of")),
        (own("refund_num", "one"), Some("41 refund_num must be a decimal integer")),
        (own("check_num", "1"), Some("50 check_num is not a parameter")),
    ] {
        let pairs: Vec<_> =
            whole.iter().chain([&changed]).map(|(name, value)| (name.as_str(), value.clone())).collect();
        let said = complaint(Api::TicketRefundNotify, &pairs);
        match wanted {
            Some(wanted) => assert!(said.clone().unwrap_or_default().starts_with(wanted), "{changed:?}: {said:?}"),
            None => assert_eq!(said, None, "{changed:?}"),
        }
    }
    let said = complaint(Api::TicketRefundNotify, &[("refund_status", "1".to_owned())]).unwrap();
    assert!(said.starts_with("40 Missing required arguments:order_id"), "{said}");
}
