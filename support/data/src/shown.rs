//! Text that came from outside, as it may be shown in a terminal.

use std::borrow::Cow;

/// `text` with everything escaped that a terminal obeys or that changes how the text around it is read: control characters, line ends among
/// them, and marks that turn the direction of writing or show nothing at all. An escape is Rust's: `\n`, `\u{1b}`.
///
/// For whatever a file, an image or a line brought: a name, a word, a label. What joins letters and emoji (ZWJ, ZWNJ) stays.
///
/// ```
/// use latch_data::shown::shown;
/// assert_eq!(shown("a film"), "a film");
/// assert_eq!(shown("\u{1b}[2Jgone\n"), "\\u{1b}[2Jgone\\n");
/// ```
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// As [`shown`], for a text of several lines that this program laid out itself: its line ends and tabs stay.
#[must_use]
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| !matches!(character, '\n' | '\t') && is_hidden(character))
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match (is_hidden(character), character) {
            (false, _) => shown.push(character),
            (true, '\n' | '\r' | '\t') => shown.extend(character.escape_default()),
            (true, _) => shown.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

/// `text` as one word of a POSIX shell's command line: in single quotes where it has anything but letters, digits and the marks of paths.
#[must_use]
pub fn for_shell(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A character that a terminal obeys, that turns the direction of writing, or that shows nothing.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_of_a_command_line_is_quoted_where_a_shell_would_read_it_otherwise() {
        for (text, quoted) in [
            ("a/b-1.gz", "a/b-1.gz"),
            ("Sales, EU=sales", "'Sales, EU=sales'"),
            ("it's=1", r"'it'\''s=1'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(for_shell(text), quoted);
        }
    }

    #[test]
    fn text_in_any_script_is_shown_as_it_is() {
        for text in ["a 6\" screen, c:\\film", "übel", "e\u{301}", "किताब", "좋다", "👩\u{200d}👧", "می\u{200c}خواهم"]
        {
            assert!(matches!(shown(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, expected) in [
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("invoice\u{202e}gpj.exe", "invoice\\u{202e}gpj.exe"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_lines("one\n\u{1b}two\n"), "one\n\\u{1b}two\n");
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_has_a_control_character_and_nothing_is_lost_twice(text in any::<String>()) {
            let once = shown(&text).into_owned();
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(shown(&once), once.as_str());
        }
    }
}
