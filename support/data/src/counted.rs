//! A number with the thing that it counts: `1 text`, `2 texts`.

use std::borrow::Cow;

/// A count with the name of the thing, in the singular where there is one of it.
///
/// ```
/// use latch_data::counted::counted;
/// assert_eq!(counted(1_usize, "text"), "1 text");
/// assert_eq!(counted(2_u32, "class"), "2 classes");
/// ```
#[must_use]
pub fn counted(count: impl TryInto<u64>, thing: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", named(count, thing))
}

/// The name of a thing as it stands behind a count: `text` behind 1, else `texts`.
#[must_use]
pub fn named(count: u64, thing: &str) -> Cow<'_, str> {
    match thing {
        "series" => thing.into(),
        _ if count == 1 => thing.into(),
        _ if thing.ends_with('s') => format!("{thing}es").into(),
        _ => format!("{thing}s").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_stands_in_the_singular_and_every_other_count_in_the_plural() {
        let all = [counted(0_u64, "text"), counted(1_usize, "text"), counted(12_u32, "text"), counted(2_u8, "class")];
        assert_eq!(all, ["0 texts", "1 text", "12 texts", "2 classes"]);
        assert_eq!(counted(1_u64, "class"), "1 class");
        assert_eq!([counted(1_u64, "series"), counted(2_u64, "series")], ["1 series", "2 series"]);
    }
}
