//! Promise: trainer and engine mean the same by a word, streams need the memory that was stated, and quantized models stay near f32.

use latch_engine::image::Image;
use latch_engine::image::header::{Description, Input, Layers};
use latch_engine::input::text::Unknown;
use latch_engine::input::text::{Text, Tokens};
use latch_engine::layers::Layer;
use latch_engine::layers::dense::{Activation, Dense};
use latch_engine::layers::embedding::Embedding;
use latch_engine::layers::lstm::Lstm;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Layout, Model, Precision, State, probability_q15};
use latch_tests::models::{POOLINGS, PRECISIONS, ROOM, Shape, shapes};
use latch_tests::tolerances::{PROBABILITY_Q15, QUANTIZED_F16, QUANTIZED_INT8, QUANTIZED_INT16};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;
use proptest::prelude::*;

/// Text with everything that the tokenizer treats in its own way.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-e]{1,3}",
        2 => "[A-Ea-e'’]{1,5}",
        2 => "[0-9./]{1,6}",
        1 => "(<br ?/?>|<b|!!+|\\.\\.+|…|,|\\?)",
        1 => "[éÉßŸĞΑЖ영화]{1,20}",
        1 => any::<String>(),
    ];
    prop::collection::vec((piece, "( |\n|)"), 0..30)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, space)| piece + &space).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_word_has_the_same_id_in_trainer_and_engine(
        learned in prop::collection::vec(texts(), 1..6),
        text in texts(),
        size in 1_usize..60,
        skip: bool,
    ) {
        let unknown = if skip { Unknown::Skip } else { Unknown::LastRow };
        let vocabulary = Vocabulary::build(learned.iter().map(String::as_str), size, unknown);
        prop_assume!(!vocabulary.words().is_empty());
        let weights = Weights::random(vocabulary.rows(), 2, &[3], Pooling::Mean, 1);
        let bytes = to_image(&weights, &vocabulary, Precision::Int8, &Origin::default()).expect("the words fit an image");
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let words = model.vocabulary().expect("a text model");
        let found: Vec<String> = words.words().map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned()).collect();
        prop_assert_eq!(&found, vocabulary.words());
        for text in learned.iter().chain([&text]) {
            let mut ids = Vec::new();
            let (mut ours, mut theirs) = (State::<ROOM>::new(), State::<ROOM>::new());
            let mut session = model.session(&mut ours).expect("there is room");
            let mut read = |word: &[u8]| ids.push(words.id(word).unwrap_or(vocabulary.words().len() as u32));
            session.push_bytes_each(text.as_bytes(), |_, word| read(word));
            session.finish_each(|_, word| read(word));
            prop_assert_eq!(&ids, &vocabulary.ids(text));
            prop_assert_eq!(session.tokens() as usize, ids.len());
            // Not only the ids: the whole stream is the one that these ids give.
            let mut by_ids = model.session(&mut theirs).expect("there is room");
            by_ids.push_tokens(&ids);
            prop_assert_eq!(session.state(), by_ids.state());
        }
    }

    #[test]
    fn the_stated_bytes_of_a_stream_are_those_of_its_model(shape in shapes(5, 60, 90, 4)) {
        for precision in PRECISIONS {
            let bytes = shape.image(precision);
            let image = Image::open(&bytes).expect("the image was just made");
            let units: Vec<u16> = shape.units.iter().map(|&units| units as u16).collect();
            let stated = Layout::of(&described(precision, shape.pooling, shape.width as u16, &units)).bytes();
            prop_assert_eq!(Model::new(&image).state_bytes(), stated);
        }
    }
}

