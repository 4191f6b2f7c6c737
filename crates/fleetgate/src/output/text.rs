//! Text that others wrote: host names, user names, messages of RMMs. It must not steer a terminal or pretend to be
//! something else, so escape sequences go, and what cannot be seen is made visible.

/// One line: no escape sequences, no control characters, hidden characters made visible.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\n' | '\r' | '\t' => plain.push(' '),
            c if c.is_control() => {}
            c if is_hidden(c) => plain.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => plain.push(c),
        }
    }
    plain
}

/// JSON with the characters that JSON allows in strings but a terminal would obey written as `\u…`.
pub(crate) fn json_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        let is_layout = matches!(c, '\n' | '\r' | '\t');
        if (c.is_control() && !is_layout) || is_hidden(c) {
            let mut units = [0_u16; 2];
            for unit in c.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Bidirectional controls and characters without width.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// After ESC: `[…` ends with a letter or `@`–`~`; `]`, `P`, `X`, `^`, `_` run to BEL or ESC `\`; others take one.
fn skip_escape(rest: &mut std::str::Chars<'_>) {
    match rest.clone().next() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        Some(c) if c.is_ascii_graphic() => {
            rest.next();
        }
        _ => {}
    }
}

fn skip_control_sequence(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    while let Some(c) = ahead.next() {
        match c {
            '@'..='~' => {
                *rest = ahead;
                return;
            }
            ' '..='?' => *rest = ahead.clone(),
            _ => return,
        }
    }
}

/// A string without an end is not skipped: only its introducer would have been obeyed.
fn skip_string(rest: &mut std::str::Chars<'_>) {
    rest.next();
    let mut ahead = rest.clone();
    while let Some(c) = ahead.next() {
        match c {
            '\u{7}' | '\u{9c}' => {
                *rest = ahead;
                return;
            }
            '\u{1b}' if ahead.clone().next() == Some('\\') => {
                ahead.next();
                *rest = ahead;
                return;
            }
            _ => {}
        }
    }
}

/// A word for a shell: quoted where it has to be.
pub(crate) fn shell_word(word: &str) -> String {
    let word = plain(word);
    let is_safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '=' | ',');
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_safe) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(plain(text), expected);
    }

    #[test]
    fn escape_sequences_vanish() {
        check("\u{1b}[31mred\u{1b}[0m", "red");
        check("\u{1b}]0;own title\u{7}after", "after");
        check("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link");
        check("\u{9b}2Jgone", "gone");
        check("\u{1b}cfull reset", "full reset");
        check("cut off\u{1b}", "cut off");
        check("open \u{1b}]0;never ends", "open 0;never ends");
        check("half \u{1b}[12\nnext", "half  next");
    }

    #[test]
    fn lines_become_one_and_bells_are_silent() {
        check("a\r\nb\tc\u{7}\u{8}\u{0}", "a  b c");
    }

    #[test]
    fn hidden_characters_are_shown() {
        check("gpj\u{202e}exe", "gpj<U+202E>exe");
        check("a\u{200b}b", "a<U+200B>b");
        check("Zoë Müller 日本", "Zoë Müller 日本");
    }

    #[test]
    fn json_means_the_same_and_steers_nothing() {
        let json = "{\n \"a\": \"x\u{9b}2J\u{202e}y\u{e0001}\"\n}";
        let safe = json_safe(json);
        assert!(safe.is_ascii(), "{safe}");
        let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(same(&safe), same(json));
    }

    #[test]
    fn shell_words_cannot_break_out() {
        assert_eq!(shell_word("https://api.example.com:8443"), "https://api.example.com:8443");
        assert_eq!(shell_word("My RMM"), "'My RMM'");
        assert_eq!(shell_word("a'; rm -rf ~ #"), "'a'\\''; rm -rf ~ #'");
        assert_eq!(shell_word("--json"), "'--json'");
        assert_eq!(shell_word("$(x)\u{1b}[1m"), "'$(x)'");
    }
}
