//! Tables that fit the terminal. In a pipe: plain columns, one row a line, nothing cut or wrapped.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use super::{
    Look,
    text::{cell, plain},
};

/// Columns of blanks only.
const PLAIN: TableStyle = TableStyle::new();
/// A line below the header, nothing else: rows stay close together.
const UNDERLINED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
const UNDERLINED_ASCII: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// Every cell is taken as text of others and made harmless here. A last column of ids is left out where it does not
/// fit: names serve as well, and a wrapped id cannot be copied.
pub(super) fn render(look: Look, headers: &[&str], mut rows: Vec<Vec<String>>) -> String {
    let table = build(look, headers, &rows);
    let width = look.width.unwrap_or(u16::MAX);
    if headers.last() != Some(&"Id") || headers.len() < 3 || natural_width(&table) <= width {
        return table.trim_fmt();
    }
    let without_id = headers.split_last().map_or(headers, |(_, others)| others);
    for row in &mut rows {
        row.truncate(without_id.len());
    }
    build(look, without_id, &rows).trim_fmt()
}

fn build(look: Look, headers: &[&str], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(match (look.terminal, look.unicode) {
        (false, _) => PLAIN,
        (true, true) => UNDERLINED,
        (true, false) => UNDERLINED_ASCII,
    });
    if let Some(width) = look.width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(headers.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|text| cell(text)).collect::<Vec<String>>());
    }
    table
}

/// As wide as it would be without a limit: each column has a blank on both sides.
fn natural_width(table: &Table) -> u16 {
    table
        .column_max_content_widths()
        .into_iter()
        .fold(0, |sum, width| sum.saturating_add(width).saturating_add(2))
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

    fn row(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_pipe_gets_plain_columns_of_one_line_each() {
        let long = "x".repeat(150);
        let rows = vec![row(&["PC-1", &long]), row(&["a\nb\u{1b}[2J", "\u{202e}c"])];
        let text = render(Look::PLAIN, &["Name", "Note"], rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].contains(&long));
        assert!(lines[2].contains("a b") && lines[2].contains("<U+202E>c"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_terminal_gets_lines_that_fit() {
        let look = Look { terminal: true, colour: true, unicode: true, width: Some(60) };
        let rows = vec![row(&["SRV-日本-01", &"long words ".repeat(12), "online"])];
        let text = render(look, &["Name", "Note", "Status"], rows);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= 60, "{widest}\n{text}");
        assert!(text.contains("online"));
        let ascii = render(Look { unicode: false, ..look }, &["Name"], vec![row(&["a"])]);
        assert!(ascii.is_ascii(), "{ascii}");
    }

    #[test]
    fn ids_are_left_out_where_they_do_not_fit() {
        let id = "ast_00000000000000000000000000000007";
        let rows = || vec![row(&["PC-1", "Contoso", id])];
        let headers = ["Name", "Client", "Id"];
        let narrow = Look { terminal: true, colour: false, unicode: false, width: Some(50) };
        assert!(!render(narrow, &headers, rows()).contains("Id"));
        assert!(render(Look { width: Some(60), ..narrow }, &headers, rows()).contains(id));
        assert!(render(Look::PLAIN, &headers, rows()).contains(id));
    }

    #[test]
    fn facts_line_up_and_empty_ones_are_left_out() {
        let facts = [("id", "1".to_owned()), ("longer", "two\nlines".to_owned()), ("none", String::new())];
        assert_eq!(render_facts(&facts), "id      1\nlonger  two lines");
    }
}
