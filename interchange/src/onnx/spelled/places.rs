//! Views of spelled numbers: an operator that moves axes moves places, and computes nothing.

use std::cell::OnceCell;
use std::rc::Rc;

use super::super::chain::LONGEST;
use super::super::node::{Context, Node};
use super::super::value::{Made, Spelled, Term};
use crate::Error;
use crate::described::Activation;

/// Most numbers of a step.
pub(crate) const MOST: usize = 1 << 20;

/// An axis of numbers that lie in one list: its size, and the distance of its places.
pub(crate) type Strided = (usize, isize);

/// The axes of numbers that lie one behind the other.
pub(crate) fn dense(dims: &[usize]) -> Vec<Strided> {
    let behind = |axis: usize| dims[axis + 1..].iter().product::<usize>() as isize;
    (0..dims.len()).map(|axis| (dims[axis], behind(axis))).collect()
}

/// The places of all numbers, the last axis the fastest.
fn walk(axes: &[Strided], first: isize) -> Vec<isize> {
    let mut places = vec![first];
    for &(size, distance) in axes {
        let of = |place: &isize| {
            let place = *place;
            (0..size as isize).map(move |at| place + at * distance)
        };
        places = places.iter().flat_map(of).collect();
    }
    places
}

impl Spelled {
    /// All numbers of a new term.
    ///
    /// # Errors
    /// Where they are too many, or too many terms stand in one another.
    pub(crate) fn of(node: &Node<'_>, made: Made, dims: Vec<usize>) -> Result<Self, Error> {
        let within = match &made {
            Made::Input(..) | Made::Flow(_) => 0,
            Made::Product { of, .. } | Made::Affine { of, .. } | Made::Activation(of, _) => of.term.depth,
            Made::Sum(a, b) | Made::Difference(a, b) | Made::Times(a, b) => a.term.depth.max(b.term.depth),
            Made::Joined(parts) => parts.iter().map(|part| part.term.depth).max().unwrap_or(0),
        };
        if within >= LONGEST {
            return Err(node.too_long());
        }
        let depth = within + 1;
        let names = (node.name().to_owned(), node.kind().to_owned());
        Self::named(names, made, dims, depth, node.context)
    }