/// What a firmware writes to name its state's size while it is compiled.
const fn described(precision: Precision, pooling: Pooling, width: u16, units: &[u16]) -> Description {
    let shift = if precision.is_integer() { 1 } else { 0 };
    let mut layers = Layers::EMPTY;
    let (mut inputs, mut layer) = (width, 0);
    while layer < units.len() {
        layers.push(Layer::Lstm(Lstm { inputs, units: units[layer], shift, int4: false, projected: false }));
        inputs = units[layer];
        layer += 1;
    }
    layers.push(Layer::Pooling(pooling));
    layers.push(Layer::Dense(Dense { inputs, outputs: 1, shift, activation: Activation::Linear }));
    let text = Text {
        tokens: Tokens::Words,
        words: 1,
        unknown: Unknown::Skip,
        character_bits: 1,
        prefix_bits: 1,
        index_is_wide: false,
        text_bytes: 1,
    };
    Description {
        precision,
        input: Input::Text(text),
        embedding: Embedding { rows: 1, width, int4: false, tiers: None, projected: 0 },
        layers,
        ..Description::NOTHING
    }
}

/// A stream of a shape starts with the `N` bytes that are stated for it, runs in them as in a large state, and is refused one byte less.
fn needs_exactly<const N: usize, const LESS: usize>(
    precision: Precision,
    pooling: Pooling,
    width: usize,
    units: &[usize],
) {
    assert_eq!(N, LESS + 1);
    let shape = Shape { rows: 6, width, units: units.to_vec(), pooling, unknown: Unknown::Skip, seed: 4 };
    let bytes = shape.image(precision);
    let image = Image::open(&bytes).expect("the image was just made");
    let model = Model::new(&image);
    assert_eq!(model.session(&mut State::<LESS>::new()).err(), Some(Error::StateTooSmall { needed: N, given: LESS }));
    let (mut exactly, mut more) = (State::<N>::new(), State::<ROOM>::new());
    let mut tight = model.session(&mut exactly).expect("exactly enough");
    let mut large = model.session(&mut more).expect("more than enough");
    for id in (0..6).cycle().take(50) {
        assert!(tight.push_token(id) && large.push_token(id));
        assert_eq!(tight.output(), large.output());
    }
    assert_eq!(tight.state(), large.state());
    assert!(more.as_bytes()[N..].iter().all(|&byte| byte == 0), "what lies behind a stream's bytes is not touched");
}

macro_rules! every_precision_and_pooling {
    ($width:literal, $units:expr) => {
        every_precision_and_pooling!(@ $width, $units, F32 Last, F32 Mean, F32 Max, F16 Last, F16 Mean, F16 Max, Int8 Last, Int8 Mean, Int8 Max)
    };
    (@ $width:literal, $units:expr, $($precision:ident $pooling:ident),*) => { $({
        const UNITS: &[u16] = &$units;
        const BYTES: usize = Layout::of(&described(Precision::$precision, Pooling::$pooling, $width, UNITS)).bytes();
        let units: Vec<usize> = UNITS.iter().map(|&units| usize::from(units)).collect();
        needs_exactly::<BYTES, { BYTES - 1 }>(Precision::$precision, Pooling::$pooling, $width, &units);
    })* };
}

#[test]
fn a_stream_runs_in_exactly_the_stated_bytes_and_is_refused_one_byte_less() {
    every_precision_and_pooling!(1, [1]);
    every_precision_and_pooling!(3, [7]);
    every_precision_and_pooling!(8, [32]);
    every_precision_and_pooling!(5, [9, 3]);
    every_precision_and_pooling!(2, [1, 17, 5]);
    every_precision_and_pooling!(40, [6, 30, 2, 11]);
}

/// The default model of `latch train`: embedding 8 > LSTM 32 > mean.
const DEFAULT: (u16, &[u16]) = (8, &[32]);

#[test]
fn a_stream_of_the_default_int8_model_fits_two_kibibytes() {
    for pooling in POOLINGS {
        let bytes = Layout::of(&described(Precision::Int8, pooling, DEFAULT.0, DEFAULT.1)).bytes();
        println!("{}: {bytes} bytes", pooling.name());
        assert!(bytes <= 2048);
    }
}

