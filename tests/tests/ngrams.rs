//! Promise: n-grams add to the logit what the trainer says, to the same bits in any chunks, on any backend, after any pause.

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::Answer;
use latch_engine::input::ngrams::stream_bytes;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::kernels::AnyBackend;
use latch_engine::{Error, Logit, Model, Precision, State, with_answer};
use latch_trainer::config::{ModelConfig, Objective};
use latch_trainer::dataset::{Example, Label, built_in};
use latch_trainer::evaluate::evaluate;
use latch_trainer::learning::sequences::Sequences;
use latch_trainer::learning::training::fused;
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::ngrams::{Answers, Fitted, Labelled, NgramConfig, Seen, fit, hashes};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::tokenization::Tokenization;
use latch_trainer::vocabulary::Vocabulary;

const NGRAMS: NgramConfig = NgramConfig { count: 300, longest: 3, weight_bits: 6, dropout: 1.0, fewest: 3 };

/// Bytes of a state, enough for the models of these tests.
const N: usize = 512;

/// Reviews, and n-grams fitted to them.
fn fitted() -> (Vec<Example>, Fitted) {
    let examples = built_in::generate(3, 400);
    let texts: Vec<Vec<u32>> = examples.iter().map(|example| hashes(&Tokenization::default(), &example.text)).collect();
    let labels: Vec<f32> = examples.iter().map(|example| example.label as f32).collect();
    let fitted = fit(
        &Labelled { texts: &texts, labels: &labels, targets: &[], ends: None, answers: Answers::Verdict },
        &NGRAMS,
        1,
    );
    (examples, fitted)
}

/// A network of random weights, with and without n-grams.
fn images(precision: Precision) -> (Vec<Example>, Fitted, AlignedBytes, AlignedBytes) {
    let (examples, fitted) = fitted();
    let texts = examples.iter().map(|example| example.text.as_str());
    let vocabulary = Vocabulary::build(texts, 50, Unknown::LastRow);
    let weights = Weights::random(vocabulary.rows(), 5, &[9], latch_engine::layers::pooling::Pooling::Mean, 2);
    let image = |weights: &Weights| to_image(weights, &vocabulary, precision, &Origin::default()).expect("it fits");
    let without = image(&weights);
    let with = image(&Weights { ngrams: Some(fitted.table.clone()), ..weights });
    (examples, fitted, without, with)
}

/// The logit of a text that comes in chunks of so many bytes.
fn logit(model: &Model<'_>, text: &str, chunk: usize) -> Logit {
    let mut state = State::<N>::new();
    let mut session = model.session(&mut state).expect("there is room");
    text.as_bytes().chunks(chunk).for_each(|chunk| session.push_bytes(chunk));
    session.finish();
    session.output()
}

#[test]
fn the_engine_adds_what_the_trainer_fitted() {
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let (examples, fitted, without, with) = images(precision);
        let (without, with) = (Image::open(&without).expect("it opens"), Image::open(&with).expect("it opens"));
        let (without, with) = (Model::new(&without), Model::new(&with));
        for example in &examples[..100] {
            let added = logit(&with, &example.text, 7).to_f32() - logit(&without, &example.text, 7).to_f32();
            let expected = fitted.table.logits(&hashes(&Tokenization::default(), &example.text))[0];
            // Six bits a weight, over a few dozen n-grams: the errors are independent.
            assert!((added - expected).abs() < 0.15 * expected.abs().max(1.0), "{added} for {expected}");
        }
    }
}

