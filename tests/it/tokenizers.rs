//! Tokenizers against hostile files, and against the formats of one another.

use std::path::Path;
use std::time::Duration;

use korfinsts::encoder::EncoderError;
use korfinsts::encoder::tokenizer::{EncodeOptions, Tokenizer};
use korfinsts::failure::FailureClass;
use serde_json::{Value, json};

use super::support::{repository, shared};

const TEXTS: [&str; 9] = [
    "",
    "a",
    "aa aaab bbaa",
    "한국은행은 기준금리를 0.25%포인트 인상했다.",
    "The Bank of Korea raised its base rate by 25bp.",
    "ㅋㅋㅋ 각각 각각 🚀\u{200d}漢字 ﷺ ①",
    "  spaces \t and\nlines  ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    "\u{0}\u{fffd}\u{feff}",
];

/// Runs `f` on a thread with a small stack, and gives up after a while: a hang or an overflow is
/// a failure of this test and not of the whole run's patience.
fn bounded<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            let _ = send.send(f());
        })
        .expect("a thread");
    receive
        .recv_timeout(Duration::from_secs(20))
        .unwrap_or_else(|_| panic!("{what}: no answer (a hang, or a panic that got through)"))
}

/// Loads and uses a tokenizer: every text gives ids within the vocabulary, or an error of the
/// model's class.
fn try_out(path: &Path) -> Result<Vec<Vec<u32>>, EncoderError> {
    let tokenizer = Tokenizer::from_file(path)?;
    TEXTS
        .iter()
        .map(|text| Ok(tokenizer.encode(text, &EncodeOptions::default())?.ids))
        .collect()
}

