//! Fewer tokens in a base model: the same embeddings of the texts that were counted.

use std::path::Path;

use serde_json::Value;

use super::support::{Home, repository};
use super::train_run::{opens_in_python, prepare};
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::spec::{Overrides, read};
use korfinsts_train::recipe::PruneBase;
use korfinsts_train::{prune, vocabulary};

/// Encoders of every kind of tokenizer and of layout.
const BASES: [&str; 8] = [
    "bert-mean",
    "xlmr-cls",
    "mpnet-mean",
    "t5enc-dense",
    "qwen2-last",
    "mistral-last",
    "modernbert-mean",
    "static",
];

const TEXTS: [&str; 5] = [
    "금융위원회는 유상증자 공시를 정정했다.",
    "전환사채 발행 한도는 1,200억 원이다.",
    "The bank raised its base rate by 25bp.",
    "매출은 3.2% 늘고 영업이익은 줄었다 (연결 기준).",
    "",
];

fn rows(spec: &EncoderSpec, texts: &[&str]) -> Vec<Vec<f32>> {
    let encoder = spec.open(&OpenOptions::default()).expect("an encoder");
    let each = texts.iter().map(|text| {
        let prepared = encoder.prepare(text, "").expect("prepared");
        encoder.encode(&[&prepared]).expect("encoded").values
    });
    each.collect()
}

fn recipe(more: &str) -> PruneBase {
    toml::from_str(more).expect("a recipe")
}

fn pruned(
    name: &str,
    recipe: &PruneBase,
    home: &Home,
) -> (EncoderSpec, EncoderSpec, prune::PruneReport) {
    let folder = repository("tests/reference/encoders").join(name);
    let spec = read(&folder, &Overrides::default()).expect("a model");
    let places = vocabulary::Places {
        folder: &home.path(name),
        root: Path::new("."),
        training_texts: &TEXTS,
        keep: false,
    };
    let (new, report) = prune::base(&spec, recipe, places).expect("pruned");
    (spec, new, report)
}

#[test]
fn texts_that_were_counted_have_the_embeddings_they_had() {
    for name in BASES {
        let home = Home::new();
        let (old, new, report) = pruned(name, &recipe("letters = [\"Latin\"]"), &home);
        assert!(
            report.new_rows > 60 && report.new_rows < report.old_rows * 2 / 3,
            "{name}: {report:?}"
        );
        for (a, b) in rows(&old, &TEXTS)
            .concat()
            .iter()
            .zip(rows(&new, &TEXTS).concat())
        {
            assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
        }
    }
}

#[test]
fn scripts_and_letters_stay_whole() {
    for name in ["bert-mean", "xlmr-cls"] {
        let of = |text: &str| pruned(name, &recipe(text), &Home::new()).2.new_rows;
        let few = of("letters = []");
        let letters = of("");
        let hangul = of("scripts = [\"Hangul\"]");
        assert!(
            few < letters && letters < hangul,
            "{name}: {few} {letters} {hangul}"
        );
        assert!(of("min_count = 2") < letters, "{name}");
        // Any Korean text keeps its embedding where all Korean pieces stay.
        let other = ["주주총회는 배당을 결의했다.", "해외 법인 손실"];
        let home = Home::new();
        let (old, new, _) = pruned(name, &recipe("scripts = [\"Hangul\"]"), &home);
        for (a, b) in rows(&old, &other)
            .concat()
            .iter()
            .zip(rows(&new, &other).concat())
        {
            assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
        }
    }
}

#[test]
fn a_pruned_base_trains_to_a_checkpoint_that_python_opens() {
    let home = prepare("xlmr-cls", "[base.prune]\n");
    home.command(&["train", "tiny.toml"]).assert().success();
    let json = |path: &str| -> Value {
        serde_json::from_slice(&korfinsts_base::fs::read(&home.path(path)).expect("read"))
            .expect("JSON")
    };
    let report = json("tiny/training/report.json");
    let pruned = &report["outline"]["pruned"];
    assert_eq!(
        (&pruned["model"], &pruned["corpus"]),
        (&"Unigram".into(), &"the training texts".into())
    );
    assert_eq!(json("tiny/config.json")["vocab_size"], pruned["new_rows"]);
    opens_in_python(&home, "a pruned base");
    // The same command continues with the base that is there.
    let before = report["outline"].clone();
    home.command(&["train", "tiny.toml"]).assert().success();
    assert_eq!(json("tiny/training/report.json")["outline"], before);
}
