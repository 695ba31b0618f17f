//! Turns a fuzzer's bytes into bodies. Random bytes are not JSON, and the relay refuses those at once. Most inputs are
//! therefore instructions for editing a real body.
//!
//! - An input that begins like JSON, with a brace or a bracket, is a body up to its first NUL. So a seed's file is an
//!   input, and so is a body that a partner once sent.
//! - Otherwise the first byte chooses one of the target's seeds.
//!
//! The remaining bytes choose the number of edits and the edits.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::script::Script;

/// The approximate limit of what edits add to a body, in bytes: somewhat more than the relay accepts.
const MAX_GROWTH: usize = 300 * 1024;
/// The maximum depth of an edited body: the fuzzer's stack is no larger than a thread's. The relay accepts 127.
const MAX_DEPTH: usize = 1200;
/// The documented maximum body size, in bytes.
pub const LARGEST: usize = 256 * 1024;

/// Opens a placeholder for a string that `serde_json` would not write.
const OPEN: char = '\u{e000}';
/// Closes the placeholder.
const CLOSE: char = '\u{e001}';

/// Values in forms that `serde_json` never writes. Some are not JSON.
const RAW: [&str; 14] = [
    r#""\ud800""#,
    r#""PLANTED\udc00\ud800""#,
    r#""\u0050LANTED""#,
    r#""PLANTED\/""#,
    "NaN",
    "01",
    "-",
    "1.",
    "tru",
    "'PLANTED'",
    "[1,]",
    "{\"a\":1,}",
    "/*PLANTED*/1",
    " \t\r\n1 ",
];

/// A body, and whether API Gateway encodes it in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The body.
    pub bytes: Vec<u8>,
    /// Whether it is encoded in base64 even if it is UTF-8.
    pub base64: bool,
}

/// The real bodies that edits begin from, and the member names in them.
#[derive(Debug)]
pub struct Seeds {
    bodies: &'static [&'static str],
    names: OnceLock<Vec<String>>,
}

impl Seeds {
    /// Seeds with these bodies.
    pub const fn new(bodies: &'static [&'static str]) -> Self {
        Self { bodies, names: OnceLock::new() }
    }

    /// The bodies.
    pub const fn bodies(&self) -> &'static [&'static str] {
        self.bodies
    }

    /// Every member name in the bodies, in the order of first use.
    fn names(&self) -> &[String] {
        self.names.get_or_init(|| {
            let mut names = Vec::new();
            for body in self.bodies {
                collect(&serde_json::from_str(body).expect("a seed is JSON"), &mut names);
            }
            names
        })
    }
}

/// Turns an input into a body.
pub fn body(input: &[u8], seeds: &Seeds) -> Edited {
    let (base, script) = match input.split_first() {
        Some((b'{' | b'[', _)) => {
            let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
            (&input[..end], input.get(end + 1..).unwrap_or_default())
        }
        Some((first, rest)) => (seeds.bodies[usize::from(*first) % seeds.bodies.len()].as_bytes(), rest),
        None => (&[][..], &[][..]),
    };
    let mut script = Script::new(script);
    if script.is_over() {
        return Edited { bytes: base.to_vec(), base64: false };
    }
    // Mostly few: a body with many edits is usually refused for the same reason.
    let edits = script.one_of(&[1, 1, 1, 2, 2, 3, 6, 20]);
    let mut draft = Draft { json: serde_json::from_slice(base).ok(), growth: 0, twins: 0 };
    let mut after = Vec::new();
    for _ in 0..edits {
        if script.is_over() {
            break;
        }
        let edit = script.byte() % 20;
        match &mut draft.json {
            Some(_) if edit < 16 => draft.edit(edit, &mut script, seeds.names()),
            _ => after.push((script.byte() % 10, script.word(), script.byte())),
        }
    }
    let mut edited = Edited { bytes: draft.json.map_or_else(|| base.to_vec(), |json| written(&json)), base64: false };
    for (edit, at, byte) in after {
        edited.edit(edit, at, byte);
    }
    edited
}

/// Adds the unknown member names of a value to `names`.
fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if !names.contains(name) {
                    names.push(name.clone());
                }
                collect(member, names);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, names)),
        _ => {}
    }
}

