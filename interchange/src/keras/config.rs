//! The configuration of a model: the JSON of Keras 1, 2 and 3 as one list of layers, in the order in which the input goes through them.
//!
//! Two forms say the same: a `Sequential` lists its layers; a `Functional` (`Model` before) names for each layer the layers that it reads, and is one chain where
//! each reads one. The layers of a model within the model stand in its place. A recurrent layer may read its first state from inputs of their own: then the model is one that is called step by step, and whoever runs
//! it carries the state.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use super::entry::{Entry, Era, Within};
use super::weights::MOST_LAYERS;
use crate::Error;
use crate::budget::Budget;

/// What a value of JSON takes in memory, and what an object does: a node of the library's tree.
const VALUE: usize = 40;
const OBJECT: usize = 700;

/// Most models that lie in one another.
const DEEPEST: usize = 8;

/// What to do with a model that is no chain.
const ONE_CHAIN: &str = "save the part of it that is one chain of layers as a model of its own";

/// A model as its configuration declares it.
#[derive(Debug)]
pub(super) struct Declared {
    /// The layers of the chain, the lowest first, those of inputs left out.
    pub(super) chain: Vec<Entry>,
    /// All layers of the file in its order, as (class, name): the names of tensors count them.
    pub(super) all: Vec<(String, String)>,
    /// Shape of the input without the axis of sequences; a size that may be any is none.
    pub(super) shape: Option<Vec<Option<usize>>>,
    /// Whether it is called step by step, the state being carried.
    pub(super) stepped: bool,
}

/// Parses a configuration; `at` is its place.
pub(super) fn parse(text: &[u8], at: &str, budget: &Budget) -> Result<Value, Error> {
    let (mut is_text, mut escaped, mut bytes) = (false, false, text.len());
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if is_text => escaped = true,
            b'"' => is_text = !is_text,
            b'{' if !is_text => bytes += OBJECT,
            b',' | b'[' | b':' if !is_text => bytes += VALUE,
            _ => {}
        }
    }
    budget.take(at, bytes)?;
    serde_json::from_slice(text).map_err(|fault| {
        let problem = format!("it is no JSON of a model ({fault})");
        Error::new(at, problem, "copy the file again, or save the model again")
    })
}

/// The layers of a configuration, up to the layer `until` where one is named; `place` is the file.
pub(super) fn declared(config: &Value, place: &str, era: Era, until: Option<&str>) -> Result<Declared, Error> {
    let layers = listed(config).unwrap_or(&[]);
    let is_own = |name: &str| layers.iter().any(|layer| named(layer).is_some_and(|own| own == name));
    let mut whole = of_model(config, place, era, until.filter(|name| is_own(name)))?;
    if whole.chain.iter().any(Entry::is_model) {
        whole = flattened(whole, layers, (place, DEEPEST), None)?;
    }
    // The layer may be one of a model within the model.
    if let Some(name) = until.filter(|name| !is_own(name)) {
        match whole.chain.iter().position(|entry| entry.name == name) {
            Some(last) => whole.chain.truncate(last + 1),
            None => return Err(no_such(place, name, &whole.all)),
        }
    }
    Ok(whole)
}

/// The layers that a model lists. Keras 1 and the first of Keras 2 list those of a Sequential at once.
fn listed(config: &Value) -> Option<&[Value]> {
    let inner = config.get("config");
    inner.and_then(Value::as_array).or_else(|| inner?.get("layers")?.as_array()).map(Vec::as_slice)
}

/// The name of a layer of a list.
fn named(layer: &Value) -> Option<&str> {
    let own = layer.get("config").and_then(|config| config.get("name"));
    own.or_else(|| layer.get("name")).or_else(|| layer.get("class_name")).and_then(Value::as_str)
}

