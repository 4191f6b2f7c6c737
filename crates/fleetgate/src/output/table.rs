//! Tables that fit the terminal. In a pipe: plain columns, one row a line, nothing cut, wrapped or left out.

mod layout;

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use self::layout::{Need, fit};
use super::{Look, text::plain};

/// Columns of blanks only.
const PLAIN: TableStyle = TableStyle::new();
/// A line below the header, nothing else: rows stay close together.
const UNDERLINED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
const UNDERLINED_ASCII: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-'));

/// A column: what it holds, and how soon it goes where the terminal is narrow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    header: &'static str,
    kind: Kind,
    /// 0 always stays; the larger, the sooner it goes.
    rank: u8,
}

/// What may be done to its cells on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing: ids, states, times, numbers.
    Whole,
    /// Wrapped between words, never inside one.
    Name,
    /// Shortened.
    Text,
    /// Wrapped: what has to be read in full.
    Prose,
}

/// Ids, states, times and numbers: never wrapped, never shortened. `rank` 0 always stays; the larger, the sooner it
/// goes.
pub(crate) const fn whole(header: &'static str, rank: u8) -> Column {
    Column { header, kind: Kind::Whole, rank }
}

/// Names: wrapped between words, never inside one.
pub(crate) const fn name(header: &'static str, rank: u8) -> Column {
    Column { header, kind: Kind::Name, rank }
}

/// Text that may be shortened.
pub(crate) const fn text(header: &'static str, rank: u8) -> Column {
    Column { header, kind: Kind::Text, rank }
}

/// Text that has to be read in full: wrapped.
pub(crate) const fn prose(header: &'static str, rank: u8) -> Column {
    Column { header, kind: Kind::Prose, rank }
}

/// A table ready to print.
pub(super) struct Rendered {
    /// Its lines.
    pub(super) text: String,
    /// Headers of the columns for which there was no room.
    pub(super) left_out: Vec<&'static str>,
}

/// Every cell is taken as text of others and made harmless here.
pub(super) fn render(look: Look, columns: &[Column], rows: &[Vec<String>]) -> Rendered {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let Some(width) = look.width else {
        let all: Vec<Option<usize>> = vec![Some(usize::MAX); columns.len()];
        return Rendered { text: build(look, columns, &rows, &all).trim_fmt(), left_out: Vec::new() };
    };
    let needs: Vec<Need> =
        columns.iter().enumerate().map(|(at, column)| need(*column, cells(&rows, at))).collect();
    let widths = fit(usize::from(width), &needs);
    let left_out = columns.iter().zip(&widths).filter(|(_, width)| width.is_none());
    Rendered {
        left_out: left_out.map(|(column, _)| column.header).collect(),
        text: build(look, columns, &rows, &widths).trim_fmt(),
    }
}

fn cells(rows: &[Vec<String>], at: usize) -> impl Iterator<Item = &str> {
    rows.iter().filter_map(move |row| row.get(at)).map(String::as_str)
}

/// Widths at which a column is at ease, and at which it can just be borne.
fn need<'a>(column: Column, cells: impl Iterator<Item = &'a str>) -> Need {
    const EASY_NAME: usize = 24;
    const EASY_TEXT: usize = 16;
    let (mut full, mut word) = (columns_of(column.header), longest_word(column.header));
    for cell in cells {
        full = full.max(columns_of(cell));
        word = word.max(longest_word(cell));
    }
    let (easy, least) = match column.kind {
        Kind::Whole => (full, full),
        Kind::Name => (full.min(EASY_NAME).max(word), word),
        Kind::Text | Kind::Prose => {
            let least = EASY_TEXT.max(columns_of(column.header));
            (full.min(least), full.min(EASY_TEXT / 2))
        }
    };
    Need { rank: column.rank, full, easy, least }
}

/// The columns that have a width, each as wide as that.
fn build(look: Look, columns: &[Column], rows: &[Vec<String>], widths: &[Option<usize>]) -> Table {
    let mut table = Table::new();
    table.load_style(match (look.terminal, look.unicode) {
        (false, _) => PLAIN,
        (true, true) => UNDERLINED,
        (true, false) => UNDERLINED_ASCII,
    });
    table.set_content_arrangement(ContentArrangement::Disabled);
    let shown: Vec<(usize, Column, usize)> = columns
        .iter()
        .zip(widths)
        .enumerate()
        .filter_map(|(at, (column, width))| Some((at, *column, (*width)?)))
        .collect();
    table.set_header(shown.iter().map(|(_, column, _)| column.header).collect::<Vec<_>>());
    for row in rows {
        let cell = |(at, column, width): &(usize, Column, usize)| {
            let cell = row.get(*at).map(String::as_str).unwrap_or_default();
            match column.kind {
                Kind::Text => shortened(cell, *width, look),
                Kind::Whole | Kind::Name | Kind::Prose => cell.to_owned(),
            }
        };
        table.add_row(shown.iter().map(cell).collect::<Vec<String>>());
    }
    for (column, (_, _, width)) in table.column_iter_mut().zip(&shown) {
        if let Ok(width) = u16::try_from(width.saturating_add(layout::GAP)) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
    }
    table
}

