//! ONNX files written byte by byte, whole and broken.

use std::path::{Path, PathBuf};

use super::*;
use korfinsts_base::protobuf::Message;

/// A `ValueInfoProto`: 0 stands for a free dimension.
fn value(name: &str, element: i64, shape: &[i64]) -> Message {
    let mut dimensions = Message::default();
    for &size in shape {
        let dimension = match size {
            0 => Message::default().text(2, "n"),
            size => Message::default().number(1, size),
        };
        dimensions = dimensions.message(1, &dimension);
    }
    let tensor = Message::default()
        .number(1, element)
        .message(2, &dimensions);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}

fn node(domain: &str, operator: &str) -> Message {
    Message::default().text(4, operator).text(7, domain)
}

/// A tensor of float32 with its values in the file.
fn tensor(name: &str, shape: &[i64], bytes: usize) -> Message {
    let mut message = Message::default();
    for &size in shape {
        message = message.number(1, size);
    }
    message.number(2, 1).text(8, name).bytes(9, &vec![0; bytes])
}

/// A tensor of `count` float32 in another file.
fn external(count: i64, entries: &[(&str, &str)]) -> Message {
    let mut message = Message::default()
        .number(1, count)
        .number(2, 1)
        .text(8, "weights")
        .number(14, 1);
    for (key, value) in entries {
        message = message.message(13, &Message::default().text(1, key).text(2, value));
    }
    message
}

fn graph() -> Message {
    Message::default()
        .message(11, &value("input_ids", 7, &[0, 0]))
        .message(11, &value("weights", 1, &[4]))
        .message(12, &value("last_hidden_state", 1, &[0, 0, 4]))
}

fn model(graph: &Message) -> Message {
    Message::default().number(1, 8).message(7, graph)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write_atomic(&path, bytes).expect("written");
        path
    }
}

fn refused(bytes: &[u8]) -> String {
    let folder = Folder::new();
    let path = folder.write("model.onnx", bytes);
    inspect(&path).expect_err("refused").to_string()
}

#[test]
fn a_graph_is_read_without_its_tensors() {
    let graph = graph()
        .message(1, &node("", "Gather"))
        .message(1, &node("com.microsoft", "BiasGelu"))
        .message(5, &tensor("weights", &[4], 16));
    let folder = Folder::new();
    let info = inspect(&folder.write("m.onnx", &model(&graph).finish())).expect("read");
    // `weights` has a value of its own: nothing has to be fed.
    assert_eq!(info.inputs.len(), 1);
    assert_eq!(info.inputs[0].name, "input_ids");
    assert_eq!(info.inputs[0].element_type, "int64");
    assert_eq!(info.outputs[0].rank, Some(3));
    assert_eq!(info.dtype, "float32");
    assert_eq!(info.contrib_operators, ["com.microsoft.BiasGelu"]);
    assert!(info.custom_domains.is_empty() && info.external_files.is_empty());
}

#[test]
fn operators_of_unknown_domains_are_named_unless_the_model_defines_them() {
    let own = Message::default().text(1, "Mine").text(10, "own");
    let graph = graph()
        .message(1, &node("own", "Mine"))
        .message(1, &node("ai.onnx.contrib", "BertTokenizer"));
    let folder = Folder::new();
    let path = folder.write("m.onnx", &model(&graph).message(25, &own).finish());
    let info = inspect(&path).expect("read");
    assert_eq!(info.custom_domains, ["ai.onnx.contrib"]);
    let error = refuse_custom(&path, &read(&path).expect("read")).expect_err("refused");
    assert!(
        error
            .to_string()
            .contains("`ai.onnx.contrib.BertTokenizer`")
    );
}

#[test]
fn number_types_are_told_by_operators_then_weights() {
    let half = Message::default().number(1, 9).number(2, 10).text(8, "h");
    for (part, field, dtype) in [
        (node("", "MatMulInteger"), 1, "int8"),
        (node("", "DynamicQuantizeLinear"), 1, "int8"),
        (node("com.microsoft", "MatMulNBits"), 1, "int4"),
        (half, 5, "float16"),
        (tensor("w", &[4], 16), 5, "float32"),
        (node("", "MatMul"), 1, "float32"),
    ] {
        let folder = Folder::new();
        let path = folder.write("m.onnx", &model(&graph().message(field, &part)).finish());
        assert_eq!(inspect(&path).expect("read").dtype, dtype);
    }
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let graph = graph()
        .message(1, &node("", "Gather"))
        .message(5, &tensor("weights", &[4], 16));
    let whole = model(&graph).finish();
    for end in 0..whole.len() {
        let message = refused(&whole[..end]);
        assert!(
            message.contains("not a whole ONNX file") || message.contains("an empty file"),
            "{end}: {message}"
        );
    }
}