/// A chain with the layers of the models in it in their place; so many may lie in one another. `outer` is the model that these layers are in.
fn flattened(
    declared: Declared,
    layers: &[Value],
    (place, deepest): (&str, usize),
    outer: Option<&Rc<Within>>,
) -> Result<Declared, Error> {
    let Declared { chain, all, mut shape, mut stepped } = declared;
    let mut flat = Vec::new();
    for mut entry in chain {
        entry.within = outer.cloned();
        if !entry.is_model() {
            flat.push(entry);
            continue;
        }
        let own = layers.iter().find(|layer| named(layer) == Some(entry.name.as_str()));
        let Some(own) = own.filter(|_| deepest > 0) else {
            let problem = "its layers lie too deep in other models";
            return Err(entry.refuse("", problem, "add its layers to the outer model, and save that"));
        };
        let mut inner = of_model(own, place, entry.era, None)?;
        // What a model within the model says of its input, the outer one may leave out.
        if flat.is_empty() && shape.is_none() {
            shape = entry.input_shape().or(inner.shape.take());
        }
        let is_step = shape.as_ref().is_some_and(|shape| shape.first() == Some(&Some(1)));
        stepped |= is_step && inner.chain.iter().any(|entry| entry.is_true("stateful"));
        let within = Rc::new(Within { all: std::mem::take(&mut inner.all), model: entry });
        let inner = flattened(inner, listed(own).unwrap_or(&[]), (place, deepest - 1), Some(&within))?;
        stepped |= inner.stepped;
        flat.extend(inner.chain);
        if flat.len() > MOST_LAYERS {
            let problem = format!("it has more than {MOST_LAYERS} layers");
            return Err(Error::new(format!("{place}: model_config"), problem, ONE_CHAIN));
        }
    }
    Ok(Declared { chain: flat, all, shape, stepped })
}

/// The layers of one model, with models among them.
fn of_model(config: &Value, place: &str, era: Era, until: Option<&str>) -> Result<Declared, Error> {
    let class = config.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let inner = config.get("config");
    let layers = listed(config);
    let outputs = histories(inner.and_then(|inner| inner.get("output_layers")).unwrap_or(&Value::Null));
    let Some(layers) = layers.filter(|_| class == "Sequential" || !outputs.is_empty()) else {
        let (problem, remedy) = if class.is_empty() {
            ("it declares no model".to_owned(), "save the whole model")
        } else {
            let problem = format!("its class is {class:?}, whose layers the file does not say");
            (problem, "build it as keras.Sequential or keras.Model of layers, and save that")
        };
        return Err(Error::new(format!("{place}: model_config"), problem, remedy));
    };
    if layers.len() > MOST_LAYERS {
        let problem = format!("it has {} layers, and {MOST_LAYERS} are read", layers.len());
        return Err(Error::new(format!("{place}: model_config"), problem, ONE_CHAIN));
    }
    let entries: Vec<Entry> = layers.iter().map(|layer| Entry::of(layer, place, era)).collect::<Result<_, Error>>()?;
    let all = entries.iter().map(|entry| (entry.class.clone(), entry.name.clone())).collect();
    if class == "Sequential" {
        return sequential(entries, all, place, until);
    }
    let graph = Graph::of(layers, entries, place)?;
    graph.chain(&outputs, all, until)
}

/// The layers of a Sequential, without those that only say the input.
fn sequential(
    entries: Vec<Entry>,
    all: Vec<(String, String)>,
    place: &str,
    until: Option<&str>,
) -> Result<Declared, Error> {
    let shape = entries.first().and_then(Entry::input_shape);
    let is_stateful = entries.iter().any(|entry| entry.is_true("stateful"));
    let stepped = is_stateful && shape.as_ref().is_some_and(|shape| shape.first() == Some(&Some(1)));
    let end = match until {
        None => entries.len(),
        Some(name) => match entries.iter().position(|entry| entry.name == name) {
            Some(last) => last + 1,
            None => return Err(no_such(place, name, &all)),
        },
    };
    let chain = entries.into_iter().take(end).filter(|entry| entry.class != "InputLayer").collect();
    Ok(Declared { chain, all, shape, stepped })
}

/// A layer that is asked for and not there.
fn no_such(place: &str, name: &str, all: &[(String, String)]) -> Error {
    let layers = all.iter().filter(|(class, _)| class != "InputLayer");
    let names: Vec<&str> = layers.map(|(_, name)| name.as_str()).collect();
    let problem = format!("there is no layer {:?}", name.escape_debug().to_string());
    Error::new(place, problem, format!("name one of {}", names.join(", ")))
}

/// Where a tensor of a graph comes from: a layer, which of its calls, which of its outputs.
type History = (String, usize, usize);

