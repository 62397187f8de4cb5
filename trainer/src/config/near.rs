//! The name that somebody may have meant.

/// The name that is nearest to a word, where one is near: at most a third of its letters have to change.
pub fn near<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // No name is as long as that, and the time grows with the length.
    let word: String = word.trim_end_matches('=').chars().take(64).collect();
    let far = |name: &str| strsim::osa_distance(&word, name.trim_end_matches('='));
    names.min_by_key(|name| far(name)).filter(|name| far(name) <= name.len().div_ceil(3))
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_word_is_near_a_name_when_few_letters_change() {
        let names = ["lstm", "gru", "dropout=", "recurrent_dropout="];
        for (word, name) in [("gur", "gru"), ("lst", "lstm"), ("dropuot=", "dropout="), ("LSTM", "")] {
            assert_eq!(near(word, names.into_iter()).unwrap_or_default(), name, "{word}");
        }
    }
}
