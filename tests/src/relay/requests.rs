//! Requests of partners, the booking system and operators.

use super::*;

impl Relay {
    /// Posts a body as the partner.
    pub async fn post(&self, kind: NotificationKind, body: &str) -> Answered {
        self.post_as(kind, TOKEN, Body::Text(body)).await
    }

    /// Posts a body as the partner, with this token.
    pub async fn post_as(&self, kind: NotificationKind, token: &str, body: Body<'_>) -> Answered {
        let route = format!("/{}/{{token}}/{kind}", kind.partner().as_ref());
        let request = api_request("POST", &route, json!({"token": token}), json!({}), body);
        answered(self.receiver(kind).handle(&request).await)
    }

    /// Posts an issue-notify as TSY.
    pub async fn post_tsy(&self, body: &str) -> Answered {
        self.post(NotificationKind::IssueNotify, body).await
    }

    /// Posts an issue-notify as TSY, with this token.
    pub async fn post_tsy_as(&self, token: &str, body: Body<'_>) -> Answered {
        self.post_as(NotificationKind::IssueNotify, token, body).await
    }

    /// Posts a voucher push as SCTT.
    pub async fn post_sctt(&self, body: &str) -> Answered {
        self.post(NotificationKind::VoucherPush, body).await
    }

    /// Posts a voucher push as SCTT, with this token.
    pub async fn post_sctt_as(&self, token: &str, body: Body<'_>) -> Answered {
        self.post_as(NotificationKind::VoucherPush, token, body).await
    }

    /// Puts an order's link as the booking system.
    pub async fn put_order(&self, partner: &str, order_id: &str, body: &str) -> Answered {
        let parameters = json!({"partner": partner, "order_id": order_id});
        let request = api_request("PUT", "/orders/{partner}/{order_id}", parameters, json!({}), Body::Text(body));
        answered(self.order_link.handle(&request).await)
    }

    /// Gets an order.
    pub async fn get_order(&self, partner: &str, order_id: &str) -> Answered {
        let parameters = json!({"partner": partner, "order_id": order_id});
        let request = api_request("GET", "/orders/{partner}/{order_id}", parameters, json!({}), Body::None);
        answered(self.order_link.handle(&request).await)
    }