/// The tensors that a value names: `["lstm", 0, 0]` within any lists, or Keras 3's objects with `keras_history`.
fn histories(value: &Value) -> Vec<History> {
    match value {
        Value::Array(items) => match items.as_slice() {
            [Value::String(name), Value::Number(node), Value::Number(output), ..] => {
                let number = |number: &serde_json::Number| number.as_u64().unwrap_or(u64::MAX) as usize;
                vec![(name.clone(), number(node), number(output))]
            }
            items => items.iter().flat_map(histories).collect(),
        },
        Value::Object(object) => match object.get("config").and_then(|config| config.get("keras_history")) {
            Some(history) => histories(history),
            None => object.values().flat_map(histories).collect(),
        },
        _ => Vec::new(),
    }
}

/// A call of a layer.
#[derive(Default)]
struct Call {
    /// What it reads; behind it the first states of a recurrent layer.
    inputs: Vec<History>,
    /// The tensors that say which steps are some.
    masks: Vec<History>,
    /// The number beside what it reads, of a comparison.
    number: Option<f64>,
    /// Whether the layer is called again elsewhere.
    is_shared: bool,
}

impl Call {
    /// The first call of a layer.
    fn of(layer: &Value) -> Self {
        let nodes = layer.get("inbound_nodes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_shared = nodes.len() > 1;
        let masks = |named: Option<&Value>| named.and_then(|named| named.get("mask")).map_or_else(Vec::new, histories);
        match nodes.first() {
            None => Self::default(),
            // Keras 3: what is no mask of the arguments.
            Some(Value::Object(node)) => {
                let (args, kwargs) = (node.get("args"), node.get("kwargs"));
                let named = kwargs.and_then(Value::as_object).into_iter().flatten();
                let named = named.filter(|(name, _)| name.as_str() != "mask").map(|(_, value)| value);
                let number = args.and_then(Value::as_array).and_then(|args| args.get(1)).and_then(Value::as_f64);
                let inputs = args.into_iter().chain(named).flat_map(histories).collect();
                Self { inputs, masks: masks(kwargs), number, is_shared }
            }
            // Before: a list of tensors, each with the arguments of the call, in which a first state may stand.
            Some(node) => {
                let (mut inputs, mut given) = (Vec::new(), Vec::new());
                called(node, &mut inputs, &mut given);
                let states = given.iter().filter_map(|given| given.get("initial_state"));
                inputs.extend(states.flat_map(histories));
                let masks = given.iter().flat_map(|given| masks(Some(given))).collect();
                Self { inputs, masks, number: None, is_shared }
            }
        }
    }
}

/// The tensors of a call of Keras 1 and 2, `[["lstm", 0, 0, {"initial_state": …}], …]`, and what is given by name beside them.
fn called<'v>(node: &'v Value, inputs: &mut Vec<History>, given: &mut Vec<&'v Value>) {
    let Value::Array(items) = node else { return };
    if let [Value::String(_), Value::Number(_), ..] = items.as_slice() {
        inputs.extend(histories(node));
        given.extend(items.get(3));
    } else {
        items.iter().for_each(|item| called(item, inputs, given));
    }
}

/// A model whose layers name what they read.
struct Graph<'a> {
    place: &'a str,
    entries: HashMap<String, Entry>,
    calls: HashMap<String, Call>,
}

impl<'a> Graph<'a> {
    fn of(layers: &[Value], entries: Vec<Entry>, place: &'a str) -> Result<Self, Error> {
        let mut calls = HashMap::new();
        for (layer, entry) in layers.iter().zip(&entries) {
            if calls.insert(entry.name.clone(), Call::of(layer)).is_some() {
                let problem = "two layers have this name";
                return Err(Error::new(entry.at(), problem, "give each a name of its own"));
            }
        }
        let entries = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Ok(Self { place, entries, calls })
    }

