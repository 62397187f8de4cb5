//! A graph, followed from its input to its output.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::node::{Context, EXPORT_AGAIN, Node, OTHERWISE};
use super::tensor::{Const, MOST_AXES};
use super::value::{Axis, Flow, Role, Root, Value};
use super::{constants, dense, norms, proto, recurrent, reshape, shapes, spelled, windows};
use crate::Error;

/// Most places of an axis of an input; one that is longer has no number here.
const MOST_PLACES: usize = 1 << 32;

/// What a name takes in memory, with what it stands for.
const NAME: usize = 512;

/// What the names of a graph stand for.
type Names = HashMap<String, Option<Value>>;

/// Follows a graph to the output of this name, else to the one that is no state.
pub(crate) fn follow(graph: &proto::Graph, until: Option<&str>, context: &Context<'_>) -> Result<Flow, Error> {
    let outputs: Vec<&str> = match until {
        Some(name) => vec![named(graph, name, context)?],
        None => graph.output.iter().map(|output| output.name.as_str()).collect(),
    };
    let is_spelled = spells_cells_out(graph, &outputs);
    let mut names = inputs(graph, is_spelled, context)?;
    evaluate(graph, &outputs, &mut names, context)?;
    let given: Vec<(&str, Option<&Value>)> =
        outputs.iter().map(|&name| (name, names.get(name).and_then(Option::as_ref))).collect();
    if !is_spelled {
        return answer(&given, context);
    }
    let outputs = spelled::outputs(&given, context)?;
    let data: Vec<(&str, Option<&Value>)> = outputs.all.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    let flow = answer(&data, context)?;
    // Where a value within the graph is the answer, its states are not asked for.
    if until.is_none() {
        outputs.check(&given, &flow, context)?;
    }
    Ok(flow)
}

/// Whether a graph may spell recurrent cells out: it has several inputs, of which all but one can be states, and no recurrent operator.
fn spells_cells_out(graph: &proto::Graph, outputs: &[&str]) -> bool {
    const RECURRENT: [&str; 6] = ["LSTM", "GRU", "RNN", "DynamicQuantizeLSTM", "Loop", "Scan"];
    let needed = needed(graph, outputs);
    let given: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let is_input =
        |input: &&proto::ValueInfo| needed.contains(input.name.as_str()) && !given.contains(input.name.as_str());
    let is_needed = |node: &&proto::Node| node.output.iter().any(|output| needed.contains(output.as_str()));
    let mut nodes = graph.node.iter().filter(is_needed);
    graph.input.iter().filter(is_input).count() > 1 && nodes.all(|node| !RECURRENT.contains(&node.op_type.as_str()))
}

/// A name that some node gives, or the first output of the node of this name.
fn named<'g>(graph: &'g proto::Graph, name: &str, context: &Context<'_>) -> Result<&'g str, Error> {
    let outputs = || graph.node.iter().flat_map(|node| &node.output);
    let of_node = || graph.node.iter().find(|node| node.name == name).and_then(|node| node.output.first());
    let found = outputs().find(|output| *output == name).or_else(of_node);
    found.filter(|name| !name.is_empty()).map(String::as_str).ok_or_else(|| {
        let problem = format!("no node of it gives {:?}", name);
        let last = graph.output.first().map_or("output", |output| output.name.as_str());
        Error::new(context.place, problem, format!("name one of its values, as {:?}", last))
    })
}

