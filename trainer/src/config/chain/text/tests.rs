use super::*;

fn refused(text: &str) -> (String, String) {
    let error = text.parse::<Chain>().expect_err(text);
    (error.problem().to_owned(), text[error.place()].to_owned())
}

#[test]
fn a_chain_is_read_with_its_sizes_and_options() {
    let text = "embedding 8 word_dropout=0.1 > lstm 16 dropout=0.2 recurrent_dropout=0.3 > gru 24 reset_before > rnn 5 relu > \
                max > dense 7 tanh dropout=0.5 > dense";
    let chain: Chain = text.parse().unwrap();
    assert_eq!((chain.embedding, chain.word_dropout), (8, 0.1));
    let expected = [
        LayerConfig::Lstm(CellConfig { units: 16, dropout: 0.2, recurrent_dropout: 0.3 }),
        LayerConfig::Gru { cell: CellConfig::of(24), reset_after: false },
        LayerConfig::Rnn { cell: CellConfig::of(5), activation: Activation::Relu },
        LayerConfig::Pooling(Pooling::Max),
        LayerConfig::Dense { units: Some(7), activation: Activation::Tanh, dropout: 0.5 },
        LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 },
    ];
    assert_eq!(chain.layers, expected);
    assert_eq!(chain.to_string(), text);
}

#[test]
fn a_convolution_is_read_with_its_window_and_its_stride() {
    let text = "embedding 8 > conv1d 16 k5 s2 relu dropout=0.2 > conv1d 4 k1 > mean > dense";
    let chain: Chain = text.parse().unwrap();
    let of = |units, (frames, stride, valid), activation, dropout| LayerConfig::Conv1d {
        units,
        frames,
        stride,
        valid,
        activation,
        dropout,
    };
    assert_eq!(chain.layers[0], of(16, (5, 2, false), Activation::Relu, 0.2));
    assert_eq!(chain.layers[1], of(4, (1, 1, false), Activation::Linear, 0.0));
    assert_eq!(chain.to_string(), text);
    let text = "embedding 8 > conv1d 16 k5 s2 valid relu > conv1d 4 k3 valid > mean > dense";
    let chain: Chain = text.parse().unwrap();
    assert_eq!(chain.layers[0], of(16, (5, 2, true), Activation::Relu, 0.0));
    assert_eq!((chain.rhythm().first, chain.rhythm().stride), (8, 2));
    assert_eq!(chain.to_string(), text);
    let text = "embedding 8 > conv1d 16 k5 valid > maxpool 2 > maxpool 3 s1 > mean > dense";
    let pools: Chain = text.parse().unwrap();
    assert_eq!(pools.layers[1], LayerConfig::MaxPool { frames: 2, stride: 2 });
    assert_eq!((pools.rhythm().first, pools.rhythm().stride), (4 + 1 + 2 * 2, 2));
    assert_eq!(pools.to_string(), text);
    let (layer, problem) = chain.each_step().unanswered().expect("the first window is full at the fifth step");
    assert_eq!(layer, 1);
    assert!(problem.contains("a valid convolution has no answer before its window is full"), "{problem}");
    assert!(problem.contains("leave `valid` out") && !problem.contains("put a pooling"), "{problem}");
    let chain: Chain = "embedding 8 > conv1d 16 > dense".parse().unwrap();
    assert_eq!(chain.to_string(), "embedding 8 > conv1d 16 k3 > dense");
    let wide: Chain = "embedding 300 > conv1d 16 k7 > dense".parse().unwrap();
    let (layer, problem) = wide.excess().expect("2,100 values");
    assert_eq!(
        (layer, problem.as_str()),
        (1, "7 frames of 300 features are more than the 2048 values that an image holds in a window")
    );
}