/// Serializes a body. It resolves the placeholders for duplicate names and for values that `serde_json` would not
/// write.
fn written(json: &Value) -> Vec<u8> {
    let text = json.to_string();
    let mut written = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, marked)) = rest.split_once(OPEN) {
        let (mark, after) = marked.split_once(CLOSE).unwrap_or((marked, ""));
        match mark.strip_prefix("raw") {
            // The quotes around the placeholder go too.
            Some(index) => {
                written.push_str(before.strip_suffix('"').unwrap_or(before));
                written.push_str(index.parse().ok().and_then(|index: usize| RAW.get(index)).unwrap_or(&"null"));
                rest = after.strip_prefix('"').unwrap_or(after);
            }
            None => {
                written.push_str(before);
                rest = after;
            }
        }
    }
    written.push_str(rest);
    written.into_bytes()
}

struct Draft {
    json: Option<Value>,
    growth: usize,
    twins: usize,
}

impl Draft {
    /// Whether the body may grow by `by` bytes. If so, counts them.
    fn may_grow(&mut self, by: usize) -> bool {
        let may = self.growth + by <= MAX_GROWTH;
        if may {
            self.growth += by;
        }
        may
    }

    fn edit(&mut self, edit: u8, script: &mut Script<'_>, names: &[String]) {
        let Some(mut root) = self.json.take() else { return };
        let position = script.below(count(&root).min(4096));
        let copied = (edit == 13).then(|| {
            let from = script.below(count(&root).min(4096));
            nth(&mut root, from).clone()
        });
        let deep = depth(&root);
        let node = nth(&mut root, position);
        match edit {
            0 => drop_one(node, script),
            1 => *node = script.value(),
            2 => set_one(node, script),
            3 => self.double(node, script),
            4 => rename_one(node, script, names),
            5 => match node {
                Value::Array(elements) => elements.push(script.value()),
                Value::Object(members) => drop(members.insert(script.name(names), script.value())),
                scalar => *scalar = script.value(),
            },
            6 => *node = Value::Array(vec![node.take()]),
            7 => *node = Value::Object(Map::from_iter([(script.name(names), node.take())])),
            8 => {
                let (levels, how) =
                    (script.one_of(&[2, 8, 60, 120, 125, 126, 127, 128, 129, 200, 1000]), script.byte());
                if deep + levels <= MAX_DEPTH {
                    nest(node, levels, how);
                }
            }
            9 => retype(node, script),
            10 => match node {
                Value::String(text) => text.push_str(&script.text()),
                other => *other = Value::String(script.text()),
            },
            11 => {
                let of = script.one_of(&["x", "é", "🎫", "\"", "\\", "\u{1}", "7"]);
                let bytes = script.one_of(&[10, 255, 256, 257, 512, 513, 1024, 1025, 4096, 30_000, 200_000, 260_000]);
                if self.may_grow(bytes) {
                    let text = of.repeat(bytes / of.len());
                    let number = (of == "7").then(|| text.parse().ok().map(Value::Number)).flatten();
                    *node = number
                        .filter(|_| script.byte().is_multiple_of(2))
                        .unwrap_or_else(|| Value::String(format!("PLANTED{text}")));
                }
            }
            12 => {
                let times = script.one_of(&[2, 3, 10, 11, 50, 998, 999, 1000, 5000, 60_000, 130_000]);
                let one = script.byte();
                if let Value::Array(elements) = node
                    && let Some(element) = elements.get(usize::from(one) % elements.len().max(1)).cloned()
                    && self.may_grow(times * (element.to_string().len() + 1))
                {
                    elements.extend(std::iter::repeat_n(element, times));
                }
            }
            13 => {
                let copied = copied.unwrap_or_default();
                if deep + depth(&copied) <= MAX_DEPTH && self.may_grow(copied.to_string().len()) {
                    *node = copied;
                }
            }
            14 => *node = Value::String(format!("{OPEN}raw{}{CLOSE}", script.below(RAW.len()))),
            _ => {
                if let Value::Object(members) = node {
                    *members = std::mem::take(members).into_iter().rev().collect();
                }
            }
        }
        self.json = Some(root);
    }

