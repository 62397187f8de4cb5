use super::*;
use crate::described::{Answer, Format, Gain, Layer, Matrix, Source};

/// A model whose table has the row number as its one feature.
fn model(rows: usize) -> Described {
    let values = (0..rows).map(|row| row as f32).collect();
    let table = Matrix { source: "table".into(), rows, columns: 1, values };
    let kind = Kind::Embedding(Embedding { table, mask_zero: true });
    Described {
        source: Source::of(Format::Keras),
        input: Input::Ids(Text::default()),
        layers: vec![Layer { name: "embedding".into(), kind }],
        skip: None,
        gain: Gain::default(),
        answer: Answer::default(),
    }
}

/// The words, the rows, and what unknown words do.
type Words = (Vec<String>, Vec<f32>, Option<Unknown>);

/// What a tokenizer's file makes of a model.
fn with(tokenizer: &str, rows: usize) -> Result<Words, String> {
    let mut model = model(rows);
    let tokenizer = Some((tokenizer.as_bytes(), "words.json"));
    complete(&mut model, None, None, tokenizer).map_err(|error| error.to_string())?;
    let (Input::Ids(text), Kind::Embedding(embedding)) = (&model.input, &model.layers[0].kind) else {
        panic!("it reads ids");
    };
    assert!(!embedding.mask_zero && embedding.table.values.len() == embedding.table.rows);
    Ok((text.vocabulary.clone().expect("words"), embedding.table.values.clone(), text.unknown))
}

#[test]
fn the_words_of_a_tokenizer_have_the_rows_of_their_ids_in_the_order_of_their_bytes() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let index = r#"{"the": 1, "cat": 2, "a": 3}"#;
    let skipped = (words(&["a", "cat", "the"]), vec![3.0, 2.0, 1.0], Some(Unknown::Skip));
    assert_eq!(with(index, 5).unwrap(), skipped);
    // As `to_json` gives it: the index is a text; the text may stand in a text again.
    let whole = r#"{"class_name": "Tokenizer", "config": {"num_words": null, "lower": true, "split": " ", "word_index": "{\"the\": 1, \"cat\": 2, \"a\": 3}"}}"#;
    assert_eq!(with(whole, 5).unwrap(), skipped);
    assert_eq!(with(&serde_json::to_string(whole).unwrap(), 5).unwrap(), skipped);
    // A token for unknown words is the last row, and rare words are unknown.
    let rare =
        r#"{"config": {"num_words": 4, "oov_token": "<oov>", "word_index": {"<oov>": 1, "the": 2, "cat": 3, "a": 4}}}"#;
    assert_eq!(with(rare, 5).unwrap(), (words(&["cat", "the"]), vec![3.0, 2.0, 1.0], Some(Unknown::Row)));
    // The index alone has the token of unknown words by its usual name.
    let alone = r#"{"<OOV>": 1, "the": 2, "cat": 3}"#;
    assert_eq!(with(alone, 5).unwrap(), (words(&["cat", "the"]), vec![3.0, 2.0, 1.0], Some(Unknown::Row)));
    let larger = r#"{"config": {"oov_token": "<oov>", "word_index": {"<oov>": 1, "the": 2, "cat": 3}}}"#;
    assert_eq!(with(larger, 3).unwrap(), (words(&["the"]), vec![2.0, 1.0], Some(Unknown::Row)));
}

