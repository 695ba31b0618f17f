//! What stands before every page: only the one session, only this host, and no page of another origin.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::view::{View, Zone, visible};
use super::words::Language;
use super::{Console, Problem, assets, page};

/// The content security policy: nothing from elsewhere, nothing inline, no other page around this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The largest form, in bytes.
const LARGEST_FORM: usize = 64 * 1024;

/// Answers assets and `/start`; lets everything else through only with a session, this host, and this origin.
pub async fn guard(State(console): State<Arc<Console>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let view = view(&console, request.headers(), request.uri());
    let other = other_stack(&console, &path);
    let response = if !is_this_host(&console, request.headers()) {
        (StatusCode::FORBIDDEN, "this console answers only to its own address").into_response()
    } else if let Some((content, kind)) = assets::at(&path) {
        return secured(
            ([(header::CONTENT_TYPE, kind)], content).into_response(),
            "public, max-age=31536000, immutable",
        );
    } else if path == "/favicon.ico" {
        StatusCode::NO_CONTENT.into_response()
    } else if path == "/start" {
        start(&console, &view, request.uri().query().unwrap_or_default())
    } else if !console.sessions.is_open(&view.session, !request.headers().contains_key("relay-poll")) {
        without_session(&console, &view, request.method())
    } else if let Some(other) = other {
        let command = html! { code { "relay --stack " (other) " console" } };
        let text = view.h(
            "error.other_stack",
            &[("stack", html! { (console.stack) }), ("other", html! { (other) }), ("command", command)],
        );
        (StatusCode::NOT_FOUND, page::bare(&view, view.t("error.title"), &html! { p { (text) } })).into_response()
    } else if request.method() == Method::POST {
        match form(&console, &view, request).await {
            Ok(request) => next.run(request).await,
            Err(response) => response,
        }
    } else {
        request.extensions_mut().insert(view);
        next.run(request).await
    };
    secured(response, "no-store")
}

/// The stack that an address names, if it is not this console's.
fn other_stack(console: &Console, path: &str) -> Option<String> {
    let first = path.split('/').nth(1).filter(|first| !first.is_empty())?;
    let named = percent_encoding::percent_decode_str(first).decode_utf8_lossy().into_owned();
    (named != console.stack).then(|| visible(&named))
}

/// The fields of a form, in their sequence.
#[derive(Debug, Clone)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a field; empty if there is none.
    pub fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// The parameters of an address.
pub fn parameters(address: &str) -> Form {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    Form(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

/// Reads a form, which must come from a page of this console, once.
async fn form(console: &Console, view: &View, request: Request) -> Result<Request, Response> {
    let refused = |status: StatusCode, key: &str| {
        (status, page::bare(view, view.t("error.title"), &html! { p { (view.t(key)) } })).into_response()
    };
    let (mut parts, body) = request.into_parts();
    if !is_own_form(console, &parts.headers) {
        return Err(refused(StatusCode::FORBIDDEN, "error.other_site"));
    }
    let Ok(body): Result<Bytes, _> = axum::body::to_bytes(body, LARGEST_FORM).await else {
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "error.too_large"));
    };
    let form = Form(form_urlencoded::parse(&body).into_owned().collect());
    if !console.sessions.take_form_token(&view.session, form.one("token")) {
        // The first of two clicks did it, and the browser shows the answer to the second.
        return Err(refused(StatusCode::CONFLICT, "error.form_used"));
    }
    parts.extensions.insert(form);
    parts.extensions.insert(view.clone());
    Ok(Request::from_parts(parts, Body::empty()))
}

/// Whether a form comes from a page of this console. Cookies ignore ports, so another server on this machine is the same
/// site.
fn is_own_form(console: &Console, headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    header("origin") == Some(format!("http://127.0.0.1:{}", console.port).as_str())
        && header("sec-fetch-site") == Some("same-origin")
}