#[test]
fn a_cell_with_options_is_read_and_written_and_without_any_it_is_the_plain_layer() {
    let texts = [
        "lstm 4 peepholes coupled clip=3",
        "lstm 4 project=2 peepholes dropout=0.2 recurrent_dropout=0.1",
        "lstm 4 activation=relu gates=hard_sigmoid output=tanh",
        "lstm 4 gates=hard_sigmoid:0.25:0.4",
        "gru 4 reset_before clip=0.5 gates=hard_sigmoid",
        "gru 4 activation=linear",
        "rnn 4 activation=hard_sigmoid",
        "rnn 4 clip=2 activation=relu",
        "layernorm",
        "layernorm epsilon=0.001",
    ];
    for layer in texts {
        let text = format!("embedding 8 > {layer} > dense");
        let chain: Chain = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(chain.to_string(), text);
        assert_eq!(chain.of_floats().as_deref(), Some(layer));
    }
    for (said, written) in [
        ("lstm 4 relu", "lstm 4 activation=relu"),
        ("lstm 4 hard_sigmoid", "lstm 4 gates=hard_sigmoid"),
        ("lstm 4 relu output=relu", "lstm 4 activation=relu"),
        ("rnn 4 sigmoid", "rnn 4 activation=sigmoid"),
        ("gru 4 gates=hard_sigmoid:0.2:0.5", "gru 4 gates=hard_sigmoid"),
    ] {
        let chain: Chain = format!("embedding 8 > {said} > dense").parse().unwrap();
        assert_eq!(chain.to_string(), format!("embedding 8 > {written} > dense"));
    }
    for (said, plain) in [
        ("lstm 4 tanh gates=sigmoid", "lstm 4"),
        ("gru 4 activation=tanh reset_before", "gru 4 reset_before"),
        ("rnn 4 activation=relu", "rnn 4 relu"),
    ] {
        let of = |layer: &str| format!("embedding 8 > {layer} > dense").parse::<Chain>().unwrap();
        assert_eq!(of(said), of(plain));
        assert_eq!(of(said).of_floats(), None);
    }
}

#[test]
fn what_is_left_out_is_the_default() {
    let chain: Chain = "  embedding   8>gru 24 >rnn 3 tanh> attention>dense linear ".parse().unwrap();
    assert_eq!(chain.to_string(), "embedding 8 > gru 24 > rnn 3 > attention > dense");
    assert_eq!(chain.layers[0], LayerConfig::Gru { cell: CellConfig::of(24), reset_after: true });
    assert_eq!(chain.layers[1], LayerConfig::Rnn { cell: CellConfig::of(3), activation: Activation::Tanh });
    assert_eq!(chain.pooling(), Some(Pooling::Attention));
    assert_eq!("embedding 8 > lstm 4 > dense".parse::<Chain>().unwrap().pooling(), None);
}

#[test]
fn a_stack_is_the_chain_of_its_text() {
    for (text, chain) in [
        ("embedding 3 > lstm 4 > lstm 4 > mean > dense", Chain::stacked(3, 2, 4, Some(Pooling::Mean))),
        ("embedding 3 > max > dense", Chain::stacked(3, 0, 4, Some(Pooling::Max))),
        ("embedding 3 > lstm 4 > dense", Chain::stacked(3, 1, 4, None)),
    ] {
        assert_eq!(text.parse::<Chain>().unwrap(), chain);
        let stored = serde_json::to_string(&chain).unwrap();
        assert_eq!(stored, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Chain>(&stored).unwrap(), chain);
    }
}

#[test]
fn a_mistake_is_pointed_at_with_carets() {
    let error = "embedding 8 > gur 24 > dense".parse::<Chain>().unwrap_err();
    let shown = "unknown layer `gur`; did you mean `gru`?\n  embedding 8 > gur 24 > dense\n                ^^^";
    assert_eq!(error.to_string(), shown);
    let error = "embedding 8 > gru 24 > > dense".parse::<Chain>().unwrap_err();
    assert!(error.to_string().ends_with("\n                        ^"), "{error}");
    let error = "embedding 8 > grü 24".parse::<Chain>().unwrap_err();
    assert!(error.to_string().ends_with("\n                ^^^"), "{error}");
}