/// The inputs that data can come from: those that no initializer gives.
fn inputs(graph: &proto::Graph, is_spelled: bool, context: &Context<'_>) -> Result<Names, Error> {
    let given: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut names = Names::new();
    let inputs = graph.input.iter().filter(|input| !given.contains(input.name.as_str()));
    for (number, input) in inputs.enumerate() {
        let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
        let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim[..]);
        let size = |dim: &proto::Dimension| {
            dim.dim_value.and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=MOST_PLACES).contains(size))
        };
        let axes = dims.iter().take(MOST_AXES).map(|dim| Axis::new(Role::Unknown, size(dim))).collect();
        // Integers of 32 and of 64 bits.
        let is_ids = tensor.is_some_and(|tensor| matches!(tensor.elem_type, 6 | 7));
        let root = Rc::new(Root { name: input.name.clone(), is_ids, axes });
        let spelled = if is_spelled && !is_ids { spelled::input(&root, number, context)? } else { None };
        let value = spelled.unwrap_or_else(|| Value::Flow(Flow { is_spelled, ..Flow::of(root) }));
        names.insert(input.name.clone(), Some(value));
    }
    Ok(names)
}

/// The names that these outputs need, of a graph whose nodes stand in the order in which they run.
fn needed<'g>(graph: &'g proto::Graph, outputs: &[&'g str]) -> HashSet<&'g str> {
    let mut needed: HashSet<&str> = outputs.iter().copied().collect();
    let mut within: Vec<&proto::Node> = Vec::new();
    for node in graph.node.iter().rev() {
        if !node.output.iter().any(|output| !output.is_empty() && needed.contains(output.as_str())) {
            continue;
        }
        within.push(node);
        // Nodes of inner graphs read names of this one.
        while let Some(node) = within.pop() {
            needed.extend(node.input.iter().map(String::as_str));
            for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
                needed.extend(graph.output.iter().map(|output| output.name.as_str()));
                within.extend(&graph.node);
            }
        }
    }
    needed
}

/// Finds what the outputs of a graph, and all that they need, stand for.
fn evaluate(graph: &proto::Graph, outputs: &[&str], names: &mut Names, context: &Context<'_>) -> Result<(), Error> {
    if !graph.sparse_initializer.is_empty() {
        return Err(Error::new(context.place, "it has sparse initializers", "export it with dense weights"));
    }
    let needed = needed(graph, outputs);
    for tensor in graph.initializer.iter().filter(|tensor| needed.contains(tensor.name.as_str())) {
        let value = Value::Const(Const::of(tensor, &tensor.name, context.place, context.budget)?);
        names.insert(tensor.name.clone(), Some(value));
    }
    let is_needed = |name: &String| !name.is_empty() && needed.contains(name.as_str());
    let nodes = || graph.node.iter().filter(|node| node.output.iter().any(is_needed));
    // The nodes that prepare a loop are read no better than itself, and its name says more.
    if let Some(of) = nodes().find(|node| matches!(node.op_type.as_str(), "Loop" | "Scan")) {
        let problem = format!("its recurrence is spelled out as a {}", of.op_type);
        let remedy = "export it with an LSTM, a GRU or an RNN";
        return Node { of, inputs: Vec::new(), shown: None, context }.refuse(problem, remedy);
    }
    for node in nodes() {
        let mut node = Node { of: node, inputs: Vec::new(), shown: None, context };
        for name in &node.of.input {
            node.inputs.push(match names.get(name) {
                Some(value) => value.clone(),
                None if name.is_empty() => None,
                None => {
                    let problem = format!("nothing before it gives its input {:?}", name);
                    return node.refuse(problem, EXPORT_AGAIN);
                }
            });
        }
        if let Some(attribute) = node.of.attribute.iter().find(|attribute| !attribute.ref_attr_name.is_empty()) {
            return node.refuse(format!("its {} is that of a function", attribute.name.escape_debug()), OTHERWISE);
        }
        let given = if node.kind() == "If" { branch(&node, names)? } else { run(&node)? };
        for (name, value) in node.of.output.iter().zip(given).filter(|(name, _)| !name.is_empty()) {
            context.budget.take(context.place, NAME + name.len())?;
            names.insert(name.clone(), spelled::lifted(&node, value)?);
        }
    }
    Ok(())
}