    /// Refuses a mask that is another one than that of an embedding or of a masking in the chain, which layers hand on anyway.
    fn check_masks(&self, chain: &[Entry]) -> Result<(), Error> {
        let call = |name: &str| self.calls.get(name);
        let class = |name: &str| self.entries.get(name).map_or("", |entry| entry.class.as_str());
        for (entry, (name, ..)) in chain.iter().flat_map(|entry| {
            call(&entry.name).map_or(&[][..], |call| &call.masks).iter().map(move |mask| (entry, mask))
        }) {
            // Keras 3 computes it as layers of its own: any(x != value), or x != 0 of ids.
            let compared = match class(name) {
                "Any" => call(name).and_then(|call| call.inputs.first()).map(|(name, ..)| name.as_str()),
                _ => Some(name.as_str()),
            };
            let compared = compared.filter(|name| class(name) == "NotEqual").and_then(call);
            let is_known = compared.is_some_and(|compared| {
                chain.iter().any(|below| {
                    let value = match below.class.as_str() {
                        "Embedding" if below.is_true("mask_zero") => Some(0.0),
                        "Masking" => below.number("mask_value", 0.0).ok(),
                        _ => None,
                    };
                    let reads = call(&below.name).and_then(|call| call.inputs.first());
                    value.is_some() && value == compared.number && reads == compared.inputs.first()
                })
            });
            if !is_known {
                let problem = format!("its mask ({name}) is that of no layer below it");
                return Err(Error::new(entry.at(), problem, "mask with Embedding(mask_zero=True) or Masking"));
            }
        }
        Ok(())
    }

    /// The chain that ends with the layer that is asked for, else with the one that gives the model's output.
    fn chain(
        mut self,
        outputs: &[History],
        all: Vec<(String, String)>,
        until: Option<&str>,
    ) -> Result<Declared, Error> {
        let mut name = match until {
            Some(name) if self.entries.contains_key(name) => name.to_owned(),
            Some(name) => return Err(no_such(self.place, name, &all)),
            None => self.output(outputs)?,
        };
        let (mut chain, mut stepped, mut seen) = (Vec::new(), false, HashSet::new());
        let shape = loop {
            let absent = || {
                let at = format!("{}: model_config", self.place);
                Error::new(at, format!("no layer is called {:?}", name), "save the model again")
            };
            let entry = self.entries.remove(&name).ok_or_else(absent)?;
            if entry.class == "InputLayer" {
                break entry.input_shape();
            }
            seen.insert(name.clone());
            let Call { inputs, is_shared, .. } = self.calls.get(&name).ok_or_else(absent)?;
            if *is_shared {
                return Err(Error::new(entry.at(), "the model calls it more than once", ONE_CHAIN));
            }
            let Some((first, states)) = inputs.split_first() else {
                return Err(Error::new(entry.at(), "it reads nothing", "save the model again"));
            };
            let is_state = |(name, ..): &History| {
                self.entries.get(name).is_some_and(|entry| entry.class == "InputLayer") && entry.is_recurrent()
            };
            if !states.iter().all(is_state) || first.2 != 0 {
                let names: Vec<&str> = inputs.iter().map(|(name, ..)| name.as_str()).collect();
                let class = &entry.class;
                let problem = format!("it ({class}) reads {}: the model has branches", names.join(" and "));
                return Err(Error::new(entry.at(), problem, ONE_CHAIN));
            }
            stepped |= !states.is_empty() || entry.is_true("stateful");
            name.clone_from(&first.0);
            chain.push(entry);
        };
        chain.reverse();
        self.check_masks(&chain)?;
        let stepped = stepped && shape.as_ref().is_some_and(|shape| shape.first() == Some(&Some(1)));
        Ok(Declared { chain, all, shape, stepped })
    }

    /// The layer that gives the model's output. States of recurrent layers may be further outputs.
    fn output(&self, outputs: &[History]) -> Result<String, Error> {
        let state =
            |(name, _, output): &&History| *output > 0 && self.entries.get(name).is_some_and(Entry::is_recurrent);
        let answers: Vec<&History> = outputs.iter().filter(|output| !state(output)).collect();
        match answers.as_slice() {
            [(name, ..)] => Ok(name.clone()),
            [] => {
                Err(Error::new(format!("{}: model_config", self.place), "it names no output", "save the model again"))
            }
            several => {
                let names: Vec<&str> = several.iter().map(|(name, ..)| name.as_str()).collect();
                let problem = format!("it has {} outputs: {}", names.len(), names.join(", "));
                Err(Error::new(format!("{}: model_config", self.place), problem, ONE_CHAIN))
            }
        }
    }
}