/// The beginning of a text, with a sign that there is more.
fn shortened(text: &str, most: usize, look: Look) -> String {
    if columns_of(text) <= most {
        return text.to_owned();
    }
    let more = if look.unicode { "…" } else { "..." };
    let mut left = most.saturating_sub(columns_of(more));
    let mut short = String::new();
    for c in text.chars() {
        let wide = columns_of(c.encode_utf8(&mut [0; 4]));
        if wide > left {
            break;
        }
        left -= wide;
        short.push(c);
    }
    short.truncate(short.trim_end().len());
    short.push_str(more);
    short
}

fn longest_word(text: &str) -> usize {
    text.split(' ').map(columns_of).max().unwrap_or(0)
}

/// Columns that a text takes on a terminal; `comfy_table` knows the wide characters.
fn columns_of(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let mut table = Table::new();
    table.add_row(vec![text]);
    table.column_max_content_widths().first().copied().map_or(0, usize::from)
}

/// `name   value`, the names as wide as the widest; values that are empty are left out.
pub(super) fn render_facts(facts: &[(&str, String)]) -> String {
    let shown: Vec<(&str, String)> = facts
        .iter()
        .map(|(name, value)| (*name, plain(value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = shown.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ast_00000000000000000000000000000007";
    const TERMINAL: Look = Look { terminal: true, colour: false, unicode: true, width: Some(80) };

    fn row(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn at(width: u16, columns: &[Column], rows: &[Vec<String>]) -> Rendered {
        let rendered = render(Look { width: Some(width), ..TERMINAL }, columns, rows);
        let widest = rendered.text.lines().map(columns_of).max().unwrap_or(0);
        assert!(widest <= usize::from(width), "{widest} columns\n{}", rendered.text);
        rendered
    }

    #[test]
    fn a_pipe_gets_plain_columns_of_one_line_each() {
        let long = "x".repeat(1_500);
        let rows = [row(&["PC-1", &long]), row(&["a\nb\u{1b}[2J", "\u{202e}c"])];
        let text = render(Look::PLAIN, &[name("Name", 0), super::text("Note", 1)], &rows).text;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].contains(&long));
        assert!(lines[2].contains("a b") && lines[2].contains("<U+202E>c"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_terminal_gets_lines_that_fit_and_long_text_is_shortened() {
        let rows = [row(&["SRV-日本-01", &"long words ".repeat(12), "online"])];
        let columns = [name("Name", 0), super::text("Note", 0), whole("Status", 0)];
        let rendered = at(60, &columns, &rows);
        assert_eq!(rendered.text.lines().count(), 3, "a row is one line:\n{}", rendered.text);
        assert!(rendered.text.contains("online") && rendered.text.contains('…'), "{}", rendered.text);
        assert!(rendered.text.contains("SRV-日本-01") && rendered.left_out.is_empty(), "{}", rendered.text);
        let ascii = Look { unicode: false, width: Some(60), ..TERMINAL };
        let text = render(ascii, &columns, &[row(&["a", &"long ".repeat(30), "b"])]).text;
        assert!(text.is_ascii() && text.contains("..."), "{text}");
    }

    #[test]
    fn columns_of_little_value_are_left_out_first() {
        let columns = [name("Name", 0), name("Client", 0), super::text("System", 2), whole("Id", 9)];
        let rows = [row(&["DESKTOP-JQ40HT0", "Alpenblick Dental", "Windows 11 Pro, 64 bit v24H2", ID])];
        let check = |width, left_out: &[&str]| {
            let rendered = at(width, &columns, &rows);
            assert_eq!(rendered.left_out, left_out, "{}", rendered.text);
            assert_eq!(rendered.text.lines().count(), 3, "{}", rendered.text);
            assert!(rendered.text.contains("DESKTOP-JQ40HT0  Alpenblick Dental"), "{}", rendered.text);
        };
        check(50, &["System", "Id"]);
        check(80, &["Id"]);
        check(120, &[]);
        assert!(render(Look::PLAIN, &columns, &rows).text.contains(ID));
    }

    #[test]
    fn names_are_wrapped_between_words_and_ids_never() {
        let columns = [whole("Run", 0), name("Client", 0)];
        let rows = [row(&[ID, "Alpenblick Dental Laboratories"])];
        let text = at(58, &columns, &rows).text;
        assert!(text.contains(ID), "{text}");
        for word in ["Alpenblick", "Dental", "Laboratories"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(render(Look { width: Some(40), ..TERMINAL }, &columns, &rows).text.contains(ID));
    }

    #[test]
    fn prose_is_wrapped_and_nothing_of_it_is_lost() {
        let words: Vec<String> = (0..40).map(|number| format!("word{number}")).collect();
        let rendered = at(50, &[whole("Line", 0), prose("Problem", 0)], &[row(&["1", &words.join(" ")])]);
        assert!(words.iter().all(|word| rendered.text.contains(word)), "{}", rendered.text);
    }

    #[test]
    fn facts_line_up_and_empty_ones_are_left_out() {
        let facts = [("id", "1".to_owned()), ("longer", "two\nlines".to_owned()), ("none", String::new())];
        assert_eq!(render_facts(&facts), "id      1\nlonger  two lines");
    }
}
