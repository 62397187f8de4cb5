//! Files that are something else than safetensors: what they are, and how to come from there to a file that can be read.

/// Bytes at each end of a file in which the names of an archive's members are looked for.
const ENDS: usize = 1 << 16;

/// How weights of Keras come into a file that can be read.
const OF_KERAS: &str =
    "load the model in Keras and save its weights with safetensors: examples/keras/train.py shows how";

/// How weights of PyTorch come into a file that can be read.
const OF_PYTORCH: &str =
    "load it in PyTorch and save its state_dict with safetensors.torch.save_file: examples/pytorch/train.py shows how";

/// How other networks come here.
const OF_OTHERS: &str = "save the weights of the network that it was made of with safetensors, from PyTorch or Keras";

/// What a file is that begins and ends as one of another kind, and what to do with it; `None` of a safetensors file, and of anything unknown.
pub fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    let (what, remedy) = if begins(b"\x89HDF\r\n\x1a\n") {
        ("an HDF5 file, such as Keras writes as .h5", OF_KERAS)
    } else if begins(b"PK\x03\x04") {
        match archive(bytes) {
            Archive::Keras => ("a .keras archive", OF_KERAS),
            Archive::PyTorch => ("what PyTorch's `torch.save` writes (.pt, .pth)", OF_PYTORCH),
            Archive::Arrays => ("an archive of NumPy's arrays (.npz)", OF_OTHERS),
            Archive::Other => ("a ZIP archive", "unpack it, and name the safetensors file in it"),
        }
    } else if bytes.get(4..8) == Some(b"TFL3") {
        ("a TensorFlow Lite model", OF_OTHERS)
    } else if bytes.first() == Some(&0x80) && bytes.get(1).is_some_and(|version| (2..=5).contains(version)) {
        ("a Python pickle, as PyTorch wrote before its archives", OF_PYTORCH)
    } else if is_onnx(bytes) {
        ("an ONNX model", OF_OTHERS)
    } else if begins(b"GGUF") {
        ("a GGUF file of a language model", OF_OTHERS)
    } else if begins(b"LTCH") {
        (
            "an image of Latch",
            "look into it with `latch inspect`; a network is exported from its run, by `latch export --format safetensors`",
        )
    } else if begins(&[0x1f, 0x8b]) {
        ("compressed by gzip", "decompress it")
    } else {
        return None;
    };
    Some((what, remedy))
}

/// What a ZIP archive holds.
enum Archive {
    Keras,
    PyTorch,
    Arrays,
    Other,
}

/// The names of the members stand before each of them, and in the directory at the end.
fn archive(bytes: &[u8]) -> Archive {
    let ends = [&bytes[..bytes.len().min(ENDS)], &bytes[bytes.len().saturating_sub(ENDS)..]];
    let has = |name: &[u8]| ends.iter().any(|part| part.windows(name.len()).any(|window| window == name));
    if has(b"model.weights.h5") {
        Archive::Keras
    } else if has(b"data.pkl") {
        Archive::PyTorch
    } else if has(b".npy") {
        Archive::Arrays
    } else {
        Archive::Other
    }
}

/// An ONNX model is a message of Protocol Buffers that begins with its version (field 1) and the name of the program that wrote it (field 2).
fn is_onnx(bytes: &[u8]) -> bool {
    let &[0x08, 1..=127, 0x12, length @ 1..=127, ..] = bytes else { return false };
    bytes
        .get(4..4 + usize::from(length))
        .is_some_and(|name| name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_called_by_its_name_with_what_to_do() {
        let zip = |member: &str| [b"PK\x03\x04", &[0; 26][..], member.as_bytes(), &[7; 90]].concat();
        let cases: [(Vec<u8>, &str, &str); 11] = [
            (b"\x89HDF\r\n\x1a\n\0\0".to_vec(), ".h5", "examples/keras"),
            (zip("model.weights.h5"), ".keras", "examples/keras"),
            (zip("archive/data.pkl"), "torch.save", "examples/pytorch"),
            (zip("arr_0.npy"), ".npz", "safetensors"),
            (zip("letter.txt"), "ZIP", "unpack"),
            (b"\x1c\0\0\0TFL3\0\0".to_vec(), "TensorFlow Lite", "safetensors"),
            (b"\x80\x02\x8a\nl\xfc".to_vec(), "pickle", "safetensors.torch"),
            (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0".to_vec(), "ONNX", "safetensors"),
            (b"GGUF\x03\0\0\0".to_vec(), "GGUF", "safetensors"),
            (b"LTCH\x07\0".to_vec(), "image of Latch", "latch inspect"),
            (b"\x1f\x8b\x08\0".to_vec(), "gzip", "decompress"),
        ];
        for (bytes, name, hint) in cases {
            let (what, remedy) = foreign(&bytes).unwrap_or_else(|| panic!("{name}"));
            assert!(what.contains(name) && remedy.contains(hint), "{what}: {remedy}");
        }
    }

    #[test]
    fn a_safetensors_file_and_noise_are_called_nothing() {
        for bytes in [
            &b"\x08\0\0\0\0\0\0\0{}      "[..],
            b"",
            b"P",
            b"\x80",
            b"\x08\x12",
            b"{\"a\":1}",
            b"\x08\x07\x12\x02\x01\x02",
        ] {
            assert_eq!(foreign(bytes), None, "{bytes:?}");
        }
    }
}
