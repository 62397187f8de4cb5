//! A model is written and read as text, and every mistake is pointed at.

use latch_data::dataset::Task;
use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use latch_engine::input::text::Tokens;
use latch_engine::layers::embedding::{MAX_ROWS, Tiers};
use proptest::prelude::*;

use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::config::{MAX_NGRAMS, ModelConfig, NgramConfig, Words, default_model, model_of};

fn model(text: &str) -> ModelConfig {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_model_is_read_with_its_input_and_its_layers() {
    let text = "text 9500 words=useful unknown=ending:7 ngrams=22000 ngram_texts=2 > \
                embedding 8 word_dropout=0.1 whole=2000 rare=2 > gru 24 > attention > dense";
    let read = model(text);
    assert_eq!(read.chain.to_string(), "embedding 8 word_dropout=0.1 > gru 24 > attention > dense");
    assert_eq!((read.vocab, read.words), (9500, Words::Useful));
    assert_eq!((read.ngrams.count, read.ngrams.fewest), (22_000, 2));
    assert_eq!(read.hashed, Some(Hashed { rows: 7, of: Spelling::Ending }));
    assert_eq!(read.tiers, Some(Tiers { whole: 2000, width: 2, remainders: 0, int4: false }));
    assert_eq!(read.to_string(), text);
}

#[test]
fn what_a_token_is_stands_in_front() {
    for (text, tokens) in [
        ("text 300 > embedding 8 > gru 24 > last > dense", Tokens::Words),
        ("text 300 syllables > embedding 8 > gru 24 > last > dense", Tokens::Syllables),
        ("chars 120 > embedding 8 > gru 24 > last > dense", Tokens::Characters),
        ("chars 120 cased unknown=skip > embedding 8 > gru 24 > last > dense", Tokens::CasedCharacters),
    ] {
        let read = model(text);
        assert_eq!(read.tokens, tokens);
        assert_eq!(read.to_string(), text);
    }
    assert_eq!(model("chars cased 9 > embedding 8 > gru 4").input(), "chars 9 cased");
    let refused = |text: &str| text.parse::<ModelConfig>().expect_err("it is refused").problem().to_owned();
    assert!(refused("text 9 cased > embedding 8").contains("`cased` is no option of `text`"));
    assert!(refused("embedding 8 > chars 9 > gru 4").contains("the input `chars` comes first"));
}

#[test]
fn a_bag_of_embeddings_is_a_chain_too() {
    let bag = model("text 9500 > embedding 4 > mean > dense");
    assert_eq!((bag.vocab, bag.chain), (9500, Chain::stacked(4, 0, 1, Some(Pooling::Mean))));
}

#[test]
fn the_input_the_pooling_and_the_last_layer_may_be_left_out() {
    for (text, whole, each_step) in [
        ("embedding 8 > gru 24", "embedding 8 > gru 24 > last > dense", "embedding 8 > gru 24 > dense"),
        (
            "text > embedding 8 > rnn 3 > dense 5 relu",
            "embedding 8 > rnn 3 > last > dense 5 relu > dense",
            "embedding 8 > rnn 3 > dense 5 relu > dense",
        ),
        (
            "embedding 8 > lstm 3 > dense dropout=0.5",
            "embedding 8 > lstm 3 > last > dense dropout=0.5",
            "embedding 8 > lstm 3 > dense dropout=0.5",
        ),
        ("embedding 8", "embedding 8 > mean > dense", "embedding 8 > dense"),
    ] {
        let read = model(text);
        assert_eq!(read.vocab, default_model().vocab);
        assert_eq!(model_of(Task::Classify(0), Some(read.clone())).chain.to_string(), whole);
        assert_eq!(model_of(Task::Tag(3), Some(read)).chain.to_string(), each_step);
    }
}

#[test]
fn the_default_model_pools_where_a_text_has_one_answer() {
    let text = "text 5000 > embedding 8 word_dropout=0.3 > lstm 32 > attention > dense";
    assert_eq!(model_of(Task::Regress, None).to_string(), text);
    assert_eq!(model_of(Task::Regress, None), default_model());
    assert_eq!(model_of(Task::RegressEach, None).to_string(), text.replace(" > attention", ""));
}

#[test]
fn a_mistake_of_a_model_is_pointed_at() {
    for (text, problem, place) in [
        ("txt 5 > embedding 8 > gru 3", "did you mean `text`?", "txt"),
        ("text 5 ngram=3 > embedding 8 > gru 3", "did you mean `ngrams=`?", "ngram=3"),
        ("text 5 words=all > embedding 8 > gru 3", "words: must be count or useful", "words=all"),
        ("text 0 > embedding 8 > gru 3", "a whole number from 1", "0"),
        ("text 5", "an embedding is missing", "text 5"),
        ("text 5 > gru 3", "begins with an embedding", "gru"),
        ("embedding 8 > text 5 > gru 3", "comes first", "text"),
        ("text 5 > embedding 8 rare=3 > gru 3", "give that too", "rare=3"),
        ("text 5 ngrams=3 > embedding 8 quotient=3 word_dropout=0 > gru 3", "give that too", "quotient=3"),
        ("text 5 > embedding 8 > last > gru 3", "before the pooling", "gru 3"),
        ("text 5 > embedding 8 > gru 3 > atention", "did you mean `attention`?", "atention"),
        ("embedding 8 whole=0 > gru 3", "whole: must be", "whole=0"),
        ("embedding 8 whole=9 rare_bits=5 > gru 3", "rare_bits: must be 8 or 4", "rare_bits=5"),
        ("text 5 unknown=some > embedding 8", "must be row, skip, hashed:ROWS or ending:ROWS", "unknown=some"),
        ("text 5 unknown=row:5 > embedding 8", "must be row, skip", "unknown=row:5"),
        ("text 5 unknown=hashed > embedding 8", "must be row, skip", "unknown=hashed"),
        ("text 5 unknown=hashed:0 > embedding 8", "hashed: must be a whole number from 1", "unknown=hashed:0"),
        ("text 5 unknown=ending:x > embedding 8", "ending: must be a whole number from 1", "unknown=ending:x"),
    ] {
        pointed_at(text, problem, place);
    }
}

#[test]
fn an_option_at_the_wrong_place_is_refused_with_the_place_where_it_belongs() {
    for (text, problem, place) in [
        (
            "embedding 8 > gru 24 whole=2000",
            "`whole=` is no option of `gru`: it belongs to `embedding`, as in `embedding 8 whole=2000`",
            "whole=2000",
        ),
        (
            "embedding 8 words=useful > gru 3",
            "it belongs to `text`, `chars`, as in `text 5000 words=useful`",
            "words=useful",
        ),
        ("text 5 word_dropout=0.1 > embedding 8", "it belongs to `embedding`", "word_dropout=0.1"),
        (
            "embedding 8 dropout=0.1 > lstm 3",
            "it belongs to `lstm`, `gru`, `rnn`, `bilstm`, `bigru`, `birnn`, `conv1d`, `dense`",
            "dropout=0.1",
        ),
        ("embedding 8 > gru 3 coupled", "`coupled` is no option of `gru`: it belongs to `lstm`", "coupled"),
        ("embedding 8 > lstm 3 > last dropout=0.1", "`dropout=` is no option of `last`", "dropout=0.1"),
        ("embedding 8 > gru 3 whle=5", "did you mean `whole=` of `embedding`?", "whle=5"),
        ("embedding 8 gru 24", "`gru` is a layer of its own: put `>` before it", "gru"),
        ("embedding 8 > dropout=0.1 > lstm 3", "as in `lstm 16 dropout=0.2`", "dropout=0.1"),
    ] {
        pointed_at(text, problem, place);
    }
}

#[test]
fn a_list_of_keys_is_told_how_a_model_is_written() {
    for text in ["vocab=80,embedding=4,lstm=8", "bag=4", "whole=5, rare=9", "words=useful > embedding 8"] {
        let place = text.split(' ').next().unwrap();
        let problem = "a model is written as the chain of its layers, from the text to the answer, as in \
                       `text 5000 > embedding 8 > lstm 32 > attention > dense`";
        pointed_at(text, problem, place);
    }
}

#[test]
fn what_no_image_can_hold_is_pointed_at() {
    let deep = format!("embedding 8{} > last > dense", " > lstm 3".repeat(15));
    for (text, problem, place) in [
        (
            deep.as_str(),
            "17 layers behind the embedding, the pooling and the last one included, are more than",
            "dense",
        ),
        ("embedding 8 > gru 2041 > last", "8 inputs and 2041 units are more than the 2048 in all", "gru 2041"),
        ("embedding 8 > lstm 1500 > lstm 1500", "1500 inputs and 1500 units are more", "lstm 1500"),
        ("embedding 2049 > lstm 3", "an embedding has from 1 to 2048 features, not 2049", "embedding 2049"),
        ("embedding 8 whole=5 rare=9", "rare: must be a whole number from 1 to 8", "rare=9"),
        ("embedding 8 whole=5 quotient=2 rare=8", "rare: must be a whole number from 1 to 7", "rare=8"),
        ("embedding 1 whole=5 quotient=2", "quotient: must be left out of an embedding of one feature", "quotient=2"),
        ("text 5 unknown=hashed:1048576 > embedding 8", "from 1 to below 1048576", "unknown=hashed:1048576"),
        ("text 5 ngrams=99999999 > embedding 8", "ngrams: must be at most", "ngrams=99999999"),
        ("text 5 ngram_dropout=1.5 > embedding 8", "ngram_dropout: must be from 0 to 1", "ngram_dropout=1.5"),
        ("text 5 longest=0 > embedding 8", "longest: must be a whole number from 1", "longest=0"),
        ("text 5 ngram_bits=9 > embedding 8", "ngram_bits: must be a whole number from", "ngram_bits=9"),
    ] {
        pointed_at(text, problem, place);
    }
}

fn pointed_at(text: &str, problem: &str, place: &str) {
    let error = text.parse::<ModelConfig>().expect_err(text);
    assert!(error.problem().contains(problem), "{text}: {error}");
    assert_eq!(&text[error.place()], place, "{text}: {error}");
    assert!(error.to_string().ends_with('^'), "{error}");
}

/// Shares that an option takes, among them some with many digits.
fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(0.1), 0.0..1.0, Just(f64::MIN_POSITIVE)]
}

