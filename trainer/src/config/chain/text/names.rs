//! The names of layers and of their options, where each option belongs, and what is said of a word that is none of them.

/// The names of layers, behind that of a model's input.
pub(super) const LAYERS: [&str; 10] =
    ["text", "embedding", "lstm", "gru", "rnn", "dense", "last", "mean", "max", "attention"];

/// An option of the notation.
pub(super) struct Known {
    /// Its name, with `=` where it takes a value.
    pub(super) name: &'static str,
    /// The layers that have it.
    layers: &'static [&'static str],
    /// True of an option that says something of a model besides its layers.
    pub(super) of_model: bool,
    /// How it is written.
    example: &'static str,
}

const fn of_model(name: &'static str, layers: &'static [&'static str], example: &'static str) -> Known {
    Known { name, layers, of_model: true, example }
}

const fn of_layer(name: &'static str, layers: &'static [&'static str], example: &'static str) -> Known {
    Known { name, layers, of_model: false, example }
}

const CELLS: &[&str] = &["lstm", "gru", "rnn"];

/// All options.
const OPTIONS: [Known; 19] = [
    of_model("words=", &["text"], "text 5000 words=useful"),
    of_model("unknown=", &["text"], "text 5000 unknown=skip"),
    of_model("ngrams=", &["text"], "text 1200 ngrams=22000"),
    of_model("longest=", &["text"], "text 1200 ngrams=22000 longest=4"),
    of_model("ngram_texts=", &["text"], "text 1200 ngrams=22000 ngram_texts=2"),
    of_model("ngram_bits=", &["text"], "text 1200 ngrams=22000 ngram_bits=5"),
    of_model("ngram_dropout=", &["text"], "text 1200 ngrams=22000 ngram_dropout=0.5"),
    of_layer("word_dropout=", &["embedding"], "embedding 8 word_dropout=0.3"),
    of_model("whole=", &["embedding"], "embedding 8 whole=2000"),
    of_model("rare=", &["embedding"], "embedding 8 whole=2000 rare=2"),
    of_model("rare_bits=", &["embedding"], "embedding 8 whole=2000 rare_bits=4"),
    of_model("quotient=", &["embedding"], "embedding 8 whole=2000 quotient=64"),
    of_layer("reset_before", &["gru"], "gru 16 reset_before"),
    of_layer("linear", &["dense"], "dense 16 linear"),
    of_layer("tanh", &["rnn", "dense"], "rnn 16 tanh"),
    of_layer("relu", &["rnn", "dense"], "rnn 16 relu"),
    of_layer("sigmoid", &["dense"], "dense 16 sigmoid"),
    of_layer("dropout=", &["lstm", "gru", "rnn", "dense"], "lstm 16 dropout=0.2"),
    of_layer("recurrent_dropout=", CELLS, "lstm 16 recurrent_dropout=0.2"),
];

/// Whether a layer, or the input of a model, has this name.
pub(super) fn known(name: &str, of_model: bool) -> bool {
    layers(of_model).contains(&name)
}

fn layers(of_model: bool) -> &'static [&'static str] {
    &LAYERS[usize::from(!of_model)..]
}

fn options(of_model: bool) -> impl Iterator<Item = &'static Known> {
    OPTIONS.iter().filter(move |option| of_model || !option.of_model)
}

/// The option of a layer that has this name.
pub(super) fn option(layer: &str, key: &str, of_model: bool) -> Option<&'static Known> {
    options(of_model).find(|option| option.name == key && option.layers.contains(&layer))
}

/// What is said of a word that stands where a layer begins and is no name.
pub(super) fn no_layer(word: &str, first: bool, of_model: bool) -> String {
    match options(of_model).find(|option| word.starts_with(option.name)) {
        _ if first && word.contains('=') => {
            "a model is written as the chain of its layers, from the text to the answer, as in \
             `text 5000 > embedding 8 > lstm 32 > attention > dense`"
                .into()
        }
        Some(option) => format!("a layer's name stands before its options, as in `{}`", option.example),
        None => {
            let names = layers(of_model);
            let near = near(word, names.iter().copied());
            let hint = near.map_or_else(|| known_are(names), |near| format!("did you mean `{near}`?"));
            format!("unknown layer `{word}`; {hint}")
        }
    }
}

/// What is said of a word behind the name of a layer that is none of its options; `key` is the word up to its `=`.
pub(super) fn no_option(layer: &str, word: &str, key: &str, of_model: bool) -> String {
    if known(key, of_model) {
        return format!("`{key}` is a layer of its own: put `>` before it");
    }
    if let Some(Known { layers, example, .. }) = options(of_model).find(|option| option.name == key) {
        let layers: Vec<String> = layers.iter().map(|layer| format!("`{layer}`")).collect();
        return format!("`{key}` is no option of `{layer}`: it belongs to {}, as in `{example}`", layers.join(", "));
    }
    let own: Vec<&str> =
        options(of_model).filter(|option| option.layers.contains(&layer)).map(|option| option.name).collect();
    let hint = if let Some(near) = near(key, own.iter().copied()) {
        format!("did you mean `{near}`?")
    } else if let Some(near) = near(key, options(of_model).map(|option| option.name)) {
        let of = OPTIONS.iter().find(|option| option.name == near).map_or("", |option| option.layers[0]);
        format!("did you mean `{near}` of `{of}`?")
    } else if own.is_empty() {
        format!("`{layer}` has none")
    } else {
        known_are(&own)
    };
    format!("unknown option `{word}` of `{layer}`; {hint}")
}

fn known_are(names: &[&str]) -> String {
    format!("known are {}", names.join(", "))
}

/// The name that is nearest to a word, where one is near.
fn near(word: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let far = |name: &str| distance(word.trim_end_matches('='), name.trim_end_matches('='));
    names.min_by_key(|name| far(name)).filter(|name| far(name) <= name.len().div_ceil(3))
}

/// The edits (a character more, less, another, or two swapped) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let other = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = other.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_far_apart_as_the_edits_between_them() {
        for (a, b, edits) in
            [("gru", "gru", 0), ("gur", "gru", 1), ("lst", "lstm", 1), ("", "rnn", 3), ("dens", "lstm", 4)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn the_example_of_every_option_is_read_and_has_the_option_at_its_layer() {
        use crate::config::ModelConfig;
        for Known { name, layers, example, .. } in &OPTIONS {
            assert!(example.starts_with(layers[0]) && example.contains(&format!(" {name}")), "{example}");
            assert!(layers.iter().all(|layer| LAYERS.contains(layer)), "{name}");
            let text = match layers[0] {
                "text" => format!("{example} > embedding 8 > lstm 16"),
                "embedding" => format!("{example} > lstm 16"),
                _ => format!("embedding 8 > {example}"),
            };
            text.parse::<ModelConfig>().unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