/// Reviews in three classes, those of music in the third, n-grams fitted to them, and images with and without these.
fn images_of_three(precision: Precision) -> (Vec<Example>, Fitted, AlignedBytes, AlignedBytes) {
    let (examples, _) = fitted();
    let texts: Vec<Vec<u32>> = examples.iter().map(|example| hashes(&Tokenization::default(), &example.text)).collect();
    let label = |example: &Example| if example.text.contains("music") { 2.0 } else { example.label as f32 };
    let labels: Vec<f32> = examples.iter().map(label).collect();
    let labelled = Labelled { texts: &texts, labels: &labels, targets: &[], ends: None, answers: Answers::Classes(3) };
    let fitted = fit(&labelled, &NGRAMS, 1);
    let vocabulary = Vocabulary::build(examples.iter().map(|example| example.text.as_str()), 50, Unknown::LastRow);
    let mut weights = Weights::random(vocabulary.rows(), 5, &[9], latch_engine::layers::pooling::Pooling::Mean, 2);
    let row = weights.head.clone();
    weights.head = [1.0, -0.5, 0.3].iter().flat_map(|gain| row.iter().map(move |weight| gain * weight)).collect();
    weights.head_bias = vec![0.1, 0.0, -0.1];
    let image = |weights: &Weights| to_image(weights, &vocabulary, precision, &Origin::default()).expect("it fits");
    let without = image(&weights);
    let with = image(&Weights { ngrams: Some(fitted.table.clone()), ..weights });
    (examples, fitted, without, with)
}

/// All logits of a text that comes in chunks of so many bytes.
fn logits(model: &Model<'_>, text: &str, chunk: usize) -> Vec<Logit> {
    let mut state = State::<N>::new();
    let mut session = model.session(&mut state).expect("there is room");
    text.as_bytes().chunks(chunk).for_each(|chunk| session.push_bytes(chunk));
    session.finish();
    (0..usize::from(model.outputs())).map(|output| session.logit(output)).collect()
}

#[test]
fn of_several_outputs_each_gets_what_the_trainer_fitted_for_it() {
    for precision in [Precision::F32, Precision::Int8] {
        let (examples, fitted, without, with) = images_of_three(precision);
        let (without, with) = (Image::open(&without).expect("it opens"), Image::open(&with).expect("it opens"));
        let (without, with) = (Model::new(&without), Model::new(&with));
        for example in &examples[..60] {
            let (plain, beside) = (logits(&without, &example.text, 7), logits(&with, &example.text, 7));
            let expected = fitted.table.logits(&hashes(&Tokenization::default(), &example.text));
            // The outputs' weights share one scale, and with it their steps.
            let largest = expected.iter().fold(1.0_f32, |largest, logit| largest.max(logit.abs()));
            for ((beside, plain), expected) in beside.iter().zip(&plain).zip(expected) {
                let added = beside.to_f32() - plain.to_f32();
                assert!((added - expected).abs() < 0.15 * largest, "{added} for {expected}");
            }
            for backend in AnyBackend::all() {
                let other = logits(&with.clone().with_backend(backend), &example.text, 1);
                assert!(precision == Precision::F32 || other == beside);
            }
        }
    }
}

#[test]
fn chunks_backends_and_pauses_change_no_bit() {
    let (examples, _, _, bytes) = images(Precision::Int8);
    let image = Image::open(&bytes).expect("it opens");
    let model = Model::new(&image);
    for example in &examples[..30] {
        let expected = logit(&model, &example.text, usize::MAX);
        for backend in AnyBackend::all() {
            assert_eq!(logit(&model.clone().with_backend(backend), &example.text, 1), expected);
        }
        let half = example.text.len() / 2;
        let mut state = State::<N>::new();
        model.session(&mut state).expect("there is room").push_bytes(&example.text.as_bytes()[..half]);
        let mut kept = State::<N>::from_bytes(state.as_bytes()).expect("as many bytes");
        let mut session = model.resume(&mut kept).expect("a state of this model");
        session.push_bytes(&example.text.as_bytes()[half..]);
        session.finish();
        assert_eq!(session.output(), expected);
        session.reset();
        assert_eq!(session.output(), logit(&model, "", 1), "a reset stream remembers no n-gram");
    }
}

#[test]
fn a_state_with_a_sum_that_no_text_gives_is_refused() {
    let (_, _, _, bytes) = images(Precision::Int8);
    let image = Image::open(&bytes).expect("it opens");
    let model = Model::new(&image);
    let mut state = State::<N>::new();
    let mut session = model.session(&mut state).expect("there is room");
    session.push_bytes(b"a fine film ");
    // The n-grams are the last thing that is remembered: tokens, a sum, and two hashes.
    let sum = session.remembered().len() - stream_bytes(NGRAMS.longest, 1) + 4;
    state.as_bytes_mut()[sum..sum + 4].copy_from_slice(&30_000_000_i32.to_le_bytes());
    assert_eq!(model.resume(&mut state).err(), Some(Error::StateDamaged));
}

