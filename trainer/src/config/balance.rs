//! What a training does about classes of unequal size: how much each counts in the loss, by what the best epoch is chosen, and the threshold of its answers.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use latch_data::dataset::list;
use latch_data::error::{Fault, fault};
use serde::{Deserialize, Serialize};

/// How much each class counts in the loss: `--class-weights`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClassWeights {
    /// Every text or token counts alike, but where the model is chosen by trials: these choose between [`ClassWeights::None`] and [`ClassWeights::Smoothed`] where classes of texts
    /// [differ](ClassWeights::are_unequal).
    #[default]
    Auto,
    /// Every text or token counts alike.
    None,
    /// Each text or token counts by the inverse fourth root of the number of its class.
    Smoothed,
    /// Every class counts alike: each of its labels by the inverse of their number.
    Balanced,
    /// Weights of some classes by their names; the others have 1.
    Given(Vec<(String, f64)>),
}

impl FromStr for ClassWeights {
    type Err = String;

    /// Reads `auto`, `none`, `smoothed`, `balanced` or `ham=1,spam=20`. A name may have a comma or an equals sign in it: a pair ends where a number does.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => return Ok(ClassWeights::Auto),
            "none" => return Ok(ClassWeights::None),
            "smoothed" => return Ok(ClassWeights::Smoothed),
            "balanced" => return Ok(ClassWeights::Balanced),
            _ => {}
        }
        let mut pairs: Vec<(String, f64)> = Vec::new();
        let mut open: Option<String> = None;
        for piece in text.split(',') {
            let whole = open.take().map_or_else(|| piece.to_owned(), |open| format!("{open},{piece}"));
            let pair = open.insert(whole);
            let Some((name, weight)) = pair.rsplit_once('=') else { continue };
            let Ok(weight) = weight.trim().parse::<f64>() else { continue };
            let name = name.trim().to_owned();
            if !(weight > 0.0 && weight.is_finite()) || weight > MOST {
                return Err(format!("the weight {weight} of {name:?} is not between 0 and {MOST}"));
            }
            if name.is_empty() {
                return Err(format!("the class of the weight {weight} has no name"));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(format!("the class {name:?} is named twice"));
            }
            pairs.push((name, weight));
            open = None;
        }
        if let Some(open) = open {
            return Err(format!(
                "{open:?} is not CLASS=WEIGHT; write auto, none, smoothed, balanced, or for example ham=1,spam=20"
            ));
        }
        Ok(ClassWeights::Given(pairs))
    }
}

/// Classes differ in size where the largest is so many times the smallest.
pub const UNEQUAL: u64 = 50;

/// Most that a class may count for.
const MOST: f64 = 1e6;

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassWeights::Auto => f.write_str("auto"),
            ClassWeights::None => f.write_str("none"),
            ClassWeights::Smoothed => f.write_str("smoothed"),
            ClassWeights::Balanced => f.write_str("balanced"),
            ClassWeights::Given(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl TryFrom<String> for ClassWeights {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ClassWeights> for String {
    fn from(weights: ClassWeights) -> Self {
        weights.to_string()
    }
}

impl ClassWeights {
    /// Whether there are three classes or more, of which the largest has at least [`UNEQUAL`] times as many labels as the smallest that has any.
    pub fn are_unequal(counts: &[u64]) -> bool {
        let with_labels = || counts.iter().copied().filter(|&count| count > 0);
        let (least, most) = (with_labels().min().unwrap_or(0), with_labels().max().unwrap_or(0));
        counts.len() > 2 && most >= UNEQUAL * least
    }

    /// The weight of each of the classes, which so many labels of the training part have; none where all count alike. Only their ratios count: the mean of the weights
    /// over the labels is 1, so that the loss keeps its size.
    ///
    /// ```text
    /// balanced: w_k = labels / (classes · labels of class k)
    /// smoothed: w_k ∝ (labels of class k)^(-1/4)
    /// ```
    ///
    /// # Errors
    /// A fault that lists the classes where a name is none of them.
    pub fn of(&self, classes: &[String], counts: &[u64]) -> Result<Vec<f32>, Fault> {
        let raw: Vec<f64> = match self {
            ClassWeights::Auto | ClassWeights::None => return Ok(Vec::new()),
            ClassWeights::Smoothed => counts.iter().map(|&count| (count.max(1) as f64).powf(-0.25)).collect(),
            // A class without a label has no loss, whatever its weight.
            ClassWeights::Balanced => counts.iter().map(|&count| 1.0 / count.max(1) as f64).collect(),
            ClassWeights::Given(pairs) => {
                let mut raw = vec![1.0; counts.len()];
                for (name, weight) in pairs {
                    let Some(class) = classes.iter().position(|class| class == name) else {
                        let problem = format!("the data has no class {name:?}; its classes are {}", list(classes));
                        return Err(fault("--class-weights", problem, "correct the name"));
                    };
                    raw[class] = *weight;
                }
                raw
            }
        };
        let labels: u64 = counts.iter().sum();
        let total: f64 = raw.iter().zip(counts).map(|(weight, &count)| weight * count as f64).sum();
        Ok(raw.into_iter().map(|weight| (weight * labels as f64 / total.max(f64::MIN_POSITIVE)) as f32).collect())
    }
}

/// By what the best epoch is chosen, on the validation part: `--select`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// The lowest loss
    #[default]
    Loss,
    /// The highest accuracy; of equal ones the lowest loss
    Accuracy,
    /// The highest mean of the classes' F1; of equal ones the lowest loss
    MacroF1,
    /// The last epoch, where there is no validation part
    #[value(skip)]
    Last,
}

impl Select {
    /// What is best of the best epoch, in words.
    pub fn words(self) -> &'static str {
        match self {
            Select::Loss => "lowest validation loss",
            Select::Accuracy => "highest validation accuracy",
            Select::MacroF1 => "highest validation macro F1",
            Select::Last => "the last",
        }
    }
}