    /// Duplicates an element of a list, or a name of an object, not always with the same value.
    fn double(&mut self, node: &mut Value, script: &mut Script<'_>) {
        let choice = script.word();
        match node {
            Value::Array(elements) => {
                if let Some(element) = elements.get(choice % elements.len().max(1)).cloned()
                    && self.may_grow(element.to_string().len())
                {
                    elements.push(element);
                }
            }
            Value::Object(members) => {
                let Some((name, member)) = members.iter().nth(choice % members.len().max(1)) else { return };
                let twin = format!("{OPEN}{}{CLOSE}{name}", self.twins);
                self.twins += 1;
                let member = if script.byte().is_multiple_of(2) { member.clone() } else { script.value() };
                if self.may_grow(member.to_string().len()) {
                    members.insert(twin, member);
                }
            }
            _ => {}
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn depth(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Returns the `position`-th value, from the outside in.
fn nth(root: &mut Value, position: usize) -> &mut Value {
    fn find<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
        if *left == 0 {
            return Some(value);
        }
        *left -= 1;
        match value {
            Value::Array(elements) => elements.iter_mut().find_map(|element| find(element, left)),
            Value::Object(members) => members.values_mut().find_map(|member| find(member, left)),
            _ => None,
        }
    }
    find(root, &mut { position }).expect("positions are below the count")
}

fn drop_one(node: &mut Value, script: &mut Script<'_>) {
    let choice = script.word();
    match node {
        Value::Array(elements) if !elements.is_empty() => drop(elements.remove(choice % elements.len())),
        Value::Object(members) => {
            let name = members.keys().nth(choice % members.len().max(1)).cloned();
            drop(name.and_then(|name| members.shift_remove(&name)));
        }
        scalar => *scalar = Value::Null,
    }
}

fn set_one(node: &mut Value, script: &mut Script<'_>) {
    let choice = script.word();
    let value = script.value();
    match node {
        Value::Array(elements) if !elements.is_empty() => {
            let at = choice % elements.len();
            elements[at] = value;
        }
        Value::Object(members) if !members.is_empty() => {
            let at = choice % members.len();
            if let Some(member) = members.values_mut().nth(at) {
                *member = value;
            }
        }
        scalar => *scalar = value,
    }
}

fn rename_one(node: &mut Value, script: &mut Script<'_>, names: &[String]) {
    let (choice, name) = (script.word(), script.name(names));
    if let Value::Object(members) = node
        && let Some(old) = members.keys().nth(choice % members.len().max(1)).cloned()
        && let Some(member) = members.shift_remove(&old)
    {
        members.insert(name, member);
    }
}

fn nest(node: &mut Value, depth: usize, how: u8) {
    for _ in 0..depth {
        let inner = node.take();
        *node = if how.is_multiple_of(2) {
            Value::Array(vec![inner])
        } else {
            Value::Object(Map::from_iter([("n".to_owned(), inner)]))
        };
    }
}

/// Converts a value to another type.
fn retype(node: &mut Value, script: &mut Script<'_>) {
    *node = match node.take() {
        Value::Null => Value::String(String::new()),
        Value::Bool(truth) if script.byte().is_multiple_of(2) => Value::from(u8::from(truth)),
        Value::Bool(truth) => Value::String(truth.to_string()),
        Value::Number(number) => Value::String(number.to_string()),
        Value::String(text) => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => text.parse().map_or_else(|_| serde_json::json!([text]), Value::Number),
        },
        Value::Array(elements) => {
            elements.into_iter().enumerate().map(|(index, element)| (index.to_string(), element)).collect()
        }
        Value::Object(members) => members.into_iter().map(|(_, member)| member).collect(),
    };
}

impl Edited {
    /// Edits the bytes.
    fn edit(&mut self, edit: u8, at: usize, byte: u8) {
        let bytes = &mut self.bytes;
        let at = at.checked_rem(bytes.len()).unwrap_or_default();
        match edit {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] = byte,
            4 => drop(bytes.splice(..0, *b"\xef\xbb\xbf")),
            5 => bytes.extend_from_slice(b" {\"more\": 1}"),
            // A space counts like any other byte.
            6 if bytes.len() <= LARGEST => bytes.resize(LARGEST, b' '),
            7 if bytes.len() <= LARGEST => bytes.resize(LARGEST + 1, b'\n'),
            8 => bytes.clear(),
            _ => self.base64 = true,
        }
    }
}
