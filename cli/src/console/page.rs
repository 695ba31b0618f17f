//! The frame of every page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::view::{View, Zone, number, visible};
use super::words::Language;
use super::{Console, assets, parts};

/// The pages of the navigation: address and key of the text.
const PAGES: [(&str, &str); 8] = [
    ("now", "nav.now"),
    ("unfinished", "nav.unfinished"),
    ("orders", "nav.orders"),
    ("dead-letters", "nav.dead_letters"),
    ("unreadable", "nav.unreadable"),
    ("live", "nav.live"),
    ("report", "nav.report"),
    ("health", "nav.health"),
];

/// What a page has besides its frame.
#[derive(Debug)]
pub struct Page {
    /// Its entry in the navigation.
    pub at: &'static str,
    /// The title, before the page's name.
    pub title: String,
    /// How often the script asks for it again, in seconds; never, if 0.
    pub every: u32,
    /// The command that shows the same in the terminal.
    pub command: String,
    /// The content.
    pub content: Markup,
}

/// The counts in the navigation and the pauses above the page.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Number of items that need a person.
    pub needs: usize,
    /// Number of unreadable bodies.
    pub unreadable: usize,
    /// Number of dead letters.
    pub dead: u64,
    /// Paused calls.
    pub pauses: Vec<relay_types::api::HeldBack>,
}