fn cell() -> impl Strategy<Value = CellConfig> {
    (1_usize..500, share(), share()).prop_map(|(units, dropout, recurrent_dropout)| CellConfig {
        units,
        dropout,
        recurrent_dropout,
    })
}

fn activation() -> impl Strategy<Value = Activation> {
    use Activation::{Linear, Relu, Sigmoid, Tanh};
    proptest::sample::select(vec![Linear, Relu, Tanh, Sigmoid])
}

fn dense() -> impl Strategy<Value = LayerConfig> {
    (1_usize..500, activation(), share()).prop_map(|(units, activation, dropout)| LayerConfig::Dense {
        units: Some(units),
        activation,
        dropout,
    })
}

fn step() -> impl Strategy<Value = LayerConfig> {
    let rnn = proptest::sample::select(vec![Activation::Tanh, Activation::Relu]);
    prop_oneof![
        cell().prop_map(LayerConfig::Lstm),
        (cell(), any::<bool>()).prop_map(|(cell, reset_after)| LayerConfig::Gru { cell, reset_after }),
        (cell(), rnn).prop_map(|(cell, activation)| LayerConfig::Rnn { cell, activation }),
        (1_usize..257, 1_usize..5, 1_usize..65, any::<[bool; 2]>(), share()).prop_map(
            |(units, frames, stride, [relu, valid], dropout)| {
                let activation = if relu { Activation::Relu } else { Activation::Linear };
                LayerConfig::Conv1d { units, frames, stride, valid, activation, dropout }
            }
        ),
        (1_usize..65, 1_usize..65).prop_map(|(frames, stride)| LayerConfig::MaxPool { frames, stride }),
        dense(),
    ]
}

