//! Promise: a run is a pure function of its configuration and its data: one seed gives one set of bytes, on any number of threads,
//! uninterrupted or killed and resumed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use latch_engine::layers::embedding::Tiers;
use latch_tests::models::PRECISIONS;
use latch_tests::training::{Silent, Task, config};
use latch_trainer::batches::{Batch, BatchOptions, plan};
use latch_trainer::bptt::{LossOptions, Noise, StepOptions, Trainer, train_step};
use latch_trainer::network::Network;
use latch_trainer::optimizer::{Adam, Decay, Ema, LearningRate};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::runs::{checkpoint::Checkpoint, folder::RunFolder};
use latch_trainer::{
    config::TrainConfig,
    learning::training::{BatchProgress, Progress, train},
    metrics::EpochMetrics,
};
use serde::{Deserialize, Serialize};

/// A training of three epochs with everything that draws lots: dropouts of every kind, shuffled batches, and an average of the weights.
fn task(seed: u64) -> Task {
    let mut config = config(6, 8, 3);
    let cell = "lstm 8 dropout=0.1 recurrent_dropout=0.1";
    let chain = format!("embedding 6 word_dropout=0.1 > {cell} > {cell} > max > dense dropout=0.1");
    config.model.chain = chain.parse().expect("a chain");
    config.weight_decay = 0.01;
    config.label_smoothing = 0.05;
    config.average = 0.9;
    config.batch = 50;
    config.seed = seed;
    config.model.tiers = Some(Tiers { whole: 12, width: 4, remainders: 3, int4: false });
    Task::new(config, 600, 100)
}

/// Runs, or goes on with, a task in a folder on `threads` threads.
fn run(
    task: &Task,
    folder: &Path,
    checkpoint: Option<Checkpoint>,
    threads: usize,
    progress: &mut (dyn Progress + Send),
) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let run = RunFolder::new(folder).hold().expect("the folder is free");
    pool.install(|| train(&task.job(&run), checkpoint, progress)).expect("the training ends");
}

/// Every file of a run by its name, and the images of its best network.
fn files(task: &Task, folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the run's folder") {
        let path = entry.expect("an entry of the run's folder").path();
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        files.insert(name, std::fs::read(&path).expect("a file of the run"));
    }
    let best = RunFolder::new(folder).best().expect("the run has finished epochs");
    for precision in PRECISIONS {
        let image = to_image(&Weights::of(&best.network), &task.vocabulary, precision, &Origin::default())
            .expect("the network fits");
        files.insert(format!("{}.latch", precision.name()), image.to_vec());
    }
    for name in ["best.network", "checkpoint", "metrics.jsonl", "f32.latch", "f16.latch", "int8.latch"] {
        assert!(files.contains_key(name), "{name} is missing");
    }
    files
}

