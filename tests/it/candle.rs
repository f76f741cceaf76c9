//! The candle backend against embeddings that sentence-transformers computed one text at a time
//! (`tests/reference/encoders/*/golden.json`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use korfinsts_base::fs;
use korfinsts_encoder::backend::{OpenOptions, candle};
use korfinsts_encoder::network::{NetworkOutput, PaddingSide, TokenBatch};
use korfinsts_encoder::spec::{EncoderSpec, WeightsFormat};
use korfinsts_encoder::{EncoderError, Network, PreparedText};
use korfinsts_nn::architecture::{self, BuildInput};
use korfinsts_nn::config::Config;
use korfinsts_nn::ops::Mode;
use korfinsts_nn::safetensors::Checkpoint;
use korfinsts_nn::weights::Weights;
use serde_json::Value;

use super::support::{reference_encoders, reference_rounding, repository};

fn json(path: &Path) -> Value {
    let text = fs::read(path).expect("a reference file");
    serde_json::from_slice(&text).expect("JSON")
}

fn spec(folder: &Path) -> EncoderSpec {
    let config = json(&folder.join("config.json"));
    EncoderSpec {
        name: "reference".into(),
        folder: folder.to_owned(),
        format: WeightsFormat::Safetensors,
        weights: vec![folder.join("model.safetensors")],
        architecture: config["model_type"].as_str().unwrap_or_default().into(),
        config,
        backend: "candle",
        device: "cpu".into(),
        dtype: "float32".into(),
        max_tokens: 48,
        ..EncoderSpec::default()
    }
}

fn open(spec: &EncoderSpec) -> Result<Box<dyn Network>, EncoderError> {
    (candle::BACKEND.open)(spec, &OpenOptions::default())
}

/// What follows the network in a reference model.
struct Head {
    pooling: String,
    dense: Option<(Vec<f32>, Vec<f32>, bool)>,
}

impl Head {
    fn of(folder: &Path) -> Self {
        let pooling = json(&folder.join("1_Pooling/config.json"))["pooling_mode"]
            .as_str()
            .expect("a pooling mode")
            .to_owned();
        let file = folder.join("2_Dense/model.safetensors");
        let dense = file.exists().then(|| {
            let checkpoint = Checkpoint::open(&[file]).expect("a dense layer");
            let values = |name: &str| -> Vec<f32> {
                let tensor = checkpoint.get(name).expect("a tensor");
                let bytes = tensor.bytes();
                let (chunks, _) = bytes.as_chunks::<4>();
                chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()
            };
            let config = json(&folder.join("2_Dense/config.json"));
            let tanh = match config["activation_function"].as_str() {
                Some(name) if name.ends_with("Tanh") => true,
                Some(name) if name.ends_with("Identity") => false,
                other => panic!("the test does not know activation {other:?}"),
            };
            let weight = values("linear.weight");
            let bias = match config["bias"].as_bool() {
                Some(true) => values("linear.bias"),
                _ => vec![0.0; config["out_features"].as_u64().expect("a size") as usize],
            };
            (weight, bias, tanh)
        });
        Self { pooling, dense }
    }

    /// Pools the states `[tokens, n]` of one text, of which the first `skipped` are its prompt.
    fn pool(&self, states: &[&[f32]], skipped: usize) -> Vec<f32> {
        let n = states.first().map_or(0, |s| s.len());
        let mut pooled = match self.pooling.as_str() {
            "mean" => {
                let used = &states[skipped..];
                (0..n)
                    .map(|i| used.iter().map(|s| s[i]).sum::<f32>() / used.len() as f32)
                    .collect()
            }
            "cls" => states[0].to_vec(),
            "lasttoken" => states[states.len() - 1].to_vec(),
            other => panic!("the test does not know pooling `{other}`"),
        };
        if let Some((weight, bias, tanh)) = &self.dense {
            pooled = weight
                .chunks(n)
                .zip(bias)
                .map(|(row, b)| row.iter().zip(&pooled).map(|(w, x)| w * x).sum::<f32>() + b)
                .map(|y| if *tanh { y.tanh() } else { y })
                .collect();
        }
        let norm = pooled.iter().map(|x| x * x).sum::<f32>().sqrt();
        pooled.iter().map(|x| x / norm).collect()
    }
}

