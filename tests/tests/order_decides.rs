//! Promise: the LSTM reads the order of words. On a set where only the order tells, it learns what a bag of words cannot.

use latch_engine::image::Image;
use latch_engine::{Model, Precision};
use latch_tests::training::{Silent, Task, config};
use latch_trainer::evaluate::evaluate;
use latch_trainer::learning::{sequences::Sequences, training::train};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::runs::folder::RunFolder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn task() -> Task {
    Task::new(config(8, 16, 6), 6000, 1000)
}

/// A stochastic gradient descent over all examples: `step` changes the model by one example's share of the gradient.
fn epochs(count: usize, examples: usize, mut step: impl FnMut(usize, f64)) {
    for epoch in 0..count {
        let rate = 0.5 / (1.0 + epoch as f64);
        // A stride without a common divisor with the number of examples visits all of them, and parts the pairs.
        (0..examples).for_each(|number| step(number * 2_741 % examples, rate));
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn accuracy(sequences: &Sequences, logit: impl Fn(&[u32]) -> f64) -> f64 {
    let right =
        sequences.ids.iter().zip(&sequences.labels).filter(|(ids, label)| (logit(ids) >= 0.0) == (label[0] > 0.5));
    right.count() as f64 / sequences.labels.len() as f64
}

#[test]
fn a_small_lstm_passes_ninety_per_cent_and_so_do_its_images() {
    let task = task();
    let folder = tempfile::tempdir().expect("a folder for the run");
    let run = RunFolder::new(folder.path()).hold().expect("the folder is free");
    let outcome = train(&task.job(&run), None, &mut Silent);
    let outcome = outcome.expect("the training ends");
    println!("f32 network: {:.3} in {:?}", outcome.best.valid_accuracy, outcome.elapsed);
    assert!(outcome.best.valid_accuracy > 0.9, "{}", outcome.best.valid_accuracy);
    let best = run.best().expect("the run has finished epochs");
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let bytes = to_image(&Weights::of(&best.network), &task.vocabulary, precision, &Origin::default())
            .expect("the network fits");
        let image = Image::open(&bytes).expect("the image was just made");
        let evaluation = evaluate(&Model::new(&image), &task.held_out).expect("there is room");
        println!("{}: {:.3}", precision.name(), evaluation.accuracy);
        assert!(evaluation.accuracy > 0.9, "{}: {}", precision.name(), evaluation.accuracy);
    }
}

#[test]
fn a_logistic_regression_on_counts_of_words_stays_under_sixty_per_cent() {
    let task = task();
    let mut weights = vec![0.0; task.vocabulary.rows() + 1];
    let logit = |weights: &[f64], ids: &[u32]| {
        weights[weights.len() - 1] + ids.iter().map(|&id| weights[id as usize]).sum::<f64>()
    };
    epochs(10, task.training.ids.len(), |number, rate| {
        let (ids, label) = (&task.training.ids[number], f64::from(task.training.labels[number][0]));
        let gradient = (sigmoid(logit(&weights, ids)) - label) * rate * 0.1;
        ids.iter().for_each(|&id| weights[id as usize] -= gradient);
        *weights.last_mut().expect("there is a bias") -= gradient;
    });
    let accuracy = accuracy(&task.validation, |ids| logit(&weights, ids));
    println!("logistic regression on counts: {accuracy:.3}");
    assert!(accuracy < 0.6, "{accuracy}");
}

#[test]
fn a_mean_of_embeddings_stays_under_sixty_per_cent() {
    const WIDTH: usize = 8;
    let task = task();
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut random = |count: usize| -> Vec<[f64; WIDTH]> {
        (0..count).map(|_| std::array::from_fn(|_| generator.random_range(-0.5..0.5))).collect()
    };
    let mut table = random(task.vocabulary.rows());
    // A hidden layer of tanh, so that words may depend on each other, and a logit.
    let (mut hidden, mut head) = (random(WIDTH), [0.1; WIDTH]);
    let mean = |table: &[[f64; WIDTH]], ids: &[u32]| -> [f64; WIDTH] {
        let count = ids.len().max(1) as f64;
        std::array::from_fn(|column| ids.iter().map(|&id| table[id as usize][column]).sum::<f64>() / count)
    };
    let squash = |hidden: &[[f64; WIDTH]], mean: &[f64; WIDTH]| -> [f64; WIDTH] {
        std::array::from_fn(|unit| hidden[unit].iter().zip(mean).map(|(w, x)| w * x).sum::<f64>().tanh())
    };
    let dot = |head: &[f64; WIDTH], values: &[f64; WIDTH]| head.iter().zip(values).map(|(w, x)| w * x).sum::<f64>();
    epochs(6, task.training.ids.len(), |number, rate| {
        let (ids, label) = (&task.training.ids[number], f64::from(task.training.labels[number][0]));
        let x = mean(&table, ids);
        let h = squash(&hidden, &x);
        let error = (sigmoid(dot(&head, &h)) - label) * rate;
        let before = hidden.clone();
        let back: [f64; WIDTH] = std::array::from_fn(|unit| error * head[unit] * (1.0 - h[unit] * h[unit]));
        for unit in 0..WIDTH {
            head[unit] -= error * h[unit];
            (0..WIDTH).for_each(|column| hidden[unit][column] -= back[unit] * x[column]);
        }
        for &id in ids {
            for column in 0..WIDTH {
                let gradient: f64 = (0..WIDTH).map(|unit| back[unit] * before[unit][column]).sum();
                table[id as usize][column] -= gradient / ids.len() as f64;
            }
        }
    });
    let accuracy = accuracy(&task.validation, |ids| dot(&head, &squash(&hidden, &mean(&table, ids))));
    println!("mean of embeddings: {accuracy:.3}");
    assert!(accuracy < 0.6, "{accuracy}");
}

#[test]
fn the_last_word_alone_tells_little() {
    let task = task();
    let mut votes = vec![0_i32; task.vocabulary.rows()];
    for (ids, label) in task.training.ids.iter().zip(&task.training.labels) {
        if let Some(&last) =
            ids.iter().rev().find(|&&id| task.vocabulary.words().get(id as usize).is_some_and(|word| word.len() > 1))
        {
            votes[last as usize] += if label[0] > 0.5 { 1 } else { -1 };
        }
    }
    let accuracy = accuracy(&task.validation, |ids| {
        let last =
            ids.iter().rev().find(|&&id| task.vocabulary.words().get(id as usize).is_some_and(|word| word.len() > 1));
        last.map_or(0.0, |&last| f64::from(votes[last as usize]))
    });
    println!("last word: {accuracy:.3}");
    assert!(accuracy < 0.75, "{accuracy}");
}
