//! The names of layers and of their options, where each option belongs, and what is said of a word that is none of them.

use crate::config::near::near;

/// A layer of the notation.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What its number is; none where it takes no number.
    pub number: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
}

impl Kind {
    const fn sized(name: &'static str, number: &'static str, about: &'static str) -> Self {
        Kind { name, number: Some(number), about }
    }

    const fn pooling(name: &'static str, about: &'static str) -> Self {
        Kind { name, number: None, about }
    }

    /// Its options.
    pub fn options(&self) -> impl Iterator<Item = &'static Known> {
        let name = self.name;
        OPTIONS.iter().filter(move |option| option.layers.contains(&name))
    }
}

/// The layers, behind the input of a model.
pub const LAYERS: [Kind; 19] = [
    Kind::sized("text", "WORDS", "the input: words of a text, by a vocabulary of so many"),
    Kind::sized("chars", "CHARACTERS", "the input: characters of a text, at most so many different ones"),
    Kind::sized(
        "samples",
        "CHANNELS",
        "the input: frames of so many channels, of sensors; as many as the data has unless said",
    ),
    Kind::sized("embedding", "FEATURES", "a row of features for each word"),
    Kind::sized("lstm", "UNITS", "long short-term memory: a recurrent layer with a cell and three gates"),
    Kind::sized("gru", "UNITS", "gated recurrent unit: a recurrent layer with two gates"),
    Kind::sized("rnn", "UNITS", "a simple recurrent layer, without gates"),
    Kind::sized(
        "bilstm",
        "UNITS",
        "two LSTM layers, one of them from the last step to the first: for whole texts and recordings, with one answer at the end",
    ),
    Kind::sized("bigru", "UNITS", "the same of GRU layers"),
    Kind::sized("birnn", "UNITS", "the same of simple recurrent layers"),
    Kind::sized("conv1d", "UNITS", "a convolution: reads a window of the last frames at each step"),
    Kind::sized(
        "maxpool",
        "FRAMES",
        "the largest value of each feature over so many steps, each time that they are full; the layers behind it step only then",
    ),
    Kind::sized(
        "dense",
        "UNITS",
        "f(W x + b), at each step or behind the pooling; the last one, without a number, is the answer",
    ),
    Kind {
        name: "layernorm",
        number: None,
        about: "normalizes the features of each step, or behind the pooling; f32 and f16",
    },
    Kind::pooling("last", "pooling: the values after the last step"),
    Kind::pooling("mean", "pooling: the mean over all steps"),
    Kind::pooling("max", "pooling: the largest value of each feature over all steps"),
    Kind::pooling(
        "attention",
        "pooling: the mean over all steps, each with a weight of its own; reads values in [-1, 1]",
    ),
    Kind {
        name: "skip",
        number: None,
        about: "at the end: adds samples to the answer, so that the network learns only what differs from them",
    },
];

/// An option of the notation.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name, with `=` where it takes a value.
    pub name: &'static str,
    /// The layers that have it.
    pub layers: &'static [&'static str],
    /// True of an option that says something of a model besides its layers.
    pub(super) of_model: bool,
    /// What it has where it is not said; empty for one that has nothing then.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
    /// How it is written.
    pub example: &'static str,
}

/// The recurrent layers.
pub(super) const CELLS: &[&str] = &["lstm", "gru", "rnn"];
const BOTH: &[&str] = &["bilstm", "bigru", "birnn"];
/// The inputs, which come first among [`LAYERS`].
pub(super) const INPUTS: &[&str] = &["text", "chars", "samples"];
const TEXTS: &[&str] = &["text", "chars"];
const SAMPLES: &[&str] = &["samples"];
const EMBEDDING: &[&str] = &["embedding"];
const SKIP: &[&str] = &["skip"];

