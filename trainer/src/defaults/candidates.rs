//! The models that are tried for a small set.

use latch_engine::input::samples::{MAX_LAG, Skip};
use latch_engine::input::text::Tokens;

use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::config::{ModelConfig, NgramConfig, RunConfig, SamplesConfig, default_model};
use crate::dataset::Task;

/// Entries of a table of n-grams beside a small network.
const NGRAMS: usize = 14_000;

/// The same beside a network that reads characters and knows most by itself.
const FEW_NGRAMS: usize = 4_000;

/// Characters of a vocabulary, where the texts have so many.
const CHARACTERS: usize = 500;

/// The n-grams that stand beside a network of a task, `count` of them.
pub fn ngrams(task: Task, tokens: Tokens, count: usize) -> NgramConfig {
    if count == 0 {
        return NgramConfig::NONE;
    }
    // The more outputs, the more n-grams are told apart by the bits of an entry that are no weight.
    let weight_bits = match task.outputs() {
        1 => 6,
        2..=31 => 5,
        _ => 4,
    };
    let longest = if tokens.are_characters() { 4 } else { NgramConfig::NONE.longest };
    NgramConfig { count, weight_bits, longest, fewest: 2, ..NgramConfig::NONE }
}

/// An embedding, one cell, a pooling where a text has one answer, and the answer. `dropout` is that of the cell's inputs and of the answer's.
fn chain(embedding: (usize, f64), cell: LayerConfig, pooling: Option<Pooling>, dropout: f64) -> Chain {
    let (embedding, word_dropout) = embedding;
    let dense = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout };
    let layers = [Some(cell), pooling.map(LayerConfig::Pooling), Some(dense)].into_iter().flatten().collect();
    Chain { embedding, word_dropout, layers }
}

fn lstm(units: usize, dropout: f64) -> LayerConfig {
    LayerConfig::Lstm(CellConfig { dropout, ..CellConfig::of(units) })
}

fn gru(units: usize, dropout: f64, recurrent_dropout: f64) -> LayerConfig {
    let cell = CellConfig { dropout, recurrent_dropout, ..CellConfig::of(units) };
    LayerConfig::Gru { cell, reset_after: true }
}

/// The models that are tried for a task with tokens of a kind.
pub fn candidates(task: Task, tokens: Tokens) -> Vec<ModelConfig> {
    let plain = |chain| ModelConfig { tokens, chain, ..default_model() };
    let beside = |vocab, count, chain| ModelConfig { vocab, ngrams: ngrams(task, tokens, count), ..plain(chain) };
    let attention = Some(Pooling::Attention);
    if task.each_step() {
        return vec![
            plain(chain((8, 0.3), lstm(16, 0.0), None, 0.0)),
            beside(1_500, NGRAMS, chain((8, 0.3), lstm(16, 0.0), None, 0.0)),
            plain(chain((8, 0.3), lstm(32, 0.0), None, 0.0)),
            plain(chain((16, 0.3), lstm(32, 0.0), None, 0.0)),
        ];
    }
    if tokens.are_characters() {
        let reader = || chain((16, 0.05), gru(64, 0.2, 0.2), Some(Pooling::Last), 0.2);
        let mut models = vec![beside(CHARACTERS, 0, reader()), beside(CHARACTERS, FEW_NGRAMS, reader())];
        if task.outputs() == 1 {
            models.push(beside(CHARACTERS, NGRAMS, chain((8, 0.0), lstm(16, 0.0), attention, 0.0)));
        }
        return models;
    }
    let bag = Chain { word_dropout: 0.5, ..Chain::stacked(8, 0, 0, Some(Pooling::Mean)) };
    vec![
        ModelConfig { skip_unknown: true, ..beside(3_000, NGRAMS, bag) },
        beside(1_500, NGRAMS, chain((8, 0.3), lstm(16, 0.0), attention, 0.0)),
        beside(1_000, NGRAMS, chain((16, 0.1), lstm(24, 0.2), attention, 0.2)),
        beside(1_000, NGRAMS, chain((16, 0.1), gru(32, 0.2, 0.0), Some(Pooling::Max), 0.2)),
        beside(1_000, NGRAMS, chain((16, 0.1), lstm(32, 0.0), attention, 0.0)),
        plain(default_model().chain),
    ]
}

/// What is known of a forecast before anything is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The channel that is forecast.
    pub channel: usize,
    /// Steps to what is forecast.
    pub horizon: usize,
    /// Steps of a season, where the recordings show one.
    pub season: Option<usize>,
    /// Steps that the network sees, where these are few.
    pub window: Option<usize>,
}

impl Ahead {
    /// Of a run whose data was read; `None` of other tasks, of series that are changed at random, since what goes around the network is not, and of streams that begin warm, since
    /// a difference does not know the level of rest.
    pub fn of(run: &RunConfig) -> Option<Self> {
        let plain = run.train.augment.is_none() && run.train.warm_up.is_none();
        let series = run.series.as_ref().filter(|_| plain)?;
        let (horizon, channel) = (series.horizon?, series.forecast_channel.unwrap_or(0));
        let window = series.window.map(|window| window.0);
        Some(Ahead { channel, horizon, season: series.season, window })
    }