fn texts(ids: &Value) -> Vec<PreparedText> {
    ids.as_array()
        .expect("texts")
        .iter()
        .map(|ids| PreparedText {
            ids: ids
                .as_array()
                .expect("ids")
                .iter()
                .map(|id| id.as_u64().expect("an id") as u32)
                .collect(),
            ..PreparedText::default()
        })
        .collect()
}

fn embed(
    network: &dyn Network,
    head: &Head,
    texts: &[&PreparedText],
    pad_id: u32,
    side: PaddingSide,
) -> Vec<Vec<f32>> {
    let batch = TokenBatch::pad(texts, pad_id, side, false);
    let output = network.forward(&batch).expect("a forward pass");
    let NetworkOutput::Tokens { values, dimension } = output else {
        panic!("a transformer gives token states")
    };
    assert_eq!(values.len(), batch.rows * batch.width * dimension);
    assert!(values.iter().all(|v| v.is_finite()), "padding gave NaN");
    texts
        .iter()
        .enumerate()
        .map(|(row, text)| {
            let states: Vec<&[f32]> = (0..batch.width)
                .filter(|i| batch.mask[row * batch.width + i] == 1)
                .map(|i| &values[(row * batch.width + i) * dimension..][..dimension])
                .collect();
            head.pool(&states, text.prompt_tokens)
        })
        .collect()
}

fn largest_difference(found: &[Vec<f32>], golden: &Value) -> f32 {
    let golden = golden.as_array().expect("embeddings");
    assert_eq!(found.len(), golden.len());
    let mut largest = 0.0_f32;
    for (found, golden) in found.iter().zip(golden) {
        let golden = golden.as_array().expect("an embedding");
        assert_eq!(found.len(), golden.len());
        for (a, b) in found.iter().zip(golden) {
            largest = largest.max((a - b.as_f64().expect("a number") as f32).abs());
        }
    }
    largest
}

/// Every reference folder with a transformer; those of static embeddings have no pooling.
fn folders() -> Vec<PathBuf> {
    let mut folders = reference_encoders("1_Pooling/config.json");
    folders.extend(forms());
    assert!(
        folders.len() >= 27,
        "reference encoders are missing: {}",
        folders.len()
    );
    folders
}

/// Networks of other hyper-parameters, without a tokenizer (`tests/reference/families/make.py`).
fn forms() -> Vec<PathBuf> {
    fs::list(&repository("tests/reference/families"))
        .expect("reference networks")
        .into_iter()
        .filter(|p| p.join("config.json").exists())
        .collect()
}

#[test]
fn every_architecture_agrees_with_sentence_transformers_alone_and_padded() {
    for folder in folders() {
        let name = folder.file_name().expect("a name").to_string_lossy();
        let golden = json(&folder.join("golden.json"));
        let spec = spec(&folder);
        let network = open(&spec).unwrap_or_else(|e| panic!("{name}: {e}"));
        let head = Head::of(&folder);
        let pad_id = spec.config["pad_token_id"].as_u64().unwrap_or(0) as u32;
        for (ids, embeddings) in [
            ("token_ids", "embeddings"),
            ("token_ids_with_prompt", "embeddings_with_prompt"),
        ] {
            let Some(ids) = golden.get(ids) else { continue };
            let mut texts = texts(ids);
            if embeddings == "embeddings_with_prompt" && !include_prompt(&folder) {
                let length = golden_prompt_tokens(ids, &golden["token_ids"]);
                for text in &mut texts {
                    text.prompt_tokens = length;
                }
            }
            let golden = &golden[embeddings];
            let all: Vec<&PreparedText> = texts.iter().collect();
            let alone: Vec<Vec<f32>> = all
                .iter()
                .flat_map(|t| embed(&*network, &head, &[t], pad_id, PaddingSide::Right))
                .collect();
            let right = embed(&*network, &head, &all, pad_id, PaddingSide::Right);
            let left = embed(&*network, &head, &all, pad_id, PaddingSide::Left);
            for (how, found) in [("alone", &alone), ("right", &right), ("left", &left)] {
                let difference = f64::from(largest_difference(found, golden));
                let bound = 2.0 * reference_rounding(&spec.config);
                assert!(
                    difference < bound,
                    "{name}, {embeddings}, {how}: {difference:e} from the reference, the bound is \
                     {bound:e}"
                );
            }
            assert_eq!(alone, right, "{name}: right padding changes bits");
            assert_eq!(alone, left, "{name}: left padding changes bits");
        }
    }
}