/// All options.
const OPTIONS: [Known; 42] = [
    of_model("syllables", &["text"], "", "Hangul syllables are tokens of their own", "text 2300 syllables"),
    of_model("cased", &["chars"], "", "letters keep their case", "chars 120 cased"),
    of_model(
        "words=",
        TEXTS,
        "count",
        "which words: `count` the most frequent, `useful` those that tell classes apart most",
        "text 5000 words=useful",
    ),
    of_model(
        "unknown=",
        TEXTS,
        "row",
        "words without an id: share a `row`, are left out (`skip`), or share rows by their hash, `hashed:ROWS`, or that of their last three characters, `ending:ROWS`",
        "text 5000 unknown=skip",
    ),
    of_model("ngrams=", TEXTS, "0", "n-grams that have a weight beside the network", "text 1200 ngrams=22000"),
    of_model("longest=", TEXTS, "3", "tokens of the longest n-gram", "text 1200 ngrams=22000 longest=4"),
    of_model("ngram_texts=", TEXTS, "3", "texts that an n-gram must occur in", "text 1200 ngrams=22000 ngram_texts=2"),
    of_model("ngram_bits=", TEXTS, "6", "bits of an n-gram's weight", "text 1200 ngrams=22000 ngram_bits=5"),
    of_model(
        "ngram_dropout=",
        TEXTS,
        "1",
        "share of the texts that the network learns without the n-grams",
        "text 1200 ngrams=22000 ngram_dropout=0.5",
    ),
    of_model(
        "scale=",
        SAMPLES,
        "standardize",
        "how channels are scaled: `standardize` to mean 0 and deviation 1, `minmax` to -1 and 1, or `none`; learned on the training part",
        "samples 6 scale=minmax",
    ),
    of_model(
        "difference=",
        SAMPLES,
        "",
        "read what changed over so many frames in place of the samples; their values unless said",
        "samples 1 difference=1",
    ),
    of_model("clip=", SAMPLES, "", "cut scaled values to this magnitude; none unless said", "samples 6 clip=4"),
    of_model("channel=", SKIP, "0", "the channel that is added, counted from 0", "skip channel=2"),
    of_model(
        "lag=",
        SKIP,
        "0",
        "how many frames before the newest its sample lies: a season less the horizon of a forecast",
        "skip lag=11",
    ),
    of_layer(
        "word_dropout=",
        EMBEDDING,
        "0",
        "share of the words that are left out while training",
        "embedding 8 word_dropout=0.3",
    ),
    of_model(
        "whole=",
        EMBEDDING,
        "",
        "ids with whole rows, those that occur most; all of them unless said",
        "embedding 8 whole=2000",
    ),
    of_model(
        "rare=",
        EMBEDDING,
        "",
        "features of the other ids' rows; half of all unless said",
        "embedding 8 whole=2000 rare=2",
    ),
    of_model(
        "rare_bits=",
        EMBEDDING,
        "8",
        "bits of a weight in these rows: 8 or 4",
        "embedding 8 whole=2000 rare_bits=4",
    ),
    of_model(
        "quotient=",
        EMBEDDING,
        "",
        "rows that the other ids share by their remainder; none unless said",
        "embedding 8 whole=2000 quotient=64",
    ),
    of_layer(
        "reset_before",
        &["gru", "bigru"],
        "",
        "the reset gate acts before the product with the recurrent kernel, not after it",
        "gru 16 reset_before",
    ),
    of_layer("peepholes", &["lstm"], "", "the gates see the cell; f32 and f16", "lstm 16 peepholes"),
    of_layer("coupled", &["lstm"], "", "the forget gate is 1 less the input gate; f32 and f16", "lstm 16 coupled"),
    of_layer(
        "project=",
        &["lstm"],
        "",
        "features to which the hidden state is projected; f32 and f16",
        "lstm 16 project=8",
    ),
    of_layer(
        "clip=",
        CELLS,
        "",
        "sums are held to this magnitude before their activations; f32 and f16",
        "lstm 16 clip=3",
    ),
    of_layer(
        "activation=",
        CELLS,
        "tanh",
        "what candidates go through, or the sums of `rnn`: linear, relu, tanh, sigmoid, hard_sigmoid, hard_sigmoid:ALPHA:BETA; f32 and f16 but tanh, and relu of `rnn`",
        "lstm 16 activation=relu",
    ),
    of_layer(
        "gates=",
        &["lstm", "gru"],
        "sigmoid",
        "what gates go through, one of the same; f32 and f16 but sigmoid",
        "lstm 16 gates=hard_sigmoid",
    ),
    of_layer(
        "output=",
        &["lstm"],
        "",
        "what the cell goes through on its way out, one of the same; as candidates unless said",
        "lstm 16 output=linear",
    ),
    of_layer("epsilon=", &["layernorm"], "0.00001", "what keeps the root from zero", "layernorm epsilon=0.001"),
    of_layer("k", &["conv1d"], "k3", "frames of the window: this one and those before it", "conv1d 16 k5"),
    of_layer(
        "s",
        &["conv1d", "maxpool"],
        "s1",
        "stride: an answer each so many steps, and the layers behind step only then; of `maxpool` its frames unless said",
        "conv1d 16 k5 s2",
    ),
    of_layer(
        "valid",
        &["conv1d"],
        "",
        "the first answer when the window is full, as Keras's `valid`; without it at the first step, with zeros before it, as `causal`",
        "conv1d 16 k5 valid",
    ),
    of_layer(
        "average",
        BOTH,
        "",
        "half the sum of both directions, in place of both side by side",
        "bilstm 16 average",
    ),
    of_layer("product", BOTH, "", "the product of both directions, in place of both side by side", "bilstm 16 product"),
    of_layer(
        "aligned",
        BOTH,
        "",
        "in front of `last`: the values at the last step, in place of the last ones of each direction",
        "bilstm 16 aligned",
    ),
    of_layer(
        "steps=",
        BOTH,
        "256",
        "steps of the longest sequence: a device keeps so many, and reads the last of a longer one",
        "bilstm 16 steps=400",
    ),
    of_layer("linear", &["dense", "conv1d", "lstm", "gru", "rnn"], "", "the sums as they are", "dense 16 linear"),
    of_layer(
        "tanh",
        &["rnn", "birnn", "dense", "lstm", "gru"],
        "",
        "tanh of the sums; of cells unless said otherwise",
        "rnn 16 tanh",
    ),
    of_layer(
        "relu",
        &["rnn", "birnn", "dense", "conv1d", "lstm", "gru"],
        "",
        "the sums, or 0 where they are negative",
        "rnn 16 relu",
    ),
    of_layer("sigmoid", &["dense", "lstm", "gru", "rnn"], "", "1 / (1 + e^-sum)", "dense 16 sigmoid"),
    of_layer(
        "hard_sigmoid",
        CELLS,
        "",
        "clamp(0.2·sum + 0.5, 0, 1), of the gates or of the sums of `rnn`; f32 and f16",
        "lstm 16 hard_sigmoid",
    ),
    of_layer(
        "dropout=",
        &["lstm", "gru", "rnn", "bilstm", "bigru", "birnn", "conv1d", "dense"],
        "0",
        "share of the input features that are left out while training",
        "lstm 16 dropout=0.2",
    ),
    of_layer(
        "recurrent_dropout=",
        CELLS,
        "0",
        "share of the hidden features that are left out while training",
        "lstm 16 recurrent_dropout=0.2",
    ),
];

