//! JSON schemas of strings with a special format.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An id: 1 to 256 bytes without control characters or U+FFFD, and neither `.` nor `..`
/// ([`crate::order::is_usable_id`]). A schema counts characters, and a character has up to four bytes.
pub fn id(_: &mut SchemaGenerator) -> Schema {
    usable(256)
}

/// A call's key: as [`id`], but up to 512 bytes.
#[must_use]
pub fn call_key() -> Schema {
    usable(512)
}

/// An id that is only a part of a call's key: as [`id`], but up to 200 bytes.
pub fn key_part(_: &mut SchemaGenerator) -> Schema {
    usable(200)
}

/// A string without control characters or U+FFFD that is neither `.` nor `..`.
pub const USABLE: &str = "^(?!\\.{1,2}$)[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]+$";

fn usable(max_length: u32) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": max_length,
        "pattern": USABLE})
}

/// A time in TOP's format, in GMT+8.
pub fn china_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
        "examples": ["2026-01-01 12:00:00"]})
}
