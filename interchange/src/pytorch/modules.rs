//! The modules of a file, found by the names and the shapes of their tensors.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Part, Said};
use crate::Error;
use crate::json::{Json, Object, place_of};

/// What a module is, by its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `nn.LSTM`, `nn.GRU` or `nn.RNN`.
    Recurrent,
    /// `nn.Linear` or `nn.Embedding`.
    Matrix { rows: usize, columns: usize },
    /// `nn.Conv1d`.
    Conv1d { units: usize, frames: usize },
    /// `nn.LayerNorm`.
    LayerNorm { features: usize },
}

/// A module of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// What stands in front of the names of its tensors, without the point.
    pub(super) name: String,
    pub(super) form: Form,
    /// Whether it has a bias.
    biased: bool,
}

/// What the names of recurrent tensors begin with.
const RECURRENT: [&str; 5] = ["weight_ih_l", "weight_hh_l", "weight_hr_l", "bias_ih_l", "bias_hh_l"];

impl Module {
    /// What stands in front of the names of its tensors.
    pub(super) fn prefix(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("{}.", self.name) }
    }

    /// The last part of its name.
    pub(super) fn short(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// The shape of one of its tensors.
    fn shape<'o>(&self, tensors: &'o Object, part: &str) -> Option<&'o [usize]> {
        match tensors.get(&format!("{}{part}", self.prefix())) {
            Some(Json::Tensor(tensor)) => Some(&tensor.shape),
            _ => None,
        }
    }

    /// The features that it reads, where its tensors say it.
    pub(super) fn inputs(&self, tensors: &Object) -> Option<usize> {
        match self.form {
            Form::Recurrent => self.shape(tensors, "weight_ih_l0")?.get(1).copied(),
            Form::Matrix { columns, .. } => Some(columns),
            Form::Conv1d { .. } => self.shape(tensors, "weight")?.get(1).copied(),
            Form::LayerNorm { features } => Some(features),
        }
    }

    /// The features that a recurrent module gives.
    fn outputs(&self, tensors: &Object) -> Option<usize> {
        let projected = self.shape(tensors, "weight_hr_l0").and_then(|shape| shape.first());
        let hidden = projected.or(self.shape(tensors, "weight_hh_l0").and_then(|shape| shape.get(1))).copied()?;
        let both = self.shape(tensors, "weight_ih_l0_reverse").is_some();
        hidden.checked_mul(if both { 2 } else { 1 })
    }

    /// Whether it may be a table: one has no bias.
    pub(super) fn may_be_table(&self) -> bool {
        matches!(self.form, Form::Matrix { .. }) && !self.biased
    }

    /// Whether it is a table by its name.
    pub(super) fn is_called_table(&self) -> bool {
        self.may_be_table() && self.short().to_ascii_lowercase().contains("emb")
    }
}

/// Compares names with the numbers in them as numbers: `net.2` is before `net.10`.
fn naturally(one: &str, other: &str) -> Ordering {
    let parts = |name: &str| -> Vec<(u64, String)> {
        name.split('.').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
    };
    parts(one).cmp(&parts(other))
}

/// The modules of a file, in the order of their names.
///
/// # Errors
/// Names a tensor that belongs to a module that Latch does not have.
pub(super) fn of(tensors: &Object, place: &str) -> Result<Vec<Module>, Error> {
    let mut found: BTreeMap<&str, Option<Form>> = BTreeMap::new();
    let mut biased: Vec<&str> = Vec::new();
    for (name, json) in &tensors.0 {
        let (prefix, part) = name.rsplit_once('.').unwrap_or(("", name));
        if matches!(part, "running_mean" | "running_var" | "num_batches_tracked") {
            let problem = "it belongs to a BatchNorm, which is not read from tensors";
            return Err(Error::new(place_of(place, name), problem, "export the model as ONNX, which folds it"));
        }
        if part == "bias" {
            biased.push(prefix);
        }
        let shape: &[usize] = if let Json::Tensor(tensor) = json { &tensor.shape } else { &[] };
        let form = match (part, shape) {
            (part, _) if RECURRENT.iter().any(|begin| part.starts_with(begin)) => Form::Recurrent,
            ("weight", &[rows, columns]) => Form::Matrix { rows, columns },
            ("weight", &[units, _, frames]) => Form::Conv1d { units, frames },
            ("weight", &[features]) => Form::LayerNorm { features },
            _ => {
                found.entry(prefix).or_default();
                continue;
            }
        };
        found.insert(prefix, Some(form));
    }
    let mut modules: Vec<Module> = found
        .into_iter()
        .filter_map(|(name, form)| Some(Module { name: name.to_owned(), form: form?, biased: biased.contains(&name) }))
        .collect();
    modules.sort_by(|one, other| naturally(&one.name, &other.name));
    if modules.is_empty() {
        let mut names: Vec<&str> = tensors.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let shown: Vec<String> = names.iter().take(4).map(|name| format!("{name:?}")).collect();
        let more = if names.len() > shown.len() { ", …" } else { "" };
        let problem = format!("no module is among its {} tensors ({}{more})", names.len(), shown.join(", "));
        return Err(Error::new(place, problem, "save the state_dict of the network; docs/frameworks.md has the names"));
    }
    Ok(modules)
}

