//! Graphs on which padding, the shape of a batch, or an input besides the text matters: each gives
//! every text the embedding that it has alone. The graphs and the embeddings are those of
//! `tests/reference/onnx/make_padding.py`.

use std::collections::HashMap;
use std::path::PathBuf;

use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::spec::{self, Overrides, Setting};
use korfinsts_encoder::{Encoder, EncoderError, EncoderSpec, PreparedText};
use serde_json::{Value, json};

use super::onnx::runtimes;
use super::support::{Home, reference_rounding, repository};

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    embeddings: HashMap<String, Vec<Vec<f32>>>,
}

fn golden() -> Golden {
    let path = repository("tests/reference/onnx/padding/golden.json");
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("JSON")
}

/// A model folder around a graph, whose tokenizer pads on that side.
fn folder(home: &Home, graph: &str, side: &str) -> PathBuf {
    let folder = home.path(&format!("{graph}-{side}"));
    home.copy(&repository("tests/reference/encoders/bert-mean"), &folder);
    let graph = repository(&format!("tests/reference/onnx/padding/{graph}.onnx"));
    std::fs::copy(graph, folder.join("model.onnx")).expect("copied");
    std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
    for (file, key, value) in [
        ("tokenizer_config.json", "padding_side", json!(side)),
        ("1_Pooling/config.json", "embedding_dimension", json!(4)),
        ("config.json", "hidden_size", json!(4)),
    ] {
        let path = folder.join(file);
        let bytes = std::fs::read(&path).expect("it is there");
        let mut settings: Value = serde_json::from_slice(&bytes).expect("JSON");
        settings[key] = value;
        std::fs::write(path, settings.to_string()).expect("written");
    }
    folder
}

fn open(spec: &EncoderSpec) -> Result<Box<dyn Encoder>, EncoderError> {
    spec.open(&OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    })
}

/// Embeddings of texts in the largest batches that the encoder takes.
fn encode(encoder: &dyn Encoder, texts: &[String]) -> Vec<Vec<f32>> {
    let texts: Vec<PreparedText> = texts
        .iter()
        .map(|text| encoder.prepare(text, "").expect("a text"))
        .collect();
    let most = if encoder.depends_on_batch() {
        1
    } else {
        encoder.limits().texts.min(texts.len())
    };
    let batches = texts.chunks(most).flat_map(|batch| {
        let batch: Vec<&PreparedText> = batch.iter().collect();
        let found = encoder.encode(&batch).expect("it runs");
        (0..found.rows())
            .map(|i| found.row(i).to_vec())
            .collect::<Vec<_>>()
    });
    batches.collect()
}

#[test]
fn every_graph_gives_a_text_the_embedding_that_it_has_alone() {
    let rounding = 2.0 * reference_rounding(&Value::Null) as f32;
    let alone = "each text is a batch of its own";
    let (turned, baked) = (
        "padded on the right, not on the left",
        "fails on two texts at once",
    );
    let (single, task) = ("takes one text at a time", "task_id=3");
    let home = Home::new();
    let golden = golden();
    // Graph, side that the tokenizer pads on, an input, what is said.
    for (graph, side, input, says) in [
        ("healthy", "right", "", ""),
        ("healthy", "left", "", ""),
        ("no-mask", "right", "", alone),
        ("weak-mask", "right", "", alone),
        ("convolution", "right", "", alone),
        ("mean-of-all", "right", "", alone),
        ("norm-over-tokens", "right", "", alone),
        ("norm-over-batch", "right", "", alone),
        ("positions", "right", "", ""),
        ("positions", "left", "", turned),
        ("last-position", "left", "", ""),
        (
            "last-position",
            "right",
            "",
            "padded on the left, not on the right",
        ),
        ("baked-batch", "right", "", baked),
        ("fixed-1-20", "right", "", single),
        ("fixed-1-free", "left", "", single),
        ("fixed-free-20", "right", "", ""),
        ("fixed-4-20", "right", "", ""),
        ("fixed-4-20", "left", "", turned),
        ("task-int64", "right", task, ""),
        ("task-int32-list", "right", task, ""),
        ("task-float-batch", "right", task, ""),
        ("task-bool", "right", "task_id=true", ""),
    ] {
        for backend in runtimes() {
            let case = format!("{backend} {graph} {side}");
            let overrides = Overrides {
                backend: Some(backend.into()),
                onnx_inputs: Some(vec![input.to_owned()]).filter(|_| !input.is_empty()),
                ..Overrides::default()
            };
            let folder = folder(&home, graph, side);
            let spec = spec::read(&folder, &overrides).unwrap_or_else(|e| panic!("{case}: {e}"));
            let encoder = open(&spec).unwrap_or_else(|e| panic!("{case}: {e}"));
            let said = encoder.warnings().join("; ");
            assert_eq!(said.is_empty(), says.is_empty(), "{case}: {said}");
            assert!(said.contains(says), "{case}: {said}");
            let one_each = [alone, baked, single].contains(&says);
            assert_eq!(encoder.depends_on_batch(), one_each, "{case}");
            assert_eq!(
                spec.decided(&Setting::Inputs).unwrap_or(""),
                input,
                "{case}"
            );
            let found = encode(encoder.as_ref(), &golden.texts);
            for (text, (found, expected)) in found.iter().zip(&golden.embeddings[graph]).enumerate()
            {
                let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                let off = off.fold(0.0, f32::max);
                assert!(off <= rounding, "{case}: text {text} is off by {off}");
            }
        }
    }
}

