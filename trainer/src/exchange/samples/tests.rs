use super::*;
use crate::exchange::{GivenKeras, GivenProbe, opened};
use latch_interchange::Normalization;

const AIDA: &[u8] = include_bytes!("../../../../interchange/tests/models/aida.json");

fn model() -> Described {
    opened(AIDA, "aida.json", &GivenKeras::default()).expect("a model")
}

#[test]
fn gains_lie_in_the_scaling_and_around_the_network() {
    let model = model();
    let samples = of("aida.json", &model).expect("it reads samples");
    let Scaling { channels, skip, skip_factor, open, lag } = scaling(&model, samples, &[10.0]);
    let Channel { offset, factor, range, unit } = channels[0];
    assert_eq!((offset, factor, unit), (0.0, model.gain.input, 2_f32.powi(-11)));
    assert_eq!((range, skip, lag, open), (10.0 * model.gain.input, Some(Skip::default()), 0, true));
    assert_eq!(skip_factor, model.gain.input * model.gain.output);
    let part = Described { skip: None, ..model.clone() };
    assert_eq!(answering(&part, &scaling(&model, samples, &[1.0])).skip, None);
}

#[test]
fn a_normalized_channel_keeps_its_mean_and_the_range_of_its_samples() {
    let mut model = model();
    model.gain.input = 1.0;
    let normalization = vec![Normalization { mean: -3.0, scale: 2.0 }];
    model.input = Input::Samples(Samples { channels: 1, normalization, ..Samples::default() });
    let samples = of("aida.json", &model).expect("it reads samples");
    let scaling = scaling(&model, samples, &[5.0]);
    assert_eq!((scaling.channels[0].offset, scaling.channels[0].factor, scaling.channels[0].range), (-3.0, 0.5, 4.0));
    assert_eq!(largest_of(&scaling.channels[0], true), 5.0);
    assert_eq!(scaling.scaled(&[5.0, -5.0]), [4.0, -1.0]);
}

#[test]
fn a_probe_is_the_given_one_that_of_the_file_or_a_seeded_one() {
    let mut model = model();
    let samples = of("aida.json", &model).expect("it reads samples").clone();
    let own = probe("net", &model, &samples, &Given::default()).expect("a probe");
    assert_eq!((own.of.as_str(), own.frames.len(), own.answers.len()), ("the input that the file brings", 3, 3));
    let frames = vec![0.5, -7.5];
    let given = Some(GivenProbe { name: "x.wav".into(), channels: 1, frames });
    let given = probe("net", &model, &samples, &Given { probe: given, ..Given::default() }).expect("a probe");
    assert_eq!((given.of.as_str(), largest_of(&given.scaling.channels[0], true)), ("x.wav", 7.5));
    let assumed = given.assumed(&[]);
    assert!(assumed.contains("magnitude 7.5 at most") && !assumed.contains("convolutions"), "{assumed}");
    model.source.probe = None;
    let seeded =
        |full_scale| probe("net", &model, &samples, &Given { full_scale, ..Given::default() }).expect("a probe");
    assert_eq!(seeded(None), seeded(None));
    assert_eq!(seeded(None).frames.len(), STEPS);
    assert!(seeded(None).frames.iter().all(|sample| sample.abs() <= FULL_SCALE));
    assert_eq!(largest_of(&seeded(Some(4.0)).scaling.channels[0], true), 4.0);
    assert!(matches!(seeded(None).example(Task::RegressEach).label, Label::Each(answers) if answers.len() == STEPS));
    // Of classes it is the one with the largest logit at each step.
    let mut logits = seeded(None);
    logits.answers = vec![0.1, 0.9, 0.2, 3.0, -1.0, 0.0];
    assert!(matches!(logits.example(Task::Tag(3)).label, Label::Each(classes) if classes == [1.0, 0.0]));
}

#[test]
fn magnitudes_are_those_of_each_channel_and_at_least_full_scale() {
    assert_eq!(largest(&[0.5, -3.0, -0.25, 2.0], 2), [1.0, 3.0]);
    assert_eq!(largest(&[], 2), [1.0, 1.0]);
}

#[test]
fn a_large_model_is_compared_on_fewer_steps() {
    let mut model = model();
    assert_eq!(steps(&model), STEPS);
    let values = vec![0.0; 1 << 20];
    let kernel = latch_interchange::Matrix { source: "W".into(), rows: 1 << 10, columns: 1 << 10, values };
    let bias = latch_interchange::Vector::default();
    let dense = latch_interchange::Dense { kernel, bias, activation: latch_interchange::Activation::Linear };
    let large = Layer { name: "large".into(), kind: Kind::Dense(dense) };
    model.layers = vec![large.clone()];
    assert_eq!(steps(&model), 128);
    model.layers = vec![large; 8];
    assert_eq!(steps(&model), 100);
}

#[test]
fn outputs_that_do_not_fit_the_task_are_counted_or_called_by_their_activation() {
    use crate::exchange::heads::with_logits;
    use latch_interchange::{Activation, Dense, Matrix, Vector};

    let head = |rows: usize, activation: Activation| {
        let kernel = Matrix { source: "W".into(), rows, columns: 1, values: vec![0.5; rows] };
        let bias = Vector { source: "b".into(), values: vec![0.0; rows] };
        let dense = Kind::Dense(Dense { kernel, bias, activation });
        let head = Layer { name: "head".into(), kind: dense };
        let input = Input::Samples(Samples { channels: 1, ..Samples::default() });
        let mut model = Described { input, layers: vec![head], skip: None, ..model() };
        model.answer.task = None;
        model
    };
    let said = |rows, activation, task: Task| {
        let given = Given { task: Some(task), ..Given::default() };
        answers("net", &with_logits(head(rows, activation), given.task), &given).expect_err("refused").to_string()
    };
    for activation in [Activation::Tanh, Activation::Sigmoid, Activation::Relu] {
        let words =
            format!("net: the last layer: its 2 outputs go through {}, and are no logits of two", activation.name());
        let said = said(2, activation, Task::Tag(0));
        assert!(said.starts_with(&words) && said.contains("train it with softmax"), "{said}");
    }
    let one = said(3, Activation::Linear, Task::RegressEach);
    assert!(one.starts_with("net: the last layer: it has 3 outputs, but regress-each has 1;"), "{one}");
    let pools = said(1, Activation::Linear, Task::Classify(0));
    assert!(pools.starts_with("net: classify has one answer, and the model pools no steps; name another"), "{pools}");
}

#[test]
fn a_seeded_probe_reaches_beyond_the_first_answer() {
    let mut model = model();
    model.source.probe = None;
    model.skip = None;
    let pool = interchange::MaxPool { frames: 1500, stride: 1 };
    model.layers.insert(0, Layer { name: "pool".into(), kind: Kind::MaxPool(pool) });
    let samples = of("aida.json", &model).expect("it reads samples").clone();
    let seeded = probe("net", &model, &samples, &Given::default()).expect("a probe");
    assert_eq!(seeded.frames.len(), 1_499 + LEAST);
    let given = Some(GivenProbe { name: "x.wav".into(), channels: 1, frames: vec![0.5; 1_499] });
    let error = probe("net", &model, &samples, &Given { probe: given, ..Given::default() }).expect_err("too short");
    assert_eq!(
        error.to_string(),
        "x.wav: the probe has 1499 steps, and the first answer needs 1500; name a longer --probe"
    );
}
