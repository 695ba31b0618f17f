//! All words of the console, in English and Chinese, from one catalogue.

use std::collections::HashMap;
use std::sync::LazyLock;

use maud::{Markup, PreEscaped};

/// The catalogue: a line for each text, with key, English and Chinese. `{name}` is a placeholder.
const CATALOGUE: &str = include_str!("words.txt");

static TEXTS: LazyLock<HashMap<&'static str, [&'static str; 2]>> = LazyLock::new(|| entries().collect());

fn entries() -> impl Iterator<Item = (&'static str, [&'static str; 2])> {
    CATALOGUE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut parts = line.splitn(3, " | ");
        Some((parts.next()?, [parts.next()?, parts.next()?]))
    })
}

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// The code for `lang` attributes and cookies.
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The text with this key. A test checks that each key exists; the key itself would show a mistake.
    pub fn text(self, key: &str) -> &str {
        TEXTS.get(key).map_or(key, |texts| texts[usize::from(self == Self::Zh)])
    }

    /// Whether the catalogue has this key.
    pub fn has(self, key: &str) -> bool {
        TEXTS.contains_key(key)
    }

    /// The text with values for its placeholders.
    pub fn with(self, key: &str, values: &[(&str, &str)]) -> String {
        let escaped: Vec<_> = values.iter().map(|(name, value)| (*name, PreEscaped((*value).to_owned()))).collect();
        filled(self.text(key), &escaped, |text| text.to_owned())
    }

    /// The text with HTML for its placeholders.
    pub fn html(self, key: &str, values: &[(&str, Markup)]) -> Markup {
        PreEscaped(filled(self.text(key), values, |text| maud::html! { (text) }.into_string()))
    }

    /// The sentence for a reason. A code that this version does not know has only the API's English text.
    pub fn reason(self, code: &str, text: &str) -> String {
        let key = format!("why.{code}");
        if self.has(&key) { self.text(&key).to_owned() } else { text.to_owned() }
    }

    /// The text for a code, such as an outcome; the code itself if the catalogue has none.
    pub fn of_code(self, family: &str, code: &str) -> String {
        let key = format!("{family}.{code}");
        if self.has(&key) { self.text(&key).to_owned() } else { code.replace('_', " ") }
    }
}

fn filled(text: &str, values: &[(&str, Markup)], shown: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        filled.push_str(&shown(before));
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            filled.push_str(&value.0);
        }
        rest = behind;
    }
    filled + &shown(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_types::reason::Reason;
    use std::collections::BTreeSet;

    /// Keys that the code builds from codes: of each reason and of each state.
    fn built_keys() -> impl Iterator<Item = String> {
        let reasons = Reason::ALL.iter().map(|reason| format!("why.{}", reason.as_ref()));
        let states = relay_types::unfinished::State::ALL.iter().map(|state| format!("state.{}", state.as_ref()));
        reasons.chain(states)
    }

    /// The families of keys that the code builds from codes.
    const FAMILIES: [&str; 10] =
        ["why.", "state.", "said.", "status.", "push.", "outcome.", "color.", "step.", "action.", "cause."];

    /// The keys that occur in the code as string literals.
    fn used() -> BTreeSet<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console");
        let mut used = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("words.rs") {
                let code = std::fs::read_to_string(path).unwrap();
                for literal in code.split('"').skip(1).step_by(2) {
                    let is_key = literal.contains('.')
                        && literal.bytes().all(|byte| byte.is_ascii_lowercase() || b"._-0123456789".contains(&byte));
                    if is_key && !literal.starts_with('.') && !literal.ends_with('.') {
                        used.insert(literal.to_owned());
                    }
                }
            }
        }
        used
    }

    #[test]
    fn every_text_exists_in_both_languages_with_the_same_placeholders() {
        let names = |text: &str| -> BTreeSet<String> {
            text.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0.to_owned())).collect()
        };
        let mut keys = BTreeSet::new();
        for (key, [en, zh]) in entries() {
            assert!(keys.insert(key), "{key} occurs twice");
            assert!(!en.is_empty() && !zh.is_empty(), "{key}");
            assert_eq!(names(en), names(zh), "{key}");
        }
        let lines = CATALOGUE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(keys.len(), lines, "each line has three parts");
    }

    #[test]
    fn every_key_in_the_code_is_in_the_catalogue_and_every_text_is_used() {
        let used = used();
        let families: BTreeSet<&str> = entries().map(|(key, _)| key.split('.').next().unwrap()).collect();
        for key in used.iter().filter(|key| families.contains(key.split('.').next().unwrap())) {
            assert!(TEXTS.contains_key(key.as_str()), "no text for {key}");
        }
        for key in built_keys() {
            assert!(TEXTS.contains_key(key.as_str()), "no text for {key}");
        }
        for (key, _) in entries() {
            let is_built = FAMILIES.iter().any(|family| key.starts_with(family));
            let singular_of = key.strip_suffix(".one").unwrap_or(key);
            assert!(is_built || used.contains(singular_of), "nothing uses {key}");
        }
    }

    #[test]
    fn placeholders_are_filled_and_other_text_is_escaped() {
        let shown = Language::En.html("frame.you", &[("who", maud::html! { b { "<li>" } })]);
        assert_eq!(shown.0, "you are <b>&lt;li&gt;</b>");
        assert_eq!(Language::Zh.with("frame.you", &[("who", "li")]), "你是 li");
    }
}
