//! Tokenizers in every format, against the libraries they come from.

use std::path::Path;

use korfinsts_encoder::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};

use super::support::{repository, shared};

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer
        .encode(text, &EncodeOptions::default())
        .expect("it tokenises")
        .ids
}

fn sentences() -> Vec<String> {
    let path = repository("tests/reference/tokenizers/golden.json");
    let golden: Value =
        serde_json::from_slice(&korfinsts_base::fs::read(&path).expect("the reference"))
            .expect("JSON");
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
        let content = korfinsts_base::fs::read(&folder.join(name)).expect("it is read");
        korfinsts_base::fs::write_atomic(&bare.path().join(name), &content).expect("it is written");
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
        serde_json::from_slice(&korfinsts_base::fs::read(&path).expect("the reference"))
            .expect("JSON");
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
            let bytes = korfinsts_base::fs::read(&folder.join(name)).expect("the reference");
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