/// What the threshold between two classes is chosen for, on the validation part: `--threshold`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Nothing: a probability of a half
    #[default]
    Half,
    /// The largest F1 of the class that fewer training texts have
    F1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_they_are_written() {
        for text in ["auto", "none", "smoothed", "balanced", "ham=1,spam=20", "a,b=2,c=d=0.5"] {
            let weights: ClassWeights = text.parse().expect("weights");
            assert_eq!(weights.to_string(), text);
        }
        assert_eq!("a,b=2".parse(), Ok(ClassWeights::Given(vec![("a,b".into(), 2.0)])));
        for wrong in
            ["", "balance", "a", "a=", "=2", "a=0", "a=-1", "a=nan", "a=inf", "a=1,a=2", "a=1,", "a=1,b", "a=1e9"]
        {
            assert!(wrong.parse::<ClassWeights>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn balanced_classes_count_alike_and_the_mean_over_the_labels_is_one() {
        let classes = ["ham".to_owned(), "spam".to_owned()];
        let of = |text: &str| text.parse::<ClassWeights>().expect("weights").of(&classes, &[90, 10]);
        assert_eq!(of("none"), Ok(Vec::new()));
        let balanced = of("balanced").expect("weights");
        assert!((balanced[0] - 100.0 / 180.0).abs() < 1e-6 && (balanced[1] - 5.0).abs() < 1e-6, "{balanced:?}");
        let given = of("spam=11").expect("weights");
        assert!((given[0] - 0.5).abs() < 1e-6 && (given[1] - 5.5).abs() < 1e-6, "{given:?}");
        let refused = of("spma=2").expect_err("no such class").to_string();
        assert!(refused.contains("\"spma\"") && refused.contains("ham, spam"), "{refused}");
        assert_eq!(of("auto"), Ok(Vec::new()));
        let classes = ["a", "b", "c"].map(str::to_owned);
        let weights = ClassWeights::Smoothed.of(&classes, &[1600, 100, 1]).expect("weights");
        assert!((weights[1] / weights[0] - 2.0).abs() < 1e-5, "{weights:?}");
        assert!((weights.iter().zip([1600.0, 100.0, 1.0]).map(|(w, n)| w * n).sum::<f32>() - 1701.0).abs() < 1e-1);
        assert!(ClassWeights::are_unequal(&[500, 40, 10]) && ClassWeights::are_unequal(&[500, 10, 0]));
        assert!(!ClassWeights::are_unequal(&[499, 40, 10]) && !ClassWeights::are_unequal(&[500, 1]));
        // A class of no label harms nobody.
        assert_eq!(ClassWeights::Balanced.of(&classes, &[4, 0]).map(|weights| weights[0]), Ok(1.0));
    }
}