    /// The same of a term that is no node's, as an input.
    pub(crate) fn named(
        (name, operator): (String, String),
        made: Made,
        dims: Vec<usize>,
        depth: usize,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        let count = dims.iter().try_fold(1_usize, |all, size| all.checked_mul(*size)).filter(|all| *all <= MOST);
        let at = || format!("{}: node {}", context.place, name.escape_debug());
        let Some(count) = count else {
            let problem = format!("its shape {dims:?} has too many numbers for one step");
            return Err(Error::new(at(), problem, "export the model for one sequence and one step"));
        };
        context.budget.take(&at(), size_of::<Term>() + count.saturating_mul(2 * size_of::<usize>()))?;
        let (flow, step) = (OnceCell::new(), OnceCell::new());
        let term = Rc::new(Term { name, operator, depth, made, flow, step });
        Ok(Self { term, dims, places: Rc::new((0..count).collect()) })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it is its term with all numbers in their order.
    pub(crate) fn is_whole(&self) -> bool {
        let count = match &self.term.made {
            Made::Input(root, _) => root.axes.iter().map(|axis| axis.size.unwrap_or(1)).product(),
            Made::Flow(flow) => flow.axes.iter().map(|axis| axis.size.unwrap_or(1)).product(),
            Made::Product { kernel, .. } => kernel.dims().first().copied().unwrap_or(0),
            Made::Affine { of, .. } | Made::Activation(of, _) => of.len(),
            Made::Sum(a, _) | Made::Difference(a, _) | Made::Times(a, _) => a.len(),
            Made::Joined(parts) => parts.iter().map(Spelled::len).sum(),
        };
        self.len() == count && self.places.iter().copied().eq(0..count)
    }

    /// The same numbers with these axes.
    pub(crate) fn shaped(&self, dims: Vec<usize>) -> Self {
        Self { dims, ..self.clone() }
    }

    /// These of its numbers, with these axes.
    pub(crate) fn view(
        &self,
        context: &Context<'_>,
        dims: Vec<usize>,
        (axes, first): (&[Strided], isize),
    ) -> Result<Self, Error> {
        let count = dims.iter().try_fold(1_usize, |all, size| all.checked_mul(*size)).unwrap_or(usize::MAX);
        context.budget.take(context.place, count.saturating_mul(3 * size_of::<usize>()))?;
        let places = walk(axes, first).into_iter();
        let places: Option<Vec<usize>> =
            places.map(|place| self.places.get(usize::try_from(place).ok()?).copied()).collect();
        let places = places.unwrap_or_default();
        Ok(Self { term: Rc::clone(&self.term), dims, places: Rc::new(places) }.within_its_part())
    }

    /// What these numbers of a term are, of what the term is made of: `of` has one number for each of the term.
    pub(crate) fn under(&self, of: &Spelled) -> Self {
        let places = self.places.iter().filter_map(|place| of.places.get(*place).copied()).collect();
        Self { term: Rc::clone(&of.term), dims: self.dims.clone(), places: Rc::new(places) }.within_its_part()
    }

    /// Where all of its numbers are those of one part of several that were joined, that part.
    fn within_its_part(self) -> Self {
        let Made::Joined(parts) = &self.term.made else { return self };
        let mut first = 0;
        for part in parts {
            let behind = first + part.len();
            if !self.places.is_empty() && self.places.iter().all(|place| (first..behind).contains(place)) {
                let places = self.places.iter().map(|place| part.places[place - first]).collect();
                let term = Rc::clone(&part.term);
                return Self { term, dims: self.dims.clone(), places: Rc::new(places) }.within_its_part();
            }
            first = behind;
        }
        self
    }

    /// Its numbers in runs that are those of one term, and no joined one; nothing where there are more runs than this.
    pub(crate) fn parts(&self, most: usize) -> Option<Vec<Spelled>> {
        let mut parts: Vec<(Rc<Term>, Vec<usize>)> = Vec::new();
        for (term, place) in self.numbers() {
            let is_full = parts.len() == most;
            match parts.last_mut() {
                Some((last, places)) if Rc::ptr_eq(last, &term) => places.push(place),
                _ if is_full => return None,
                _ => parts.push((term, vec![place])),
            }
        }
        let part = |(term, places): (Rc<Term>, Vec<usize>)| Spelled {
            term,
            dims: vec![places.len()],
            places: Rc::new(places),
        };
        Some(parts.into_iter().map(part).collect())
    }

    /// Each number as one of a term that joins nothing.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (Rc<Term>, usize)> + '_ {
        let number = |place: &usize| {
            let (mut term, mut place) = (&self.term, *place);
            while let Made::Joined(parts) = &term.made {
                let mut part = parts.iter();
                let found = loop {
                    match part.next() {
                        Some(part) if place < part.len() => break Some(part),
                        Some(part) => place -= part.len(),
                        None => break None,
                    }
                };
                let Some(found) = found else { break };
                (term, place) = (&found.term, found.places[place]);
            }
            (Rc::clone(term), place)
        };
        self.places.iter().map(number)
    }

    /// Whether both have the same numbers.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.term, &other.term) && self.places == other.places
    }

    /// Whether it is a part of an input, or all of one.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self.term.made, Made::Input(..))
    }

    /// The activation whose numbers these are, and what goes through it.
    pub(crate) fn activated(&self) -> Option<(Activation, Spelled)> {
        match &self.term.made {
            Made::Activation(of, activation) => Some((*activation, self.under(of))),
            _ => None,
        }
    }

    /// The two that are added, multiplied or subtracted.
    pub(crate) fn sum(&self) -> Option<(Spelled, Spelled)> {
        match &self.term.made {
            Made::Sum(a, b) => Some((self.under(a), self.under(b))),
            _ => None,
        }
    }

    pub(crate) fn times(&self) -> Option<(Spelled, Spelled)> {
        match &self.term.made {
            Made::Times(a, b) => Some((self.under(a), self.under(b))),
            _ => None,
        }
    }

    pub(crate) fn difference(&self) -> Option<(Spelled, Spelled)> {
        match &self.term.made {
            Made::Difference(a, b) => Some((self.under(a), self.under(b))),
            _ => None,
        }
    }

    /// z where these numbers are 1 - z.
    pub(crate) fn complement(&self) -> Option<Spelled> {
        match &self.term.made {
            Made::Affine { of, affine, .. } => {
                let is_complement = |place: &usize| affine.scale[*place] == -1.0 && affine.shift[*place] == 1.0;
                self.places.iter().all(is_complement).then(|| self.under(of))
            }
            _ => None,
        }
    }
}