    /// How many frames before the newest the value lies that a season repeats at the horizon; `None` without one, or where it is out of reach.
    fn lag(self) -> Option<u16> {
        let season = self.season?;
        let lag = season * self.horizon.div_ceil(season) - self.horizon;
        let reach = usize::from(MAX_LAG).min(self.window.map_or(usize::MAX, |window| window.saturating_sub(1)));
        u16::try_from(lag).ok().filter(|_| lag.max(season) <= reach)
    }

    /// What the models of a forecast read, and what goes around them: the value a season ago or the newest one, which a forecast is about the same as.
    fn inputs(self) -> Vec<SamplesConfig> {
        let around = |difference, lag| SamplesConfig {
            difference,
            skip: Some(Skip { channel: self.channel as u16, lag }),
            ..SamplesConfig::default()
        };
        let seasonal = self.lag().zip(self.season.map(|season| season as u16));
        let seasonal = seasonal.into_iter().flat_map(|(lag, season)| [around(season, lag), around(1, lag)]);
        seasonal.chain([around(1, 0)]).collect()
    }
}

/// The models that are tried for a task on samples of so many channels; those of a forecast that go around the network come first.
pub fn of_samples(task: Task, channels: usize, ahead: Option<Ahead>) -> Vec<ModelConfig> {
    let model = |cell, pooling, dropout| {
        let pooling = Some(pooling).filter(|_| !task.each_step());
        let chain = chain((channels, 0.0), cell, pooling, dropout);
        ModelConfig { chain, samples: Some(SamplesConfig::default()), ..default_model() }
    };
    if let Some(ahead) = ahead {
        let small = || model(gru(12, 0.0, 0.0), Pooling::Last, 0.0);
        let mut models: Vec<ModelConfig> =
            ahead.inputs().into_iter().map(|samples| ModelConfig { samples: Some(samples), ..small() }).collect();
        models.extend([small(), model(gru(24, 0.0, 0.0), Pooling::Last, 0.1)]);
        return models;
    }
    let mut models = vec![model(gru(24, 0.0, 0.0), Pooling::Last, 0.2), model(gru(12, 0.0, 0.0), Pooling::Last, 0.0)];
    if task.each_step() {
        models.push(model(lstm(24, 0.0), Pooling::Last, 0.0));
    } else {
        models.push(model(gru(24, 0.1, 0.1), Pooling::Mean, 0.2));
        models.push(model(gru(32, 0.1, 0.1), Pooling::Max, 0.2));
    }
    models
}

/// The number of the candidate that is taken untried.
pub fn fast(task: Task, tokens: Tokens) -> usize {
    usize::from(!task.each_step() && !tokens.are_characters())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TrainConfig, default_config};

    #[test]
    fn a_forecast_with_a_season_goes_around_the_network_by_the_season_and_one_without_by_the_newest_value() {
        let ahead = |season, horizon, window| Ahead { channel: 1, horizon, season, window };
        let written = |ahead| -> Vec<String> {
            of_samples(Task::RegressEach, 3, Some(ahead)).iter().map(ToString::to_string).collect()
        };
        let seasonal = written(ahead(Some(12), 1, None));
        assert_eq!(seasonal[0], "samples 3 difference=12 > gru 12 > dense > skip channel=1 lag=11");
        assert_eq!(seasonal[1], "samples 3 difference=1 > gru 12 > dense > skip channel=1 lag=11");
        assert_eq!(seasonal[2], "samples 3 difference=1 > gru 12 > dense > skip channel=1");
        // The value is to be known when the answer is due.
        assert!(written(ahead(Some(12), 15, None))[0].ends_with("lag=9"));
        assert!(written(ahead(Some(12), 12, None))[0].ends_with("skip channel=1"));
        for out_of_reach in [ahead(None, 1, None), ahead(Some(300), 1, None), ahead(Some(12), 1, Some(12))] {
            assert_eq!(written(out_of_reach)[0], seasonal[2]);
        }
        for model in of_samples(Task::Regress, 3, Some(ahead(Some(12), 1, Some(40)))) {
            let config = TrainConfig { model, task: Task::Regress, ..default_config() };
            config.check("").unwrap_or_else(|error| panic!("{}: {error}", config.model));
            assert_eq!(config.model.to_string().parse::<ModelConfig>().as_ref(), Ok(&config.model));
        }
    }

    #[test]
    fn every_candidate_is_a_model_of_its_task_that_an_image_can_hold_and_one_is_the_default() {
        let tasks =
            [Task::Classify(2), Task::Classify(6), Task::Classify(200), Task::Regress, Task::Tag(5), Task::RegressEach];
        for task in tasks {
            for tokens in [Tokens::Words, Tokens::Syllables, Tokens::Characters, Tokens::CasedCharacters] {
                assert!(fast(task, tokens) < candidates(task, tokens).len());
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