/// Texts each of whose tokens has one of three labels, decided by its word and the one before it.
fn tagged() -> Vec<Example<Label>> {
    let words = ["the", "don't", "run", "dog", "5", "so"];
    (0..300_usize)
        .map(|text| {
            let places: Vec<usize> = (0..6).map(|at| (text * (at + 3) + text / 7 + at * at) % words.len()).collect();
            let label = |at: usize| {
                let before = if at == 0 { 1 } else { places[at - 1] };
                ((before * 5 + places[at] * before) % 3) as f32
            };
            // A mark of its own belongs to the word before it; one that is no token has the answer before it.
            let spelled = |at: usize| [words[places[at]], if at == 2 { "," } else { "" }].concat();
            let text = (0..6).map(spelled).chain(["'".to_owned()]).collect::<Vec<_>>().join(" ");
            Example::new(Label::Each((0..6).map(label).chain([1.0]).collect()), text)
        })
        .collect()
}

#[test]
fn where_each_token_has_an_answer_the_engine_adds_what_the_trainer_fitted_on_every_backend() {
    let examples = tagged();
    let tokenization = Tokenization::of_examples(Tokens::Words, &examples);
    let seen = Seen::of(&tokenization, &examples, NGRAMS.longest);
    let Seen { texts, labels, ends } = &seen;
    let labelled = Labelled { texts, labels, targets: &[], ends: ends.as_deref(), answers: Answers::Classes(3) };
    let fitted = fit(&labelled, &NGRAMS, 1);
    // At least 1,000 of the 2,100 answers judge: those of three folds in five.
    assert_eq!((fitted.answers, fitted.judged.len(), fitted.offsets.len()), (300 * 7, 180 * 7, 180 * 7 * 3));

    let chain = "text 5 unknown=skip > embedding 3 > gru 4 > dense".parse::<ModelConfig>().expect("a model").chain;
    let texts = examples.iter().map(|example| example.text.as_str());
    let vocabulary = Vocabulary::build(texts, 4, Unknown::Skip);
    let network =
        Network::<f32>::new(&NetworkConfig { vocabulary: vocabulary.rows(), outputs: 3, chain }, 3).expect("a network");
    let sequences = Sequences::read(&examples, &vocabulary, usize::MAX).beside(&examples, &tokenization, &fitted.table);
    let alone = fused(&network, &sequences, Objective::CrossEntropy).expect("answers");
    let weights = Weights { ngrams: Some(fitted.table.clone()), ..Weights::of(&network) };
    for precision in [Precision::F32, Precision::Int8] {
        let bytes = to_image(&weights, &vocabulary, precision, &Origin::default()).expect("it fits");
        let answer = Answer { each_step: true, ..Answer::default() };
        let bytes = with_answer(&Image::open(&bytes).expect("it opens"), answer, &[]).expect("an answer a token");
        let image = Image::open(&bytes).expect("it opens");
        let model = Model::new(&image);
        let found = evaluate(&model, &examples).expect("it runs");
        assert_eq!(found.labels, alone.labels);
        let largest = sequences.offsets.iter().fold(1.0_f32, |largest, logit| largest.max(logit.abs()));
        // The table is rounded as it stands in the image, and so is what the network computes with floats.
        let allowed = if precision == Precision::F32 { 1e-3 } else { 0.1 } * largest;
        for ((found, alone), added) in found.logits.iter().zip(&alone.logits).zip(&sequences.offsets) {
            assert!((found - alone - added).abs() < allowed, "{found} for {alone} and {added}");
        }
        for backend in AnyBackend::all() {
            let other = evaluate(&model.clone().with_backend(backend), &examples).expect("it runs");
            assert!(precision == Precision::F32 || other.logits == found.logits, "{backend:?}");
        }
    }
}
