//! Searches on the built-in set.

use std::time::Duration;

use latch_engine::Model;
use latch_engine::image::Image;

use super::candidates::Budget;
use super::*;
use crate::config::{ModelConfig, RunConfig, Valid, default_config};
use crate::dataset::{Columns, Example, Label, built_in, write_tsv_gz};
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;

/// Stops the search after so many trials.
struct After(usize);

impl Progress for After {
    fn batch(&mut self, _: &BatchProgress) {}
    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}

impl Observer for After {
    fn planned(&mut self, _: &[(usize, u64)]) {}
    fn begins(&mut self, _: usize, _: usize, _: usize, _: usize) {}
    fn done(&mut self, _: &Trial, _: &[Trial]) -> Result<()> {
        self.0 -= 1;
        if self.0 == 0 { Err(anyhow::anyhow!("stopped")) } else { Ok(()) }
    }
    fn round_done(&mut self, _: &[Trial]) {}
}

const NEVER: usize = usize::MAX;

/// A search on the built-in set, whose data goes into `folder`.
fn plan(folder: &Path, budget: Budget) -> Plan {
    let data = folder.join("data.tsv.gz");
    write_tsv_gz(&data, &built_in::CLASSES.map(String::from), &built_in::generate(1, 400)).expect("a file");
    let train = TrainConfig { epochs: 4, seed: 3, ..default_config() };
    let latch = String::from("test");
    let valid = Valid::Fraction(0.2);
    let base = RunConfig {
        latch: latch.clone(),
        train,
        data,
        data_sha256: String::new(),
        columns: Columns::default(),
        classes: Vec::new(),
        valid,
        series: None,
        imported: None,
    };
    Plan { latch, budget, trials: 9, minutes: None, base, valid_sha256: None }
}

fn budget() -> Budget {
    Budget { flash: 4096, ram: Some(1024), board: Some("STM32F446".into()), latency: Some(500.0) }
}

fn lines(folder: &Path) -> Vec<Trial> {
    let text = std::fs::read_to_string(folder.join("search.jsonl")).expect("trials");
    text.lines().map(|line| serde_json::from_str(line).expect("a trial")).collect()
}

#[test]
fn a_search_ends_with_an_image_that_fits_and_every_image_has_the_bytes_that_were_predicted() {
    let place = tempfile::tempdir().expect("a folder");
    let out = place.path().join("search");
    let outcome = begin(plan(place.path(), budget()), None, &out, &mut After(NEVER)).expect("an image");
    let bytes = std::fs::read(&outcome.image).expect("the best image");
    let aligned = latch_engine::image::encode::AlignedBytes::new(&bytes);
    let image = Image::open(&aligned).expect("an image that opens");
    let model = Model::new(&image);
    assert!(bytes.len() <= 4096 && model.state_bytes() <= 1024);
    assert_eq!(outcome.images[0].state_bytes, model.state_bytes());

    let lines = lines(&out);
    assert_eq!(lines.iter().map(|line| line.round).collect::<Vec<_>>(), [[1; 9].as_slice(), &[2; 3], &[3]].concat());
    let of = |kind: fn(&ModelConfig) -> bool| lines.iter().filter(|line| kind(&line.model)).count();
    assert!(of(|model| model.ngrams.count > 0) > 1 && of(|model| model.ngrams.count == 0) > 1);
    assert!(of(|model| model.chain.cells().count() > 1) > 0 && of(|model| model.vocab < 100) > 0);
    for line in &lines {
        let (written, ..) = line.measured().unwrap_or_else(|| panic!("{line:?}"));
        // The multiplier of n-grams is not known before training.
        let unknown = if line.model.ngrams.count > 0 { 16 } else { 0 };
        assert!((written..=written + unknown).contains(&line.predicted_bytes), "{line:?}");
        assert!(line.predicted_bytes <= 4096 && line.latency_us.is_some_and(|time| time <= 500.0), "{line:?}");
        let image = std::fs::read(out.join(&line.run).join("image.latch")).expect("an image");
        let aligned = latch_engine::image::encode::AlignedBytes::new(&image);
        assert_eq!(Model::new(&Image::open(&aligned).expect("opens")).state_bytes(), line.state_bytes);
    }
}

