//! The heads of classifiers. An image keeps logits and makes probabilities of them by itself; a file of another tool has the activation in the network.
//!
//! ```text
//! sigmoid of one output                 one logit, positive for the second class
//! softmax of two outputs                one logit: the second less the first
//! softmax of three or more              the logits of the classes
//! outputs without an activation         logits, where the user says that they are classes; of two the second less the first
//! ```

use latch_interchange::{Activation, Dense, Described, Kind, Task, remark};

use crate::dataset;

/// The same model with logits, where the file or the user says that it classifies and its last layer is one that gives probabilities, or the logits of two classes; with a remark, where the user alone says it.
pub(super) fn with_logits(mut model: Described, said: Option<dataset::Task>) -> Described {
    let is_said = matches!(said, Some(dataset::Task::Classify(_) | dataset::Task::Tag(_)));
    let is_stated = matches!(model.answer.task, Some(Task::Classify | Task::Tag));
    if !is_said && !is_stated {
        return model;
    }
    let Some(Kind::Dense(Dense { kernel, bias, activation })) = model.layers.last_mut().map(|layer| &mut layer.kind)
    else {
        return model;
    };
    // A file that says no task has the head of its layout: one logit of two classes.
    let is_taken = !is_stated && *activation == Activation::Linear && (model.answer.task.is_some() || kernel.rows == 2);
    let rows = kernel.rows;
    match (*activation, rows) {
        (Activation::Linear, 1) | (Activation::Sigmoid, 1) => {}
        (Activation::Linear, 2) if !is_said => return model,
        (Activation::Softmax | Activation::Linear, 2) => {
            let (first, second) = kernel.values.split_at(kernel.columns);
            kernel.values = first.iter().zip(second).map(|(first, second)| second - first).collect();
            kernel.rows = 1;
            bias.values = vec![bias.values[1] - bias.values[0]];
        }
        (Activation::Softmax | Activation::Linear, 3..) => {}
        _ => return model,
    }
    *activation = Activation::Linear;
    if is_taken {
        remark::note(&mut model, taken(rows));
    }
    model
}

/// What the numbers of a last layer without an activation are taken as.
fn taken(rows: usize) -> String {
    match rows {
        1 => "its last layer gives one number, taken as the logit of the second of two classes (sigmoid)".to_owned(),
        2 => "its last layer gives two numbers, taken as the logits of two classes (softmax): the image has their \
              difference, the second less the first"
            .to_owned(),
        _ => format!("its last layer gives {rows} numbers, taken as the logits of {rows} classes (softmax)"),
    }
}

#[cfg(test)]
mod tests {
    use latch_interchange::{Answer, Format, Gain, Input, Layer, Matrix, Samples, Source, Vector, reference};

    use super::*;

    fn model(rows: usize, activation: Activation, task: Task) -> Described {
        let values: Vec<f32> = (0..2 * rows).map(|value| value as f32 * 0.3 - 0.7).collect();
        let kernel = Matrix { source: "W".into(), rows, columns: 2, values };
        let bias = Vector { source: "b".into(), values: (0..rows).map(|row| row as f32 * 0.2).collect() };
        Described {
            source: Source::of(Format::Keras),
            input: Input::Samples(Samples { channels: 2, ..Samples::default() }),
            layers: vec![Layer { name: "head".into(), kind: Kind::Dense(Dense { kernel, bias, activation }) }],
            skip: None,
            gain: Gain::default(),
            answer: Answer { task: Some(task), classes: None },
        }
    }

    #[test]
    fn logits_say_the_probabilities_that_the_file_gives() {
        let answers = |model: &Described| reference::of_samples(model, &[0.4, -1.3]).answers;
        let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        for (rows, activation) in [(1, Activation::Sigmoid), (2, Activation::Softmax)] {
            let given = model(rows, activation, Task::Classify);
            let found = answers(&with_logits(given.clone(), None));
            assert_eq!(found.len(), 1);
            near(sigmoid(found[0]), answers(&given)[rows - 1]);
        }
        let given = model(3, Activation::Softmax, Task::Tag);
        let found = answers(&with_logits(given.clone(), None));
        let all: f64 = found.iter().map(|logit| logit.exp()).sum();
        found.iter().zip(answers(&given)).for_each(|(logit, expected)| near(logit.exp() / all, expected));
    }

    #[test]
    fn two_outputs_are_the_logits_of_two_classes_where_the_user_says_it() {
        let given = model(2, Activation::Linear, Task::Regress);
        let answers = |model: &Described| reference::of_samples(model, &[0.4, -1.3]).answers;
        let [first, second] = answers(&given)[..] else { panic!("two outputs") };
        let found = answers(&with_logits(given.clone(), Some(dataset::Task::Classify(0))));
        assert!(found.len() == 1 && (found[0] - (second - first)).abs() < 1e-6, "{found:?} {first} {second}");
        let remarks = |rows, task| {
            remark::remarks(&with_logits(model(rows, Activation::Linear, task), Some(dataset::Task::Classify(0))))
        };
        for (rows, words) in [(1, "(sigmoid)"), (2, "the second less the first"), (3, "of 3 classes (softmax)")] {
            let said = remarks(rows, Task::Regress);
            assert!(said.len() == 1 && said[0].contains(words), "{said:?}");
        }
        assert!(remarks(1, Task::Classify).is_empty());
        assert_eq!(with_logits(given.clone(), Some(dataset::Task::Regress)), given);
    }

    #[test]
    fn other_heads_stay_as_they_are() {
        for (rows, activation, task) in [
            (2, Activation::Sigmoid, Task::Classify),
            (2, Activation::Linear, Task::Classify),
            (3, Activation::Linear, Task::Classify),
            (1, Activation::Sigmoid, Task::Regress),
            (3, Activation::Softmax, Task::RegressEach),
        ] {
            assert_eq!(with_logits(model(rows, activation, task), None), model(rows, activation, task));
        }
    }
}
