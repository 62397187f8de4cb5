//! Tensors in HDF5, by the crate `hdf5-pure`, in either of the two orders that Keras reads.

use std::collections::BTreeMap;

use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};

use super::{Tensor, Weighted};
use crate::Error;
use crate::keras::snake_case;

/// Which of its two files Keras takes a file for: it decides by the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// `….weights.h5`, of Keras 3.
    Variables,
    /// `….h5` or `….hdf5`, of Keras 2, which Keras 3 reads too.
    Listed,
}

impl Naming {
    /// What Keras takes a file of this name for; nothing of a name that it does not read.
    pub fn of(file: &str) -> Option<Self> {
        let name = file.to_ascii_lowercase();
        if name.ends_with(".weights.h5") {
            return Some(Self::Variables);
        }
        (name.ends_with(".h5") || name.ends_with(".hdf5")).then_some(Self::Listed)
    }
}

/// The version that files of the older form say: with none Keras takes them for those of Keras 1, and turns their convolutions.
const KERAS: &str = "2.15.0";

/// The file of these layers.
pub(super) fn write(layers: &[Weighted], naming: Naming) -> Result<Vec<u8>, Error> {
    let mut file = FileBuilder::new();
    match naming {
        Naming::Variables => variables(&mut file, layers),
        Naming::Listed => listed(&mut file, layers),
    }
    file.finish().map_err(|error| Error::new("HDF5", error.to_string(), "report this"))
}

/// The names of the layers: the class, and a number from its second layer on.
fn names(layers: &[Weighted]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut name = |class| {
        let count = counts.entry(class).or_insert(0);
        *count += 1;
        let snake = snake_case(class);
        if *count == 1 { snake } else { format!("{snake}_{}", *count - 1) }
    };
    layers.iter().map(|layer| name(layer.class)).collect()
}

fn dataset(group: &mut GroupBuilder, name: &str, tensor: &Tensor) {
    let shape: Vec<u64> = tensor.shape.iter().map(|&size| size as u64).collect();
    group.create_dataset(name).with_f32_data(&tensor.values).with_shape(&shape);
}

/// `layers/lstm_1/cell/vars/0`
fn variables(file: &mut FileBuilder, layers: &[Weighted]) {
    let mut all = file.create_group("layers");
    for (name, layer) in names(layers).iter().zip(layers) {
        let mut group = all.create_group(name);
        for (part, tensors) in &layer.parts {
            let mut vars = group.create_group("vars");
            for (number, tensor) in tensors.iter().enumerate() {
                dataset(&mut vars, &number.to_string(), tensor);
            }
            let mut inner = vars.finish();
            for name in part.rsplit('/').filter(|name| !name.is_empty()) {
                let mut outer = group.create_group(name);
                outer.add_group(inner);
                inner = outer.finish();
            }
            group.add_group(inner);
        }
        all.add_group(group.finish());
    }
    file.add_group(all.finish());
}

/// A group a layer, whose attribute `weight_names` lists its tensors.
fn listed(file: &mut FileBuilder, layers: &[Weighted]) {
    let names = names(layers);
    file.set_attr("layer_names", AttrValue::AsciiStringArray(names.clone()));
    file.set_attr("backend", AttrValue::AsciiString("tensorflow".into()));
    file.set_attr("keras_version", AttrValue::AsciiString(KERAS.into()));
    for (name, layer) in names.iter().zip(layers) {
        let mut group = file.create_group(name);
        let mut weights = Vec::new();
        for (part, tensors) in &layer.parts {
            let before = match part.split_once('/') {
                Some((direction, _)) => format!("{direction}_"),
                None => String::new(),
            };
            for tensor in tensors {
                let name = format!("{before}{}:0", tensor.name);
                dataset(&mut group, &name, tensor);
                weights.push(name);
            }
        }
        group.set_attr("weight_names", AttrValue::AsciiStringArray(weights));
        file.add_group(group.finish());
    }
}
