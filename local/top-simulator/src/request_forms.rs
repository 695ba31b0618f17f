//! Every form of a request that TOP takes: how its parameters travel, how its time is written, how it is answered.

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::ledger::LedgerEntry;
use crate::signed_request::{FORM, NOW_MS, SignedRequest, credentials};
use crate::simulator::Simulator;

const MULTIPART: &str = "multipart/form-data; boundary=----x1";

/// A request on the wire: content type, query and body.
type Wire = (Option<&'static str>, Option<String>, String);

/// Valid requests of the three kinds: an object with a session, flat fields, and an object without a session.
fn requests() -> [SignedRequest; 3] {
    [SignedRequest::ship("1"), SignedRequest::verify("1", "0"), SignedRequest::itinerary("1")]
}

fn is_protocol(name: &str) -> bool {
    ["method", "app_key", "session", "timestamp", "format", "v", "sign_method", "sign", "simplify"].contains(&name)
}

/// Sends parameters in the query if `in_query` says so, else in the body.
fn wire(request: &SignedRequest, multipart: bool, in_query: impl Fn(&str) -> bool) -> Wire {
    let (query, body): (Vec<_>, Vec<_>) = request.params().into_iter().partition(|(name, _)| in_query(name));
    let encoded = |pairs: Vec<_>| form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let query = (!query.is_empty()).then(|| encoded(query));
    if !multipart {
        return (Some(FORM), query, encoded(body));
    }
    let part = |(name, value): &(String, String)| {
        format!("------x1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    (Some(MULTIPART), query, body.iter().map(part).collect::<String>() + "------x1--\r\n")
}

/// The same request in each form.
fn forms(request: &SignedRequest) -> [(&'static str, Wire); 7] {
    let (_, query, _) = wire(request, false, |_| true);
    [
        ("body", wire(request, false, |_| false)),
        ("split", wire(request, false, is_protocol)),
        ("split the other way round", wire(request, false, |name| !is_protocol(name))),
        ("multipart", wire(request, true, |_| false)),
        ("split multipart", wire(request, true, is_protocol)),
        ("GET", (None, query.clone(), String::new())),
        ("POST without a body", (Some(FORM), query, String::new())),
    ]
}

fn send(simulator: &mut Simulator, (content_type, query, body): &Wire) -> Answer {
    simulator.handle(NOW_MS, *content_type, query.as_deref(), body.as_bytes())
}

/// The answer and the ledger entry of a new simulator.
fn answered(wire: &Wire) -> (String, LedgerEntry) {
    let mut simulator = Simulator::new(credentials());
    let Answer::Reply { status: 200, body, .. } = send(&mut simulator, wire) else { panic!("no answer") };
    let [entry] = simulator.ledger() else { panic!("{:?}", simulator.ledger()) };
    (String::from_utf8(body).unwrap(), entry.clone())
}

fn in_body(request: &SignedRequest) -> Wire {
    wire(request, false, |_| false)
}

#[test]
fn every_form_of_a_request_has_the_same_ledger_entry_and_answer() {
    for request in requests() {
        for sign_method in ["md5", "hmac", "hmac-sha256"] {
            let request = request.clone().with("sign_method", sign_method);
            let expected = answered(&in_body(&request));
            assert_eq!((expected.1.outcome.to_string().as_str(), expected.1.effect), ("success", true));
            assert_eq!(expected.1.params, request.params());
            for (form, wire) in forms(&request) {
                assert_eq!(answered(&wire), expected, "{form}, {sign_method}");
            }
        }
    }
}

#[test]
fn every_form_of_a_forged_request_is_refused() {
    for request in requests() {
        let request = request.tampered("timestamp", "2026-01-01 12:00:01");
        for (form, wire) in forms(&request) {
            let (answer, entry) = answered(&wire);
            assert_eq!((entry.outcome.to_string().as_str(), entry.effect), ("error 25", false), "{form}");
            assert!(answer.contains("Invalid signature"), "{form}: {answer}");
        }
    }
}

#[test]
fn parameter_in_query_and_body_must_have_one_value() {
    let request = SignedRequest::ship("1");
    for multipart in [false, true] {
        let (content_type, _, body) = wire(&request, multipart, |_| false);
        let outcome = |query: &str| {
            let (_, entry) = answered(&(content_type, Some(query.to_owned()), body.clone()));
            (entry.outcome.to_string(), entry.effect)
        };
        assert_eq!(outcome("v=2.0"), ("success".to_owned(), true));
        assert_eq!(outcome("v=3.0"), ("error 43".to_owned(), false));
        assert_eq!(outcome("v=2.0&v=2.0"), ("error 43".to_owned(), false));
    }
}

#[test]
fn file_is_not_signed_and_no_api_takes_one() {
    let (content_type, query, body) = wire(&SignedRequest::ship("1"), true, |_| false);
    let file = "------x1\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\n\u{89}\r\n";
    let (answer, entry) = answered(&(content_type, query, file.to_owned() + &body));
    // Not 25: the signature is valid without the file.
    assert_eq!((entry.outcome.to_string().as_str(), entry.effect), ("error 50 isv.invalid-parameter", false));
    assert!(answer.contains("image is a file"), "{answer}");
}

#[test]
fn time_stamp_may_be_text_or_milliseconds() {
    for request in requests() {
        for stamp in ["2026-01-01 12:00:00", "1767240000000"] {
            let request = request.clone().with("timestamp", stamp);
            let (_, entry) = answered(&in_body(&request));
            assert_eq!((entry.outcome.to_string().as_str(), entry.effect), ("success", true), "{stamp}");
            assert_eq!(entry.params["timestamp"], stamp);
        }
    }
}

/// Root key and members of each API's response, in order.
fn responses() -> [(SignedRequest, &'static str, Value); 3] {
    let [ship, verify, itinerary] = requests();
    [
        (
            ship,
            "alitrip_ship_order_notify_response",
            json!({"ret_code": "0", "ret_msg": "success", "ret_success": true, "request_id": "sim000000001"}),
        ),
        (verify, "travel_ticket_order_verify_response", json!({"is_success": true, "request_id": "sim000000001"})),
        (
            itinerary,
            "alibaba_happytrip_flight_order_itinerary_postback_response",
            json!({"ht_success": true, "content": "2342314", "request_id": "sim000000001"}),
        ),
    ]
}

fn elements(members: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    members.iter().map(|(name, value)| format!("<{name}>{}</{name}>", text(value))).collect()
}

#[test]
fn success_is_answered_in_the_requested_format() {
    let declaration = r#"<?xml version="1.0" encoding="utf-8" ?>"#;
    for (request, root, members) in responses() {
        let xml = format!("{declaration}<{root}>{}</{root}>", elements(members.as_object().unwrap()));
        let answer = |request: SignedRequest| answered(&in_body(&request)).0;
        assert_eq!(answer(request.clone()), format!(r#"{{"{root}":{members}}}"#));
        assert_eq!(answer(request.clone().with("simplify", "false")), format!(r#"{{"{root}":{members}}}"#));
        assert_eq!(answer(request.clone().with("simplify", "true")), members.to_string());
        assert_eq!(answer(request.clone().with("format", "xml")), xml);
        assert_eq!(answer(request.clone().with("format", "xml").with("simplify", "true")), xml);
        assert_eq!(answer(request.without("format")), xml);
    }
}

#[test]
fn errors_are_answered_in_the_requested_format() {
    let json = r#"{"error_response":{"code":26,"msg":"Missing session","request_id":"sim000000001"}}"#;
    let xml = concat!(
        r#"<?xml version="1.0" encoding="utf-8" ?><error_response><code>26</code><msg>Missing session</msg>"#,
        "<request_id>sim000000001</request_id></error_response>"
    );
    let request = || SignedRequest::ship("1").without("session");
    for (request, expected) in [
        (request(), json),
        (request().with("simplify", "true"), json),
        (request().with("format", "xml"), xml),
        (request().with("format", "xml").with("simplify", "true"), xml),
        (request().without("format"), xml),
    ] {
        for (form, wire) in forms(&request) {
            assert_eq!(answered(&wire).0, expected, "{form}");
        }
    }
}

#[test]
fn unknown_format_is_refused_in_xml() {
    let (answer, entry) = answered(&in_body(&SignedRequest::ship("1").with("format", "yaml")));
    assert!(answer.contains("<error_response><code>23</code>"), "{answer}");
    assert_eq!((entry.outcome.to_string().as_str(), entry.effect), ("error 23", false));
}

#[test]
fn unreadable_body_is_answered_in_the_format_of_the_query() {
    for (query, start) in [("format=json", r#"{"error_response":{"code":43"#), ("format=xml", "<?xml"), ("", "<?xml")] {
        let (answer, entry) = answered(&(Some("application/json"), Some(query.to_owned()), "{}".to_owned()));
        assert!(answer.starts_with(start), "{query}: {answer}");
        assert!(entry.method.is_empty() && entry.params.is_empty());
    }
}
