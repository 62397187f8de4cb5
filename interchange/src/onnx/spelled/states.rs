//! The states that a caller keeps: what a call gives must be what the next one takes, number by number.

use std::rc::Rc;

use super::super::chain::{Link, Op};
use super::super::node::{Context, OTHERWISE};
use super::super::value::{Flow, Made, Spelled, Step, Term, Value};
use super::flows;
use crate::Error;

/// What to do with a state that does not come back.
const RETURN: &str = "export it so that each state that comes in goes out, in a tensor of the same shape";

/// A number that must stand at a place of an output: that of a term.
type Wanted = (usize, Rc<Term>, usize);

/// The next h of a cell, and its step.
type Known = (Rc<Term>, Rc<Step>);

/// An output of the graph.
type Output<'o> = (&'o str, Option<Value>);

/// The steps of cells whose states are among these numbers.
fn steps_in(spelled: &Spelled, context: &Context<'_>) -> Result<Vec<Known>, Error> {
    let mut steps: Vec<Known> = Vec::new();
    let mut last: Option<Rc<Term>> = None;
    for (term, _) in spelled.numbers() {
        if last.as_ref().is_some_and(|last| Rc::ptr_eq(last, &term)) {
            continue;
        }
        let is_known = steps.iter().any(|(known, _)| Rc::ptr_eq(known, &term));
        let whole = Spelled { dims: Vec::new(), places: Rc::new(Vec::new()), term: Rc::clone(&term) };
        if !is_known && let Some(step) = flows::step_of(&whole, context)? {
            steps.push((Rc::clone(&term), step));
        }
        last = Some(term);
    }
    Ok(steps)
}

/// The outputs as data and as states, and the steps whose states are among them.
pub(crate) struct Outputs<'o> {
    pub(crate) all: Vec<Output<'o>>,
    steps: Vec<Known>,
}

/// Makes data of those outputs that are no states; where all are, of the next h of the last cell.
///
/// # Errors
/// Names the node where an output is no data of one chain.
pub(crate) fn outputs<'o>(given: &[(&'o str, Option<&Value>)], context: &Context<'_>) -> Result<Outputs<'o>, Error> {
    let mut steps: Vec<Known> = Vec::new();
    for (_, value) in given {
        if let Some(Value::Spelled(spelled)) = value {
            for (term, step) in steps_in(spelled, context)? {
                if !steps.iter().any(|(known, _)| Rc::ptr_eq(known, &term)) {
                    steps.push((term, step));
                }
            }
        }
    }
    let is_of_state = |term: &Rc<Term>| {
        let is_cell = |(_, step): &Known| step.cell.as_ref().is_some_and(|(_, next)| Rc::ptr_eq(&next.term, term));
        steps.iter().any(|(known, _)| Rc::ptr_eq(known, term)) || steps.iter().any(is_cell)
    };
    let mut all: Vec<Output<'o>> = Vec::new();
    // The output that is the next h of a cell over the most others.
    let mut last: Option<(usize, usize)> = None;
    for &(name, value) in given {
        let value = match value {
            Some(Value::Spelled(spelled)) if spelled.numbers().all(|(term, _)| is_of_state(&term)) => {
                let step = steps.iter().find(|(term, _)| Rc::ptr_eq(term, &spelled.term));
                match step.filter(|_| spelled.is_whole()) {
                    Some(_) => {
                        let flow = flows::of(spelled, context)?;
                        let depth = Link::upwards(flow.chain.as_ref()).len();
                        if last.is_none_or(|(_, most)| depth > most) {
                            last = Some((all.len(), depth));
                        }
                        Some(Value::Flow(Flow { is_state: true, ..flow }))
                    }
                    None => Some(Value::State),
                }
            }
            Some(Value::Spelled(spelled)) => Some(Value::Flow(flows::of(spelled, context)?)),
            other => other.cloned(),
        };
        all.push((name, value));
    }
    let is_answer = |(_, value): &Output<'_>| matches!(value, Some(Value::Flow(flow)) if !flow.is_state);
    if let Some((last, _)) = last.filter(|_| !all.iter().any(is_answer))
        && let (_, Some(Value::Flow(flow))) = &mut all[last]
    {
        flow.is_state = false;
    }
    Ok(Outputs { all, steps })
}

impl Outputs<'_> {
    /// Holds the states of all cells of an answer to what comes in.
    ///
    /// # Errors
    /// Names the cell, or the input, whose state no output gives back.
    pub(crate) fn check(
        &self,
        given: &[(&str, Option<&Value>)],
        answer: &Flow,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        // By each input, what must come out in its place.
        let mut wanted: Vec<(&Spelled, Vec<Wanted>)> = Vec::new();
        for link in Link::upwards(answer.chain.as_ref()) {
            let Op::Recurrent { both, .. } = &link.op else { continue };
            let Some((term, step)) = self.steps.iter().find(|(_, step)| Rc::ptr_eq(&step.both, both)) else {
                let at = format!("{}: node {}", context.place, link.name.escape_debug());
                return Err(Error::new(at, "its state behind the step is no output of the model", RETURN));
            };
            let hidden = step.hidden.places.iter().enumerate().map(|(unit, place)| (*place, Rc::clone(term), unit));
            add(&mut wanted, &step.hidden, hidden.collect());
            if let Some((before, next)) = &step.cell {
                let cell = before.places.iter().zip(next.places.iter());
                add(&mut wanted, before, cell.map(|(place, unit)| (*place, Rc::clone(&next.term), *unit)).collect());
            }
        }
        for (input, wanted) in &wanted {
            let Made::Input(root, _) = &input.term.made else { continue };
            let at = format!("{}: input {}", context.place, root.name.escape_debug());
            if root.name == answer.root.name {
                return Err(Error::new(at, "it is data of the model, and a state of one of its cells", OTHERWISE));
            }
            let length = root.axes.iter().map(|axis| axis.size.unwrap_or(1)).product::<usize>();
            let gives = |(_, value): &(&str, Option<&Value>)| match value {
                Some(Value::Spelled(output)) if output.len() == length => {
                    let numbers: Vec<(Rc<Term>, usize)> = output.numbers().collect();
                    let is_there = |(place, term, unit): &Wanted| {
                        numbers.get(*place).is_some_and(|(found, at)| Rc::ptr_eq(found, term) && at == unit)
                    };
                    wanted.iter().all(is_there)
                }
                _ => false,
            };
            if !given.iter().any(gives) {
                let problem = "no output gives the states that it brings, each in its place, for the next call";
                return Err(Error::new(at, problem, RETURN));
            }
        }
        Ok(())
    }
}

/// Adds what must come out in the place of numbers of an input.
fn add<'s>(all: &mut Vec<(&'s Spelled, Vec<Wanted>)>, input: &'s Spelled, mut wanted: Vec<Wanted>) {
    match all.iter_mut().find(|(known, _)| Rc::ptr_eq(&known.term, &input.term)) {
        Some((_, known)) => known.append(&mut wanted),
        None => all.push((input, wanted)),
    }
}