/// What a node gives.
pub(crate) fn run(node: &Node<'_>) -> Result<Vec<Option<Value>>, Error> {
    let is_own = matches!(node.of.domain.as_str(), "" | "ai.onnx");
    if let Some(given) = spelled::read(node).filter(|_| is_own) {
        return given;
    }
    if node.inputs.iter().flatten().any(|value| matches!(value, Value::Spelled(_))) {
        let Node { of, shown, context, .. } = node;
        return run(&Node { of, inputs: spelled::as_flows(node)?, shown: *shown, context });
    }
    let domain = node.of.domain.as_str();
    let known = match (domain, node.kind()) {
        ("com.microsoft", "DynamicQuantizeLSTM") | ("" | "ai.onnx", "RNN" | "LSTM" | "GRU") => {
            Some(recurrent::read(node))
        }
        ("" | "ai.onnx", _) => constants::read(node)
            .or_else(|| norms::read(node))
            .or_else(|| dense::read(node))
            .or_else(|| windows::read(node))
            .or_else(|| shapes::read(node))
            .or_else(|| reshape::read(node)),
        _ => None,
    };
    if let Some(given) = known {
        return given;
    }
    match (domain, node.kind()) {
        ("" | "ai.onnx", kind) => node.refuse(format!("its operator {:?} is not read", kind), OTHERWISE),
        (domain, kind) => {
            node.refuse(format!("its operator {:?} of the domain {:?} is not read", kind, domain), OTHERWISE)
        }
    }
}

/// The branch that a constant decides for.
fn branch(node: &Node<'_>, names: &mut Names) -> Result<Vec<Option<Value>>, Error> {
    let decided = match node.needed(0)? {
        Value::Const(tensor) if tensor.is_bool() => tensor.ints().and_then(|values| values.first().copied()),
        Value::Ints(ints) => ints.values.first().copied().flatten(),
        _ => None,
    };
    let Some(decided) = decided else {
        return node.refuse("data decide which of its branches runs", "export the branch that is wanted");
    };
    let name = if decided != 0 { "then_branch" } else { "else_branch" };
    let Some(graph) = node.attribute(name).and_then(|attribute| attribute.g.as_ref()) else {
        return node.refuse(format!("its {name} is missing"), EXPORT_AGAIN);
    };
    let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    evaluate(graph, &outputs, names, node.context)?;
    Ok(outputs.iter().map(|name| names.get(*name).cloned().flatten()).collect())
}

/// The output that answers: the only one, or the only one that is no state.
pub(crate) fn answer(outputs: &[(&str, Option<&Value>)], context: &Context<'_>) -> Result<Flow, Error> {
    let mut all: Vec<(&str, &Flow)> = Vec::new();
    for &(name, value) in outputs {
        if let Some(Value::Flow(flow)) = value {
            all.push((name, flow));
        }
    }
    let answers: Vec<&(&str, &Flow)> = all.iter().filter(|(_, flow)| !flow.is_state || all.len() == 1).collect();
    match answers.as_slice() {
        [(name, flow)] => {
            let at = format!("{}: output {}", context.place, name.escape_debug());
            if flow.pads != (0, 0) {
                return Err(Error::new(at, "only a convolution reads what a Pad gives", OTHERWISE));
            }
            // Two directions that stand apart are those of one vector.
            let settled =
                flow.settled().ok_or_else(|| Error::new(at.as_str(), "it has too many operators", OTHERWISE))?;
            if settled.is_reversed {
                return Err(Error::new(at, "its steps come from the last to the first", "keep their order"));
            }
            if settled.chain.is_none() {
                return Err(Error::new(at, "it has no layer", EXPORT_AGAIN));
            }
            Ok(settled)
        }
        [] => {
            let names: Vec<&str> = outputs.iter().map(|(name, _)| *name).collect();
            let problem = format!("none of its outputs is made of its inputs: {}", names.join(", ").escape_debug());
            Err(Error::new(context.place, problem, OTHERWISE))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            let problem = format!("it has {} outputs: {}", names.len(), names.join(", ").escape_debug());
            Err(Error::new(context.place, problem, "name the one that is wanted: --until NAME"))
        }
    }
}