#[test]
fn a_mistake_in_a_text_of_any_length_is_shown_with_what_stands_around_it() {
    for spaces in [0, 100, 300, 70_000] {
        let text = format!("embedding 8{} > lsmt 3 > dense", " ".repeat(spaces));
        let error = text.parse::<Chain>().expect_err("a mistake").to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].contains("did you mean `lstm`?") && lines.iter().all(|line| line.len() < 300), "{spaces}");
        let place = lines[2].find("^^^^").expect("carets");
        assert_eq!(&lines[1][place..place + 4], "lsmt", "{spaces}");
    }
    let word = "f".repeat(70_000).parse::<Chain>().expect_err("a mistake").to_string();
    assert!(word.ends_with("^^^") && word.len() < 80_000);
}

#[test]
fn every_mistake_is_named_at_its_place_with_the_nearest_layer_or_option() {
    for (text, problem, place) in [
        ("", "a layer is missing here", ""),
        ("embedding 8 >", "a layer is missing here", ""),
        ("lstm 8 > dense", "a chain begins with an embedding", "lstm"),
        ("embedding 8 > embeding 3 > dense", "did you mean `embedding`?", "embeding"),
        ("embedding 8 > embedding 3 > dense", "one embedding", "embedding"),
        ("embedding 8 > transformer 3 > dense", "known are embedding, lstm", "transformer"),
        ("embedding > lstm 3 > dense", "`embedding` needs its features", "embedding"),
        ("embedding 8 > lstm dropout=0.1 > dense", "`lstm` needs its units", "lstm dropout=0.1"),
        ("embedding 8 > lstm 0 > dense", "a whole number from 1", "0"),
        ("embedding 8 > lstm -3 > dense", "a whole number from 1", "-3"),
        ("embedding 8 > lstm 3.5 > dense", "a whole number from 1", "3.5"),
        ("embedding 8 > lstm 70000 > dense", "to 65535", "70000"),
        ("embedding 8 > lstm 3 4 > dense", "has its size already", "4"),
        ("embedding 8 > lstm 3 > mean 4 > dense", "`mean` has no units", "4"),
        ("embedding 8 > lstm 3 dropuot=0.1 > dense", "did you mean `dropout=`?", "dropuot=0.1"),
        ("embedding 8 > rnn 3 peepholes > dense", "it belongs to `lstm`, as in `lstm 16 peepholes`", "peepholes"),
        ("embedding 8 > lstm 3 relu tanh > dense", "`lstm` has one activation", "tanh"),
        (
            "embedding 8 > lstm 3 relu activation=tanh > dense",
            "`activation` is said already by a word",
            "activation=tanh",
        ),
        (
            "embedding 8 > gru 3 gates=soft > dense",
            "`gates` takes linear, relu, tanh, sigmoid, hard_sigmoid",
            "gates=soft",
        ),
        ("embedding 8 > gru 3 gates=hard_sigmoid:1 > dense", "hard_sigmoid:ALPHA:BETA", "gates=hard_sigmoid:1"),
        ("embedding 8 > gru 3 clip=0 > dense", "`clip` takes a number above 0", "clip=0"),
        ("embedding 8 > lstm 3 project=0 > dense", "`project` takes a number of features from 1", "project=0"),
        ("embedding 8 > lstm 3 > layernorm 3 > dense", "`layernorm` has no units", "3"),
        ("embedding 8 > lstm 3 > layernorm epsilon=0 > dense", "`epsilon` takes a number above 0", "epsilon=0"),
        ("embedding 8 > layernorm > attention > dense", "attention weighs values in [-1, 1]", "attention"),
        ("embedding 8 > lstm 3 k5 > dense", "`k` is no option of `lstm`: it belongs to `conv1d`", "k5"),
        ("embedding 8 > conv1d k5 > dense", "`conv1d` needs its units", "conv1d k5"),
        ("embedding 8 > conv1d 257 > dense", "a whole number from 1 to 256", "257"),
        ("embedding 8 > conv1d 4 k0 > dense", "`k` is the frames of a window, a whole number from 1 to 64", "k0"),
        ("embedding 8 > conv1d 4 k65 > dense", "a whole number from 1 to 64, as in `conv1d 16 k5`", "k65"),
        ("embedding 8 > conv1d 4 k=5 > dense", "a whole number from 1 to 64, as in `conv1d 16 k5`", "k=5"),
        ("embedding 8 > conv1d 4 k > dense", "a whole number from 1 to 64, as in `conv1d 16 k5`", "k"),
        ("embedding 8 > conv1d 4 s0 > dense", "`s` is the steps from one answer to the next", "s0"),
        ("embedding 8 > conv1d 4 s-1 > dense", "a whole number from 1 to 64, as in `conv1d 16 k5 s2`", "s-1"),
        ("embedding 8 > conv1d 4 k3 k5 > dense", "`k` is said twice", "k5"),
        ("embedding 8 > maxpool > dense", "`maxpool` needs its frames, as in `maxpool 2`", "maxpool"),
        ("embedding 8 > maxpool 65 > dense", "a whole number from 1 to 64", "65"),
        ("embedding 8 > maxpool 2 k3 > dense", "`k` is no option of `maxpool`: it belongs to `conv1d`", "k3"),
        ("embedding 8 > last > maxpool 3 > dense", "before the pooling", "maxpool 3"),
        ("embedding 8 > conv1d 4 tanh > dense", "`tanh` is no option of `conv1d`", "tanh"),
        ("embedding 8 > conv1d 4 relu linear > dense", "one activation", "linear"),
        ("embedding 8 > last > conv1d 3 > dense", "before the pooling", "conv1d 3"),
        ("embedding 8 > conv1d 3 > attention > dense", "attention weighs values in [-1, 1]", "attention"),
        ("embedding 8 > lstm 3 peephole > dense", "did you mean `peepholes`?", "peephole"),
        ("embedding 8 > layernorm strength=2 > dense", "known are epsilon=", "strength=2"),
        ("embedding 8 lstm 3 > dense", "put `>` before it", "lstm"),
        ("embedding 8 whole=5 > lstm 3 > dense", "unknown option `whole=5` of `embedding`", "whole=5"),
        ("embedding 8 > units=5 > dense", "unknown layer `units=5`", "units=5"),
        ("embedding 8 > lstm 3 > last x > dense", "`last` has none", "x"),
        ("embedding 8 > lstm 3 dropout=1 > dense", "from 0 to below 1", "dropout=1"),
        ("embedding 8 > lstm 3 dropout=nan > dense", "from 0 to below 1", "dropout=nan"),
        ("embedding 8 > lstm 3 dropout > dense", "did you mean `dropout=`?", "dropout"),
        ("embedding 8 > lstm 3 dropout=0.1 dropout=0.2 > dense", "`dropout` is said twice", "dropout=0.2"),
        ("embedding 8 > rnn 3 tanh relu > dense", "one activation", "relu"),
        ("embedding 8 > lstm 3", "a chain ends with `> dense`", "lstm 3"),
        ("embedding 8", "a chain ends with `> dense`", "embedding 8"),
        ("embedding 8 > last > mean > dense", "pooled once", "mean"),
        ("embedding 8 > last > lstm 3 > dense", "before the pooling", "lstm 3"),
        ("embedding 8 > attention > dense", "attention weighs values in [-1, 1]", "attention"),
        ("embedding 8 > lstm 3 > dense 4 relu > attention > dense", "put it behind a recurrent layer", "attention"),
        ("embedding 8 > rnn 3 relu > attention > dense", "without relu", "attention"),
        ("embedding 8 > dense > lstm 3 > dense", "needs its units", "dense"),
        ("embedding 8 > dense 3", "has no number", "dense 3"),
        ("embedding 8 > dense relu", "the answer is linear", "dense relu"),
    ] {
        let (found, at) = refused(text);
        assert!(found.contains(problem), "{text}: {found}");
        assert_eq!(at, place, "{text}: {found}");
    }
}