/// The whole page.
pub fn whole(console: &Console, view: &View, counts: &Counts, token: &str, page: Page) -> Markup {
    let w = view;
    let units = ["unit.d", "unit.h", "unit.min", "unit.s"].map(|key| w.t(key)).join("|");
    html! {
        (DOCTYPE)
        html lang=(view.language.code()) data-now=(view.now.to_string()) data-theme=[view.theme]
            data-shortcuts=[(!view.shortcuts).then_some("off")] {
            (head(&format!("{} – {}", page.title, console.stack)))
            body {
                (PreEscaped(assets::SPRITE))
                a class="skip" href="#main" { (w.t("frame.skip")) }
                header class="top" {
                    div class="bar" {
                        a class="brand" href="now" { "ticket-relay" }
                        span class="who" {
                            (console.account) " · " (console.region) " · "
                            (w.f("frame.you", &[("who", &console.who)]))
                        }
                        form class="find" role="search" action="orders" {
                            label class="vh" for="find" { (w.t("frame.find")) }
                            input id="find" name="q" type="search" placeholder=(format!("{}  /", w.t("frame.find"))) aria-keyshortcuts="/";
                        }
                    }
                    nav class="nav" aria-label=(w.t("frame.pages")) {
                        ul id="nav" data-live="all" {
                            @for (address, key) in PAGES {
                                li { a href=(address) aria-current=[(page.at == address).then_some("page")] {
                                    (w.t(key)) (count(address, counts))
                                } }
                            }
                        }
                    }
                    div id="banners" data-live="all" { (banners(view, counts)) }
                    p class="banner red" id="lost" hidden {
                        (parts::icon("attention"))
                        span { (w.h("banner.not_reachable", &[("time", html! { time {} }), ("command", html! { code { "relay console" } })])) }
                    }
                }
                main id="main" tabindex="-1" data-every=[(page.every > 0).then_some(page.every)] data-units=(units)
                    data-new=(w.t("live.new")) data-left=(w.t("live.left")) data-copied=(w.t("foot.copied")) {
                    @if let Some(done) = &view.done { (parts::note("green", "succeeded", &html! { (done) })) }
                    (page.content)
                }
                (foot(console, view, token, &page.command))
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            link rel="icon" href=(assets::ICON_PATH);
            link rel="stylesheet" href=(assets::style_path());
            script src=(assets::script_path()) defer {}
        }
    }
}

fn count(address: &str, counts: &Counts) -> Markup {
    let (count, color) = match address {
        "now" => (counts.needs as u64, "count red"),
        "dead-letters" => (counts.dead, "count"),
        "unreadable" => (counts.unreadable as u64, "count"),
        _ => (0, ""),
    };
    html! { @if count > 0 { " " span class=(color) { (number(count)) } } }
}

fn banners(view: &View, counts: &Counts) -> Markup {
    html! {
        @for pause in &counts.pauses {
            @let call = pause.call.as_ref();
            p class="banner amber" data-key=(format!("pause-{call}")) {
                (parts::icon("held"))
                span { (view.h("banner.paused", &[
                    ("call", html! { (call) }),
                    ("time", view.time_of(&pause.since)),
                    ("who", html! { (person(pause.by.as_deref().unwrap_or_default())) }),
                    ("note", html! { (visible(pause.note.as_deref().unwrap_or_default())) }),
                    ("reminder", view.time_of(pause.remind_at.as_deref().unwrap_or_default())),
                ])) }
                (parts::button(&format!("act?do=resume&call={call}"), view.t("do.resume"), call))
            }
        }
    }
}

/// The name of an IAM identity for people: what follows the last slash or colon.
pub fn person(arn: &str) -> String {
    visible(arn.rsplit(['/', ':']).next().unwrap_or(arn))
}

fn foot(console: &Console, view: &View, token: &str, command: &str) -> Markup {
    let w = view;
    let link = format!("http://127.0.0.1:{}{}\n{command}", console.port, view.address);
    html! {
        footer class="foot" {
            ul aria-label=(w.t("foot.page")) {
                li {
                    span id="updated" data-live="all" { (w.h("foot.updated", &[("time", w.time(w.now))])) }
                    " · "
                    button type="button" class="plain" data-pause=(w.t("foot.continue")) hidden { (w.t("foot.pause")) }
                    noscript { a href="" { (w.t("foot.refresh")) } }
                }
                li { button type="button" class="plain" data-copy=(link) hidden { (w.t("foot.copy_link")) } }
                @if !command.is_empty() { li { (w.t("foot.terminal")) " " code { (visible(command)) } } }
            }
            (settings(view, token))
            details id="help" {
                summary { (w.t("foot.help")) }
                dl class="facts" {
                    dt { kbd { "/" } } dd { (w.t("foot.key_find")) }
                    dt { kbd { "j" } " " kbd { "k" } } dd { (w.t("foot.key_rows")) }
                    dt { kbd { "x" } } dd { (w.t("foot.key_select")) }
                    dt { kbd { "?" } } dd { (w.t("foot.key_help")) }
                }
            }
            p class="vh" id="say" role="status" {}
        }
    }
}

fn settings(view: &View, token: &str) -> Markup {
    let w = view;
    let language = match view.language {
        Language::En => ("zh", "EN/中文", "中文"),
        Language::Zh => ("en", "EN/中文", "EN"),
    };
    let zone_text = match view.zone {
        Zone::Local => w.f("foot.zone_local", &[("zone", &w.zone_name())]),
        Zone::China => w.t("foot.zone_china").to_owned(),
        Zone::Utc => w.t("foot.zone_utc").to_owned(),
    };
    let (zone, next_zone) = match view.zone {
        Zone::Local => ("china", w.t("foot.zone_china")),
        Zone::China => ("utc", w.t("foot.zone_utc")),
        Zone::Utc => ("local", w.t("foot.local")),
    };
    let (theme_text, theme, next_theme) = match view.theme {
        None => ("foot.theme_system", "light", "foot.theme_light"),
        Some("light") => ("foot.theme_light", "dark", "foot.theme_dark"),
        Some(_) => ("foot.theme_dark", "system", "foot.theme_system"),
    };
    let (state, next) = if view.shortcuts { ("foot.on", "off") } else { ("foot.off", "on") };
    let next_text = if view.shortcuts { "foot.off" } else { "foot.on" };
    let rows = [
        ("language", language.0, format!("{} {}", w.t("foot.language"), language.1), language.2),
        ("zone", zone, w.f("foot.times", &[("zone", &zone_text)]), next_zone),
        ("theme", theme, w.f("foot.theme", &[("theme", w.t(theme_text))]), w.t(next_theme)),
        ("shortcuts", next, w.f("foot.shortcuts", &[("state", w.t(state))]), w.t(next_text)),
    ];
    html! {
        form method="post" action="settings" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="back" value=(view.address);
            ul aria-label=(w.t("foot.settings")) {
                @for (name, value, text, next) in rows {
                    li { button class="plain" name=(name) value=(value) {
                        (text) span class="vh" { " – " (w.f("foot.change", &[("value", next)])) }
                    } }
                }
                li { "relay " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}

/// A page for somebody without a session, or with a token that was used.
pub fn bare(view: &View, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(view.language.code()) data-now=(view.now.to_string()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – ticket-relay" }
                link rel="icon" href=(assets::ICON_PATH);
                link rel="stylesheet" href=(assets::style_path());
            }
            body { main id="main" { h1 { (title) } (content) } }
        }
    }
}