/// Chains of every layer, with a pooling and without.
fn chain() -> impl Strategy<Value = Chain> {
    let steps = proptest::collection::vec(step(), 0..8);
    let pooling = proptest::option::of(proptest::sample::select(Pooling::ALL.to_vec()));
    let behind = proptest::collection::vec(dense(), 0..4);
    (1_usize..500, share(), steps, pooling, behind, share()).prop_map(
        |(embedding, word_dropout, mut layers, pooling, behind, dropout)| {
            let bounded = layers.last().is_some_and(LayerConfig::is_bounded);
            let pooling = pooling.filter(|pooling| bounded || *pooling != Pooling::Attention);
            layers.extend(pooling.map(LayerConfig::Pooling));
            layers.extend(behind);
            layers.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout });
            Chain { embedding, word_dropout, layers }
        },
    )
}

fn ngrams() -> impl Strategy<Value = NgramConfig> {
    let dropout = prop_oneof![Just(1.0), share()];
    (0..=MAX_NGRAMS, 1..=MAX_LONGEST as u8, WEIGHT_BITS, dropout, 1..=u32::MAX).prop_map(
        |(count, longest, weight_bits, dropout, fewest)| NgramConfig { count, longest, weight_bits, dropout, fewest },
    )
}

/// What unknown words do: whether they are left out, and the rows that they share.
fn unknown() -> impl Strategy<Value = (bool, Option<Hashed>)> {
    let spelling = proptest::sample::select(vec![Spelling::Whole, Spelling::Ending]);
    let hashed = (1..MAX_ROWS, spelling).prop_map(|(rows, of)| (false, Some(Hashed { rows, of })));
    prop_oneof![any::<bool>().prop_map(|skip| (skip, None)), hashed]
}