/// The only order that there is: a table where there is one, recurrent modules each of which reads what another gives, and one linear module.
///
/// # Errors
/// Where several orders are possible, with a chain to begin from.
pub(super) fn in_order(modules: &[Module], tensors: &Object, place: &str) -> Result<Vec<Part>, Error> {
    let (mut recurrent, others): (Vec<&Module>, Vec<&Module>) =
        modules.iter().partition(|module| module.form == Form::Recurrent);
    let tables: Vec<&Module> = others.iter().copied().filter(|module| module.is_called_table()).collect();
    let rest: Vec<&Module> = others.into_iter().filter(|module| !module.is_called_table()).collect();
    let is_plain = tables.len() <= 1 && rest.len() <= 1 && !recurrent.is_empty();
    if !is_plain || rest.iter().any(|module| !matches!(module.form, Form::Matrix { .. })) {
        let problem = "its tensors do not say in which order its modules stand, and what is between them";
        return Err(unsaid(place, problem, modules, false));
    }
    if tables.is_empty() && !rest.is_empty() {
        let problem = "its tensors do not say whether each step has an answer, or only the last one";
        return Err(unsaid(place, problem, modules, true));
    }
    let mut ordered = Vec::new();
    let mut features = tables.first().and_then(|table| table.inputs(tensors));
    while !recurrent.is_empty() {
        let reads = |module: &&Module| features.is_none_or(|features| module.inputs(tensors) == Some(features));
        let fitting: Vec<usize> = (0..recurrent.len()).filter(|&at| reads(&recurrent[at])).collect();
        let next = match (&fitting[..], recurrent.len()) {
            (&[one], _) => one,
            // What does not fit is named with its shape.
            (_, 1) => 0,
            _ => {
                let problem = "its tensors do not say in which order its recurrent modules stand";
                return Err(unsaid(place, problem, modules, false));
            }
        };
        let module = recurrent.remove(next);
        features = module.outputs(tensors);
        ordered.push(module);
    }
    let table = tables.into_iter().map(|module| (module, Said { is_table: true, ..Said::default() }));
    let others = ordered.into_iter().chain(rest).map(|module| (module, Said::default()));
    Ok(table.chain(others).map(|(module, said)| Part::Module(module.clone(), said)).collect())
}

/// The refusal of modules whose order is not known, with chains to begin from: one that has every module, and where `pools` says so one whose answer is that of
/// each step beside it.
fn unsaid(place: &str, problem: &str, modules: &[Module], pools: bool) -> Error {
    let name = |module: &Module| match module.form {
        Form::Matrix { .. } if module.is_called_table() => module.name.clone(),
        _ if module.name.is_empty() => "lstm".to_owned(),
        _ => module.name.clone(),
    };
    let rank = |module: &&Module| match module.form {
        _ if module.is_called_table() => 0,
        Form::Conv1d { .. } => 1,
        Form::Recurrent => 2,
        Form::Matrix { .. } | Form::LayerNorm { .. } => 3,
    };
    let mut sorted: Vec<&Module> = modules.iter().collect();
    sorted.sort_by_key(rank);
    let chain = |pooled: bool| {
        let recurrent = sorted.iter().rposition(|module| module.form == Form::Recurrent);
        let mut words: Vec<String> = sorted.iter().map(|module| name(module)).collect();
        if let Some(at) = recurrent.filter(|_| pooled) {
            words.insert(at + 1, "last".into());
        }
        words.join(" > ")
    };
    let remedy = if pools {
        format!("say it with --chain {:?}, or {:?} for an answer at each step", chain(true), chain(false))
    } else {
        format!("say it with a chain such as --chain {:?}: docs/frameworks.md has the words", chain(true))
    };
    Error::new(place, problem, remedy)
}