/// The largest distances of f16, int8 and int16 logits from f32 logits over 60 tokens, in units of the head's length (the root of the sum of its
/// squared weights): a model whose hidden states are all off by e in a random direction is off by e there.
fn distances(shape: &Shape) -> [f32; 3] {
    let weights = shape.weights();
    let length = weights.head.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
    let images = PRECISIONS.map(|precision| shape.image(precision));
    let logits = |bytes: &[u8]| -> Vec<f32> {
        let image = Image::open(bytes).expect("the image was just made");
        let model = Model::new(&image);
        let mut state = State::<ROOM>::new();
        let mut session = model.session(&mut state).expect("there is room");
        (0..60)
            .map(|token| {
                session.push_token(token * token % shape.rows as u32);
                let logit = session.output();
                if model.precision().is_integer() {
                    let difference = f32::from(probability_q15(logit) as i16) / 32_768.0 - logit.probability();
                    assert!(difference.abs() <= PROBABILITY_Q15, "{logit:?}: {difference}");
                }
                logit.to_f32()
            })
            .collect()
    };
    let [f32s, f16s, int8s, int16s] = [0, 1, 2, 3].map(|precision| logits(&images[precision]));
    let worst = |other: &[f32]| f32s.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / length;
    [worst(&f16s), worst(&int8s), worst(&int16s)]
}

#[test]
fn quantized_logits_stay_near_those_of_f32() {
    let (mut worst, mut sum) = ([0.0_f32; 3], [0.0; 3]);
    let mut count = 0.0;
    for seed in 0..60 {
        for units in [vec![8], vec![32], vec![64], vec![16, 16]] {
            for pooling in POOLINGS {
                let shape = Shape {
                    rows: 40,
                    width: 4 + seed as usize % 20,
                    units: units.clone(),
                    pooling,
                    unknown: Unknown::Skip,
                    seed,
                };
                let found = distances(&shape);
                for (place, distance) in found.into_iter().enumerate() {
                    worst[place] = worst[place].max(distance);
                    sum[place] += distance;
                }
                count += 1.0;
                let bounds = [QUANTIZED_F16, QUANTIZED_INT8, QUANTIZED_INT16];
                assert!(found.iter().zip(bounds).all(|(found, bound)| *found <= bound), "{shape:?}: {found:?}");
            }
        }
    }
    println!(
        "f16, int8 and int16 from f32, in lengths of the head: worst {worst:?}, mean of worst {:?}",
        sum.map(|sum| sum / count)
    );
}

/// The variance of the f32 model's answers over the mean square of the differences, over 400 tokens, in decibels.
fn signal_to_noise(shape: &Shape, precision: Precision) -> f64 {
    let answers = [Precision::F32, precision].map(|precision| -> Vec<f64> {
        let bytes = shape.image(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let mut state = State::<ROOM>::new();
        let mut session = model.session(&mut state).expect("there is room");
        (0..400_u32)
            .map(|token| {
                session.push_token(token.wrapping_mul(0x9E37_79B9) % shape.rows as u32);
                f64::from(session.output().to_f32())
            })
            .collect()
    });
    let [signal, other] = &answers;
    let mean = signal.iter().sum::<f64>() / signal.len() as f64;
    let variance: f64 = signal.iter().map(|value| (value - mean).powi(2)).sum();
    let noise: f64 = signal.iter().zip(other).map(|(signal, other)| (signal - other).powi(2)).sum();
    10.0 * (variance / noise).log10()
}

#[test]
fn answers_of_int16_have_at_least_60_decibels_over_their_noise_on_average() {
    let mut ratios: Vec<[f64; 2]> = Vec::new();
    for seed in 0..24 {
        for units in [vec![8], vec![24], vec![64], vec![16, 16]] {
            let (pooling, unknown) = (Pooling::Last, Unknown::Skip);
            let shape = Shape { rows: 40, width: 6, units, pooling, unknown, seed };
            ratios.push([Precision::Int16, Precision::Int8].map(|precision| signal_to_noise(&shape, precision)));
        }
    }
    let [int16, int8] = [0, 1].map(|place| ratios.iter().map(|ratio| ratio[place]).sum::<f64>() / ratios.len() as f64);
    println!("int16 {int16:.1} dB, int8 {int8:.1} dB on average");
    assert!(int16 >= 60.0, "{int16}");
    // Where an answer hardly varies, all have less; int16 is the better one in each model.
    assert!(ratios.iter().all(|[int16, int8]| int16 > int8), "{ratios:?}");
}
