//! Tokenizers against files that were made to break them.

use std::path::Path;
use std::time::Duration;

use korfinsts_base::failure::FailureClass;
use korfinsts_encoder::EncoderError;
use korfinsts_encoder::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};

use super::support::repository;

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
    let listed = korfinsts_base::fs::list(&folder).expect("the folder").len();
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
            "bytes that double",
            with(
                "pre_tokenizer",
                json!({"type": "Sequence", "pretokenizers":
                    vec![json!({"type": "ByteLevel", "add_prefix_space": false,
                                "trim_offsets": true, "use_regex": false}); 20]}),
            ),
            "times longer",
        ),
        (
            "components without end",
            with(
                "normalizer",
                json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 1000]}),
            ),
            "more than 64 components",
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
            "far more than quadratic",
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
        korfinsts_base::fs::write_atomic(&path, document.to_string().as_bytes())
            .expect("it is written");
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
    korfinsts_base::fs::write_atomic(&path, b"{\n  \"model\": {\"vocab\": {\"a\": 0},,}\n}")
        .expect("it is written");
    let error = Tokenizer::from_file(&path)
        .expect_err("it is damaged")
        .to_string();
    assert!(error.contains("tokenizer.json:2:"), "{error}");
}

/// Values that a mutation puts in the place of others.
fn nasty(draw: u64) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("a"),
        json!("\u{0}"),
        json!("(a+)+$"),
        json!("▁".repeat(2000)),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"String": ""}),
        json!({"Regex": "a*"}),
        json!({"Regex": "(?=(a+)+b)|\\s*"}),
        json!([["a", "b"]]),
        json!({"type": "NFKD"}),
        json!({"type": "Strip", "strip_left": true, "strip_right": true}),
        json!({"type": "Prepend", "prepend": "▁▁"}),
        json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "aa"}),
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
               "use_regex": true}),
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
               "split": true}),
        json!({"type": "Split", "pattern": {"Regex": ""}, "behavior": "MergedWithNext",
               "invert": true}),
        json!({"type": "Split", "pattern": {"String": "a"}, "behavior": "Contiguous",
               "invert": false}),
        json!({"type": "Digits", "individual_digits": true}),
        json!({"type": "FixedLength", "length": 1}),
        json!({"type": "FixedLength", "length": u64::MAX}),
        json!({"type": "CharDelimiterSplit", "delimiter": "a"}),
        json!({"type": "UnicodeScripts"}),
        json!({"type": "Precompiled", "precompiled_charsmap": "CAAAAAEBAQEBAQEBYQBhAA=="}),
        json!({"type": "RobertaProcessing", "sep": ["a", 4_000_000_000_u64], "cls": ["b", 0],
               "trim_offsets": true, "add_prefix_space": true}),
        json!({"type": "BertProcessing", "sep": ["a", 0], "cls": ["b", 1]}),
    ];
    values[draw as usize % values.len()].clone()
}

/// Replaces, removes or repeats one place of a document; large tables count as one place.
fn mutate(value: &mut Value, draw: &mut impl FnMut() -> u64) {
    let children = match value {
        Value::Object(map) if map.len() < 40 => map.len(),
        Value::Array(list) if list.len() < 40 => list.len(),
        _ => 0,
    };
    if children == 0 || draw().is_multiple_of(5) {
        *value = nasty(draw());
        return;
    }
    let at = draw() as usize % children;
    match value {
        Value::Object(map) => {
            let key = map.keys().nth(at).cloned().unwrap_or_default();
            match (draw() % 12, map.get_mut(&key)) {
                (0, _) => {
                    map.remove(&key);
                }
                (1, _) => {
                    map.insert("type".into(), nasty(draw()));
                }
                (_, Some(child)) => mutate(child, draw),
                _ => {}
            }
        }
        Value::Array(list) => match draw() % 12 {
            0 => {
                list.remove(at);
            }
            1 => {
                let again = list[at].clone();
                list.extend(vec![again; 50]);
            }
            2 => list.push(nasty(draw())),
            _ => mutate(&mut list[at], draw),
        },
        _ => {}
    }
}

#[test]
fn mutated_tokenizers_end_in_an_error_of_the_model_or_a_result() {
    let rounds = std::env::var("KORFINSTS_MUTATIONS").map_or(40, |n| n.parse().expect("a number"));
    let mut bases = vec![plain()];
    for name in ["bert-mean", "t5enc-dense", "qwen2-last", "mistral-last"] {
        let path = repository("tests/reference/encoders")
            .join(name)
            .join("tokenizer.json");
        let bytes = korfinsts_base::fs::read(&path).expect("the reference");
        bases.push(serde_json::from_slice(&bytes).expect("JSON"));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A linear congruential generator: its draws are the same everywhere.
    let mut state = 20_240_501_u64;
    let mut draw = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let (mut refused, mut read) = (0, 0);
    for round in 0..rounds {
        for base in &bases {
            let mut document = base.clone();
            for _ in 0..=draw() % 3 {
                mutate(&mut document, &mut draw);
            }
            let path = folder.path().join("tokenizer.json");
            korfinsts_base::fs::write_atomic(&path, document.to_string().as_bytes())
                .expect("it is written");
            match bounded(&format!("round {round}"), move || try_out(&path)) {
                Ok(ids) => {
                    read += 1;
                    assert!(ids.iter().map(Vec::len).sum::<usize>() < 1_000_000);
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.class(), FailureClass::Model, "{error}");
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
    assert!(
        refused > rounds && read > rounds / 4,
        "{refused} refused, {read} read"
    );
}

#[test]
fn damaged_sentencepiece_models_end_in_an_error_of_the_model_or_a_result() {
    let rounds = std::env::var("KORFINSTS_MUTATIONS").map_or(40, |n| n.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("spiece.model");
    let reference = repository("tests/reference/tokenizers/t5/spiece.model");
    let whole = korfinsts_base::fs::read(&reference).expect("the reference");
    let mut state = 7_u64;
    let mut draw = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    let (mut refused, mut read) = (0, 0);
    for round in 0..rounds {
        let mut bytes = whole.clone();
        // The pieces come first, the normalisation table last.
        let range = if round % 2 == 0 { 6000 } else { bytes.len() };
        for _ in 0..=draw() % 4 {
            let at = draw() % range.min(bytes.len());
            match draw() % 4 {
                0 => bytes.truncate(at + 1),
                _ => bytes[at] = draw() as u8,
            }
        }
        korfinsts_base::fs::write_atomic(&path, &bytes).expect("it is written");
        let folder = folder.path().to_owned();
        let result = bounded(&format!("round {round}"), move || {
            let tokenizer = Tokenizer::from_folder(&[&folder], &json!({"model_type": "t5"}))?;
            TEXTS
                .iter()
                .map(|text| tokenizer.count(text))
                .collect::<Result<Vec<_>, _>>()
        });
        match result {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                assert_eq!(error.class(), FailureClass::Model, "{error}");
            }
        }
    }
    assert!(refused > 0 && read > 0, "{refused} refused, {read} read");
}
