//! The page and the picture of [`super::gradients`].

use std::fmt::Write as _;

use super::gradients::{CHANCE, Cell, Outcome, Plan, SOLVED};
use crate::report::axis::{Frame, Key, Scale, Tick, legend};
use crate::report::svg::{Anchor, Picture};

/// The lowest power of ten that is drawn.
const LOWEST: f64 = -12.0;

/// The class of a layer's line.
fn class(cell: Cell) -> &'static str {
    match cell {
        Cell::Rnn => "lb",
        Cell::Gru => "lc",
        Cell::Lstm => "la",
    }
}

/// The geometric mean over seeds of `g_k`, of networks of one layer and one lag.
fn mean(outcomes: &[&Outcome], of: impl Fn(&Outcome) -> &Vec<f64>, back: usize) -> f64 {
    let logarithms: Vec<f64> =
        outcomes.iter().filter_map(|outcome| of(outcome).get(back)).map(|g| g.max(1e-300).ln()).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64).exp()
}

fn of(outcomes: &[Outcome], cell: Cell, lag: usize) -> Vec<&Outcome> {
    outcomes.iter().filter(|outcome| outcome.cell == cell && outcome.lag == lag).collect()
}

/// The network of a layer and a lag that has the smallest error.
fn best(outcomes: &[Outcome], cell: Cell, lag: usize) -> Vec<&Outcome> {
    of(outcomes, cell, lag).into_iter().min_by(|a, b| a.error.total_cmp(&b.error)).into_iter().collect()
}

/// Draws what is left of the gradient at each lag on a logarithmic axis: before training, and beside it in the best network of each layer after it.
pub fn picture(plan: &Plan, outcomes: &[Outcome]) -> Picture {
    let lag = plan.lags.iter().copied().max().unwrap_or(1);
    let mut picture = Picture::new(1_060.0, 440.0, "What is left of the gradient, by the steps it goes back");
    let before = |cell: Cell, back: usize| mean(&of(outcomes, cell, lag), |outcome| &outcome.before, back);
    let after = |cell: Cell, back: usize| mean(&best(outcomes, cell, lag), |outcome| &outcome.after, back);
    panel(&mut picture, 90.0, lag, "Before training", &before);
    panel(&mut picture, 510.0, lag, "After training, the best network", &after);
    let keys = Cell::ALL.map(|cell| Key::Line(class(cell), None, cell.name()));
    legend(&mut picture, (906.0, 60.0), &keys);
    picture.text((906.0, 146.0), 12.0, Anchor::Start, "soft", &format!("{} units", plan.units));
    picture
}

/// Draws one part of the picture from `left` on.
fn panel(picture: &mut Picture, left: f64, lag: usize, name: &str, of: &dyn Fn(Cell, usize) -> f64) {
    let (top, right, bottom) = (44.0, left + 360.0, 380.0);
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::linear((0.0, lag as f64), (left, right)),
        y: Scale::linear((LOWEST, 1.0), (bottom, top)),
    };
    let x_ticks: Vec<Tick> = (0..=4).map(|part| lag * part / 4).map(|back| (back as f64, back.to_string())).collect();
    let y_ticks: Vec<Tick> =
        (0..=4).map(|part| LOWEST + 3.0 * f64::from(part)).map(|power| (power, format!("1e{power:.0}"))).collect();
    frame.draw(picture, ("steps back", name), &x_ticks, &y_ticks);
    for cell in Cell::ALL {
        let points: Vec<(f64, f64)> = (0..=lag)
            .map(|back| (back, of(cell, back).log10()))
            .take_while(|(_, power)| *power >= LOWEST)
            .map(|(back, power)| (frame.x.at(back as f64), frame.y.at(power.min(1.0))))
            .collect();
        picture.line(&points, class(cell));
    }
}

