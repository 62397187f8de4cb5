//! Files that are something else than what is read: what they are, and how to come from there to a file that can be read.

/// Bytes at each end of a file in which the names of an archive's members are looked for.
const ENDS: usize = 1 << 16;

/// How the weights of a configuration come into a file that can be read.
pub(crate) const OF_KERAS: &str = "save the whole model with model.save, as .keras";

/// How weights of PyTorch come into a file that can be read.
const OF_PYTORCH: &str = "save its state_dict with safetensors, in its folder and under its name: python -c \"import torch; from safetensors.torch import save_file; t = torch.load('net.pth', weights_only=True); t = t.get('state_dict', t); save_file({k: v.clone().contiguous() for k, v in t.items()}, 'net.safetensors')\"";

/// What to do with an archive whose end is missing.
const CUT_OFF: &str = "copy or download it again";

const CUT_OFF_PYTORCH: &str = "copy it again, load it in PyTorch and save its state_dict with safetensors.torch.save_file: examples/pytorch/train.py shows how";

/// How weights of a pickle come into a file that can be read.
const OF_PICKLE: &str = "load it in Python, if you trust it, and save its weights with safetensors: docs/frameworks.md has the names of the tensors";

/// How other networks come here.
const OF_OTHERS: &str = "save the weights of the network that it was made of with safetensors, from PyTorch or Keras";

/// What a file is that begins and ends as one of another kind, and what to do with it; `None` of a safetensors file, and of anything unknown.
pub fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    let (what, remedy) = if begins(b"PK\x03\x04") {
        match (archive(bytes), is_whole(bytes)) {
            (Archive::Keras, true) => ("a .keras archive that is damaged", CUT_OFF),
            (Archive::Keras, false) => ("a .keras archive that is cut off", CUT_OFF),
            (Archive::PyTorch, true) => ("what PyTorch's `torch.save` writes (.pt, .pth)", OF_PYTORCH),
            (Archive::PyTorch, false) => {
                ("what PyTorch's `torch.save` writes (.pt, .pth), and it is cut off", CUT_OFF_PYTORCH)
            }
            (Archive::Arrays, true) => ("an archive of NumPy's arrays (.npz)", OF_OTHERS),
            (Archive::Other, true) => ("a ZIP archive", "unpack it, and name the safetensors file in it"),
            (Archive::Arrays | Archive::Other, false) => ("a ZIP archive that is cut off", CUT_OFF),
        }
    } else if bytes.first() == Some(&0x80) && bytes.get(1).is_some_and(|version| (2..=5).contains(version)) {
        ("a Python pickle, as PyTorch wrote before its archives", OF_PYTORCH)
    } else if is_old_pickle(bytes) {
        ("a Python pickle of protocol 0 or 1", OF_PICKLE)
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

/// Whether what [`foreign`] says is that a file is damaged.
pub(crate) fn is_damaged(what: &str) -> bool {
    what.ends_with("is cut off") || what.ends_with("is damaged")
}

/// What a ZIP archive holds.
enum Archive {
    Keras,
    PyTorch,
    Arrays,
    Other,
}

/// Whether a ZIP archive has its end, the record of its directory, behind which a comment may stand.
fn is_whole(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(ENDS + 22)..];
    end.windows(4).any(|window| window == b"PK\x05\x06")
}

/// The names of the members stand before each of them, and in the directory at the end. The weights of a .keras archive stand behind two small
/// members, which a piece of it has as well.
fn archive(bytes: &[u8]) -> Archive {
    let ends = [&bytes[..bytes.len().min(ENDS)], &bytes[bytes.len().saturating_sub(ENDS)..]];
    let has = |name: &[u8]| ends.iter().any(|part| part.windows(name.len()).any(|window| window == name));
    if has(b"model.weights.h5") || (has(b"metadata.json") && has(b"keras_version")) {
        Archive::Keras
    } else if has(b"data.pkl") {
        Archive::PyTorch
    } else if has(b".npy") {
        Archive::Arrays
    } else {
        Archive::Other
    }
}

/// Protocols 0 and 1 of pickle have no magic: a dictionary, a list or a tuple begins with its mark, and an object with the names of its module and class.
fn is_old_pickle(bytes: &[u8]) -> bool {
    let containers: [&[u8]; 6] = [b"(dp", b"(lp", b"(tp", b"}q\x00", b"]q\x00", b"(i"];
    if bytes.iter().rev().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'.') {
        return false;
    }
    if containers.iter().any(|begin| bytes.starts_with(begin)) {
        return true;
    }
    let Some(names) = bytes.strip_prefix(b"c") else { return false };
    let is_name = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
    };
    let mut lines = names.splitn(3, |&byte| byte == b'\n');
    matches!((lines.next(), lines.next(), lines.next()), (Some(module), Some(class), Some(_)) if is_name(module) && is_name(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_called_by_its_name_with_what_to_do() {
        let cut = |member: &str| [b"PK\x03\x04", &[0; 26][..], member.as_bytes(), &[7; 90]].concat();
        let zip = |member: &str| [&cut(member), &b"PK\x05\x06"[..], &[0; 18]].concat();
        let cases: [(Vec<u8>, &str, &str); 15] = [
            (zip("model.weights.h5"), ".keras archive that is damaged", "again"),
            (zip("archive/data.pkl"), "torch.save", "python -c"),
            (zip("arr_0.npy"), ".npz", "safetensors"),
            (zip("letter.txt"), "ZIP", "unpack"),
            (
                cut("metadata.json{\"keras_version\": \"3.1\"}"),
                ".keras archive that is cut off",
                "copy or download it again",
            ),
            (cut("archive/data.pkl"), "(.pt, .pth), and it is cut off", "copy it again"),
            (b"PK\x03\x04\x14".to_vec(), "ZIP archive that is cut off", "again"),
            (b"(dp0\nS'w'\np1\nF1.0\ns.".to_vec(), "pickle of protocol 0", "safetensors"),
            (b"(lp0\nF1.0\na.".to_vec(), "pickle of protocol 0", "safetensors"),
            (b"ccollections\nOrderedDict\np0\n(tRp1\n.".to_vec(), "pickle of protocol 0", "safetensors"),
            (b"}q\x00X\x01\0\0\0aq\x01K\x01s.".to_vec(), "pickle of protocol 0 or 1", "safetensors"),
            (b"\x80\x02\x8a\nl\xfc".to_vec(), "pickle", "from safetensors.torch import"),
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
            b"comma, separated\nvalues\nand more.",
            b"(dp",
            b"\x08\x07\x12\x02\x01\x02",
        ] {
            assert_eq!(foreign(bytes), None, "{bytes:?}");
        }
    }
}
