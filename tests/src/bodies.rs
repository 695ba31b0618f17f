//! Request bodies for tests.

use serde_json::{Value, json};

/// An issue-notify body of TSY. `kind` is its `type`, such as `issued`.
pub fn tsy(order_id: &str, kind: &str) -> String {
    json!({"msg": "", "orderNo": "10862500710595", "orderId": order_id, "type": kind}).to_string()
}

/// A voucher push of SCTT with this order status and number of vouchers (QR codes).
pub fn sctt(order_id: &str, status: i64, vouchers: usize) -> Value {
    let voucher = |n: usize| json!({"voucher_type": 3, "voucher_confirmation": format!("PLANTED-VOUCHER-{n}"), "voucher_verification": format!("PLANTED-PWD-{n}")});
    let vouchers: Vec<_> = (1..=vouchers).map(voucher).collect();
    json!({"merchant_id": 287729, "request_time": "2026-01-01 12:00:00", "sign": "D19A61DBE64BA6CFB547855F216E0201",
        "trade_number": order_id, "order_code": 123456, "order_status": status, "vouchers": [{"voucherlist": vouchers}]})
}

/// A cancel push of SCTT. Each order has an ID and a cancel status: 1 failed, 2 waiting, 3 done.
pub fn cancel(orders: &[(&str, i64)]) -> String {
    let order = |(order_id, status): &(&str, i64)| {
        json!({"trade_number": order_id, "order_code": 123456, "cancel_type": 1,
        "cancel_status": status, "remark": ""})
    };
    let orders: Vec<_> = orders.iter().map(order).collect();
    json!({"merchant_id": 287729, "request_time": "2026-01-01 12:00:00", "sign": "D19A61DBE64BA6CFB547855F216E0201",
        "orderlist": orders})
    .to_string()
}

/// A link to a flight with one ticket number.
pub fn flight() -> String {
    json!({"happytrip_flight": {"tes_head_id": "3021342134", "cwt_account_no": "12342134", "ticket_no_list": ["23142134"]}})
        .to_string()
}

/// A link to a ship order with one passenger and this many tickets.
pub fn ship(alitrip_order_id: &str, tickets: usize) -> String {
    let ticket = |n: usize| json!({"ticket_id": format!("t{n}"), "ticket_type": "1", "ticket_price": 100});
    let tickets: Vec<_> = (1..=tickets).map(ticket).collect();
    json!({"fliggy_ship": {"alitrip_order_id": alitrip_order_id, "agent_order_id": "A-1", "total_price": 23000,
        "passenger_list": [{"passenger_id": "1", "passenger_name": "PLANTED-罗大佑", "passenger_cert_no": "PLANTED-CERT", "ticket_list": tickets}]}})
    .to_string()
}

/// A redemption of one ticket.
pub fn redemption(order_id: i64, write_off_type: i64) -> String {
    json!({"order_id": order_id, "check_num": 1, "write_off_type": write_off_type,
        "voucher_infos": [{"confirm_code": "PLANTED-CODE", "used_quantity": 1, "used_date": "2026-01-01 11:59:00"}]})
    .to_string()
}

/// A ship notification for direct submission.
pub fn ship_call(alitrip_order_id: &str, success: bool) -> String {
    json!({"agent_order_id": "A-1", "alitrip_order_id": alitrip_order_id, "success": success}).to_string()
}

/// A refund of one ticket of a ship order: status 1 refunded, 2 failed.
pub fn ship_refund(alitrip_order_id: i64, ticket: &str, status: i64) -> Value {
    json!({"agent_order_id": "A-1", "alitrip_order_id": alitrip_order_id, "agent_refund_amount": 100,
        "agent_return_ticket_code": 0, "agent_return_ticket_status": status, "agent_return_ticket_type": 0,
        "agent_ticket_id": ticket})
}

/// A refund of one scenic-spot ticket.
pub fn ticket_refund(order_id: i64, batch: &str) -> Value {
    json!({"order_id": order_id, "refund_status": 1, "refund_num": 1, "refund_batch_no": batch})
}
