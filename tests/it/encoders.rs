//! Encoders against references: token ids and embeddings of sentence-transformers.

use std::path::PathBuf;

use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::spec::{self, Overrides};
use korfinsts_encoder::{
    Encoder, EncoderError, EncoderSpec, Network, NetworkOutput, PreparedText, TextEncoder,
    TokenBatch,
};
use serde_json::Value;

use super::support::{SHARED_ENCODERS, reference_encoder, reference_rounding, repository};

const ARCHITECTURES: [&str; 8] = [
    "bert-mean",
    "mistral-last",
    "modernbert-mean",
    "qwen2-last",
    "qwen3-last",
    "static",
    "t5enc-dense",
    "xlmr-cls",
];

/// [`ARCHITECTURES`] and those that the shared folder alone has, where it is at hand.
fn architectures() -> Vec<&'static str> {
    let shared = SHARED_ENCODERS.into_iter();
    let shared = shared.filter(|name| reference_encoder(name).is_some());
    ARCHITECTURES.into_iter().chain(shared).collect()
}

fn folder(architecture: &str) -> PathBuf {
    match architecture {
        "model2vec" => repository("tests/reference/model2vec"),
        _ => reference_encoder(architecture).expect("a reference encoder"),
    }
}

fn golden(architecture: &str) -> Value {
    let path = folder(architecture).join("golden.json");
    serde_json::from_slice(&korfinsts_base::fs::read(&path).expect("the reference is there"))
        .expect("the reference is JSON")
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).expect("a list of texts")
}

/// A network that only the tokenising side of an encoder is tested with.
struct NoNetwork;

impl Network for NoNetwork {
    fn forward(&self, _batch: &TokenBatch) -> Result<NetworkOutput, EncoderError> {
        panic!("this network is never run")
    }
}

fn read(architecture: &str) -> EncoderSpec {
    spec::read(&folder(architecture), &Overrides::default()).expect("the folder can be read")
}

#[test]
fn token_ids_are_those_of_sentence_transformers() {
    for architecture in architectures() {
        let golden = golden(architecture);
        let encoder =
            TextEncoder::new(&read(architecture), Box::new(NoNetwork)).expect("it has a tokenizer");
        let texts = strings(&golden["texts"]);
        let mut compared = 0;
        for (field, prompt) in [
            ("token_ids", ""),
            (
                "token_ids_with_prompt",
                golden["prompt"].as_str().unwrap_or(""),
            ),
        ] {
            let Ok(expected) = serde_json::from_value::<Vec<Vec<u32>>>(golden[field].clone())
            else {
                continue;
            };
            for (text, expected) in texts.iter().zip(&expected) {
                let got = encoder.prepare(text, prompt).expect("it tokenises");
                assert_eq!(&got.ids, expected, "{architecture}: {prompt:?} + {text:?}");
                compared += 1;
            }
        }
        assert!(
            compared >= texts.len() || architecture == "static",
            "{architecture}: {compared} texts compared"
        );
    }
}

#[test]
fn truncation_is_counted_and_prompts_are_measured() {
    let encoder = TextEncoder::new(&read("t5enc-dense"), Box::new(NoNetwork)).expect("tokenizer");
    let prompt = "Represent the statement: ";
    let long = "금리 ".repeat(200);
    let prepared = encoder.prepare(&long, prompt).expect("it tokenises");
    assert_eq!(prepared.ids.len(), 48);
    assert!(prepared.lost_tokens > 100, "{}", prepared.lost_tokens);
    let alone = encoder.prepare("", prompt).expect("it tokenises");
    // The end token of the lone prompt does not belong to it.
    assert_eq!(prepared.prompt_tokens, alone.ids.len() - 1);
    assert_eq!(
        encoder
            .prepare("금리", "")
            .expect("it tokenises")
            .lost_tokens,
        0
    );
}

fn encode(encoder: &dyn Encoder, texts: &[&PreparedText]) -> Vec<Vec<f32>> {
    let embeddings = encoder.encode(texts).expect("it encodes");
    (0..embeddings.rows())
        .map(|i| embeddings.row(i).to_vec())
        .collect()
}