#[test]
fn the_bytes_of_useful_words_and_of_rows_by_hash_are_predicted_too() {
    use latch_engine::input::hashed::Hashed;
    use latch_engine::input::hashed::Spelling;
    let place = tempfile::tempdir().expect("a folder");
    let mut plan = plan(place.path(), Budget { flash: 4096, ram: None, board: None, latency: None });
    plan.trials = 4;
    plan.base.train.epochs = 1;
    plan.base.train.model.words = crate::config::Words::Useful;
    plan.base.train.model.hashed = Some(Hashed { rows: 21, of: Spelling::Ending });
    let out = place.path().join("search");
    begin(plan, None, &out, &mut After(NEVER)).expect("an image");
    for line in lines(&out) {
        let (written, ..) = line.measured().unwrap_or_else(|| panic!("{line:?}"));
        let unknown = if line.model.ngrams.count > 0 { 16 } else { 0 };
        assert!((written..=written + unknown).contains(&line.predicted_bytes), "{line:?}");
    }
}

#[test]
fn a_search_that_was_stopped_and_resumed_ends_in_the_bytes_of_one_that_was_not() {
    let place = tempfile::tempdir().expect("a folder");
    let [whole, stopped] = ["whole", "stopped"].map(|name| place.path().join(name));
    let plan = plan(place.path(), budget());
    begin(plan.clone(), None, &whole, &mut After(NEVER)).expect("an image");
    begin(plan.clone(), None, &stopped, &mut After(4)).expect_err("stopped in the first round");
    resume(&stopped, &mut After(7)).expect_err("stopped in the second");
    // As if it had been killed before the line was written: the trial's folder is further than the search knows.
    let text = std::fs::read_to_string(stopped.join("search.jsonl")).expect("trials");
    let fewer: String = text.lines().take(10).map(|line| format!("{line}\n")).collect();
    std::fs::write(stopped.join("search.jsonl"), fewer).expect("a file");
    resume(&stopped, &mut After(NEVER)).expect("an image");
    for name in ["search.jsonl", "pareto.svg", "best.latch"] {
        let bytes = [&whole, &stopped].map(|folder| std::fs::read(folder.join(name)).expect(name));
        assert!(bytes[0] == bytes[1], "{name}");
    }
    let again = begin(plan, None, &stopped, &mut After(NEVER)).expect_err("there is a search").to_string();
    assert!(again.contains("--resume"), "{again}");
}

#[test]
fn a_budget_that_nothing_fits_is_refused_with_the_least_that_would() {
    let place = tempfile::tempdir().expect("a folder");
    let out = place.path().join("search");
    let refusal = |budget: Budget| {
        let error = begin(plan(place.path(), budget), None, &out, &mut After(NEVER)).expect_err("nothing fits");
        assert!(!out.exists(), "{error}");
        error.to_string()
    };
    let tight = refusal(Budget { flash: 300, ram: Some(40), ..budget() });
    assert!(tight.starts_with("--flash:") && tight.contains("--ram"), "{tight}");
    // What it names is enough, and one byte less is not.
    let least: usize =
        tight.split(' ').skip_while(|word| *word != "--flash").nth(1).and_then(|n| n.parse().ok()).expect("bytes");
    assert!(refusal(Budget { flash: least - 1, ..budget() }).contains(&format!("--flash {least} ")));
    let barely = plan(place.path(), Budget { flash: least, ..budget() });
    let outcome = begin(barely, None, &place.path().join("least"), &mut After(NEVER)).expect("an image");
    assert_eq!(outcome.images[0].measured().map(|(bytes, ..)| bytes), Some(least));
    let slow = refusal(Budget { latency: Some(1.0), ..budget() });
    assert!(slow.starts_with("--latency:"), "{slow}");
    let nameless = refusal(Budget { board: Some("esp32".into()), ..budget() });
    assert!(nameless.contains("stm32f446") && nameless.contains("rp2040"), "{nameless}");
}

#[test]
fn the_candidates_cover_a_decade_of_sizes_and_half_of_them_may_fill_the_budget() {
    let budget = Budget { flash: 16_384, ram: None, board: None, latency: None };
    let texts: Vec<Example<Label>> = built_in::generate(1, 400)
        .into_iter()
        .map(|example| Example::new(Label::Class(example.label), example.text))
        .collect();
    let config = TrainConfig { task: default_config().task.with_classes(2), ..default_config() };
    let sizer = Sizer::new(&config, &texts, None);
    let candidates = propose(&sizer, &budget, 18).expect("candidates");
    let sizes: Vec<usize> =
        candidates.iter().map(|candidate| sizer.cost(candidate).expect("a cost").image_bytes).collect();
    let (least, most) = (sizes.iter().min().expect("a size"), sizes.iter().max().expect("a size"));
    assert!(sizes.len() == 18 && least * 10 < *most && *most <= budget.flash, "{sizes:?}");
}