#[test]
fn words_that_do_not_fit_are_refused_by_the_name_of_their_file() {
    for (text, words) in [
        (r#"{"the": 7}"#, "words.json: the word \"the\" has the id 7, and the embedding 5 rows"),
        (r#"{"the": 1, "a": 1}"#, "words.json: word_index: two words have one id"),
        (r#"{"the": 0}"#, "words.json: word_index: the word \"the\" has no id"),
        (r#"{"the": "x"}"#, "words.json: word_index: the word \"the\" has no id"),
        ("{}", "words.json: word_index: two words have one id, or there is none"),
        ("[1]", "words.json: word_index: it is no object of words"),
        ("{", "words.json: it is no JSON of a model"),
        (r#"{"config": {"split": "_", "word_index": {"a": 1}}}"#, "words.json: split: it cuts texts elsewhere"),
        (
            r#"{"config": {"oov_token": "<oov>", "word_index": {"<oov>": 9, "a": 1}}}"#,
            "words.json: unknown words have the id 9, and the embedding 5 rows",
        ),
    ] {
        let error = with(text, 5).expect_err(words);
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn a_layer_for_texts_says_its_words_and_how_it_cuts() {
    let entry = |config: &str| {
        let config = serde_json::from_str(config).unwrap();
        Entry::made("TextVectorization", "words", "net", super::super::entry::Era::Three, config)
    };
    let plain = r#"{"standardize": "lower_and_strip_punctuation", "split": "whitespace", "output_mode": "int", "vocabulary": ["b", "a"]}"#;
    let mut read = model(4);
    complete(&mut read, Some(&entry(plain)), None, None).unwrap();
    let Input::Ids(text) = &read.input else { panic!("it reads ids") };
    assert_eq!(text.vocabulary.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(read.layers[0].kind.matrices()[0].values, [3.0, 2.0, 1.0]);
    let cut = text.cutting.as_ref().unwrap().cut("Don't  STOP, well-known!");
    assert_eq!(cut, ["dont", "stop", "wellknown"]);
    // The words may lie beside the weights, padding and unknown words first.
    let words = ["", "[UNK]", "b", "a"].map(str::to_owned);
    let mut beside = model(4);
    complete(&mut beside, Some(&entry(&plain.replace(r#"["b", "a"]"#, "null"))), Some(&words), None).unwrap();
    assert_eq!(beside.input, read.input);
    for (from, to, problem) in [
        (r#""int""#, r#""tf_idf""#, "output_mode: it is \"tf_idf\""),
        (r#""whitespace""#, r#"{"config": "mine"}"#, "split: it cuts texts neither"),
        (r#""lower_and_strip_punctuation""#, r#"{"config": "mine"}"#, "standardize: it is code of its own"),
        (r#"["b", "a"]"#, "null", "vocabulary: the file has no words of it"),
    ] {
        let error = complete(&mut model(4), Some(&entry(&plain.replace(from, to))), None, None).unwrap_err();
        assert!(error.to_string().starts_with(&format!("net: layer words: {problem}")), "{error}");
    }
}

#[test]
fn padding_that_reaches_the_answer_is_refused_and_texts_that_are_cut_are_said() {
    let config = r#"{"standardize": "lower", "split": "character", "output_mode": "int", "vocabulary": ["b", "a"], "output_sequence_length": 25}"#;
    let config = serde_json::from_str(config).unwrap();
    let entry = Entry::made("TextVectorization", "words", "net", super::super::entry::Era::Three, config);
    let made = |change: &dyn Fn(&mut Described)| {
        let mut model = model(4);
        change(&mut model);
        complete(&mut model, Some(&entry), None, None).map(|()| model).map_err(|error| error.to_string())
    };
    let masked = made(&|_| {}).unwrap();
    let Input::Ids(text) = &masked.input else { panic!("it reads ids") };
    assert_eq!(text.tokens, Some(Tokens::Chars));
    assert_eq!(crate::remarks(&masked).len(), 1);
    assert!(crate::remarks(&masked)[0].contains("the layer words reads the first 25 words of a text"));
    let unmasked = made(&|model| {
        let Kind::Embedding(embedding) = &mut model.layers[0].kind else { panic!("an embedding") };
        embedding.mask_zero = false;
    });
    let said = "net: layer words: output_sequence_length: it pads texts to 25 words, and nothing masks it";
    assert!(unmasked.clone().unwrap_err().starts_with(said), "{unmasked:?}");
    let windows = made(&|model| {
        let kind = Kind::MaxPool(crate::described::MaxPool { frames: 2, stride: 2 });
        model.layers.push(Layer { name: "max".into(), kind });
    });
    assert!(windows.clone().unwrap_err().contains("a convolution reads it in spite of the mask"), "{windows:?}");
}