#[test]
fn hostile_tokenizers_end_in_an_error_of_the_model_or_a_right_result() {
    let folder = repository("tests/reference/broken/tokenizers");
    let expected = [
        ("deep-json.json", Err("expected a JSON object")),
        ("fixed-length-zero.json", Err("`length` is 0")),
        ("huge-id.json", Err("has id 4294967295")),
        ("merge-names-no-token.json", Err("gives \"aabb\"")),
        ("normalizers-nested-60.json", Err("nested more than")),
        (
            "precompiled-junk.json",
            Err("`precompiled_charsmap` is damaged"),
        ),
        // The pattern is linear for this regex engine, and matches nowhere before a `!`.
        ("regex-bomb.json", Ok(())),
        // Truncation baked into the file is never applied.
        ("stride-over-max-length.json", Ok(())),
        ("template-names-missing-token.json", Err("names `[X]`")),
    ];
    let listed = korfinsts::fs::list(&folder).expect("the folder").len();
    assert_eq!(listed, expected.len(), "every file has an expectation");
    for (name, expectation) in expected {
        let path = folder.join(name);
        let result = bounded(name, move || try_out(&path));
        match (result, expectation) {
            (Ok(ids), Ok(())) => assert_eq!(ids.len(), TEXTS.len(), "{name}"),
            (Err(error), Err(says)) => {
                assert_eq!(error.class(), FailureClass::Model, "{name}: {error}");
                assert!(error.to_string().contains(says), "{name}: {error}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
}

fn bpe(vocab: &Value, merges: &Value) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
           "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
           "model": {"type": "BPE", "dropout": null, "unk_token": null, "vocab": vocab,
                     "merges": merges}})
}

fn plain() -> Value {
    bpe(&json!({"a": 0, "b": 1, "aa": 2}), &json!([["a", "a"]]))
}

fn with(part: &str, value: Value) -> Value {
    let mut document = plain();
    document[part] = value;
    document
}

fn nested(kind: &str, field: &str, depth: usize) -> Value {
    (0..depth).fold(
        json!({"type": kind, field: []}),
        |inner, _| json!({"type": kind, field: [inner]}),
    )
}

fn replace(pattern: &Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

#[test]
fn more_hostile_tokenizers_are_refused_with_a_reason() {
    let a = json!({"Sequence": {"id": "A", "type_id": 0}});
    let b = json!({"Sequence": {"id": "B", "type_id": 0}});
    let template = |single: Value, special: Value| {
        json!({"type": "TemplateProcessing", "single": single, "pair": [a, b],
               "special_tokens": special})
    };
    let unigram = |vocab: Value, unk: Value| {
        let mut document = plain();
        document["model"] = json!({"type": "Unigram", "unk_id": unk, "vocab": vocab});
        document
    };
    let prefixed = {
        let mut document = bpe(
            &json!({"가": 0, "나": 1, "가나": 2}),
            &json!([["가", "나"]]),
        );
        document["model"]["continuing_subword_prefix"] = json!("나나나나");
        document
    };
    let long_word = {
        let mut document = plain();
        document["model"] = json!({"type": "WordPiece", "unk_token": "a", "vocab": {"a": 0},
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 4_000_000_000_u64});
        document
    };
    let no_unk = {
        let mut document = plain();
        document["model"] = json!({"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"a": 0},
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
        document
    };
    let deep = (0..500).fold(json!(0), |inner, _| json!([inner]));
    let eight = json!({"String": "a"});
    let cases: Vec<(&str, Value, &str)> = vec![
        ("version", with("version", json!("9.0")), "version `9.0`"),
        (
            "no model",
            json!({"version": "1.0"}),
            "missing field `model`",
        ),
        ("a list", json!([1, 2]), "expected a JSON object"),
        ("deep", with("normalizer", deep), "recursion limit"),
        (
            "negative id",
            bpe(&json!({"a": -1}), &json!([])),
            "invalid value",
        ),
        (
            "merge of one",
            bpe(&json!({"a": 0}), &json!([["a"]])),
            "two tokens",
        ),
        (
            "merge of three",
            bpe(&json!({"a": 0}), &json!(["a a a"])),
            "two tokens",
        ),
        (
            "merge of an unknown",
            bpe(&json!({"a": 0}), &json!([["a", "z"]])),
            "names \"z\"",
        ),
        (
            "prefix longer than a token",
            prefixed,
            "does not begin with the prefix",
        ),
        (
            "unknown model",
            {
                let mut d = plain();
                d["model"]["type"] = json!("Rot13");
                d
            },
            "`Rot13`",
        ),
        ("empty unigram", unigram(json!([]), json!(null)), "is empty"),
        (
            "unk beyond the vocabulary",
            unigram(json!([["a", 0.0]]), json!(7)),
            "`unk_id` is 7",
        ),
        (
            "a token that overflows the stack",
            unigram(
                json!([["<unk>", 0.0], ["x".repeat(1_000_000), -1.0]]),
                json!(0),
            ),
            "a token has 1000000 bytes",
        ),
        (
            "unigram without unknown",
            unigram(json!([["a", 0.0]]), json!(null)),
            "unk_id",
        ),
        ("word of any length", long_word, "max_input_chars_per_word"),
        ("unknown token not there", no_unk, "[UNK]"),
        (
            "added id",
            with(
                "added_tokens",
                json!([{"id": 4_000_000_000_u64, "content": "<x>",
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": true}]),
            ),
            "has id 4000000000",
        ),
        (
            "nested pre-tokenizers",
            with("pre_tokenizer", nested("Sequence", "pretokenizers", 40)),
            "nested more than",
        ),
        (
            "nested post-processors",
            with("post_processor", nested("Sequence", "processors", 40)),
            "nested more than",
        ),
        (
            "text that grows without end",
            with(
                "normalizer",
                json!({"type": "Sequence",
                "normalizers": vec![replace(&eight, &"a".repeat(1000)); 8]}),
            ),
            "times longer",
        ),
        (
            "text that doubles between all characters",
            with(
                "normalizer",
                json!({"type": "Sequence",
                "normalizers": vec![replace(&json!({"Regex": ""}), "a"); 40]}),
            ),
            "times longer",
        ),
        (
            "no regular expression",
            with("normalizer", replace(&json!({"Regex": "("}), "")),
            "no regular expression",
        ),
        (
            "exponential pattern",
            with(
                "pre_tokenizer",
                json!({"type": "Split", "behavior": "Isolated", "invert": false,
                "pattern": {"Regex": "((?=a)a|a)+\\1z"}}),
            ),
            "exponential",
        ),
        (
            "empty table",
            with(
                "normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}),
            ),
            "`precompiled_charsmap` is damaged",
        ),
        (
            "table that is no text",
            with(
                "normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": 3}),
            ),
            "`precompiled_charsmap` is damaged",
        ),
        (
            "template without a text",
            with("post_processor", template(json!([]), json!({}))),
            "exactly once",
        ),
        (
            "template with two texts",
            with("post_processor", template(json!([a, a]), json!({}))),
            "exactly once",
        ),
        (
            "single template of a pair",
            with("post_processor", template(json!([a, b]), json!({}))),
            "sequence `B`",
        ),
        (
            "template of many tokens",
            with(
                "post_processor",
                template(
                    json!([a, {"SpecialToken": {"id": "x", "type_id": 0}}]),
                    json!({"x": {"id": "x", "ids": vec![0; 5000], "tokens": vec!["x"; 5000]}}),
                ),
            ),
            "adds 5000 tokens",
        ),
        (
            "template with fewer tokens than ids",
            with(
                "post_processor",
                template(
                    json!([a, {"SpecialToken": {"id": "x", "type_id": 0}}]),
                    json!({"x": {"id": "x", "ids": [0, 1], "tokens": ["x"]}}),
                ),
            ),
            "as many `ids`",
        ),
        (
            "component of no kind",
            with("pre_tokenizer", json!({"type": "Teleport"})),
            "pre_tokenizer",
        ),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (i, (name, document, says)) in cases.into_iter().enumerate() {
        let path = folder.path().join(format!("{i}.json"));
        korfinsts::fs::write_atomic(&path, document.to_string().as_bytes()).expect("it is written");
        let error = bounded(name, move || try_out(&path)).expect_err(name);
        assert!(
            matches!(error, EncoderError::Invalid { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
}

#[test]
fn damaged_json_is_reported_with_line_and_column() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tokenizer.json");
    korfinsts::fs::write_atomic(&path, b"{\n  \"model\": {\"vocab\": {\"a\": 0},,}\n}")
        .expect("it is written");
    let error = Tokenizer::from_file(&path)
        .expect_err("it is damaged")
        .to_string();
    assert!(error.contains("tokenizer.json:2:"), "{error}");
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer
        .encode(text, &EncodeOptions::default())
        .expect("it tokenises")
        .ids
}

fn sentences() -> Vec<String> {
    let path = repository("tests/reference/tokenizers/golden.json");
    let golden: Value =
        serde_json::from_slice(&korfinsts::fs::read(&path).expect("the reference")).expect("JSON");
    serde_json::from_value(golden["texts"].clone()).expect("texts")
}

fn load(folder: &Path, model_type: &str) -> Tokenizer {
    Tokenizer::from_folder(&[folder], &json!({"model_type": model_type})).expect("it loads")
}

#[test]
fn a_wordpiece_vocabulary_is_the_tokenizer_json_made_from_it() {
    let (Some(vocab), Some(model)) = (
        shared("tokenizers/bert-base-uncased"),
        shared("models/all-MiniLM-L6-v2"),
    ) else {
        return;
    };
    let from_vocab = load(&vocab, "bert");
    let from_json = load(&model, "bert");
    assert_eq!(from_vocab.format(), "vocab.txt");
    assert_eq!(from_json.format(), "tokenizer.json");
    assert_eq!(from_vocab.vocabulary().len(), 30_522);
    assert_eq!(from_vocab.template(), from_json.template());
    for text in sentences() {
        assert_eq!(ids(&from_vocab, &text), ids(&from_json, &text), "{text:?}");
    }
}

#[test]
fn byte_level_merges_with_carriage_returns_are_the_tokenizer_json_made_from_them() {
    let Some(folder) = shared("tokenizers/qwen2") else {
        return;
    };
    let from_json = load(&folder, "qwen2");
    let bare = tempfile::tempdir().expect("a temporary folder");
    for name in [
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "tokenizer_config.json",
    ] {
        let content = korfinsts::fs::read(&folder.join(name)).expect("it is read");
        korfinsts::fs::write_atomic(&bare.path().join(name), &content).expect("it is written");
    }
    let from_merges = load(bare.path(), "qwen2");
    assert_eq!(from_merges.format(), "vocab.json + merges.txt");
    assert!(from_merges.byte_level() && from_json.byte_level());
    assert_eq!(from_merges.vocabulary().len(), 151_646);
    let special = "<|im_start|>user\n금리<|im_end|>".to_owned();
    for text in sentences().into_iter().chain([special]) {
        assert_eq!(ids(&from_merges, &text), ids(&from_json, &text), "{text:?}");
    }
}

#[test]
fn a_sentencepiece_model_gives_the_ids_of_the_sentencepiece_library() {
    let Some(folder) = shared("tokenizers/mistral-7b-v0.1") else {
        return;
    };
    let tokenizer = load(&folder, "mistral");
    assert_eq!(tokenizer.format(), "SentencePiece");
    assert_eq!(tokenizer.vocabulary().len(), 32_000);
    let path = repository("tests/reference/tokenizers/golden.json");
    let golden: Value =
        serde_json::from_slice(&korfinsts::fs::read(&path).expect("the reference")).expect("JSON");
    let expected: Vec<Vec<u32>> =
        serde_json::from_value(golden["mistral"].clone()).expect("token ids");
    for (text, expected) in sentences().iter().zip(&expected) {
        let got = ids(&tokenizer, text);
        assert_eq!(got[0], 1, "a text begins with <s>");
        assert_eq!(&got[1..], expected, "{text:?}");
    }
}

#[test]
fn older_formats_give_the_ids_of_the_transformers_library() {
    for (folder, files, other) in [
        ("xlmr", "sentencepiece.bpe.model", Some("albert")),
        ("t5", "spiece.model", Some("albert")),
        ("roberta", "vocab.json", None),
        ("gpt2", "vocab.json", None),
    ] {
        let folder = repository("tests/reference/tokenizers").join(folder);
        let read = |name: &str| -> Value {
            let bytes = korfinsts::fs::read(&folder.join(name)).expect("the reference");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        let config = read("config.json");
        let tokenizer = Tokenizer::from_folder(&[&folder], &config).expect("it loads");
        assert!(tokenizer.files()[0].ends_with(files));
        let golden = read("golden.json");
        let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).expect("texts");
        let expected: Vec<Vec<u32>> =
            serde_json::from_value(golden["token_ids"].clone()).expect("token ids");
        for (text, expected) in texts.iter().zip(&expected) {
            assert_eq!(&ids(&tokenizer, text), expected, "{files}: {text:?}");
        }
        if let Some(other) = other {
            let error = Tokenizer::from_folder(&[&folder], &json!({"model_type": other}));
            let error = error.expect_err("its use is not known").to_string();
            assert!(error.contains(other), "{error}");
        }
    }
}

#[test]
fn large_vocabularies_load_and_know_their_unknowns() {
    for (folder, size, unk) in [
        ("tokenizers/xlm-roberta-base", 250_002, Some(3)),
        ("tokenizers/t5-small", 32_100, Some(2)),
        ("tokenizers/qwen2", 151_646, None),
    ] {
        let Some(path) = shared(folder) else {
            return;
        };
        let tokenizer = load(&path, "");
        assert_eq!(tokenizer.vocabulary().len(), size, "{folder}");
        assert_eq!(tokenizer.unk_id(), unk, "{folder}");
        assert!(!ids(&tokenizer, "한국은행은 기준금리를 인상했다.").is_empty());
    }
}