#[test]
fn a_graph_of_fixed_length_cuts_texts_there_and_says_so() {
    let home = Home::new();
    let folder = folder(&home, "fixed-free-20", "right");
    let read = |overrides: Overrides| spec::read(&folder, &overrides);
    let spec = read(Overrides::default()).expect("it is read");
    assert_eq!(spec.max_tokens, 20);
    assert_eq!(spec.decided(&Setting::MaxTokens), Some("20"));
    assert!(
        spec.warnings.iter().any(|w| w.contains("cut at 20 tokens")),
        "{:?}",
        spec.warnings
    );
    let within = read(Overrides {
        max_tokens: Some(12),
        strict: true,
        ..Overrides::default()
    });
    assert_eq!(within.expect("it is read").max_tokens, 12);
    for (max_tokens, strict) in [(Some(64), false), (None, true)] {
        let error = read(Overrides {
            max_tokens,
            strict,
            ..Overrides::default()
        });
        let error = error.expect_err("refused");
        assert!(
            error.to_string().contains("takes exactly 20 tokens"),
            "{error}"
        );
        assert!(
            error
                .hint()
                .is_some_and(|h| h.contains("`--max-tokens 20`"))
        );
    }
    // Without a mask, what fills a text up cannot be told from the text.
    let of = |strict| {
        let overrides = Overrides {
            strict,
            max_tokens: Some(20),
            ..Overrides::default()
        };
        spec::read(
            &self::folder(&home, "fixed-no-mask-20", "right"),
            &overrides,
        )
        .and_then(|spec| open(&spec))
        .map(|encoder| encoder.warnings().join("; "))
    };
    let says = "what fills a text up to it changes the embedding";
    let said = of(false).expect("it opens");
    assert!(said.contains(says), "{said}");
    let error = of(true).expect_err("strict");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn an_input_that_no_text_gives_is_asked_for_and_shapes_the_key() {
    let home = Home::new();
    let of = |graph: &str, inputs: &[&str]| {
        let overrides = Overrides {
            onnx_inputs: Some(inputs.iter().map(|i| (*i).to_owned()).collect())
                .filter(|_| !inputs.is_empty()),
            ..Overrides::default()
        };
        spec::read(&folder(&home, graph, "right"), &overrides)
    };
    let key = |input: &str| of("task-int64", &[input]).expect("read").key("");
    assert_ne!(key("task_id=3"), key("task_id=4"));
    for (graph, inputs, says, hint) in [
        (
            "task-int64",
            &[][..],
            "wants an input `task_id` (int64)",
            "--onnx-input task_id=VALUE",
        ),
        (
            "task-int64",
            &["task_id=0.5"],
            "holds int64, found 0.5",
            "whole numbers",
        ),
        (
            "task-int64",
            &["task_id=3", "task=3"],
            "no input `task` besides",
            "leave `--onnx-input task=...` out",
        ),
        (
            "healthy",
            &["input_ids=3"],
            "no input `input_ids` besides",
            "leave",
        ),
        (
            "task-bool",
            &["task_id=2"],
            "holds bool, found 2",
            "`true` or `false`",
        ),
        (
            "task-int32-list",
            &["task_id=1,2"],
            "takes 1 values, found 2",
            "one value",
        ),
        (
            "task-int64",
            &["task_id"],
            "expected NAME=VALUE",
            "--onnx-input task_id=3",
        ),
        (
            "task-int64",
            &["task_id=1", "task_id=2"],
            "is given twice",
            "once",
        ),
    ] {
        let error = of(graph, inputs).and_then(|spec| open(&spec)).map(|_| ());
        let error = error.expect_err("refused");
        assert!(error.to_string().contains(says), "{error}");
        let found = error.hint().unwrap_or_default();
        assert!(found.contains(hint), "{error}: {found}");
    }
    let safetensors = Overrides {
        onnx_inputs: Some(vec!["task_id=3".into()]),
        ..Overrides::default()
    };
    let folder = repository("tests/reference/encoders/bert-mean");
    let error = spec::read(&folder, &safetensors).expect_err("no graph");
    assert!(error.to_string().contains("no ONNX graph"), "{error}");
}

#[test]
fn no_backend_recommends_the_other_for_bfloat16() {
    let home = Home::new();
    for backend in runtimes() {
        let overrides = Overrides {
            backend: Some(backend.into()),
            ..Overrides::default()
        };
        let error = spec::read(&folder(&home, "bfloat16", "right"), &overrides)
            .and_then(|spec| open(&spec))
            .map(|_| ());
        let error = error.expect_err("not on a CPU");
        let hint = error.hint().unwrap_or_default();
        assert!(
            hint.contains("neither ONNX runtime computes bfloat16"),
            "{error}: {hint}"
        );
    }
}

/// The record is the same whether the embeddings were computed or found in the store.
#[test]
fn the_record_says_why_each_text_was_a_batch_of_its_own() {
    let home = Home::new();
    let model = folder(&home, "no-mask", "right").display().to_string();
    let arguments = [
        "eval",
        &model,
        "--backend",
        "rten",
        "--suite",
        "korfin-shift",
        "--limit",
        "8",
        "--no-baselines",
        "--format",
        "json",
    ];
    let records: Vec<Vec<u8>> = [0, 1]
        .map(|_| {
            home.command(&arguments)
                .assert()
                .success()
                .get_output()
                .stdout
                .clone()
        })
        .into();
    assert_eq!(records[0], records[1]);
    let record: Value = serde_json::from_slice(&records[0]).expect("JSON");
    assert_eq!(record[0]["batch"]["one_text_each"], true);
    let warnings = record[0]["warnings"].to_string();
    assert!(warnings.contains("padding changes "), "{warnings}");
}
