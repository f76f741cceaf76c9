//! New tokens in a training run: rows that start as means, a tokenizer that uses them, and a checkpoint
//! that other software opens.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::support::{Home, full};
use super::train_run::{embeddings, opens_in_python, prepare, weights, write};

/// One encoder per kind of tokenizer, with its embedding matrix.
const BASES: [(&str, &str, &str); 3] = [
    (
        "bert-mean",
        "WordPiece",
        "embeddings.word_embeddings.weight",
    ),
    ("xlmr-cls", "Unigram", "embeddings.word_embeddings.weight"),
    ("qwen2-last", "BPE", "embed_tokens.weight"),
];

/// Words that no tiny vocabulary holds whole, often enough to be proposed.
fn corpus() -> String {
    (0..40)
        .map(|i| {
            format!(
                "금융위원회는 유상증자 공시를 {i}일 정정했다. 전환사채 발행과 유상증자 계획은 \
                 금융위원회 공시에 있다.\n"
            )
        })
        .collect()
}

const AUGMENT: &str = "[base.augment]\ntokens = 30\ncorpus = \"corpus.txt\"\nmin_count = 4\n";

fn home(base: &str) -> Home {
    let home = prepare(base, AUGMENT);
    write(&home.path("corpus.txt"), corpus().as_bytes());
    home
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&korfinsts_base::fs::read(path).expect("read")).expect("JSON")
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let file = safetensors::SafeTensors::deserialize(bytes).expect("tensors");
    file.iter()
        .map(|(name, t)| {
            let values = t
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
                .collect();
            (name.to_owned(), (t.shape().to_vec(), values))
        })
        .collect()
}

#[test]
fn new_rows_start_as_means_and_train() {
    for (name, kind, table) in BASES {
        let home = home(name);
        home.command(&["train", "tiny.toml"]).assert().success();
        let base = home.path("tiny/training/base");
        let map = json(&base.join("row_map.json"));
        assert_eq!(map["model"], kind);
        let rows = map["rows"].as_array().expect("rows");
        assert!(rows.len() >= 4, "{name}: {map}");
        if kind == "WordPiece" {
            for row in rows {
                let token = row["token"].as_str().expect("a token");
                let jamo = token.trim_start_matches('#').chars();
                assert!(
                    jamo.clone().all(|c| ('\u{1100}'..='\u{11ff}').contains(&c)),
                    "an uncased model decomposes Hangul, so `{token}` would never be used"
                );
            }
        }
        let before = tensors(&weights(
            &super::support::repository("tests/reference/encoders").join(name),
        ));
        let (start, after) = (
            tensors(&weights(&base)),
            tensors(&weights(&home.path("tiny"))),
        );
        for (other, values) in &before {
            if other != table {
                assert_eq!(&start[other], values, "{name}: {other}");
            }
        }
        let (old_shape, old) = &before[table];
        let (shape, new) = &start[table];
        let width = shape[1];
        assert_eq!(shape[0], map["new_rows"].as_u64().expect("rows") as usize);
        assert_eq!(
            new[..old.len()],
            old[..],
            "{name}: old rows stay what they are"
        );
        let mut moved = 0;
        for row in rows {
            let id = row["id"].as_u64().expect("an id") as usize;
            assert!(id >= old_shape[0], "{name}: {row}");
            let pieces: Vec<usize> = row["pieces"]
                .as_array()
                .expect("pieces")
                .iter()
                .map(|p| p.as_u64().expect("an id") as usize)
                .collect();
            for column in 0..width {
                let sum: f64 = pieces
                    .iter()
                    .map(|p| f64::from(old[p * width + column]))
                    .sum();
                let found = f64::from(new[id * width + column]);
                let mean = sum / pieces.len() as f64;
                assert!((found - mean).abs() < 1e-6, "{name}: {row}: {found} {mean}");
            }
            moved += usize::from(
                new[id * width..(id + 1) * width] != after[table].1[id * width..(id + 1) * width],
            );
        }
        assert_eq!(&after[table].0, shape, "{name}");
        assert_eq!(json(&home.path("tiny/config.json"))["vocab_size"], shape[0]);
        // Weight decay alone moves every row; a base that was not trained would move none.
        assert!(moved > 0, "{name}");
        let report = json(&home.path("tiny/training/report.json"));
        let vocabulary = &report["outline"]["vocabulary"];
        for texts in vocabulary["texts"].as_array().expect("texts") {
            let number = |key: &str, i: usize| texts[key][i].as_f64().expect("a number");
            assert!(
                number("tokens_per_eojeol", 1) < number("tokens_per_eojeol", 0)
                    && number("unknown_rate", 1) <= number("unknown_rate", 0)
                    && texts["used"].as_u64().expect("a number") > 0,
                "{name}: {vocabulary}"
            );
        }
        assert_eq!(vocabulary["texts"].as_array().map(Vec::len), Some(2));
        let card = korfinsts_base::fs::read(&home.path("tiny/README.md")).expect("a card");
        let card = String::from_utf8(card).expect("UTF-8");
        let said = format!("{} tokens were added to the {kind} tokenizer", rows.len());
        assert!(card.contains(&said), "{name}: {said}\n{card}");
        assert!(card.contains("| held-out texts | 4 |"), "{name}: {card}");
    }
}

#[test]
fn a_checkpoint_with_new_tokens_is_evaluated_and_opens_in_sentence_transformers() {
    for (name, ..) in BASES {
        let home = home(name);
        home.command(&["train", "tiny.toml"]).assert().success();
        home.command(&["eval", "tiny", "--suite", "korfin-shift"])
            .assert()
            .success();
        assert!(!embeddings(&home, "tiny").is_empty());
        if full("checkpoints with new tokens in Python's sentence-transformers") {
            opens_in_python(&home, name);
        }
    }
}

#[test]
fn a_run_with_new_tokens_goes_on_with_the_base_it_began_with() {
    let home = home("bert-mean");
    home.command(&["train", "tiny.toml"]).assert().success();
    let whole = weights(&home.path("tiny"));
    // The states of a finished run: the same command reads them, and writes the same weights.
    korfinsts_base::fs::remove_file(&home.path("tiny/model.safetensors")).expect("removed");
    home.command(&["train", "tiny.toml"]).assert().success();
    assert!(weights(&home.path("tiny")) == whole);
}

#[test]
fn what_cannot_be_augmented_is_said_before_training() {
    for (base, more, corpus, code, expected) in [
        (
            "t5enc-dense",
            AUGMENT,
            "none",
            3,
            "corpus.txt: there is no such file",
        ),
        ("bert-mean", AUGMENT, "english only\n", 4, "gives no token"),
        (
            "bert-mean",
            "[base.augment]\ntokens = 0\n",
            "",
            2,
            "`tokens` is 0",
        ),
        (
            "bert-mean",
            "[base.augment]\ntokens = 3\nscript = \"Klingon\"\n",
            "",
            2,
            "Klingon",
        ),
        (
            "bert-mean",
            "[base.augment]\ntokens = 3\n[lora]\nrank = 2\nalpha = 2.0\n",
            "",
            2,
            "low-rank adapters do not train",
        ),
    ] {
        let home = prepare(base, more);
        if corpus != "none" {
            write(&home.path("corpus.txt"), corpus.as_bytes());
        }
        let output = home.command(&["train", "tiny.toml"]).assert().code(code);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(expected), "{text} / {expected}");
        assert!(!home.path("tiny/model.safetensors").exists());
    }
}