#[test]
fn damaged_files_never_panic() {
    let graph = graph()
        .message(1, &node("", "Gather"))
        .message(5, &external(4, &[("location", "w.data"), ("length", "16")]));
    let whole = model(&graph).finish();
    let folder = Folder::new();
    folder.write("w.data", &[0; 16]);
    for at in 0..whole.len() {
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            // Some damage leaves a valid file; what matters is that none is fatal.
            let _ = inspect(&folder.write("m.onnx", &bytes));
        }
    }
}

#[test]
fn impossible_graphs_are_refused() {
    let mut nested = graph();
    for _ in 0..12 {
        let attribute = Message::default().message(6, &nested);
        nested = Message::default().message(1, &node("", "If").message(5, &attribute));
    }
    for (bytes, reason) in [
        (Message::default().number(1, 8).finish(), "no graph"),
        (
            Message::default().message(7, &graph()).finish(),
            "no IR version",
        ),
        (
            model(&Message::default().message(11, &value("x", 7, &[0]))).finish(),
            "without outputs",
        ),
        (model(&nested).finish(), "nested deeper"),
        (
            model(&graph().message(5, &tensor("w", &[1 << 40, 1 << 40], 0))).finish(),
            "impossible shape",
        ),
        (
            model(&graph().message(5, &tensor("w", &[-1], 0))).finish(),
            "impossible shape",
        ),
        (
            model(&graph().message(5, &tensor("w", &[4], 12))).finish(),
            "holds 12 bytes, its shape needs 16",
        ),
        (
            model(&graph().message(1, &node("", &"x".repeat(70_000)))).finish(),
            "a name of 70000 bytes",
        ),
        (b"once upon a time".to_vec(), "not a whole ONNX file"),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "Git LFS",
        ),
        (b"PK\x03\x04....".to_vec(), "zip archive"),
        (b"\x80\x04\x95".to_vec(), "pickle"),
        (b"<!doctype html><html>".to_vec(), "web page"),
    ] {
        let message = refused(&bytes);
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

#[test]
fn external_data_stays_in_its_folder_and_is_whole() {
    for (entries, reason) in [
        (&[("location", "../w.data")][..], "beside the file"),
        (&[("location", "/etc/hostname")], "beside the file"),
        (&[("location", "sub/w.data")], "beside the file"),
        (&[("location", "sub\\w.data")], "beside the file"),
        (&[("location", "..")], "beside the file"),
        (&[("location", "")], "beside the file"),
        (&[], "beside the file"),
        (&[("location", "other.data")], "`other.data`"),
        (&[("location", "folder.data")], "not a file"),
        (
            &[("location", "w.data"), ("offset", "8"), ("length", "16")],
            "bytes 8 to 24 of `w.data`, which has 16",
        ),
        (
            &[
                ("location", "w.data"),
                ("offset", "18446744073709551615"),
                ("length", "16"),
            ],
            "beyond 2^64",
        ),
        (
            &[("location", "w.data"), ("offset", "-1")],
            "which is no number",
        ),
        (
            &[("location", "w.data"), ("length", "8")],
            "has 8 bytes of external data, its shape needs 16",
        ),
    ] {
        let folder = Folder::new();
        folder.write("w.data", &[0; 16]);
        fs::create_dir(&folder.0.path().join("folder.data")).expect("made");
        let graph = graph().message(5, &external(4, entries));
        let path = folder.write("m.onnx", &model(&graph).finish());
        let message = inspect(&path).expect_err("refused").to_string();
        assert!(message.contains(reason), "{reason}: {message}");
    }
    let folder = Folder::new();
    let data = folder.write("w.data", &[0; 16]);
    for location in ["w.data", "./w.data"] {
        let graph = graph().message(5, &external(4, &[("location", location)]));
        let path = folder.write("m.onnx", &model(&graph).finish());
        let files = inspect(&path).expect("read").external_files;
        assert_eq!(files, std::slice::from_ref(&data));
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_refused_save_in_the_hubs_cache() {
    use std::os::unix::fs::symlink;

    let graph = graph().message(5, &external(4, &[("location", "w.data")]));
    let folder = Folder::new();
    let secret = folder.write("elsewhere/secret", &[0; 16]);
    let path = folder.write("model/m.onnx", &model(&graph).finish());
    symlink(&secret, folder.0.path().join("model/w.data")).expect("linked");
    let message = inspect(&path).expect_err("refused").to_string();
    assert!(message.contains("outside the model's folder"), "{message}");

    let repository = Path::new("models--a--b");
    let blob = folder.write(
        &repository.join("blobs/0a").to_string_lossy(),
        &model(&graph).finish(),
    );
    let data = folder.write(&repository.join("blobs/0b").to_string_lossy(), &[0; 16]);
    let snapshot = folder.0.path().join(repository).join("snapshots/1/onnx");
    fs::create_dir(&snapshot).expect("made");
    symlink(&blob, snapshot.join("m.onnx")).expect("linked");
    symlink(&data, snapshot.join("w.data")).expect("linked");
    let info = inspect(&snapshot.join("m.onnx")).expect("read");
    assert_eq!(info.external_files, [snapshot.join("w.data")]);
}
