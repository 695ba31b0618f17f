//! Compares two bodies of an order field by field. The comparison comes before masking, so an operator learns that a
//! personal value has changed without seeing it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with_macros::skip_serializing_none;

use crate::partner::CHANGES_ON_RESEND;
use crate::redact::mask_personal;

/// The members that identify an element of a list. Elements without one are paired by position.
const IDENTIFIERS: [&str; 3] = ["passenger_id", "ticket_id", "trade_number"];

/// The difference between two notifications or two links of one order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The fields that differ.
    pub fields: Vec<Field>,
    /// Number of fields that are the same.
    pub same: usize,
    /// The fields that were not compared, because they differ with each delivery.
    pub left_out: Vec<String>,
}

/// A field that differs. A field that one body lacks has no value there.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The path, such as `vouchers[0].code`.
    pub path: String,
    /// The value in the first body. `null` is a value.
    #[serde(default, deserialize_with = "present")]
    pub from: Option<Value>,
    /// The value in the second body.
    #[serde(default, deserialize_with = "present")]
    pub to: Option<Value>,
    /// Whether the values are hidden, because they are personal.
    pub hidden: bool,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A value as it is, and with personal data masked.
#[derive(Clone, Copy)]
struct Seen<'a> {
    raw: &'a Value,
    masked: &'a Value,
}

impl<'a> Seen<'a> {
    fn member(self, name: &str) -> Option<Self> {
        Some(Self { raw: self.raw.get(name)?, masked: self.masked.get(name)? })
    }

    fn element(self, index: usize) -> Option<Self> {
        Some(Self { raw: self.raw.get(index)?, masked: self.masked.get(index)? })
    }

    /// Whether the value is personal. The parts of a personal value are not shown either.
    fn is_hidden(self) -> bool {
        self.raw != self.masked && !(self.masked.is_object() || self.masked.is_array())
    }

    fn members(self) -> Option<&'a Map<String, Value>> {
        self.masked.as_object().filter(|members| !members.is_empty())
    }

    fn elements(self) -> Option<&'a [Value]> {
        self.masked.as_array().map(Vec::as_slice).filter(|elements| !elements.is_empty())
    }
}

/// Compares two bodies.
#[must_use]
pub fn difference(from: &Value, to: &Value) -> Difference {
    let masked = |value: &Value| {
        let mut masked = value.clone();
        mask_personal(&mut masked);
        masked
    };
    let (masked_from, masked_to) = (masked(from), masked(to));
    let mut found = Difference::default();
    let from = Seen { raw: from, masked: &masked_from };
    let to = Seen { raw: to, masked: &masked_to };
    found.compare("", Some(from), Some(to));
    found
}

impl Difference {
    fn compare(&mut self, path: &str, from: Option<Seen<'_>>, to: Option<Seen<'_>>) {
        // A part that one body lacks is compared with nothing, so each of its fields has a row.
        let both = |is: fn(Seen<'_>) -> bool| from.is_none_or(is) && to.is_none_or(is);
        if both(|seen| seen.members().is_some()) {
            self.compare_members(path, from, to);
        } else if both(|seen| seen.elements().is_some()) {
            for (index, from, to) in pairs(from, to) {
                self.compare(&format!("{path}[{index}]"), from, to);
            }
        } else if from.map(|seen| seen.raw) == to.map(|seen| seen.raw) {
            self.same += 1;
        } else {
            let shown = |seen: Option<Seen<'_>>| seen.map(|seen| seen.masked.clone());
            let hidden = [from, to].into_iter().flatten().any(Seen::is_hidden);
            self.fields.push(Field { path: path.to_owned(), from: shown(from), to: shown(to), hidden });
        }
    }

    fn compare_members(&mut self, path: &str, from: Option<Seen<'_>>, to: Option<Seen<'_>>) {
        let names: BTreeSet<&String> =
            [from, to].into_iter().flatten().filter_map(Seen::members).flat_map(Map::keys).collect();
        for name in names {
            if path.is_empty() && CHANGES_ON_RESEND.contains(&name.as_str()) {
                self.left_out.push(name.clone());
                continue;
            }
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.compare(&path, from.and_then(|seen| seen.member(name)), to.and_then(|seen| seen.member(name)));
        }
    }
}

/// Pairs the elements of two lists by what identifies them, or else by position. Each pair has the index of its later
/// element.
fn pairs<'a>(from: Option<Seen<'a>>, to: Option<Seen<'a>>) -> Vec<(usize, Option<Seen<'a>>, Option<Seen<'a>>)> {
    let elements = |seen: Option<Seen<'a>>| -> Vec<Seen<'a>> {
        let count = seen.and_then(Seen::elements).map_or(0, <[Value]>::len);
        (0..count).filter_map(|index| seen?.element(index)).collect()
    };
    let (from, to) = (elements(from), elements(to));
    let (ids_from, ids_to) = (identities(&from), identities(&to));
    let position = |index: usize, ids: &[Identity<'a>], others: &[Identity<'a>]| match &ids[index] {
        Some(id) => others.iter().position(|other| other.as_ref() == Some(id)),
        None => others.get(index).filter(|other| other.is_none()).map(|_| index),
    };
    let later = to.iter().enumerate().map(|(index, element)| {
        let before = position(index, &ids_to, &ids_from).and_then(|before| from.get(before));
        (index, before.copied(), Some(*element))
    });
    let removed = from.iter().enumerate().filter(|(index, _)| position(*index, &ids_from, &ids_to).is_none());
    let removed = removed.map(|(index, element)| (index, Some(*element), None));
    later.chain(removed).collect()
}