fn include_prompt(folder: &Path) -> bool {
    json(&folder.join("1_Pooling/config.json"))["include_prompt"]
        .as_bool()
        .unwrap_or(true)
}

/// Tokens that all prompted texts begin with: those of the prompted empty text, less what the
/// tokenizer puts behind every text.
fn golden_prompt_tokens(prompted: &Value, plain: &Value) -> usize {
    let length = |v: &Value| v[0].as_array().expect("ids").len();
    length(prompted) - length(plain)
}

#[test]
fn rows_of_padding_are_finite_and_change_nothing() {
    for folder in folders() {
        let network = open(&spec(&folder)).expect("a network");
        let text = PreparedText {
            ids: vec![5, 6, 7],
            ..PreparedText::default()
        };
        let nothing = PreparedText::default();
        let run = |texts: &[&PreparedText]| {
            // An id of padding that the model has no row for is no error.
            let batch = TokenBatch::pad(texts, u32::MAX, PaddingSide::Right, false);
            match network.forward(&batch).expect("a forward pass") {
                NetworkOutput::Tokens { values, .. } => values,
                NetworkOutput::Sentence { .. } | NetworkOutput::Pooled { .. } => {
                    panic!("token states")
                }
            }
        };
        let alone = run(&[&text]);
        let both = run(&[&text, &nothing]);
        assert_eq!(alone[..], both[..alone.len()], "{}", folder.display());
        assert!(both.iter().all(|v| v.is_finite()), "{}", folder.display());
    }
}

