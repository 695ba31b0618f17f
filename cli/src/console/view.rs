//! How one person sees the console: language, time zone, theme, and the page that was asked for.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::words::Language;

/// A time zone of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// That of the machine that runs the console.
    Local,
    /// GMT+8.
    China,
    /// UTC.
    Utc,
}

impl Zone {
    fn zone(self) -> TimeZone {
        match self {
            Self::Local => TimeZone::system(),
            Self::China => TimeZone::fixed(jiff::tz::offset(8)),
            Self::Utc => TimeZone::UTC,
        }
    }
}

/// What a page is made for.
#[derive(Debug, Clone)]
pub struct View {
    /// The language.
    pub language: Language,
    /// The time zone.
    pub zone: Zone,
    /// `light` or `dark`; `None` follows the system.
    pub theme: Option<&'static str>,
    /// Whether keyboard shortcuts are on.
    pub shortcuts: bool,
    /// The session's id.
    pub session: String,
    /// The path and query of the request.
    pub address: String,
    /// The time of the request.
    pub now: Timestamp,
    /// What the last action did, to show above the changed record.
    pub done: Option<String>,
}

impl View {
    /// The text with this key.
    pub fn t<'a>(&self, key: &'a str) -> &'a str {
        self.language.text(key)
    }

    /// The text with values for its placeholders.
    pub fn f(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.language.with(key, values)
    }

    /// The text with HTML for its placeholders.
    pub fn h(&self, key: &str, values: &[(&str, Markup)]) -> Markup {
        self.language.html(key, values)
    }

    /// The text with a count, or its singular.
    pub fn count(&self, key: &str, count: usize) -> String {
        let singular = format!("{key}.one");
        let key = if count == 1 && self.language.has(&singular) { &singular } else { key };
        self.f(key, &[("n", &number(count))])
    }

    /// The zone's name, such as `UTC+8`.
    pub fn zone_name(&self) -> String {
        let offset = self.zone.zone().to_offset(self.now).seconds();
        let (hours, minutes) = (offset / 3600, offset.abs() % 3600 / 60);
        match (hours, minutes) {
            (0, 0) => "UTC".to_owned(),
            (hours, 0) => format!("UTC{hours:+}"),
            (hours, minutes) => format!("UTC{hours:+}:{minutes:02}"),
        }
    }

    /// A point in time, with the day if it is not today.
    pub fn clock(&self, at: Timestamp) -> String {
        let (at, now) = (at.to_zoned(self.zone.zone()), self.now.to_zoned(self.zone.zone()));
        let time = at.strftime("%H:%M:%S").to_string();
        if at.date() == now.date() { time } else { format!("{} {time}", self.date(at.date())) }
    }

    /// The day of a point in time.
    pub fn day(&self, at: Timestamp) -> String {
        self.date(at.to_zoned(self.zone.zone()).date())
    }

    fn date(&self, date: jiff::civil::Date) -> String {
        match self.language {
            Language::En => date.strftime("%-d %b").to_string(),
            Language::Zh => date.strftime("%-m月%-d日").to_string(),
        }
    }

    /// A point in time as a `time` element.
    pub fn time(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.to_string()) { (self.clock(at)) } }
    }

    /// The time of an API's member as a `time` element.
    pub fn time_of(&self, at: &str) -> Markup {
        match at.parse() {
            Ok(at) => self.time(at),
            Err(_) => html! { (at) },
        }
    }

    /// A duration in its two largest units, rounded down.
    pub fn duration(&self, duration: jiff::SignedDuration) -> String {
        let seconds = duration.as_secs().unsigned_abs();
        let units = [("unit.d", 86_400), ("unit.h", 3600), ("unit.min", 60), ("unit.s", 1)];
        let first = units.iter().position(|(_, length)| seconds >= *length).unwrap_or(3);
        let of = |index: usize, count: u64| self.f(units[index].0, &[("n", &count.to_string())]);
        let shown = of(first, seconds / units[first].1);
        let rest = units.get(first + 1).map_or(0, |(_, length)| seconds % units[first].1 / length);
        if rest > 0 { format!("{shown} {}", of(first + 1, rest)) } else { shown }
    }

    /// How long ago or ahead a point in time is; the script keeps it current.
    pub fn relative(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.to_string()) data-relative { (self.duration(self.now.duration_since(at))) } }
    }
}

/// A number with separators for thousands, which both languages write alike.
pub fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or_default().to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Text from partners, TOP or people, with control and direction characters made visible.
pub fn visible(text: &str) -> String {
    let hidden = |one: char| {
        let is_direction = matches!(one, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        one.is_control() || is_direction
    };
    let mut shown = String::new();
    for one in text.chars() {
        if hidden(one) {
            shown.extend(one.escape_unicode().filter(|part| !matches!(part, '{' | '}')));
        } else {
            shown.push(one);
        }
    }
    shown
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A view for tests, at a fixed time.
    pub fn view(language: Language) -> View {
        View {
            language,
            zone: Zone::China,
            theme: None,
            shortcuts: true,
            session: String::new(),
            address: "/relay/now".to_owned(),
            now: "2026-11-25T20:14:05Z".parse().unwrap(),
            done: None,
        }
    }

    #[test]
    fn times_name_another_day_and_durations_have_two_units() {
        let view = view(Language::En);
        assert_eq!(view.clock("2026-11-25T20:00:00.5Z".parse().unwrap()), "04:00:00");
        assert_eq!(view.clock("2026-11-24T20:00:00Z".parse().unwrap()), "25 Nov 04:00:00");
        assert_eq!(tests::view(Language::Zh).clock("2026-11-24T20:00:00Z".parse().unwrap()), "11月25日 04:00:00");
        let duration = |seconds| view.duration(jiff::SignedDuration::from_secs(seconds));
        assert_eq!(
            [0, 59, 60, 3600, 11_527, 90_061].map(duration),
            ["0 s", "59 s", "1 min", "1 h", "3 h 12 min", "1 d 1 h"]
        );
        assert_eq!(view.zone_name(), "UTC+8");
    }

    #[test]
    fn numbers_have_separators_and_text_has_no_hidden_characters() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(visible("a\u{202e}b\u{7}\n<"), "a\\u202eb\\u7\\ua<");
    }
}
