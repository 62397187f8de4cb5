//! The models that are tried for a small set.

use latch_engine::input::text::Tokens;

use crate::config::chain::{Chain, Pooling};
use crate::config::{ModelConfig, NgramConfig, default_model};
use crate::dataset::Task;

/// Entries of a table of n-grams beside a small network.
const NGRAMS: usize = 14_000;

/// Words of the vocabulary beside a table of n-grams, which knows the others.
const WORDS: usize = 1_500;

/// Characters of a vocabulary, where the texts have so many.
const CHARACTERS: usize = 500;

/// The n-grams that stand beside a network of a task; none where each token has an answer.
pub fn ngrams(task: Task, tokens: Tokens) -> NgramConfig {
    if task.each_step() {
        return NgramConfig::NONE;
    }
    // The more outputs, the more n-grams are told apart by the bits of an entry that are no weight.
    let weight_bits = match task.outputs() {
        1 => 6,
        2..=16 => 5,
        _ => 4,
    };
    let longest = if tokens.are_characters() { 4 } else { NgramConfig::NONE.longest };
    NgramConfig { count: NGRAMS, weight_bits, longest, fewest: 2, ..NgramConfig::NONE }
}

/// The models that are tried for a task with tokens of a kind.
pub fn candidates(task: Task, tokens: Tokens) -> Vec<ModelConfig> {
    let dropping = |word_dropout, chain| Chain { word_dropout, ..chain };
    let lstm = |width, units| Chain::stacked(width, 1, units, Some(Pooling::Attention));
    let plain = |chain| ModelConfig { tokens, chain, ..default_model() };
    if task.each_step() {
        let each = |width, units| plain(dropping(0.3, lstm(width, units).each_step()));
        return vec![each(8, 16), each(8, 32), each(16, 32)];
    }
    let ngrams = ngrams(task, tokens);
    if tokens.are_characters() {
        let over = |chain| ModelConfig { vocab: CHARACTERS, ..plain(chain) };
        let beside = |chain| ModelConfig { ngrams, ..over(chain) };
        return vec![
            beside(dropping(0.1, lstm(16, 32))),
            beside(dropping(0.1, lstm(16, 48))),
            over(dropping(0.1, lstm(16, 64))),
        ];
    }
    let beside = |chain| ModelConfig { vocab: WORDS, ngrams, ..plain(chain) };
    vec![
        beside(dropping(0.5, Chain::stacked(16, 0, 0, Some(Pooling::Mean)))),
        beside(dropping(0.3, lstm(8, 16))),
        beside(dropping(0.3, lstm(8, 32))),
        plain(dropping(0.3, lstm(8, 32))),
    ]
}

/// The model that is taken untried.
pub fn fast(task: Task, tokens: Tokens) -> ModelConfig {
    candidates(task, tokens).swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TrainConfig, default_config};

    #[test]
    fn every_candidate_is_a_model_of_its_task_that_an_image_can_hold_and_one_is_the_default() {
        let tasks =
            [Task::Classify(2), Task::Classify(6), Task::Classify(200), Task::Regress, Task::Tag(5), Task::RegressEach];
        for task in tasks {
            for tokens in [Tokens::Words, Tokens::Syllables, Tokens::Characters, Tokens::CasedCharacters] {
                for model in candidates(task, tokens) {
                    let config = TrainConfig { model, task, ..default_config() };
                    config.check("").unwrap_or_else(|error| panic!("{}: {error}", config.model));
                    assert_eq!(config.model.to_string().parse::<ModelConfig>().as_ref(), Ok(&config.model));
                }
            }
            let all = candidates(task, Tokens::Words);
            assert!(all.contains(&crate::config::model_of(task, None)), "{all:?}");
        }
    }
}