#[test]
fn ids_and_lengths_outside_the_model_are_errors() {
    let folder = repository("tests/reference/encoders/bert-mean");
    let network = open(&spec(&folder)).expect("a network");
    for (ids, expected) in [
        (vec![2000_u32], "vocabulary of 2000"),
        (vec![5; 65], "positions for 64"),
    ] {
        let text = PreparedText {
            ids,
            ..PreparedText::default()
        };
        let batch = TokenBatch::pad(&[&text], 0, PaddingSide::Right, false);
        let message = network.forward(&batch).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_a_configuration_says_and_is_not_supported_is_an_error() {
    for (folder, field, value, expected) in [
        ("bert-mean", "model_type", "\"bort\"", "which knows `bert`"),
        ("bert-mean", "model_type", "null", "`model_type` is missing"),
        (
            "bert-mean",
            "hidden_act",
            "\"mish\"",
            "expected one of `gelu`",
        ),
        (
            "bert-mean",
            "position_embedding_type",
            "\"relative_key\"",
            "expected `absolute`",
        ),
        (
            "bert-mean",
            "is_decoder",
            "true",
            "`is_decoder` is `true`, expected `false`",
        ),
        ("bert-mean", "hidden_size", "0", "a whole number from 1"),
        ("bert-mean", "num_attention_heads", "5", "no multiple of 5"),
        ("bert-mean", "num_hidden_layers", "10001", "10,000 layers"),
        (
            "bert-mean",
            "quantization_config",
            r#"{"bits":4}"#,
            "not quantised",
        ),
        (
            "mpnet-mean",
            "relative_attention_num_buckets",
            "16",
            "expected 32",
        ),
        (
            "t5enc-dense",
            "feed_forward_proj",
            "\"gated-mish\"",
            "expected one of",
        ),
        (
            "mistral-last",
            "rope_parameters",
            r#"{"rope_type":"longrope"}"#,
            "`longrope` is not supported, expected one of `default`, `linear`",
        ),
        (
            "mistral-last",
            "rope_parameters",
            r#"{"full_attention":{"rope_type":"default"}}"#,
            "per kind of layer",
        ),
        (
            "qwen2-last",
            "rope_parameters",
            r#"{"rope_type":"yarn","factor":"4"}"#,
            "`factor` is `\"4\"`, expected a number",
        ),
        ("qwen2-last", "num_key_value_heads", "3", "no multiple of 3"),
        (
            "qwen3-last",
            "layer_types",
            r#"["full_attention","chunked_attention"]"#,
            "one per layer",
        ),
        (
            "qwen3-last",
            "layer_types",
            r#"["full_attention","sliding_attention"]"#,
            "`sliding_window` is null",
        ),
        (
            "modernbert-mean",
            "rope_parameters",
            r#"{"rope_type":"default"}"#,
            "holds no `full_attention`",
        ),
        (
            "../families/gemma3-window",
            "attn_logit_softcapping",
            "50.0",
            "scores are not capped",
        ),
        (
            "../families/gemma3-window",
            "is_causal",
            "true",
            "`use_bidirectional_attention` says it",
        ),
        (
            "../families/gemma3-window",
            "sliding_window",
            "null",
            "`sliding_window` is `null`, expected a number of tokens",
        ),
        (
            "../families/gemma3-window",
            "rope_parameters",
            r#"{"rope_type":"default"}"#,
            "holds no `full_attention`",
        ),
        (
            "../families/llama-biases",
            "layer_types",
            r#"["full_attention"]"#,
            "no such field in a Llama model",
        ),
        (
            "../families/llama-bidirec",
            "pooling",
            "\"weighted_avg\"",
            "expected `avg`, `cls` or `last`",
        ),
        (
            "../families/new-ntk",
            "logn_attention_scale",
            "true",
            "not supported",
        ),
        (
            "../families/new-ntk",
            "position_embedding_type",
            "\"absolute\"",
            "expected `rope`",
        ),
        (
            "../families/new-ntk",
            "layer_norm_type",
            "\"rms_norm\"",
            "expected `layer_norm`",
        ),
        (
            "../families/new-ntk",
            "rope_scaling",
            r#"{"type":"ntk","factor":8,"mixed_b":0.5}"#,
            "`mixed_b` is `0.5`",
        ),
        (
            "../families/new-ntk",
            "rope_scaling",
            r#"{"type":"ntk","factor":0.5}"#,
            "expected at least 1",
        ),
        (
            "../families/gte-yarn",
            "rope_parameters",
            r#"{"rope_type":"dynamic","factor":2}"#,
            "`dynamic` is not supported",
        ),
        (
            "../families/nomic-own",
            "rotary_emb_interleaved",
            "true",
            "`rotary_emb_interleaved` is `true`",
        ),
        (
            "../families/nomic-own",
            "rotary_scaling_factor",
            "2",
            "`rotary_scaling_factor` is `2`, expected null",
        ),
        (
            "../families/nomic-own",
            "rotary_emb_fraction",
            "0.5",
            "every position is rotary",
        ),
        (
            "../families/nomic-own",
            "activation_function",
            "\"gelu\"",
            "expected `swiglu` or `geglu`",
        ),
        (
            "../families/nomic-own",
            "scale_attn_weights",
            "false",
            "`scale_attn_weights` is `false`",
        ),
        (
            "../families/deberta-buckets",
            "pos_att_type",
            "\"p2p\"",
            "expected `c2p`, `p2c`, or both",
        ),
        (
            "../families/deberta-buckets",
            "share_att_key",
            "false",
            "`share_att_key` is `false`, expected `true`",
        ),
        (
            "../families/deberta-buckets",
            "conv_kernel_size",
            "3",
            "expected 0: no convolution",
        ),
        (
            "../families/deberta-buckets",
            "norm_rel_ebd",
            "\"batch_norm\"",
            "expected `none` or `layer_norm`",
        ),
        (
            "../families/electra-narrow",
            "embedding_size",
            "12",
            "has the shape [40, 8], expected [40, 12]",
        ),
        (
            "bert-mean",
            "intermediate_size",
            "65",
            "tensor `encoder.layer.0.intermediate.dense.weight` has the shape [64, 32], expected \
             [65, 32]",
        ),
        (
            "bert-mean",
            "num_hidden_layers",
            "3",
            "tensor `encoder.layer.2.attention.self.query.weight` [32, 32] is missing",
        ),
    ] {
        let mut spec = spec(&repository("tests/reference/encoders").join(folder));
        spec.config[field] = serde_json::from_str(value).expect("JSON");
        let error = open(&spec).err().expect(expected);
        let message = error.to_string();
        assert!(message.contains(expected), "{message} / {expected}");
        assert!(error.hint().is_some(), "{message}");
    }
}

fn states(folder: &Path, mode: Mode, dtype: DType, batch: &TokenBatch) -> (Vec<f64>, Vec<String>) {
    let spec = spec(folder);
    let path = folder.join("config.json");
    let checkpoint = Checkpoint::open(&spec.weights).expect("a checkpoint");
    let mut weights = Weights::new(&checkpoint, &Device::Cpu, dtype, mode);
    let input = BuildInput {
        config: Config::new(&spec.config, &path),
        causal: None,
    };
    let network = architecture::open(&input, &mut weights).expect("a network");
    let states = network.states(batch).expect("a forward pass");
    let mut without_gradient = Vec::new();
    if mode == Mode::Differentiable {
        let gradients = sum_of_squares(&states, batch)
            .and_then(|loss| loss.backward())
            .expect("a backward pass");
        for (name, variable) in weights.into_variables() {
            let moved = gradients.get(&variable).is_some_and(|g| {
                g.to_dtype(DType::F64)
                    .and_then(|g| g.abs()?.sum_all()?.to_scalar::<f64>())
                    .is_ok_and(|sum| sum.is_finite() && (sum > 0.0 || is_key_bias(&name)))
            });
            if !moved {
                without_gradient.push(name);
            }
        }
    }
    let values = states
        .to_dtype(DType::F64)
        .and_then(|s| s.flatten_all()?.to_vec1())
        .expect("values");
    (values, without_gradient)
}

/// A bias of keys shifts all scores of a query alike: its gradient is 0 but for rounding.
fn is_key_bias(name: &str) -> bool {
    [
        ".key.bias",
        ".k.bias",
        ".k_lin.bias",
        ".k_proj.bias",
        ".key_proj.bias",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

/// Texts of different lengths in one batch, padded to the left.
fn mixed_batch(folder: &Path) -> TokenBatch {
    let golden = json(&folder.join("golden.json"));
    let texts = texts(&golden["token_ids"]);
    let some: Vec<&PreparedText> = texts.iter().skip(1).step_by(4).collect();
    TokenBatch::pad(&some, 1, PaddingSide::Left, false)
}

#[test]
fn fused_and_differentiable_operations_agree_and_every_parameter_has_a_gradient() {
    for folder in folders() {
        let batch = mixed_batch(&folder);
        let (fused, _) = states(&folder, Mode::Fused, DType::F32, &batch);
        let (exact, without) = states(&folder, Mode::Differentiable, DType::F64, &batch);
        let (composed, _) = states(&folder, Mode::Differentiable, DType::F32, &batch);
        assert!(
            without.is_empty(),
            "{}: no gradient for {without:?}",
            folder.display()
        );
        let width = fused.len() / batch.mask.len();
        let largest = |other: &[f64]| {
            let norm = exact.iter().map(|x| x * x).sum::<f64>() / batch.mask.len() as f64;
            (0..fused.len())
                .filter(|i| batch.mask[i / width] == 1)
                .map(|i| (fused[i] - other[i]).abs())
                .fold(0.0, f64::max)
                / norm.sqrt()
        };
        let bound = reference_rounding(&spec(&folder).config);
        for (what, found, bound) in [
            ("exact", largest(&exact), bound),
            ("composed", largest(&composed), 2.0 * bound),
        ] {
            assert!(
                found < bound,
                "{}: {found:e} from the {what} form, the bound is {bound:e}",
                folder.display()
            );
        }
    }
}

#[test]
fn gradients_of_every_form_of_a_family_are_those_of_pytorch() {
    for folder in forms() {
        let golden = json(&folder.join("golden.json"));
        let texts = texts(&golden["token_ids"]);
        let all: Vec<&PreparedText> = texts.iter().collect();
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let batch = TokenBatch::pad(&all, 0, side, false);
            let found = gradients(&folder, &batch);
            let expected = golden["gradients"].as_object().expect("gradients");
            assert_eq!(found.len(), expected.len(), "{}", folder.display());
            let mut worst = 0.0_f64;
            for (name, expected) in expected {
                let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("numbers");
                let [norm, first @ ..] = &expected[..] else {
                    panic!("a norm and values")
                };
                let found = &found[name];
                let l2 = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
                let gaps: Vec<f64> = first.iter().zip(found).map(|(a, b)| a - b).collect();
                // A bias of keys has none but for rounding.
                let scale = norm.max(1e-3);
                worst = worst.max((l2(found) - norm).abs() / scale);
                worst = worst.max(l2(&gaps) / scale);
            }
            #[allow(clippy::print_stderr, reason = "the worst difference is said")]
            {
                eprintln!("{} {side:?}: {worst:e}", folder.display());
            }
            // PyTorch normalises by the root mean square in float32, whatever the number type.
            assert!(worst < 1e-5, "{} {side:?}: {worst:e}", folder.display());
        }
    }
}

/// Gradients of the sum of squares of the states of real tokens, in float64.
fn gradients(folder: &Path, batch: &TokenBatch) -> BTreeMap<String, Vec<f64>> {
    let spec = spec(folder);
    let path = folder.join("config.json");
    let checkpoint = Checkpoint::open(&spec.weights).expect("a checkpoint");
    let mode = Mode::Differentiable;
    let mut weights = Weights::new(&checkpoint, &Device::Cpu, DType::F64, mode);
    let input = BuildInput {
        config: Config::new(&spec.config, &path),
        causal: None,
    };
    let network = architecture::open(&input, &mut weights).expect("a network");
    let states = network.states(batch).expect("a forward pass");
    let gradients = sum_of_squares(&states, batch)
        .and_then(|loss| loss.backward())
        .expect("a backward pass");
    let values = |variable: &Var| {
        let gradient = gradients.get(variable)?;
        gradient.flatten_all().and_then(|g| g.to_vec1()).ok()
    };
    let variables = weights.into_variables().into_iter();
    variables
        .map(|(name, variable)| (name, values(&variable).unwrap_or_default()))
        .collect()
}

/// The sum of squares of the states of real tokens, so that padding has no part in it.
fn sum_of_squares(states: &Tensor, batch: &TokenBatch) -> candle_core::Result<Tensor> {
    let mask: Vec<f32> = batch.mask.iter().map(|&m| f32::from(m)).collect();
    let mask = Tensor::from_vec(mask, (batch.rows, batch.width, 1), &Device::Cpu)?;
    let mask = mask.to_dtype(states.dtype())?;
    states.sqr()?.broadcast_mul(&mask)?.sum_all()
}

#[test]
fn half_precision_rounds_weights_and_stays_close() {
    for (dtype, tolerance) in [("float16", 5e-3), ("bfloat16", 4e-2)] {
        let folder = repository("tests/reference/encoders/bert-mean");
        let golden = json(&folder.join("golden.json"));
        let mut spec = spec(&folder);
        spec.dtype = dtype.into();
        let network = open(&spec).expect("a network");
        let head = Head::of(&folder);
        let texts = texts(&golden["token_ids"]);
        let all: Vec<&PreparedText> = texts.iter().collect();
        let found = embed(&*network, &head, &all, 0, PaddingSide::Right);
        let difference = largest_difference(&found, &golden["embeddings"]);
        assert!(difference > 1e-6, "{dtype} was not used");
        assert!(difference < tolerance, "{dtype}: {difference}");
    }
}

#[test]
fn lanes_give_the_same_bits_at_once_as_one_after_another() {
    let folder = repository("tests/reference/encoders/modernbert-mean");
    let network = open(&spec(&folder)).expect("a network");
    let batch = mixed_batch(&folder);
    let expected = network.forward(&batch).expect("a forward pass");
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| network.forward(&batch).expect("a forward pass")))
            .collect();
        for lane in lanes {
            assert!(lane.join().expect("no panic") == expected);
        }
    });
}

