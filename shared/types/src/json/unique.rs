//! Finds duplicate keys in JSON objects.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

/// The path of the first duplicate key in an object, if there is one.
pub(super) fn duplicate_key(json: &[u8]) -> Option<String> {
    let mut duplicate = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // An error is either the duplicate key or impossible: the caller has parsed the JSON already.
    let _ = UniqueKeys { at: &Place::Root, duplicate: &mut duplicate }.deserialize(&mut deserializer);
    duplicate
}

/// The path of a value in a body.
enum Place<'a> {
    Root,
    Member(&'a Self, &'a str),
    Element(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Walks through JSON without building values and stops at the first duplicate key in an object.
struct UniqueKeys<'a> {
    at: &'a Place<'a>,
    duplicate: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for UniqueKeys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for index in 0.. {
            let at = Place::Element(self.at, index);
            if elements.next_element_seed(UniqueKeys { at: &at, duplicate: &mut *self.duplicate })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let at = Place::Member(self.at, &name);
            if names.contains(&name) {
                *self.duplicate = Some(at.to_string());
                return Err(A::Error::custom("duplicate key"));
            }
            // serde_json passes a number of any size as a map with one private member.
            members.next_value_seed(UniqueKeys { at: &at, duplicate: &mut *self.duplicate })?;
            names.insert(name);
        }
        Ok(())
    }
}