/// What identifies an element in its list: a member's name and value.
type Identity<'a> = Option<(&'static str, &'a Value)>;

/// The identities of elements. Two elements with the same one are not told apart by it.
fn identities<'a>(elements: &[Seen<'a>]) -> Vec<Identity<'a>> {
    let named = |element: &Seen<'a>| IDENTIFIERS.into_iter().find_map(|name| Some((name, element.raw.get(name)?)));
    let all: Vec<Identity<'a>> = elements.iter().map(named).collect();
    all.iter().map(|one| one.filter(|_| all.iter().filter(|other| *other == one).count() == 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(difference: &Difference) -> Vec<(&str, Option<&Value>, Option<&Value>, bool)> {
        difference
            .fields
            .iter()
            .map(|field| (field.path.as_str(), field.from.as_ref(), field.to.as_ref(), field.hidden))
            .collect()
    }

    #[test]
    fn changed_added_and_removed_fields_each_have_a_row() {
        let from = json!({"status": 3, "kept": [1, {"a": 2}], "gone": {"x": 1, "y": []}, "typed": "1", "sign": "p"});
        let to = json!({"typed": 1, "sign": "q", "status": 2, "new": null, "kept": [1, {"a": 2}]});
        let found = difference(&from, &to);
        assert_eq!(
            rows(&found),
            [
                ("gone.x", Some(&json!(1)), None, false),
                ("gone.y", Some(&json!([])), None, false),
                ("new", None, Some(&json!(null)), false),
                ("status", Some(&json!(3)), Some(&json!(2)), false),
                ("typed", Some(&json!("1")), Some(&json!(1)), false),
            ]
        );
        assert_eq!((found.same, found.left_out), (2, vec!["sign".to_owned()]));
    }

    #[test]
    fn elements_are_paired_by_what_identifies_them() {
        let from = json!([{"ticket_id": "1", "p": 1}, {"ticket_id": "2", "p": 2}, 7]);
        let to = json!([{"ticket_id": "2", "p": 3}, {"ticket_id": "3", "p": 4}, 7]);
        let found = difference(&from, &to);
        let paths: Vec<_> = found.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["[0].p", "[1].p", "[1].ticket_id", "[0].p", "[0].ticket_id"]);
        assert_eq!(found.fields[0].from, Some(json!(2)));
        assert_eq!(found.fields[3].to, None);
    }

    #[test]
    fn personal_values_are_compared_and_never_shown() {
        let from =
            json!({"passengers": [{"name": "planted-1"}], "pnr": "planted-2", "phone": "planted-3", "email": ""});
        let to = json!({"passengers": [{"name": "planted-4"}], "pnr": "planted-2", "email": "planted-5"});
        let found = difference(&from, &to);
        assert!(!serde_json::to_string(&found).unwrap().contains("planted"));
        let hidden: Vec<_> = found.fields.iter().map(|field| (field.path.as_str(), field.hidden)).collect();
        assert_eq!(hidden, [("email", true), ("passengers", true), ("phone", true)]);
        assert_eq!(found.same, 1);
    }
}