#[test]
fn static_embeddings_are_those_of_their_libraries_and_independent_of_the_batch() {
    for (architecture, max_tokens) in [("static", usize::MAX), ("model2vec", 512)] {
        let spec = read(architecture);
        assert_eq!((spec.backend, spec.max_tokens), ("static", max_tokens));
        assert_eq!(spec.drop_unknown, architecture == "model2vec");
        let encoder = spec.open(&OpenOptions::default()).expect("it opens");
        let golden = golden(architecture);
        let expected: Vec<Vec<f64>> =
            serde_json::from_value(golden["embeddings"].clone()).expect("embeddings");
        let prepared: Vec<PreparedText> = strings(&golden["texts"])
            .iter()
            .map(|t| encoder.prepare(t, "").expect("it tokenises"))
            .collect();
        let batch = encode(&*encoder, &prepared.iter().collect::<Vec<_>>());
        assert_eq!(batch.len(), expected.len());
        for ((text, got), expected) in prepared.iter().zip(&batch).zip(&expected) {
            assert_eq!(got.len(), expected.len());
            for (g, e) in got.iter().zip(expected) {
                let difference = (f64::from(*g) - e).abs();
                assert!(
                    difference < 1e-5,
                    "{architecture}, {:?}: {g} != {e}",
                    text.text
                );
            }
            assert_eq!(&encode(&*encoder, &[text])[0], got, "{:?}", text.text);
        }
    }
}

/// From a folder to embeddings: reading, tokenising, network, pooling, dense layers, prompts.
#[cfg(feature = "candle")]
#[test]
fn whole_encoders_give_the_embeddings_of_sentence_transformers_alone_and_in_a_batch() {
    for architecture in architectures().into_iter().filter(|a| *a != "static") {
        let golden = golden(architecture);
        let spec = read(architecture);
        let encoder = spec.open(&OpenOptions::default()).expect("it opens");
        let texts = strings(&golden["texts"]);
        for (field, prompt) in [
            ("embeddings", ""),
            (
                "embeddings_with_prompt",
                golden["prompt"].as_str().unwrap_or(""),
            ),
        ] {
            let Ok(expected) = serde_json::from_value::<Vec<Vec<f64>>>(golden[field].clone())
            else {
                continue;
            };
            let prepared: Vec<PreparedText> = texts
                .iter()
                .map(|t| encoder.prepare(t, prompt).expect("it tokenises"))
                .collect();
            let batch = encode(&*encoder, &prepared.iter().collect::<Vec<_>>());
            for ((text, got), expected) in prepared.iter().zip(&batch).zip(&expected) {
                let alone = &encode(&*encoder, &[text])[0];
                assert_eq!(got.len(), expected.len(), "{architecture}");
                for ((g, a), e) in got.iter().zip(alone).zip(expected) {
                    let place = format!("{architecture}: {prompt:?} + {:?}", text.text);
                    let bound = 2.0 * reference_rounding(&spec.config);
                    assert!((f64::from(*g) - e).abs() < bound, "{place}: {g} != {e}");
                    assert_eq!(g, a, "{place}: in a batch and alone");
                }
            }
        }
    }
}

#[test]
fn every_decision_names_value_and_source() {
    let spec = read("t5enc-dense");
    let rows = &spec.decisions;
    let row = |what: &str| {
        rows.iter()
            .find(|d| d.what.name() == what)
            .unwrap_or_else(|| panic!("no row `{what}` in {rows:?}"))
    };
    assert_eq!(row("pooling").value, "mean");
    assert_eq!(row("pooling").source, "1_Pooling/config.json");
    assert_eq!(row("max tokens").value, "48");
    assert_eq!(
        row("then").value,
        "dense 32 to 24 without bias, Identity, normalize"
    );
    assert_eq!(row("similarity").value, "cosine");
    assert!(spec.leaves_prompt_out());
    assert_eq!(spec.prompts["sts"], "Represent the statement: ");
    let roles: Vec<_> = spec.files.iter().map(|f| f.name.as_str()).collect();
    for name in [
        "model.safetensors",
        "tokenizer.json",
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
    ] {
        assert!(roles.contains(&name), "{name} is not in {roles:?}");
    }
    assert!(spec.files.iter().all(|f| f.sha256.len() == 64));
}