/// Fails with the names of the files that differ, and not with their bytes.
fn assert_same(what: &str, left: &BTreeMap<String, Vec<u8>>, right: &BTreeMap<String, Vec<u8>>) {
    assert!(left.keys().eq(right.keys()), "{what}: {:?} and {:?}", left.keys(), right.keys());
    let different: Vec<&String> =
        left.iter().filter(|(name, bytes)| right[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(different.is_empty(), "{what}: {different:?} differ");
}

/// The files of a whole run.
fn whole(seed: u64, threads: usize) -> BTreeMap<String, Vec<u8>> {
    let (task, folder) = (task(seed), tempfile::tempdir().expect("a folder for the run"));
    run(&task, folder.path(), None, threads, &mut Silent);
    files(&task, folder.path())
}

#[test]
fn any_number_of_threads_gives_the_same_files_byte_for_byte() {
    let one = whole(1, 1);
    for threads in [1, 2, 3] {
        assert_same(&format!("{threads} threads"), &one, &whole(1, threads));
    }
}

#[test]
fn another_seed_gives_other_files() {
    let (one, two) = (whole(1, 2), whole(2, 2));
    for name in ["best.network", "checkpoint", "metrics.jsonl", "f32.latch", "f16.latch", "int8.latch"] {
        assert_ne!(one[name], two[name], "{name}");
    }
}

/// Kills its process in the middle of an epoch, as a power cut would: nothing is unwound or flushed.
struct PowerCut {
    epoch: u64,
    batch: usize,
}

impl Progress for PowerCut {
    fn batch(&mut self, at: &BatchProgress) {
        if (at.epoch, at.done) == (self.epoch, self.batch) {
            std::process::abort();
        }
    }

    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}

/// Names the folder to a copy of this program that is to be killed in it.
const FOLDER: &str = "LATCH_TEST_RUN_FOLDER";

#[test]
fn a_run_that_was_killed_and_resumed_ends_in_the_same_bytes() {
    let task = task(1);
    if let Some(folder) = std::env::var_os(FOLDER) {
        run(&task, Path::new(&folder), None, 2, &mut PowerCut { epoch: 2, batch: 7 });
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the run");
    let program = std::env::current_exe().expect("this program");
    let killed = Command::new(program)
        .args(["--exact", "same_seed_same_bytes::a_run_that_was_killed_and_resumed_ends_in_the_same_bytes"])
        .env(FOLDER, folder.path())
        .output()
        .expect("a copy of this program runs");
    assert!(!killed.status.success(), "the copy was to be killed");
    let checkpoint = RunFolder::new(folder.path()).checkpoint().expect("the checkpoint is whole");
    assert!(checkpoint.is_some(), "an epoch was finished before the end");
    run(&task, folder.path(), checkpoint, 1, &mut Silent);
    assert_same("killed and resumed", &whole(1, 2), &files(&task, folder.path()));
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_begins_again_and_ends_in_the_same_bytes() {
    let (task, folder) = (task(1), tempfile::tempdir().expect("a folder for the run"));
    let checkpoint = RunFolder::new(folder.path()).checkpoint().expect("no checkpoint is no error");
    assert!(checkpoint.is_none());
    run(&task, folder.path(), checkpoint, 2, &mut Silent);
    assert_same("begun again", &whole(1, 2), &files(&task, folder.path()));
}

/// A [`Checkpoint`] with its fields in the open. The trainer writes one in the middle of an epoch only once a minute.
#[derive(Serialize, Deserialize)]
struct Open {
    network: Network<f32>,
    adam: Adam<f32>,
    average: Option<Ema<f32>>,
    epoch: u64,
    batch: u64,
    loss: f64,
    correct: u64,
    answers: u64,
    tokens: u64,
    gradient_norm: f64,
    metrics: Vec<EpochMetrics>,
}

/// What `train` does with batches `0..count` of the checkpoint's epoch.
fn advance(at: Open, task: &Task, count: usize) -> Open {
    let TrainConfig { batch, seed, epochs, learning_rate, warmup, clip_norm, label_smoothing, .. } = task.config;
    let lengths: Vec<usize> = task.training.ids.iter().map(Vec::len).collect();
    let batches = lengths.len().div_ceil(batch) as u64;
    let total = batches * epochs;
    let warmup = (warmup * total as f64) as u64;
    let rate = LearningRate { peak: learning_rate, floor: 0.02, warmup, total, decay: Decay::Cosine };
    let mut trainer = Trainer::resume(at.network, at.adam, at.average);
    trainer.tiers = task.config.tiers(&task.training);
    let mut at = Open { network: trainer.network.clone(), adam: trainer.adam.clone(), average: None, ..at };
    for (number, indices) in
        plan(&lengths, &BatchOptions { batch_size: batch, window: 50, seed }, at.epoch).iter().enumerate().take(count)
    {
        let mut batch = Batch::new();
        indices.iter().for_each(|&index| batch.push_each(&task.training.ids[index], &task.training.labels[index]));
        let noise = Some(Noise { seed, epoch: at.epoch, batch: number as u64 });
        let options = StepOptions {
            learning_rate: rate.at(at.epoch * batches + number as u64),
            clip_norm: Some(clip_norm),
            loss: LossOptions { label_smoothing, noise, ..LossOptions::default() },
        };
        let stats = train_step(&mut trainer, &batch, &options).expect("the loss is finite");
        at.loss += stats.loss_sum;
        at.correct += stats.correct as u64;
        at.answers += stats.answers as u64;
        at.tokens += stats.tokens as u64;
        at.gradient_norm += stats.gradient_norm;
        at.batch = number as u64 + 1;
    }
    Open { network: trainer.network, adam: trainer.adam, average: trainer.ema, ..at }
}

#[test]
fn a_run_that_is_resumed_from_the_middle_of_an_epoch_ends_in_the_same_bytes() {
    /// Keeps the checkpoint of the first epoch.
    struct Keep<'f>(&'f Path, Option<Vec<u8>>);

    impl Progress for Keep<'_> {
        fn batch(&mut self, _: &BatchProgress) {}

        fn epoch(&mut self, metrics: &EpochMetrics, _: Duration, _: bool) {
            if metrics.epoch == 1 {
                let checkpoint =
                    RunFolder::new(self.0).checkpoint().expect("the checkpoint is whole").expect("it is there");
                self.1 = Some(postcard::to_stdvec(&checkpoint).expect("a checkpoint can be coded"));
            }
        }
    }

    let (task, folder) = (task(1), tempfile::tempdir().expect("a folder for the run"));
    let mut keep = Keep(folder.path(), None);
    run(&task, folder.path(), None, 2, &mut keep);
    let expected = files(&task, folder.path());
    let coded = keep.1.expect("an epoch was finished");
    let open = advance(postcard::from_bytes(&coded).expect("these are a checkpoint's fields"), &task, 5);
    let middle = postcard::to_stdvec(&open).expect("a checkpoint can be coded");
    let checkpoint: Checkpoint = postcard::from_bytes(&middle).expect("these are a checkpoint's fields");
    run(&task, folder.path(), Some(checkpoint), 1, &mut Silent);
    assert_same("resumed from the middle", &expected, &files(&task, folder.path()));
}
