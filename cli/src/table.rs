//! Tables on a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// The space between two columns.
const GAP: usize = 2;
/// The last column may be this narrow before the fields of a row are shown below each other.
const LEAST_FOR_LAST: usize = 30;

/// Formats rows as a table with a header. If the table is wider than the terminal, the last column is wrapped between
/// words, or all fields of a row are shown below each other: no other field is ever cut, since keys are copied from here.
pub fn table<'a>(header: impl AsRef<[&'a str]>, rows: impl IntoIterator<Item = impl Into<Vec<String>>>) -> String {
    laid_out(header.as_ref(), rows.into_iter().map(Into::into).collect(), width())
}

/// The columns of the terminal: `COLUMNS` if it is set; unlimited if the output is not a terminal.
fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    set.or_else(|| Table::new().width().map(usize::from)).unwrap_or(usize::MAX)
}

fn laid_out(header: &[&str], rows: Vec<Vec<String>>, width: usize) -> String {
    let columns = header.len();
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).chain([header[column].width()]).max();
    let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or_default()).collect();
    let (last, others) = widths
        .split_last()
        .map_or((0, 0), |(last, others)| (*last, others.iter().map(|width| width + GAP).sum::<usize>()));
    if others.saturating_add(last.min(LEAST_FOR_LAST)) > width {
        return stacked(header, &rows, width);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(header).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index + 1 < columns { u16::try_from(GAP).unwrap_or_default() } else { 0 }));
        if index + 1 < columns {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt() + "\n"
}

/// Breaks a long line between words, so that it fits the terminal.
pub fn wrapped(text: &str) -> String {
    stacked(&[""], &[vec![text.to_owned()]], width())
}

/// Rows with one field to a line, separated by empty lines. Empty fields are left out.
fn stacked(header: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let widest = header.iter().map(|name| name.width()).max().unwrap_or_default();
    let label = if widest == 0 { 0 } else { widest + GAP };
    let mut shown = String::new();
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            shown.push('\n');
        }
        for (name, field) in header.iter().zip(row).filter(|(_, field)| !field.is_empty()) {
            let mut line = format!("{name}{}", " ".repeat(label - name.width()));
            for word in field.split(' ') {
                let is_first = line.width() <= label;
                if !is_first && line.width() + 1 + word.width() > width {
                    shown.push_str(&line);
                    shown.push('\n');
                    line = " ".repeat(label);
                } else if !is_first {
                    line.push(' ');
                }
                line.push_str(word);
            }
            shown.push_str(&line);
            shown.push('\n');
        }
    }
    shown
}

/// A member as an escaped string; empty if it is null or missing.
pub fn text(of: &Value, name: &str) -> String {
    match &of[name] {
        Value::Null => String::new(),
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    }
}

/// Escapes control characters: TOP and partners may send any, and a terminal would obey them. Also escapes characters
/// that change the writing direction.
pub fn escaped(text: &str) -> String {
    let is_control = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_control(c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// The elements of an array; empty if the member is not an array.
pub fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn control_characters_are_escaped() {
        let error = json!({"message": "\u{1b}[2Jno\u{7} \u{202e}such 票\n"});
        assert_eq!(text(&error, "message"), "\\u{1b}[2Jno\\u{7} \\u{202e}such 票\\u{a}");
    }

    fn at(width: usize) -> String {
        let row = |key: &str, why: &str| vec!["ship-notify".to_owned(), key.to_owned(), why.to_owned()];
        let rows = vec![
            row("P-1001-1dd0df5cb1c68c63ac6c78c31cfed86f", "票 the booking system has not linked the order yet"),
            row("38", ""),
        ];
        laid_out(&["call", "key", "reason"], rows, width)
    }

    #[test]
    fn wide_terminal_shows_one_line_a_row() {
        let shown = at(200);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.lines().all(|line| line.trim_end() == line), "{shown:?}");
    }

    #[test]
    fn last_column_is_wrapped_and_no_key_is_cut() {
        let shown = at(90);
        assert!(shown.contains("P-1001-1dd0df5cb1c68c63ac6c78c31cfed86f"), "{shown}");
        assert!(shown.lines().count() > 3 && shown.lines().all(|line| line.width() <= 90), "{shown}");
    }

    #[test]
    fn narrow_terminal_shows_fields_below_each_other() {
        let expected = "call    ship-notify\n\
                        key     P-1001-1dd0df5cb1c68c63ac6c78c31cfed86f\n\
                        reason  票 the booking system has not linked the\n        \
                        order yet\n\n\
                        call    ship-notify\n\
                        key     38\n";
        assert_eq!(at(48), expected);
    }
}
