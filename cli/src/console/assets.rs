//! The files that pages use. Their addresses hold a digest of their content, so browsers may keep them for ever.

use std::sync::LazyLock;

use relay_types::digest::sha256_hex;

/// The stylesheet.
pub const STYLE: &str = include_str!("assets/style.css");
/// The script.
pub const SCRIPT: &str = include_str!("assets/console.js");
/// The icons, for the top of each page.
pub const SPRITE: &str = include_str!("assets/icons.svg");
/// The browser tab's icon.
pub const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M1 4h14v3a1 1 0 0 0 0 2v3H1V9a1 1 0 0 0 0-2z" fill="#0b57d0"/></svg>"##;
/// Its address.
pub const ICON_PATH: &str = "/assets/icon.svg";

fn hashed(name: &str, extension: &str, content: &str) -> String {
    format!("/assets/{name}-{}.{extension}", &sha256_hex(content.as_bytes())[..16])
}

/// The stylesheet's address.
pub fn style_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| hashed("style", "css", STYLE));
    &PATH
}

/// The script's address.
pub fn script_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| hashed("console", "js", SCRIPT));
    &PATH
}

/// The content and media type of an address.
pub fn at(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        path if path == style_path() => Some((STYLE, "text/css; charset=utf-8")),
        path if path == script_path() => Some((SCRIPT, "text/javascript; charset=utf-8")),
        ICON_PATH => Some((ICON, "image/svg+xml")),
        _ => None,
    }
}