fn models() -> impl Strategy<Value = ModelConfig> {
    let words = proptest::sample::select(vec![Words::Count, Words::Useful]);
    let tiers = proptest::option::of((1..=u32::MAX, 0.0..1.0, any::<bool>(), 0..=u32::MAX));
    let ngrams = prop_oneof![Just(NgramConfig::NONE), ngrams()];
    let tokens = [Tokens::Words, Tokens::Syllables, Tokens::Characters, Tokens::CasedCharacters];
    let input = (proptest::sample::select(tokens.to_vec()), 1..=MAX_ROWS as usize);
    (input, words, chain(), tiers, unknown(), ngrams).prop_map(
        |((tokens, vocab), words, chain, tiers, (skip_unknown, hashed), ngrams)| {
            let tiers = tiers.map(|(whole, share, int4, remainders)| {
                // A row of B has features of its own.
                let remainders = if chain.embedding == 1 { 0 } else { remainders };
                let most = chain.embedding - usize::from(remainders > 0);
                Tiers { whole, width: 1 + (share * most as f64) as u16, remainders, int4 }
            });
            ModelConfig { tokens, vocab, words, chain, tiers, skip_unknown, hashed, ngrams, samples: None }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_model_that_is_written_is_read_as_the_same_model(written in models()) {
        let text = written.to_string();
        let read = text.parse::<ModelConfig>().unwrap_or_else(|error| panic!("{error}"));
        prop_assert_eq!(&read, &written, "{}", text);
        let json = serde_json::to_string(&written).expect("JSON");
        prop_assert_eq!(&json, &format!("\"{text}\""));
        prop_assert_eq!(serde_json::from_str::<ModelConfig>(&json).expect("a model"), written);
    }

    #[test]
    fn no_text_is_read_with_a_panic(text in "(text|embedding|gru|dense|last|whole=|=|>|[ -~é]| 9| [0-9.]{1,4}|){0,12}") {
        if let Err(error) = text.parse::<ModelConfig>() {
            prop_assert!(error.to_string().contains('^'), "{}", error);
        }
    }
}
