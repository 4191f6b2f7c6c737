//! CSV as RFC 4180 writes it, with cells that no spreadsheet runs.
//!
//! A cell that begins with a sign that starts a formula gets an apostrophe in front, so that names from an RMM cannot
//! become code on a technician's desk. Numbers are cells like any other: none of ours is negative.

/// Signs with which a spreadsheet begins a formula, or which hide one.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Appends one row of cells, ended by CR LF.
pub(crate) fn push_row<S: AsRef<str>>(out: &mut String, cells: impl IntoIterator<Item = S>) {
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_cell(out, cell.as_ref());
    }
    out.push_str("\r\n");
}

fn push_cell(out: &mut String, cell: &str) {
    let armed = cell.starts_with(FORMULA_STARTS);
    let quoted = armed || cell.contains([',', '"', '\n', '\r']);
    if !quoted {
        out.push_str(cell);
        return;
    }
    out.push('"');
    if armed {
        out.push('\'');
    }
    for c in cell.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cells: &[&str], expected: &str) {
        let mut row = String::new();
        push_row(&mut row, cells);
        assert_eq!(row, format!("{expected}\r\n"));
    }

    #[test]
    fn plain_cells_stay_as_they_are() {
        check(&["PC-1", "", "Windows 11"], "PC-1,,Windows 11");
    }

    #[test]
    fn commas_quotes_and_line_breaks_are_quoted() {
        check(&["a,b", "say \"hi\"", "two\nlines"], "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"");
    }

    #[test]
    fn cells_that_a_spreadsheet_would_run_are_disarmed() {
        for start in ["=", "+", "-", "@", "\t", "\r"] {
            check(&[&format!("{start}cmd|x")], &format!("\"'{start}cmd|x\""));
        }
        check(&["=HYPERLINK(\"x\")"], "\"'=HYPERLINK(\"\"x\"\")\"");
    }

    #[test]
    fn a_sign_inside_a_cell_is_harmless() {
        check(&["a=b", "x-1"], "a=b,x-1");
    }
}
