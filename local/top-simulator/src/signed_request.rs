//! Test helper: requests as a correct client sends them, and ways to break one thing at a time.

use std::collections::BTreeMap;

use crate::protocol::Credentials;
use crate::sign::{self, SignMethod};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded;charset=utf-8";

/// The requests' time stamp: 2026-01-01 12:00:00 in GMT+8.
pub(crate) const NOW_MS: i64 = 1_767_240_000_000;

pub(crate) fn credentials() -> Credentials {
    Credentials { app_key: "12345678".to_owned(), app_secret: "helloworld".to_owned(), session: "test".to_owned() }
}

#[derive(Clone)]
pub(crate) struct SignedRequest {
    params: BTreeMap<String, String>,
    sign: Option<String>,
    appended: Vec<(String, String)>,
}

impl SignedRequest {
    fn new(method: &str) -> Self {
        let request = Self { params: BTreeMap::new(), sign: None, appended: Vec::new() };
        request
            .with("method", method)
            .with("app_key", "12345678")
            .with("timestamp", "2026-01-01 12:00:00")
            .with("format", "json")
            .with("v", "2.0")
            .with("sign_method", "md5")
    }

    pub(crate) fn ship(alitrip_order_id: &str) -> Self {
        Self::new("alitrip.ship.order.notify").with("session", "test").with(
            "confirm_book_r_q",
            &format!(
                r#"{{"agent_order_id":"13334099888","alitrip_order_id":"{alitrip_order_id}","success":true,"ticket_count":0,"message":"短信+内容"}}"#
            ),
        )
    }

    pub(crate) fn verify(order_id: &str, write_off_type: &str) -> Self {
        Self::new("taobao.travel.ticket.order.verify")
            .with("order_id", order_id)
            .with("write_off_type", write_off_type)
            .with("voucher_infos", r#"[{"confirm_code":"c","used_quantity":1}]"#)
    }

    pub(crate) fn itinerary(out_relation_order_id: &str) -> Self {
        Self::new("alibaba.happytrip.flight.order.itinerary.postback").with(
            "flight_itinerary_request",
            &format!(
                r#"{{"out_relation_order_id":"{out_relation_order_id}","tes_head_id":"1","ticket_no_list":["2"],"cwt_account_no":"3"}}"#
            ),
        )
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.params.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.params.remove(name);
        self
    }

    /// Replaces a substring in every value before signing.
    pub(crate) fn replacing(mut self, from: &str, to: &str) -> Self {
        for value in self.params.values_mut() {
            *value = value.replace(from, to);
        }
        self
    }

    pub(crate) fn with_sign(mut self, sign: &str) -> Self {
        self.sign = Some(sign.to_owned());
        self
    }

    pub(crate) fn with_lower_case_sign(self) -> Self {
        let sign = self.params()["sign"].to_lowercase();
        self.with_sign(&sign)
    }

    /// Changes a value but keeps the signature of the old one.
    pub(crate) fn tampered(self, name: &str, value: &str) -> Self {
        let sign = self.params()["sign"].clone();
        self.with(name, value).with_sign(&sign)
    }

    /// Sends a parameter a second time.
    pub(crate) fn tampered_with_repetition(mut self, name: &str, value: &str) -> Self {
        self.appended.push((name.to_owned(), value.to_owned()));
        self
    }

    /// All parameters, including `sign`.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        let method = self.params.get("sign_method").map_or("md5", String::as_str);
        let method = SignMethod::from_parameter(method).unwrap_or(SignMethod::Md5);
        let sign = sign::signature(method, "helloworld", &self.params).unwrap();
        let mut params = self.params.clone();
        params.insert("sign".to_owned(), self.sign.clone().unwrap_or(sign));
        params
    }

    /// The form-urlencoded body.
    pub(crate) fn body(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(self.params())
            .extend_pairs(&self.appended)
            .finish()
    }
}