/// The page, whose picture is the file `picture` beside it, made by `command`.
pub fn text(plan: &Plan, outcomes: &[Outcome], picture: &str, command: &str) -> String {
    let longest = plan.lags.iter().copied().max().unwrap_or(1);
    let mut page = format!(
        "# What a recurrent layer can learn from how long ago

This page is written by `{command}`, numbers and picture included.

A recurrent layer learns from an old step through all steps behind it: the gradient of the loss is handed back from step to step, and each step multiplies it by how much the state of a step depends on the state before it. What is left of it
after k steps says how much the layer can learn from what it read k steps ago.

**The adding problem** (Hochreiter and Schmidhuber 1997). A step has two channels: a value between 0 and 1, and a mark. Two steps are marked, one in the first tenth of the sequence and one in the last; the answer is the sum of the two marked
values. A network that does not remember the first value cannot do better than a mean squared error of {chance:.4}; a network counts as having solved it below {SOLVED}. Each network has {units} units and at most {steps} steps of training in batches of {batch} fresh sequences (Adam, a learning rate
of {rate}, gradients clipped at 1); the seeds are 1 to {seeds}.

![The gradient by the steps that it goes back]({picture})

## What is left of the gradient

The norm of the gradient of the loss by the input k steps before the last, as a part of that by the last input, before any training: the mean of the logarithms over the seeds, of sequences of {longest} steps.

| layer |{heads}
|---|{rules}
",
        chance = CHANCE,
        units = plan.units,
        steps = plan.steps,
        batch = plan.batch,
        rate = plan.learning_rate,
        seeds = plan.seeds,
        heads = plan.lags.iter().map(|lag| format!(" {lag} steps |")).collect::<String>(),
        rules = "---|".repeat(plan.lags.len()),
    );
    let rows = |page: &mut String, cell_of: &dyn Fn(Cell, usize) -> String| {
        for cell in Cell::ALL {
            let cells: String = plan.lags.iter().map(|&lag| format!(" {} |", cell_of(cell, lag))).collect();
            let _ = writeln!(page, "| {} |{cells}", cell.name());
        }
    };
    rows(&mut page, &|cell, lag| small(mean(&of(outcomes, cell, longest), |outcome| &outcome.before, lag)));
    let _ = write!(
        page,
        "
## How many learn it

Networks that have solved the problem, of {}, and the mean squared error of the middle one.

| layer |{}
|---|{}
",
        plan.seeds,
        plan.lags.iter().map(|lag| format!(" {lag} steps |")).collect::<String>(),
        "---|".repeat(plan.lags.len()),
    );
    rows(&mut page, &|cell, lag| {
        let own = of(outcomes, cell, lag);
        let mut errors: Vec<f64> = own.iter().map(|outcome| outcome.error).collect();
        errors.sort_by(f64::total_cmp);
        let solved = own.iter().filter(|outcome| outcome.is_solved()).count();
        format!("{solved} ({:.4})", errors.get(errors.len() / 2).copied().unwrap_or(f64::NAN))
    });
    let _ = write!(
        page,
        "
## What is left after training

The same gradient in the best network of each layer and lag: that by the input of the first step, as a part of that by the last.

| layer |{}
|---|{}
",
        plan.lags.iter().map(|lag| format!(" {lag} steps |")).collect::<String>(),
        "---|".repeat(plan.lags.len()),
    );
    rows(&mut page, &|cell, lag| small(mean(&best(outcomes, cell, lag), |outcome| &outcome.after, lag)));
    page + EXPLANATION
}

fn small(value: f64) -> String {
    if value >= 0.01 { format!("{value:.2}") } else { format!("{value:.0e}") }
}

/// What the numbers mean.
const EXPLANATION: &str = "
## Why

**Before training** all three lose the gradient, by a share at each step, which is an exponential. The simple RNN even keeps the most of it: its recurrent kernel begins as a rotation, which changes no length. So the difference is not where the layers begin, but what learning can make of them.

**A simple RNN** computes h_t = tanh(W x_t + U h_{t−1} + b). Going back a step multiplies the gradient by the slopes 1 − h_t² and by Uᵀ. To keep a value for a hundred steps both have to be 1 along its direction at every step, so that h must stay near 0 there, while each new input is added to the same h.
A kernel a little longer makes the gradient explode, a little shorter makes it vanish (Bengio, Simard and Frasconi 1994), and as soon as the layer uses its inputs the slopes fall. It loses what is old as it learns what is new: at best it answers by the mark at the end, for which half of the error remains (0.083), and what would lead further is gone.

**An LSTM** adds: c_t = f_t · c_{t−1} + i_t · g_t. Going back a step along c multiplies by the forget gate alone, with no matrix and no tanh in the way. The gate begins at 0.73 (its bias is 1), so that the gradient shrinks at first; but each unit can open its own gate without a change to what the others do, and an open gate carries
value and gradient as they are, for as long as it stays open, while a closed input gate keeps later values out. **A GRU** has the same sum with one gate for both parts, h_t = z_t · h_{t−1} + (1 − z_t) · n_t. Its gate begins at a half, which is why it starts from the smallest gradient; where it learns to open the gate it carries as far, and it learns that less often.

So where the answer depends on about ten steps, a simple RNN is small and may do; beyond them take a GRU or an LSTM, or bring the past nearer: `difference=`, `skip lag=` ([series](series.md#forecasts)), a window, or a pooling over all steps, whose gradient reaches each step by itself.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_row_for_each_layer_and_a_column_for_each_lag() {
        let plan = Plan { lags: vec![4, 8], seeds: 2, ..Plan::default() };
        let of = |cell, lag: usize, seed: u64| Outcome {
            cell,
            lag,
            seed,
            before: (0..=lag).map(|back| 0.5_f64.powi(back as i32)).collect(),
            after: vec![1.0; lag + 1],
            error: if seed == 1 { 0.001 } else { 0.1 },
            steps: 10,
        };
        let outcomes: Vec<Outcome> = Cell::ALL
            .into_iter()
            .flat_map(|cell| [(4, 1), (4, 2), (8, 1), (8, 2)].map(|(lag, seed)| of(cell, lag, seed)))
            .collect();
        let page = text(&plan, &outcomes, "gradients.svg", &plan.command());
        assert!(page.contains("`latch experiment gradients --lags 4,8 --seeds 2`"), "{page}");
        for cell in Cell::ALL {
            let row = |cells: &str| format!("| {} | {cells} |\n", cell.name());
            assert!(page.contains(&row("0.06 | 4e-3")), "{page}");
            assert!(page.contains(&row("1 (0.1000) | 1 (0.1000)")) && page.contains(&row("1.00 | 1.00")), "{page}");
        }
        let svg = picture(&plan, &outcomes).file();
        assert!(svg.matches("<polyline").count() >= 6 && !svg.contains("NaN"), "{svg}");
        assert_eq!(plan.table(&outcomes).lines().filter(|line| line.contains("1/2")).count(), 3);
    }
}