const fn of_model(
    name: &'static str,
    layers: &'static [&'static str],
    default: &'static str,
    about: &'static str,
    example: &'static str,
) -> Known {
    Known { name, layers, of_model: true, default, about, example }
}

const fn of_layer(
    name: &'static str,
    layers: &'static [&'static str],
    default: &'static str,
    about: &'static str,
    example: &'static str,
) -> Known {
    Known { of_model: false, ..of_model(name, layers, default, about, example) }
}

/// Whether a layer, or the input of a model, has this name.
pub(super) fn known(name: &str, of_model: bool) -> bool {
    layers(of_model).any(|known| known == name)
}

fn layers(of_model: bool) -> impl Iterator<Item = &'static str> {
    LAYERS.iter().skip(if of_model { 0 } else { INPUTS.len() }).map(|kind| kind.name)
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
            let near = near(word, layers(of_model));
            let all = || known_are(&layers(of_model).collect::<Vec<_>>());
            let hint = near.map_or_else(all, |near| format!("did you mean `{near}`?"));
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
    } else if let Some(near) = near(key, options(of_model).map(|option| option.name).filter(|name| name.len() > 1)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_every_option_is_read_and_has_the_option_at_its_layer() {
        use crate::config::ModelConfig;
        for Known { name, layers, example, .. } in &OPTIONS {
            assert!(example.starts_with(layers[0]) && example.contains(&format!(" {name}")), "{example}");
            assert!(layers.iter().all(|layer| known(layer, true)), "{name}");
            let text = match layers[0] {
                "text" | "chars" => format!("{example} > embedding 8 > lstm 16"),
                "samples" => format!("{example} > gru 8"),
                "skip" => format!("samples 6 > gru 8 > {example}"),
                "embedding" => format!("{example} > lstm 16"),
                _ => format!("embedding 8 > {example}"),
            };
            text.parse::<ModelConfig>().unwrap_or_else(|error| panic!("{error}"));
        }
    }
    #[test]
    fn what_an_option_has_unless_said_is_what_the_reader_gives_it() {
        use crate::config::ModelConfig;
        let read = |text: String| text.parse::<ModelConfig>().unwrap_or_else(|error| panic!("{text}: {error}"));
        for Known { name, default, example, layers, .. } in OPTIONS.iter().filter(|option| !option.default.is_empty()) {
            let said = if name.ends_with('=') { format!("{name}{default}") } else { (*default).to_owned() };
            let (with, without): (Vec<_>, Vec<_>) = (
                example.split(' ').map(|word| if word.starts_with(name) { said.as_str() } else { word }).collect(),
                example.split(' ').filter(|word| !word.starts_with(name)).collect(),
            );
            let whole = |layer: Vec<&str>| match layers[0] {
                "text" | "chars" => format!("{} > embedding 8 > lstm 16", layer.join(" ")),
                "samples" => format!("{} > gru 8", layer.join(" ")),
                "skip" => format!("samples 6 > gru 8 > {}", layer.join(" ")),
                "embedding" => format!("{} > lstm 16", layer.join(" ")),
                _ => format!("embedding 8 > {}", layer.join(" ")),
            };
            assert_eq!(read(whole(with)), read(whole(without)), "{name}");
        }
    }
}
