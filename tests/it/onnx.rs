//! ONNX graphs through both runtimes, against embeddings that sentence-transformers made.

use std::path::Path;

use korfinsts_encoder::backend::{self, OpenOptions};
use korfinsts_encoder::network::{Network, NetworkOutput, PaddingSide, TokenBatch};
use korfinsts_encoder::spec::WeightsFormat;
use korfinsts_encoder::{EncoderSpec, PreparedText};

use super::support::{reference_rounding, repository, shared};

const BACKENDS: [&str; 2] = ["rten", "onnxruntime"];

/// How the tests pool: the pooling room has tests of its own.
#[derive(Clone, Copy)]
enum Pool {
    Mean,
    First,
    Last,
}

fn spec(file: &Path, output: &str, dtype: &str) -> EncoderSpec {
    EncoderSpec {
        name: "test".into(),
        folder: file.parent().expect("a folder").to_owned(),
        format: WeightsFormat::Onnx,
        weights: vec![file.to_owned()],
        backend: "rten",
        device: "cpu".into(),
        dtype: dtype.into(),
        onnx_output: Some(output.into()),
        max_tokens: 256,
        ..EncoderSpec::default()
    }
}

/// The runtimes at hand: ONNX Runtime is a library that a machine may lack.
pub fn runtimes() -> Vec<&'static str> {
    let options = OpenOptions::default();
    BACKENDS
        .into_iter()
        .filter(|name| {
            let found = (backend::find(name).expect("in the list").version)(&options);
            if let Err(error) = &found {
                eprintln!("SKIPPED: no backend `{name}` here: {error}");
            }
            found.is_ok()
        })
        .collect()
}