    /// The JSON of an existing order.
    pub async fn order(&self, partner: &str, order_id: &str) -> Value {
        let (status, body) = self.get_order(partner, order_id).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The JSON of an existing order with the payload of this notification only.
    pub async fn order_with_payload(&self, partner: &str, order_id: &str, digest: &str) -> Value {
        let parameters = json!({"partner": partner, "order_id": order_id});
        let request = api_request("GET", "/orders/{partner}/{order_id}", parameters, json!({}), Body::None);
        let query = HashMap::from([("payload".to_owned(), digest.to_owned())]);
        let (status, body) = answered(self.order_link.handle(&request.with_query_string_parameters(query)).await);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Compares two notifications or links of an order.
    pub async fn difference(&self, partner: &str, order_id: &str, from: &str, to: &str) -> Answered {
        let parameters = json!({"partner": partner, "order_id": order_id});
        let resource = "/orders/{partner}/{order_id}/difference";
        let request = api_request("GET", resource, parameters, json!({}), Body::None);
        let query = [("from", from), ("to", to)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        answered(self.order_link.handle(&request.with_query_string_parameters(HashMap::from(query))).await)
    }

    /// The states of an order's notifications, in order of arrival.
    pub async fn notification_states(&self, partner: &str, order_id: &str) -> Vec<String> {
        let order = self.order(partner, order_id).await;
        let state = |notification: &Value| notification["state"].as_str().unwrap().to_owned();
        order["notifications"].as_array().unwrap().iter().map(state).collect()
    }

    /// Whether a table item has an expiry time.
    pub async fn expires(&self, pk: &str, sk: &str) -> bool {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let get = self.dynamodb.get_item().table_name("relay").consistent_read(true);
        let got = get.key("pk", text(pk)).key("sk", text(sk)).send().await.unwrap();
        got.item.unwrap().contains_key("expires_at")
    }

    /// The state and reason of an order's only notification.
    pub async fn notification(&self, partner: &str, order_id: &str) -> (String, String) {
        let order = self.order(partner, order_id).await;
        assert_eq!(order["notifications"].as_array().unwrap().len(), 1, "{order}");
        let text = |name: &str| order["notifications"][0][name].as_str().unwrap_or_default().to_owned();
        (text("state"), text("reason"))
    }

    /// Submits a call and lets dispatch decide it.
    pub async fn submit_and_decide(&self, call: &str, idempotency_key: Option<&str>, body: &str) -> Response<HttpBody> {
        let response = self.submit(call, idempotency_key, body).await;
        self.poll("notifications").await;
        response
    }

    /// Submits a call.
    pub async fn submit(&self, call: &str, idempotency_key: Option<&str>, body: &str) -> Response<HttpBody> {
        let headers = idempotency_key.map_or_else(|| json!({}), |key| json!({"Idempotency-Key": key}));
        let request = api_request("POST", "/calls/{call}", json!({"call": call}), headers, Body::Text(body));
        self.submit_call.handle(&request).await
    }

    /// Submits a call that names a TOP account.
    pub async fn submit_as(&self, call: &str, account: &str, key: Option<&str>, body: &str) -> Answered {
        let headers = key.map_or_else(|| json!({}), |key| json!({"Idempotency-Key": key}));
        let request = api_request("POST", "/calls/{call}", json!({"call": call}), headers, Body::Text(body));
        let query = HashMap::from([("account".to_owned(), account.to_owned())]);
        answered(self.submit_call.handle(&request.with_query_string_parameters(query)).await)
    }

    /// Gets a call.
    pub async fn get_call(&self, call: &str, key: &str) -> Answered {
        let parameters = json!({"call": call, "key": key});
        let request = api_request("GET", "/calls/{call}/{key}", parameters, json!({}), Body::None);
        answered(self.submit_call.handle(&request).await)
    }

    /// Replays an order as an operator.
    pub async fn replay(&self, partner: &str, order_id: &str) -> Answered {
        let parameters = json!({"partner": partner, "order_id": order_id});
        let resource = "/orders/{partner}/{order_id}/replay";
        let request = api_request("POST", resource, parameters, json!({}), Body::None);
        answered(self.order_link.handle(&request).await)
    }

    /// Sends an operator's request about an order: `dismiss`, `withdraw` or `close`.
    pub async fn instruct(&self, verb: &str, partner: &str, order_id: &str, note: &str) -> Answered {
        let parameters = json!({"partner": partner, "order_id": order_id});
        let (resource, body) = (format!("/orders/{{partner}}/{{order_id}}/{verb}"), json!({"note": note}).to_string());
        let request = api_request("POST", &resource, parameters, json!({}), Body::Text(&body));
        answered(self.order_link.handle(&request).await)
    }

    /// The function that publishes order events, with a new topic.
    pub async fn order_events(&self) -> OrderEvents {
        let sns = aws_sdk_sns::Client::new(&self.sdk);
        let topic_arn = sns.create_topic().name("order-events").send().await.unwrap().topic_arn.unwrap();
        OrderEvents { sns, topic_arn, source: "ticket-relay/test".to_owned() }
    }

    /// Like `order_events`, but first enables the table's stream that the function reads.
    pub async fn followed(&self) -> OrderEvents {
        let stream =
            StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
        let update = self.dynamodb.update_table().table_name("relay").stream_specification(stream.build().unwrap());
        update.send().await.unwrap();
        self.order_events().await
    }

    /// Resolves a call as an operator.
    pub async fn resolve(&self, call: &str, key: &str, body: &str) -> Answered {
        self.instruct_call("resolve", call, key, body).await
    }

    /// Sends an operator's request about a call: `resolve` or `dismiss`.
    pub async fn instruct_call(&self, verb: &str, call: &str, key: &str, body: &str) -> Answered {
        let parameters = json!({"call": call, "key": key});
        let resource = format!("/calls/{{call}}/{{key}}/{verb}");
        let request = api_request("POST", &resource, parameters, json!({}), Body::Text(body));
        answered(self.submit_call.handle(&request).await)
    }

    /// Has calls of this kind that are held back tried now.
    pub async fn retry_kind_now(&self, call: &str, body: &str) -> Answered {
        let resource = "/breakers/{call}/retry-now";
        let request = api_request("POST", resource, json!({"call": call}), json!({}), Body::Text(body));
        answered(self.submit_call.handle(&request).await)
    }

    /// Pauses or resumes a call.
    pub async fn switch(&self, call: &str, verb: &str, body: &str) -> Answered {
        let resource = format!("/breakers/{{call}}/{verb}");
        let request = api_request("POST", &resource, json!({"call": call}), json!({}), Body::Text(body));
        answered(self.submit_call.handle(&request).await)
    }

    /// Lists the calls that are held back.
    pub async fn breakers(&self) -> Value {
        let request = api_request("GET", "/breakers", json!({}), json!({}), Body::None);
        let (status, body) = answered(self.submit_call.handle(&request).await);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Gets a page of the attention list.
    pub async fn attention(&self, limit: Option<u32>, after: Option<&str>) -> Answered {
        let query: HashMap<_, _> =
            [("limit", limit.map(|limit| limit.to_string())), ("after", after.map(str::to_owned))]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect();
        let request = api_request("GET", "/attention", json!({}), json!({}), Body::None);
        answered(self.attention.handle(&request.with_query_string_parameters(query)).await)
    }

    /// Gets a page of the list of everything unfinished.
    pub async fn unfinished(&self, query: &[(&str, &str)]) -> Answered {
        let query: HashMap<_, _> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = api_request("GET", "/unfinished", json!({}), json!({}), Body::None);
        answered(self.attention.handle(&request.with_query_string_parameters(query)).await)
    }

    /// Shows an unreadable body, or sends an operator's request about it: `retry` or `dismiss`. Then `of_it` is the body,
    /// and else the query.
    pub async fn unreadable(&self, endpoint: &str, digest: &str, verb: &str, of_it: &[(&str, &str)]) -> Answered {
        let parameters = json!({"endpoint": endpoint, "digest": digest});
        let of_it: HashMap<_, _> =
            of_it.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let resource = "/attention/unreadable/{endpoint}/{digest}";
        if verb.is_empty() {
            let request = api_request("GET", resource, parameters, json!({}), Body::None);
            return answered(self.attention.handle(&request.with_query_string_parameters(of_it)).await);
        }
        let (resource, body) = (format!("{resource}/{verb}"), json!(of_it).to_string());
        answered(self.attention.handle(&api_request("POST", &resource, parameters, json!({}), Body::Text(&body))).await)
    }

    /// Runs the sweep with 30 s to its deadline.
    pub async fn sweep(&self) -> Result<Swept, SweepError> {
        let deadline = self.clock.now().plus(Duration::from_secs(30));
        self.sweep.handle(&Invocation { request_id: "sweep".to_owned(), deadline }).await
    }

    /// The JSON of an existing call.
    pub async fn call(&self, call: CallKind, key: &str) -> Value {
        let (status, body) = self.get_call(call.as_ref(), key).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}