fn is_this_host(console: &Console, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host == Some(format!("127.0.0.1:{}", console.port).as_str())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

fn view(console: &Console, headers: &HeaderMap, uri: &axum::http::Uri) -> View {
    let of = |name: &str| cookie(headers, &format!("relay_{name}_{}", console.port));
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_chinese = match of("language").as_deref() {
        Some(code) => code == "zh",
        None => accepted.starts_with("zh"),
    };
    let address = uri.path_and_query().map(|address| address.as_str()).unwrap_or_default();
    View {
        language: if is_chinese { Language::Zh } else { Language::En },
        zone: match of("zone").as_deref() {
            Some("china") => Zone::China,
            Some("utc") => Zone::Utc,
            _ => Zone::Local,
        },
        theme: match of("theme").as_deref() {
            Some("light") => Some("light"),
            Some("dark") => Some("dark"),
            _ => None,
        },
        shortcuts: of("shortcuts").as_deref() != Some("off"),
        session: cookie(headers, &format!("relay_{}", console.port)).unwrap_or_default(),
        done: Some(parameters(address).one("done").to_owned())
            .filter(|done| Language::En.has(&format!("action.{done}.done")))
            .map(|done| {
                if is_chinese { Language::Zh } else { Language::En }.text(&format!("action.{done}.done")).to_owned()
            }),
        address: address.to_owned(),
        now: jiff::Timestamp::now(),
    }
}

fn secured(mut response: Response, cache: &'static str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        // `no-referrer` would make the origin of forms "null".
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", cache),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Exchanges the terminal's token for a session.
fn start(console: &Console, view: &View, query: &str) -> Response {
    let parameters = parameters(&format!("?{query}"));
    match console.sessions.start(parameters.one("token")) {
        Ok(Some(id)) => {
            let cookie = format!("relay_{}={id}; Path=/; HttpOnly; SameSite=Strict", console.port);
            let to = console.home();
            // Not a redirect: one that another program began would not send the strict cookie.
            let refresh = format!("0;url={to}");
            let content = html! { p { a class="btn main" href=(to) { (view.t("open.button")) } } };
            let page = page::bare(view, view.t("nav.now"), &content);
            ([(header::SET_COOKIE, cookie), (header::REFRESH, refresh)], page).into_response()
        }
        _ => {
            let text = view.h("start.text", &[("command", html! { code { "relay console" } })]);
            (StatusCode::FORBIDDEN, page::bare(view, view.t("start.title"), &html! { p { (text) } })).into_response()
        }
    }
}

/// Shows only how to open the page. Links from other sites arrive without the cookie; opening the page here sends it.
fn without_session(console: &Console, view: &View, method: &Method) -> Response {
    let content = html! {
        p { (view.t("open.text")) }
        @if method == Method::GET { p { a class="btn main" href=(format!("http://127.0.0.1:{}{}", console.port, view.address)) { (view.t("open.button")) } } }
        p { (view.h("open.or", &[("command", html! { code { "relay console" } })])) }
    };
    (StatusCode::FORBIDDEN, page::bare(view, view.t("open.title"), &content)).into_response()
}

/// Changes a setting, and goes back to the page.
pub async fn settings(State(console): State<Arc<Console>>, Extension(form): Extension<Form>) -> Response {
    let back = Some(form.one("back")).filter(|back| back.starts_with('/') && !back.starts_with("//"));
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, back.unwrap_or("/").to_owned())]).into_response();
    for name in ["language", "zone", "theme", "shortcuts"] {
        let value = form.one(name);
        let is_known = ["zh", "en", "china", "utc", "local", "light", "dark", "system", "on", "off"].contains(&value);
        let cookie = format!("relay_{name}_{}={value}; Path=/; SameSite=Strict; Max-Age=31536000", console.port);
        if let Ok(cookie) = HeaderValue::from_str(&cookie)
            && is_known
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// Goes to the first page.
pub async fn home(State(console): State<Arc<Console>>) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, console.home())]).into_response()
}

/// Says that there is no such page, or that it is one of another stack.
pub async fn not_found(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let message = view.f("error.no_page", &[("address", &visible(&view.address))]);
    console.framed(&view, Err(Problem::Refused(StatusCode::NOT_FOUND, message))).await
}
