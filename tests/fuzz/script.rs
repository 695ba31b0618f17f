//! Reads a fuzzer's bytes as a list of choices.

use serde_json::{Number, Value};

/// The mark in every string that a refusal must not repeat.
pub const PLANTED: &str = "PLANTED";

/// The mark in every number that a refusal must not repeat.
pub const PLANTED_DIGITS: &str = "7310173101";

/// Strings to put into a body. All but keywords, dates and numbers contain a mark such as [`PLANTED`].
const TEXTS: [&str; 40] = [
    "",
    " ",
    "0",
    "1",
    "2",
    "3",
    "4",
    "-1",
    "+1",
    "01",
    "1.50",
    "1e3",
    "true",
    "false",
    "null",
    "issued",
    "rejected",
    "succeeded",
    "retry",
    "tsy",
    "sctt",
    "9007199254740993",
    "9223372036854775808",
    "2026-01-01 12:00:00",
    "2026-02-30 12:00:00",
    "PLANTED",
    "PLANTED `quoted` expected a sequence",
    "missing field `PLANTED`",
    "expected PLANTED",
    "PLANTED\u{0}\u{1}\u{7}\u{1b}[31m\u{7f}\u{85}",
    "PLANTED\r\n\t\"\\/",
    "PLANTED 订单 罗大佑 🎫 é e\u{301}",
    "PLANTED\u{202e}\u{200b}\u{feff}\u{2028}",
    "PLANTED\u{fffd}\u{fffe}\u{ffff}\u{10ffff}",
    "PLANTED#link",
    "PLANTED/../..;%00%2f%ff+&=?",
    "PLANTED{\"a\":[1]}",
    "PLANTED -7310173101",
    "7310173101731017",
    "\u{ff11}",
];

/// Numbers to put into a body, digit for digit.
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "1",
    "2",
    "3",
    "4",
    "-1",
    "1.50",
    "1.0",
    "1e2",
    "7310173101.5",
    "7310173101731017",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "92233720368547758089223372036854775808",
    "1e400",
    "7.5e-3000",
    "99999",
];

/// Names with a special meaning to some software, but not to the relay.
const NAMES: [&str; 9] = [
    "",
    "$serde_json::private::Number",
    "$serde_json::private::RawValue",
    "__proto__",
    "a.b[0]",
    "`",
    "type",
    "数",
    "\u{0}",
];

/// The remaining choices. If none remain, each choice is 0.
#[derive(Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The choices in these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether no choice remains.
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Chooses one of 256.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// Chooses one of 65,536.
    pub fn word(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// Chooses one of `count`, or 0 if `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        let choice = if count > 256 { self.word() } else { usize::from(self.byte()) };
        choice.checked_rem(count).unwrap_or_default()
    }

    /// Chooses one of `of`, which must not be empty.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Chooses a string.
    pub fn text(&mut self) -> String {
        match self.byte() % 8 {
            0 => {
                let count = self.below(24).min(self.0.len());
                let (own, rest) = self.0.split_at(count);
                self.0 = rest;
                format!("{PLANTED}{}", String::from_utf8_lossy(own))
            }
            _ => self.one_of(&TEXTS).to_owned(),
        }
    }

    /// Chooses a member's name, mostly one of `names`.
    pub fn name(&mut self, names: &[String]) -> String {
        if names.is_empty() || self.byte().is_multiple_of(8) {
            self.one_of(&NAMES).to_owned()
        } else {
            let choice = self.below(names.len());
            names[choice].clone()
        }
    }

    /// Chooses a scalar, or an empty list or object.
    pub fn value(&mut self) -> Value {
        match self.byte() % 8 {
            0 => Value::Null,
            1 => Value::Bool(self.byte().is_multiple_of(2)),
            2 | 3 => Value::Number(self.one_of(&NUMBERS).parse::<Number>().expect("a valid number")),
            4 => Value::Array(Vec::new()),
            5 => serde_json::json!({}),
            _ => Value::String(self.text()),
        }
    }
}