/// Name, type, shape and values of a tensor.
pub(super) type Raw = (String, &'static str, Vec<usize>, Vec<u8>);

/// Writes tensors as a safetensors file.
pub(super) fn write_safetensors(path: &Path, tensors: &[Raw]) {
    let mut header = serde_json::Map::new();
    let mut values = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let begin = values.len();
        values.extend_from_slice(bytes);
        let entry = serde_json::json!({
            "dtype": dtype, "shape": shape, "data_offsets": [begin, values.len()]
        });
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(values);
    fs::write_atomic(path, &file).expect("written");
}

pub(super) fn read_tensors(folder: &Path, prefix: &str) -> Vec<Raw> {
    read_file(&folder.join("model.safetensors"), prefix)
}

pub(super) fn read_file(path: &Path, prefix: &str) -> Vec<Raw> {
    let checkpoint = Checkpoint::open(&[path.to_owned()]).expect("weights");
    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
    names
        .iter()
        .map(|name| {
            let t = checkpoint.get(name).expect("there");
            (
                format!("{prefix}{name}"),
                t.dtype,
                t.shape.to_vec(),
                t.bytes().to_vec(),
            )
        })
        .collect()
}

#[test]
fn prefixed_names_extra_tensors_and_shards_give_the_same_bits() {
    for (name, prefix) in [
        ("bert-mean", "bert."),
        ("xlmr-cls", "roberta."),
        ("mpnet-mean", "mpnet."),
        ("distilbert-mean", "distilbert."),
        ("modernbert-mean", "model."),
        ("t5enc-dense", "model."),
        ("mistral-last", "model."),
        ("qwen2-last", "model."),
        ("qwen3-last", "model."),
        ("../families/electra-narrow", "electra."),
        ("../families/eurobert-biases", "model."),
        ("../families/gemma3-causal", "model."),
        ("../families/gte-yarn", "new."),
        ("../families/nomic-biases", "bert."),
    ] {
        let folder = repository("tests/reference/encoders").join(name);
        let batch = mixed_batch(&folder);
        let original = spec(&folder);
        let expected = open(&original)
            .and_then(|n| n.forward(&batch))
            .expect("the reference");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let mut tensors = read_tensors(&folder, prefix);
        let extra = |name: &str| (name.to_owned(), "I64", vec![2], vec![0; 16]);
        tensors.push(extra("lm_head.weight"));
        tensors.push(extra(&format!("{prefix}embeddings.position_ids")));
        let (first, second) = tensors.split_at(tensors.len() / 2);
        write_safetensors(&elsewhere.path().join("a.safetensors"), first);
        write_safetensors(&elsewhere.path().join("b.safetensors"), second);
        let mut map = serde_json::Map::new();
        for (shard, tensors) in [("a.safetensors", first), ("b.safetensors", second)] {
            for (name, ..) in tensors {
                map.insert(name.clone(), shard.into());
            }
        }
        let index = elsewhere.path().join("model.safetensors.index.json");
        let content = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
        fs::write_atomic(&index, content.to_string().as_bytes()).expect("written");
        let shards = vec![
            elsewhere.path().join("a.safetensors"),
            elsewhere.path().join("b.safetensors"),
        ];
        for weights in [vec![index], shards] {
            let found = open(&EncoderSpec {
                weights,
                ..original.clone()
            })
            .and_then(|n| n.forward(&batch))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(found == expected, "{name} differs under `{prefix}`");
        }
    }
}

#[test]
fn an_integer_tensor_in_the_place_of_weights_is_an_error() {
    let folder = repository("tests/reference/encoders/bert-mean");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut tensors = read_tensors(&folder, "");
    for tensor in &mut tensors {
        if tensor.0 == "embeddings.LayerNorm.weight" {
            tensor.1 = "I32";
        }
    }
    let path = elsewhere.path().join("model.safetensors");
    write_safetensors(&path, &tensors);
    let spec = EncoderSpec {
        weights: vec![path],
        ..spec(&folder)
    };
    let message = open(&spec).err().expect("an error").to_string();
    assert!(
        message.contains("`embeddings.LayerNorm.weight` is of type I32"),
        "{message}"
    );
}

#[test]
fn attention_can_be_overridden_in_decoders() {
    let folder = repository("tests/reference/encoders/qwen2-last");
    let batch = mixed_batch(&folder);
    let run = |causal, config: Option<bool>| {
        let mut spec = spec(&folder);
        spec.causal = causal;
        if let Some(config) = config {
            spec.config["is_causal"] = config.into();
        }
        open(&spec).and_then(|n| n.forward(&batch)).expect("states")
    };
    assert!(run(None, None) == run(Some(true), Some(false)));
    assert!(run(Some(false), None) == run(None, Some(false)));
    assert!(run(Some(false), None) != run(Some(true), None));
    let mut bert = spec(&repository("tests/reference/encoders/bert-mean"));
    bert.causal = Some(false);
    assert!(open(&bert).is_ok());
    bert.causal = Some(true);
    let message = open(&bert).err().expect("an error").to_string();
    assert!(message.contains("attends to both sides"), "{message}");
    // What the window of Gemma's local layers would be is not known otherwise.
    for (name, causal) in [("gemma3-window", true), ("gemma3-causal", false)] {
        let mut gemma = spec(&repository("tests/reference/families").join(name));
        gemma.causal = Some(!causal);
        assert!(open(&gemma).is_ok(), "{name}");
        gemma.causal = Some(causal);
        let error = open(&gemma).err().expect("an error");
        let says = format!("`use_bidirectional_attention` is `{causal}`");
        assert!(error.to_string().contains(&says), "{error}");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("leave `--attention` out"), "{hint}");
    }
}

#[test]
fn the_instruction_set_can_be_capped_and_an_unknown_one_is_a_usage_error() {
    let home = super::support::Home::new();
    let doctor = |isa: &str| {
        let mut command = home.command(&["doctor", "--format", "json"]);
        command.env("KORFINSTS_ISA", isa).output().expect("it runs")
    };
    let unknown = doctor("sse9");
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(
        said,
        "error: found KORFINSTS_ISA=`sse9`\nhint: allowed are `generic`, `avx2`, `avx512`\n"
    );
    let checks: Value = serde_json::from_slice(&doctor("generic").stdout).expect("JSON");
    let mut checks = checks.as_array().expect("checks").iter();
    let line = checks.find(|check| check["what"] == "instruction set");
    let found = line.expect("a line")["found"].as_str().expect("a text");
    assert!(found.starts_with("generic"), "{found}");
}
