//! Measures the relay's computations for each notification and call: signing, reading, digesting and classifying.
//! `make bench` shows them next to the signing of other SDKs.

#![allow(missing_docs, clippy::expect_used, reason = "criterion's macros, and inputs that always exist")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use relay_top::credentials::Credentials;
use relay_top::error::ErrorClasses;
use relay_top::sign::{SignMethod, SigningKey, sign};
use relay_top::{form, response};
use relay_types::call::{CallKind, CallRequest, ship_notify};
use relay_types::digest::canonical_digest;
use relay_types::json;
use relay_types::partner::CHANGES_ON_RESEND;
use relay_types::partner::sctt::VoucherPush;
use relay_types::partner::tsy::IssueNotify;
use relay_types::redact::Redacted;
use relay_types::time::EpochMillis;
use serde_json::Value;

const NOW: EpochMillis = EpochMillis(1_767_240_000_000);

fn signing(criterion: &mut Criterion) {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../types/testdata/top-signing.json")).expect("vectors");
    let vector = vectors.iter().find(|vector| vector["name"] == "ship_notify_ok").expect("the ship-notify request");
    let key = SigningKey::from(vector["app_secret"].as_str().expect("a secret").to_owned());
    let parameters: Vec<_> = vector["params"]
        .as_object()
        .expect("parameters")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("a string")))
        .collect();
    let mut group = criterion.benchmark_group("sign");
    for method in [SignMethod::Md5, SignMethod::Hmac, SignMethod::HmacSha256] {
        group.bench_function(method.as_ref(), |bencher| {
            bencher.iter(|| sign(method, black_box(&key), parameters.iter().copied()));
        });
    }
    group.finish();
    let request = vector["params"][ship_notify::FIELD].as_str().expect("the request");
    let request = CallRequest::from_stored(CallKind::ShipNotify, request).expect("the page's request");
    let credentials =
        Credentials { app_key: "12345678".to_owned(), app_secret: key, session: Redacted::new("session".to_owned()) };
    criterion.bench_function("form/ship-notify", |bencher| {
        bencher.iter(|| form::build(black_box(&request), &credentials, SignMethod::HmacSha256, NOW));
    });
}

fn reading(criterion: &mut Criterion) {
    let bodies: Value = serde_json::from_str(include_str!("../../types/testdata/inbound-bodies.json")).expect("bodies");
    let (tsy, sctt) = (bodies["tsy_issued"].to_string(), bodies["sctt_voucher_push"].to_string());
    let mut group = criterion.benchmark_group("read");
    group.bench_function("tsy-issue-notify", |bencher| {
        bencher.iter(|| {
            let json = json::parse_object(black_box(tsy.as_bytes())).expect("an object");
            IssueNotify::from_json(&json).expect("a notification")
        });
    });
    group.bench_function("sctt-voucher-push", |bencher| {
        bencher.iter(|| {
            let json = json::parse_object(black_box(sctt.as_bytes())).expect("an object");
            VoucherPush::from_json(&json).expect("a notification")
        });
    });
    group.finish();
    let json = json::parse_object(sctt.as_bytes()).expect("an object");
    criterion.bench_function("digest/sctt-voucher-push", |bencher| {
        bencher.iter(|| canonical_digest(black_box(&json), &CHANGES_ON_RESEND));
    });
}

fn classifying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    let answers: Value =
        serde_json::from_str(include_str!("../../types/testdata/top-responses.json")).expect("answers");
    let answers = ["ship_ok", "ship_business_failure_http200"].map(|name| (name, answers[name].to_string()));
    for (name, answer) in answers {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                response::read(CallKind::ShipNotify, 200, black_box(answer.as_bytes()), &ErrorClasses::default())
            });
        });
    }
    group.finish();
}

criterion_group!(micro, signing, reading, classifying);
criterion_main!(micro);
