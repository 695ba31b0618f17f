//! The request that a call would send to TOP, for support tickets. Secrets are masked, and nothing is sent.

use anyhow::{Context as _, Result, anyhow};
use relay_top::credentials::Accounts;
use relay_top::form;
use relay_top::sign::SignMethod;
use relay_types::account::DEFAULT_ACCOUNT;
use relay_types::call::{CallKind, CallRequest};
use relay_types::redact::mask_personal;
use relay_types::time::EpochMillis;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::table::{table, text};

/// The placeholder for a secret.
const SECRET: &str = "***";

/// Builds and signs the request of a call at a given time, with the deployment's credentials.
pub async fn signed(
    deployment: &Deployment,
    (call, account): (&str, Option<&str>),
    body: &Value,
    now: EpochMillis,
    personal: bool,
) -> Result<Value> {
    let kind: CallKind = call.parse().context("no such call")?;
    let request = CallRequest::from_json(kind, body).map_err(|problem| anyhow!("{problem}"))?;
    let secret = deployment.secret(deployment.output("TopSecretArn")?).await?;
    let accounts: Accounts = serde_json::from_str(&secret).map_err(|_| {
        anyhow!("TOP's secret is not a JSON object with app_key, app_secret and session filled in; run `relay doctor`")
    })?;
    let (name, account) = accounts
        .of(account, kind)
        .with_context(|| format!("TOP's secret has no account {} for {kind}", account.unwrap_or(DEFAULT_ACCOUNT)))?;
    let method = deployment.parameter("TopSignMethod").parse().unwrap_or(SignMethod::HmacSha256);
    let form = form::build(&request, &account.credentials, method, now);
    let mut shown = shown(&form, deployment.parameter("TopGatewayUrl"), personal);
    shown["account"] = name.into();
    Ok(shown)
}

/// A parameter's value with the session masked. Unless `personal` is true, personal data and values as good as a ticket
/// are masked too, also inside JSON.
fn masked(name: &str, value: &str, personal: bool) -> String {
    if name == "session" {
        return SECRET.to_owned();
    }
    if personal {
        return value.to_owned();
    }
    let json = serde_json::from_str::<Value>(value).ok().filter(|json| json.is_object() || json.is_array());
    let mut member = json!({name: json.clone().unwrap_or_else(|| value.into())});
    mask_personal(&mut member);
    match &member[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A form as JSON, for comparison with the request that TOP's support has.
fn shown(form: &str, gateway: &str, personal: bool) -> Value {
    let sent: Vec<_> = form_urlencoded::parse(form.as_bytes()).collect();
    // The signature is no secret here: the signed request is never sent.
    let parameters: Vec<_> =
        sent.iter().map(|(name, value)| (name.to_string(), masked(name, value, personal || name == "sign"))).collect();
    let hidden = sent.iter().zip(&parameters).any(|((name, value), (_, shown))| name != "session" && value != shown);
    let with_session = parameters.iter().any(|(name, _)| name == "session");
    let secrets = if with_session { "session and app_secret are" } else { "app_secret is" };
    let also = if hidden { "; personal data is masked too: --personal shows it" } else { "" };
    let mut signed: Vec<_> =
        parameters.iter().filter(|(name, value)| name != "sign" && !value.is_empty()).cloned().collect();
    signed.sort();
    json!({
        "method": "POST",
        "url": gateway,
        "content_type": form::CONTENT_TYPE,
        "parameters": parameters.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
        "signed_text": signed.into_iter().map(|(name, value)| name + &value).collect::<String>(),
        "note": format!("{secrets} masked; the signature was made with the real values{also}"),
    })
}

/// The request as text for people.
pub fn listed(signed: &Value) -> String {
    let parameters = crate::table::list(signed, "parameters");
    let rows = parameters.iter().map(|parameter| ["name", "value"].map(|name| text(parameter, name)));
    format!(
        "{} {} (account {})\nContent-Type: {}\n{}signed string (parameters concatenated in order of name):\n{}\n{}\n",
        text(signed, "method"),
        text(signed, "url"),
        text(signed, "account"),
        text(signed, "content_type"),
        table(["parameter", "value"], rows),
        text(signed, "signed_text"),
        text(signed, "note"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_types::redact::Redacted;

    #[test]
    fn secrets_and_personal_data_are_masked() {
        let credentials = relay_top::credentials::Credentials {
            app_key: "12345678".to_owned(),
            app_secret: "PLANTED-SECRET".to_owned().into(),
            session: Redacted::new("PLANTED-SESSION".to_owned()),
        };
        let body = json!({"agent_order_id": "A-1", "alitrip_order_id": "38", "success": true,
            "passenger_list": [{"passenger_id": "7", "passenger_name": "PLANTED-NAME"}]});
        let request = CallRequest::from_json(CallKind::ShipNotify, &body).unwrap();
        let form = form::build(&request, &credentials, SignMethod::HmacSha256, EpochMillis(1_767_240_000_000));
        let whole = shown(&form, "https://gateway.test/router/rest", true);
        assert!(whole.to_string().contains("PLANTED-NAME") && !whole.to_string().contains("PLANTED-SE"), "{whole}");
        let shown = shown(&form, "https://gateway.test/router/rest", false);
        assert!(!shown.to_string().contains("PLANTED"), "{shown}");
        assert!(shown["note"].as_str().unwrap().contains("--personal"), "{shown}");
        assert!(!listed(&shown).contains("PLANTED"));
        let sign = |form: &str| {
            form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "sign").unwrap().1.to_string()
        };
        let parameters = shown["parameters"].as_array().unwrap();
        let of = |name: &str| parameters.iter().find(|one| one["name"] == name).unwrap()["value"].as_str().unwrap();
        assert_eq!(of("sign"), sign(&form));
        assert_eq!((of("timestamp"), of("session")), ("2026-01-01 12:00:00", SECRET));
        let text = shown["signed_text"].as_str().unwrap();
        assert!(text.starts_with("app_key12345678confirm_book_r_q{"), "{text}");
        assert!(text.contains("session***") && !text.contains("sign="), "{text}");
    }
}
