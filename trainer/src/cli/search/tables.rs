//! The images of a search as tables for a terminal.

use crate::dataset::Task;
use crate::report::table;
use crate::search::Trial;

/// A trial's precision and model, as `latch train` takes it.
pub(super) fn describe(trial: &Trial) -> String {
    format!("{}, --model '{}'", trial.precision, trial.model)
}

/// Images from the most accurate to the smallest: their figures, and below them their models.
pub(super) fn models(images: &[&Trial], best: Option<&Trial>, task: Task) -> String {
    let images: Vec<&Trial> = images.iter().rev().copied().collect();
    let models: Vec<String> = images.iter().map(|trial| format!("  {}: {}\n", trial.run, describe(trial))).collect();
    format!("{}\n{}", images_table(&images, best, task), models.concat())
}

/// The figures of images, the best one marked.
pub(super) fn images_table(images: &[&Trial], best: Option<&Trial>, task: Task) -> String {
    let timed = images.iter().any(|trial| trial.latency_us.is_some());
    let score = if task.has_values() { "R²" } else { "accuracy" };
    let mut heading = vec!["  run", "bytes", "state", score, "loss", "epochs"];
    if timed {
        heading.insert(3, "us a token");
    }
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for trial in images {
        let (bytes, right, loss) = trial.measured().unwrap_or_default();
        let mark = if best.is_some_and(|best| best.trial == trial.trial) { "*" } else { " " };
        let mut row = vec![
            format!("{mark} {}", trial.run),
            bytes.to_string(),
            trial.state_bytes.to_string(),
            if task.has_values() { format!("{right:.4}") } else { format!("{:.2} %", 100.0 * right) },
            format!("{loss:.4}"),
            trial.epochs.to_string(),
        ];
        if timed {
            row.insert(3, trial.latency_us.map_or(String::new(), |time| format!("{time:.0}")));
        }
        rows.push(row);
    }
    table(&rows) + "\n* the best: the highest accuracy, and of equal ones the fewest bytes\n"
}