fn open(name: &str, spec: &EncoderSpec, threads: usize) -> Box<dyn Network> {
    let options = OpenOptions {
        threads,
        ..OpenOptions::default()
    };
    (backend::find(name).expect("in the list").open)(spec, &options)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn prepared(ids: &[u32]) -> PreparedText {
    PreparedText {
        ids: ids.to_vec(),
        ..PreparedText::default()
    }
}

/// Normalised embeddings of a batch.
fn embed(
    network: &dyn Network,
    texts: &[&[u32]],
    pad: u32,
    side: PaddingSide,
    pool: Pool,
) -> Vec<Vec<f32>> {
    let texts: Vec<PreparedText> = texts.iter().map(|ids| prepared(ids)).collect();
    let texts: Vec<&PreparedText> = texts.iter().collect();
    let batch = TokenBatch::pad(&texts, pad, side, false);
    let rows: Vec<Vec<f32>> = match network.forward(&batch).expect("the network runs") {
        NetworkOutput::Sentence { values, dimension }
        | NetworkOutput::Pooled { values, dimension } => {
            values.chunks(dimension).map(<[f32]>::to_vec).collect()
        }
        NetworkOutput::Tokens { values, dimension } => values
            .chunks(batch.width * dimension)
            .zip(batch.mask.chunks(batch.width))
            .map(|(states, mask)| {
                let tokens: Vec<&[f32]> = states
                    .chunks(dimension)
                    .zip(mask)
                    .filter(|(_, m)| **m == 1)
                    .map(|(state, _)| state)
                    .collect();
                match pool {
                    Pool::First => tokens[0].to_vec(),
                    Pool::Last => tokens[tokens.len() - 1].to_vec(),
                    Pool::Mean => (0..dimension)
                        .map(|d| tokens.iter().map(|t| t[d]).sum::<f32>() / tokens.len() as f32)
                        .collect(),
                }
            })
            .collect(),
    };
    rows.into_iter().map(normalised).collect()
}

fn normalised(values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.into_iter().map(|v| v / norm).collect()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(
            0.0,
            |worst, d| if d.is_nan() { f32::NAN } else { worst.max(d) },
        )
}

#[derive(serde::Deserialize)]
struct Golden {
    token_ids: Vec<Vec<u32>>,
    embeddings: Vec<Vec<f32>>,
}

#[test]
fn tiny_graphs_give_the_reference_embeddings_alone_and_padded() {
    let rounding = 2.0 * reference_rounding(&serde_json::Value::Null) as f32;
    let states = "last_hidden_state";
    for (folder, output, pool, pad, architecture) in [
        ("bert-states", states, Pool::Mean, 0, "bert"),
        ("bert-external", states, Pool::Mean, 0, "bert"),
        ("bert-positions", states, Pool::Mean, 0, "bert"),
        ("bert-sentence", "sentence_embedding", Pool::Mean, 0, "bert"),
        ("bert-sentence", "token_embeddings", Pool::Mean, 0, "bert"),
        ("bert-float16", states, Pool::Mean, 0, "bert"),
        ("xlmr-states", states, Pool::First, 1, "xlm-roberta"),
        ("qwen3-cache", states, Pool::Last, 1, "qwen3"),
    ] {
        let (dtype, tolerance) = match folder {
            "bert-float16" => ("float16", 5e-3),
            _ => ("float32", rounding),
        };
        let folder = repository("tests/reference/onnx").join(folder);
        let golden = std::fs::read(folder.join("golden.json")).expect("a golden file");
        let golden: Golden = serde_json::from_slice(&golden).expect("a golden file");
        let mut spec = spec(&folder.join("model.onnx"), output, dtype);
        spec.architecture = architecture.into();
        let expected: Vec<Vec<f32>> = golden.embeddings.into_iter().map(normalised).collect();
        let texts: Vec<&[u32]> = golden.token_ids.iter().map(Vec::as_slice).collect();
        for name in runtimes() {
            let network = open(name, &spec, 1);
            assert!(!network.depends_on_batch());
            let side = PaddingSide::Right;
            for (ids, expected) in texts.iter().zip(&expected) {
                let alone = embed(&*network, &[ids], pad, side, pool);
                let found = difference(&alone[0], expected);
                assert!(found <= tolerance, "{name} {}: {found}", folder.display());
            }
            // A decoder's own exports pad on the left; the mask must hide it there too.
            for side in [PaddingSide::Right, PaddingSide::Left] {
                if matches!(side, PaddingSide::Left) && architecture != "qwen3" {
                    continue;
                }
                let batch = embed(&*network, &texts, pad, side, pool);
                for (row, expected) in batch.iter().zip(&expected) {
                    let found = difference(row, expected);
                    assert!(
                        found <= tolerance,
                        "{name} {} padded {side:?}: {found}",
                        folder.display()
                    );
                }
            }
        }
    }
}

/// Token ids of real sentences, of very different lengths.
fn sentences(model: &Path) -> Vec<Vec<u32>> {
    let mut tokenizer =
        tokenizers::Tokenizer::from_file(model.join("tokenizer.json")).expect("a tokenizer");
    tokenizer.with_truncation(None).expect("no truncation");
    tokenizer.with_padding(None);
    [
        "A man is playing a guitar.",
        "The Bank of Korea held its base rate at 3.5 percent for a fourth meeting in a row.",
        "Stocks fell.",
        "Shares of the chip maker rose 7 percent after it said that orders for memory would \
         exceed what its factories can make next year, and that prices would follow.",
        "한국은행은 기준금리를 동결했다.",
        "",
        "Net profit doubled to 1.2 trillion won.",
        "The council approved the merger, though two of its members dissented.",
    ]
    .into_iter()
    .map(|text| {
        let encoding = tokenizer.encode(text, true).expect("encoded");
        encoding.get_ids().to_vec()
    })
    .collect()
}

#[test]
fn both_runtimes_agree_on_a_real_encoder() {
    let Some(model) = shared("models/all-MiniLM-L6-v2") else {
        return;
    };
    let texts = sentences(&model);
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    // Six layers; sums of up to 1,536 terms.
    let rounding = 2.0 * korfinsts_nn::rounding::float32(1536, 60) as f32;
    for (file, dtype, tolerance) in [
        ("onnx/model.onnx", "float32", rounding),
        ("onnx/model_quantized.onnx", "int8", 0.02),
    ] {
        let spec = spec(&model.join(file), "last_hidden_state", dtype);
        let found: Vec<Vec<Vec<f32>>> = runtimes()
            .into_iter()
            .map(|name| {
                let network = open(name, &spec, 1);
                assert_eq!(network.depends_on_batch(), dtype == "int8", "{name}");
                embed(&*network, &texts, 0, PaddingSide::Right, Pool::Mean)
            })
            .collect();
        if let [one, other] = found.as_slice() {
            let worst = one.iter().zip(other).map(|(a, b)| difference(a, b));
            let worst = worst.fold(0.0, f32::max);
            assert!(worst <= tolerance, "{file}: {worst}");
        }
    }
}

#[test]
fn float32_is_bit_identical_over_batch_order_and_threads() {
    let Some(model) = shared("models/all-MiniLM-L6-v2") else {
        return;
    };
    let texts = sentences(&model);
    let spec = spec(
        &model.join("onnx/model.onnx"),
        "last_hidden_state",
        "float32",
    );
    let side = PaddingSide::Right;
    for name in runtimes() {
        let network = open(name, &spec, 2);
        assert_eq!(network.lanes(), 2, "{name}");
        let alone: Vec<Vec<f32>> = texts
            .iter()
            .map(|ids| embed(&*network, &[ids], 0, side, Pool::Mean).remove(0))
            .collect();
        // Unpadded texts in other company: the pooling of the tests sums the same tokens.
        for order in [[0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 5, 1, 0, 6, 4, 2]] {
            let batch: Vec<&[u32]> = order.iter().map(|&i| texts[i].as_slice()).collect();
            let rows = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..2)
                    .map(|_| scope.spawn(|| embed(&*network, &batch, 0, side, Pool::Mean)))
                    .collect();
                threads
                    .into_iter()
                    .map(|t| t.join().expect("no panic"))
                    .collect::<Vec<_>>()
            });
            for batch in rows {
                for (row, &i) in batch.iter().zip(&order) {
                    assert_eq!(difference(row, &alone[i]), 0.0, "{name}: text {i}");
                }
            }
        }
        let other = open(name, &spec, 1);
        for (ids, expected) in texts.iter().zip(&alone) {
            let row = embed(&*other, &[ids], 0, side, Pool::Mean).remove(0);
            assert_eq!(difference(&row, expected), 0.0, "{name}");
        }
    }
}
