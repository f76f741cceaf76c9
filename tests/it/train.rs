//! Training against losses, gradients and `AdamW` steps that `PyTorch` computed in float64
//! (`tests/reference/encoders/*/golden_training.json`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use korfinsts_base::fs;
use korfinsts_encoder::PreparedText;
use korfinsts_encoder::spec::{Overrides, read};
use korfinsts_nn::dropout::{Draw, Draws, Dropout};
use korfinsts_nn::ops::{Adapter, Epilogue, Linear, Mode, Part};
use korfinsts_nn::weights::Lora;
use korfinsts_train::batch::Example;
use korfinsts_train::model::{Model, ModelOptions};
use korfinsts_train::optim::{AdamW, AdamWOptions, Gradients, Schedule, Shape};
use korfinsts_train::recipe::Guide;
use korfinsts_train::step::{Objective, StepOptions, same_texts, step};
use serde_json::Value;

use super::support::{reference_encoders, reference_rounding, repository};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn open(folder: &Path, options: ModelOptions) -> Model {
    let overrides = Overrides {
        backend: Some("candle".into()),
        ..Overrides::default()
    };
    let spec = read(folder, &overrides).expect("a model");
    Model::open(&spec, options).expect("a model that trains")
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().expect("numbers");
    numbers
        .iter()
        .map(|n| n.as_f64().expect("a number"))
        .collect()
}

/// The texts of the golden triplets: anchors, positives, negatives.
fn texts(model: &Model, golden: &Value) -> Vec<PreparedText> {
    let triplets = golden["triplets"].as_array().expect("triplets");
    (0..3)
        .flat_map(|role| triplets.iter().map(move |t| &t[role]))
        .map(|t| {
            model
                .prepare(t.as_str().expect("a text"), "")
                .expect("prepared")
        })
        .collect()
}

fn float64(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .and_then(|t| t.flatten_all()?.to_vec1())
        .expect("values")
}

fn l2(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Reference folders that were trained.
fn trained() -> Vec<PathBuf> {
    let folders = reference_encoders("golden_training.json");
    assert!(folders.len() >= 7, "references are missing: {folders:?}");
    folders
}

/// Where the files of a family have a tensor that `PyTorch`'s network names otherwise: part of the
/// name, what stands for it, which part of the tensor it is, and of how many.
const RENAMED: [(&str, &str, &str, usize, usize); 20] = [
    ("gte", "layers.", "encoder.layer.", 0, 1),
    ("gte", "self_attn.q_proj", "attention.qkv_proj", 0, 3),
    ("gte", "self_attn.k_proj", "attention.qkv_proj", 1, 3),
    ("gte", "self_attn.v_proj", "attention.qkv_proj", 2, 3),
    ("gte", "self_attn.o_proj", "attention.o_proj", 0, 1),
    ("gte", "mlp.up_proj", "mlp.up_gate_proj", 0, 2),
    ("gte", "mlp.gate_proj", "mlp.up_gate_proj", 1, 2),
    ("gte", "post_attention_layernorm", "attn_ln", 0, 1),
    ("gte", "post_mlp_layernorm", "mlp_ln", 0, 1),
    ("nomic_bert", "layers.", "encoder.layers.", 0, 1),
    ("nomic_bert", "self_attn.q_proj", "attn.Wqkv", 0, 3),
    ("nomic_bert", "self_attn.k_proj", "attn.Wqkv", 1, 3),
    ("nomic_bert", "self_attn.v_proj", "attn.Wqkv", 2, 3),
    ("nomic_bert", "self_attn.o_proj", "attn.out_proj", 0, 1),
    ("nomic_bert", "mlp.up_proj", "mlp.fc11", 0, 1),
    ("nomic_bert", "mlp.gate_proj", "mlp.fc12", 0, 1),
    ("nomic_bert", "mlp.down_proj", "mlp.fc2", 0, 1),
    ("nomic_bert", "embeddings.LayerNorm", "emb_ln", 0, 1),
    ("nomic_bert", "post_attention_layernorm", "norm1", 0, 1),
    ("nomic_bert", "post_mlp_layernorm", "norm2", 0, 1),
];

/// Name, part and number of parts of the tensor that `PyTorch` names so.
fn stored(architecture: &str, name: &str) -> (String, usize, usize) {
    let mut found = (name.to_owned(), 0, 1);
    for (_, from, to, part, parts) in RENAMED.iter().filter(|row| row.0 == architecture) {
        if found.0.contains(from) {
            found = (found.0.replace(from, to), *part, found.2.max(*parts));
        }
    }
    found
}

/// Largest relative differences from the reference of one model.
#[derive(Debug, Default)]
struct Worst {
    loss: f64,
    gradient: f64,
    losses: f64,
    parameters: f64,
    /// What none may reach.
    bound: f64,
}

fn against_golden(folder: &Path, dtype: DType, options: StepOptions<'_>) -> Worst {
    let golden = json(&folder.join("golden_training.json"));
    let model = open(
        folder,
        ModelOptions {
            dtype,
            decay_all: true,
            ..ModelOptions::default()
        },
    );
    let prepared = texts(&model, &golden);
    let texts: Vec<&PreparedText> = prepared.iter().collect();
    let temperature = golden["tau"].as_f64().expect("a temperature");
    let mut worst = Worst {
        // The backward pass is twice as long as the forward one, so rounding grows by `sqrt(3)`; a
        // loss divides cosines by the temperature.
        bound: match dtype {
            DType::F32 => 3_f64.sqrt() * reference_rounding(&model.spec().config) / temperature,
            _ => 1e-6,
        },
        ..Worst::default()
    };
    let objective = Objective::Triplet { temperature };
    let (loss, gradients) = step(&model, &texts, &objective, options).expect("a step");
    let expected = golden["loss"].as_f64().expect("a loss");
    worst.loss = (loss - expected).abs() / expected;
    let norms = golden["grad_l2"].as_object().expect("norms");
    let whole = norms
        .values()
        .map(|v| v.as_f64().unwrap_or(0.0).powi(2))
        .sum::<f64>()
        .sqrt();
    let architecture = &model.spec().architecture;
    for (name, norm) in norms {
        let norm = norm.as_f64().unwrap_or(0.0);
        let (place, part, parts) = stored(architecture, name);
        let Some(found) = gradients.get(&place) else {
            assert!(
                norm == 0.0,
                "{}: no gradient for `{name}`",
                folder.display()
            );
            continue;
        };
        let found = float64(found);
        let rows = found.len() / parts;
        let found = &found[part * rows..][..rows];
        let first = numbers(&golden["grad_first8"][name]);
        let difference = l2(&found
            .iter()
            .zip(&first)
            .map(|(a, b)| a - b)
            .collect::<Vec<_>>());
        // A gradient that is 0 but for rounding (a key's bias) is measured against all of them.
        let scale = if norm > 1e-9 * whole { norm } else { whole };
        worst.gradient = worst.gradient.max((l2(found) - norm).abs() / scale);
        worst.gradient = worst.gradient.max(difference / scale);
    }
    let adamw = &golden["adamw"];
    let rate = adamw["lr"].as_f64().expect("a rate");
    let mut optimiser = AdamW::new(AdamWOptions::default());
    for expected in numbers(&adamw["losses"]) {
        let (loss, gradients) = step(&model, &texts, &objective, options).expect("a step");
        worst.losses = worst.losses.max((loss - expected).abs() / expected);
        optimiser
            .step(model.parameters(), &gradients, rate, 1.0)
            .expect("an AdamW step");
    }
    for parameter in model.parameters() {
        let all = adamw["param_l2_after"].as_object().expect("norms");
        let parts: Vec<(&String, f64)> = all
            .iter()
            .filter(|(name, _)| stored(architecture, name).0 == parameter.name)
            .map(|(name, norm)| (name, norm.as_f64().expect("a norm")))
            .collect();
        let Some((name, _)) = parts.first() else {
            continue;
        };
        let expected = l2(&parts.iter().map(|part| part.1).collect::<Vec<_>>());
        // AdamW divides by the gradient's own size, so a gradient that is 0 but for rounding moves
        // its parameter as the rounding of the number type has it.
        let norm = norms[*name].as_f64().unwrap_or(0.0);
        if norm < 1e-9 * whole && dtype == DType::F32 {
            continue;
        }
        let found = l2(&float64(parameter.variable.as_tensor()));
        worst.parameters = worst.parameters.max((found - expected).abs() / expected);
    }
    worst
}

#[test]
fn losses_gradients_and_adamw_steps_agree_with_pytorch() {
    let widths = [];
    let all = StepOptions {
        widths: &widths,
        ..StepOptions::default()
    };
    for dtype in [DType::F32, DType::F64] {
        for folder in trained() {
            for (how, options) in [
                ("whole", all),
                (
                    "in parts",
                    StepOptions {
                        micro_batch: 5,
                        ..all
                    },
                ),
                (
                    "recomputed",
                    StepOptions {
                        micro_batch: 5,
                        checkpointing: true,
                        ..all
                    },
                ),
            ] {
                if dtype == DType::F64 && how != "whole" {
                    continue;
                }
                let worst = against_golden(&folder, dtype, options);
                let name = folder.file_name().expect("a name").to_string_lossy();
                #[allow(clippy::print_stderr, reason = "the worst difference is said")]
                {
                    eprintln!("{name} {dtype:?} {how}: {worst:?}");
                }
                for difference in [worst.loss, worst.gradient, worst.losses, worst.parameters] {
                    assert!(
                        difference < worst.bound,
                        "{name} {dtype:?} {how}: {worst:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_parameter_of_every_architecture_has_a_gradient() {
    let folders = reference_encoders("modules.json");
    assert!(folders.len() >= 14, "references are missing: {folders:?}");
    for folder in folders {
        let overrides = Overrides::default();
        let spec = read(&folder, &overrides).expect("a model");
        let model = Model::open(&spec, ModelOptions::default()).expect("a model that trains");
        let prepared: Vec<PreparedText> = [
            "한국은행은 기준금리를 0.25%포인트 인상했다.",
            "The Bank of Korea raised its base rate by 25bp.",
            "금리",
            "the company shall",
            "코스피가 하락 마감했다",
            "a",
        ]
        .iter()
        .map(|t| model.prepare(t, "").expect("prepared"))
        .collect();
        let texts: Vec<&PreparedText> = prepared.iter().collect();
        let objective = Objective::Triplet { temperature: 0.05 };
        let options = StepOptions::default();
        let (_, gradients): (f64, Gradients) =
            step(&model, &texts, &objective, options).expect("a step");
        for parameter in model.parameters() {
            let name = &parameter.name;
            let gradient = gradients
                .get(name)
                .unwrap_or_else(|| panic!("{}: no gradient for `{name}`", folder.display()));
            let norm = l2(&float64(gradient));
            assert!(
                norm.is_finite() && norm > 0.0,
                "{}: `{name}` {norm}",
                folder.display()
            );
        }
    }
}

/// A number array of any depth, row by row.
fn flat(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(parts) => parts.iter().flat_map(flat).collect(),
        None => vec![value.as_f64().expect("a number")],
    }
}

fn variable(value: &Value) -> Var {
    let (mut shape, mut at) = (Vec::new(), value);
    while let Some(parts) = at.as_array() {
        shape.push(parts.len());
        at = &parts[0];
    }
    let tensor = Tensor::from_vec(flat(value), shape, &Device::Cpu).expect("a tensor");
    Var::from_tensor(&tensor).expect("a variable")
}

/// Checks a loss of the inputs of a case, and its gradients, against those of `PyTorch` in float64.
fn agrees(name: &str, case: &Value, loss: impl Fn(&[&Tensor]) -> candle_core::Result<Tensor>) {
    let inputs: Vec<Var> = case["inputs"]
        .as_array()
        .expect("inputs")
        .iter()
        .map(variable)
        .collect();
    let tensors: Vec<&Tensor> = inputs.iter().map(Var::as_tensor).collect();
    let loss = loss(&tensors).expect("a loss");
    let value = loss.to_scalar::<f64>().expect("a number");
    let expected = case["loss"].as_f64().expect("a loss");
    assert!(
        (value - expected).abs() < 1e-9 * expected.abs().max(1.0),
        "{name}: {value} {expected}"
    );
    let store = loss.backward().expect("gradients");
    for (i, tensor) in tensors.iter().enumerate() {
        let found = float64(
            store
                .get(tensor)
                .unwrap_or_else(|| panic!("{name}: no gradient of {i}")),
        );
        for (a, b) in found.iter().zip(flat(&case["gradients"][i])) {
            assert!(
                (a - b).abs() < 1e-9 * b.abs().max(1.0),
                "{name}, gradient {i}: {a} {b}"
            );
        }
    }
}

fn objectives() -> Value {
    json(&repository("tests/reference/training/objectives.json"))
}

#[test]
fn objectives_of_the_authors_code_have_pytorchs_values_and_gradients() {
    let golden = objectives();
    for case in golden["margin"].as_array().expect("cases") {
        let margin = case["margin"].as_f64().expect("a margin");
        agrees("margin", case, |x| {
            Objective::Margin { margin }.loss(&Tensor::cat(x, 0)?)
        });
    }
    let rows: Vec<Example> = (0..6)
        .map(|i| Example {
            first: format!("anchor {i}"),
            second: format!("positive {i}"),
            negative: Some(format!("negative {i}")),
            ..Example::default()
        })
        .collect();
    let rows: Vec<&Example> = rows.iter().collect();
    let accumulated = golden["accumulated"].as_array().expect("cases");
    for (batch, case) in std::iter::once((6, &golden["in_batch"])).chain(
        accumulated
            .iter()
            .map(|c| (c["batch"].as_u64().expect("a batch"), c)),
    ) {
        let objective = Objective::InBatch {
            temperature: 1.0 / 50.0,
            hard: true,
            same: same_texts(&rows, batch as usize),
        };
        agrees("in batch", case, |x| objective.loss(&Tensor::cat(x, 0)?));
    }
    for (shape, cases) in [
        (Shape::Linear, &golden["linear"]),
        (Shape::Cosine, &golden["cosine"]),
    ] {
        for case in cases.as_array().expect("cases") {
            let number = |key: &str| case[key].as_u64().expect("a number") as usize;
            let schedule = Schedule {
                peak: case["peak"].as_f64().expect("a rate"),
                warmup: number("warmup"),
                total: number("total"),
                shape,
            };
            for (step, expected) in numbers(&case["rates"]).into_iter().enumerate() {
                let found = schedule.at(step);
                assert!(
                    (found - expected).abs() < 1e-18,
                    "{shape:?} {step}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn a_guide_masks_what_that_of_sentence_transformers_masks() {
    for case in objectives()["guided"].as_array().expect("cases") {
        let hard = case["inputs"].as_array().expect("inputs").len() == 3;
        let rows: Vec<Example> = (0..6)
            .map(|i| Example {
                first: format!("anchor {i}"),
                second: format!("positive {i}"),
                negative: hard.then(|| format!("negative {i}")),
                ..Example::default()
            })
            .collect();
        let mut same = same_texts(&rows.iter().collect::<Vec<_>>(), 6);
        let guide = Guide {
            margin: case["margin"].as_f64().expect("a margin"),
            relative: case["relative"] == true,
            ..Guide::default()
        };
        let embeddings: Vec<f32> = flat(&case["guide"]).iter().map(|v| *v as f32).collect();
        guide.mark(&mut same, 6, &embeddings);
        assert_eq!(case["masked"], same.by_guide, "{guide:?}");
        let objective = Objective::InBatch {
            temperature: 0.05,
            hard,
            same,
        };
        agrees("guided", case, |x| objective.loss(&Tensor::cat(x, 0)?));
    }
}

#[test]
fn dropout_before_adapters_has_pytorchs_values_and_gradients() {
    for case in objectives()["lora"].as_array().expect("cases") {
        let number = |key: &str| case[key].as_u64().expect("a number");
        let rows: Vec<[usize; 2]> = serde_json::from_value(case["rows"].clone()).expect("rows");
        // A row's first tokens may be padding.
        let mask = rows
            .iter()
            .flat_map(|[_, start]| (0..4).map(move |c| u8::from(c >= *start)));
        let batch = korfinsts_nn::TokenBatch {
            rows: rows.len(),
            width: 4,
            ids: vec![0; rows.len() * 4],
            mask: mask.collect(),
            pooling_mask: Vec::new(),
        };
        let draws = Arc::new(Draws::default());
        let texts: Vec<usize> = rows.iter().map(|r| r[0]).collect();
        let draw = Draw {
            seed: number("seed"),
            share: 0.0,
        };
        draws.of(draw, &texts, &batch);
        let coefficients = variable(&case["coefficients"]);
        agrees("lora", case, |x| {
            let part = Part {
                weight: variable(&case["weight"]).as_tensor().clone(),
                bias: None,
                adapter: Some(Adapter {
                    down: x[1].clone(),
                    up: x[2].clone(),
                    scale: case["scale"].as_f64().expect("a scale"),
                    dropout: Some(Dropout {
                        share: case["share"].as_f64(),
                        layer: number("layer"),
                        draws: Arc::clone(&draws),
                    }),
                }),
                multiplied_in: None,
            };
            let layer = Linear::new(vec![part], Mode::Differentiable)?;
            (layer.forward(x[0], Epilogue::None)? * coefficients.as_tensor())?.sum_all()
        });
    }
}

/// Loss and gradients of the second step of a model, in `dtype`, with a share dropped before adapters
/// or, without adapters, in its layers.
fn with_dropout(
    folder: &Path,
    dtype: DType,
    adapters: Option<f64>,
    options: StepOptions<'_>,
) -> (f64, Vec<f64>) {
    let lora = adapters.map(|dropout| Lora {
        rank: 2,
        alpha: 64.0,
        targets: Vec::new(),
        seed: 1,
        dropout,
    });
    let options_of_model = ModelOptions {
        dtype,
        lora,
        ..ModelOptions::default()
    };
    let model = open(folder, options_of_model);
    let prepared = texts(&model, &json(&folder.join("golden_training.json")));
    let texts: Vec<&PreparedText> = prepared.iter().collect();
    let objective = Objective::Triplet { temperature: 0.1 };
    let embeddings = || {
        let embeddings = model.forward(&model.batch(&texts)).expect("embeddings");
        float64(&embeddings)
    };
    let before = embeddings();
    // The second factor of an adapter starts at 0: one step moves it.
    let mut optimiser = AdamW::new(AdamWOptions::default());
    let (_, gradients) = step(&model, &texts, &objective, options).expect("a step");
    assert_eq!(embeddings(), before, "outside of a step nothing is dropped");
    optimiser
        .step(model.parameters(), &gradients, 0.01, 1.0)
        .expect("moved");
    let (loss, gradients) = step(&model, &texts, &objective, options).expect("a step");
    (loss, gradients.values().flat_map(float64).collect())
}

#[test]
fn dropout_draws_the_same_whole_in_parts_and_recomputed() {
    for folder in [
        "bert-mean",
        "mistral-last",
        "t5enc-dense",
        "modernbert-mean",
    ] {
        let folder = repository("tests/reference/encoders").join(folder);
        for adapters in [true, false] {
            let trained = |share: f64, seed, options: StepOptions<'_>| {
                let draw = Draw {
                    seed,
                    share: if adapters { 0.0 } else { share },
                };
                let options = StepOptions { draw, ..options };
                with_dropout(&folder, DType::F64, adapters.then_some(share), options)
            };
            let (loss, whole) = trained(0.3, 5, StepOptions::default());
            let in_parts = StepOptions {
                micro_batch: 5,
                ..StepOptions::default()
            };
            let recomputed = StepOptions {
                micro_batch: 4,
                checkpointing: true,
                ..StepOptions::default()
            };
            for (how, options) in [
                ("again", StepOptions::default()),
                ("in parts", in_parts),
                ("recomputed", recomputed),
            ] {
                let (found, gradients) = trained(0.3, 5, options);
                assert!((found - loss).abs() < 1e-9, "{how}: {found} {loss}");
                for (a, b) in gradients.iter().zip(&whole) {
                    assert!((a - b).abs() < 1e-9, "{how}: {a} {b}");
                }
            }
            for (seed, share) in [(6, 0.3), (5, 0.0), (5, 0.31)] {
                let (found, _) = trained(share, seed, StepOptions::default());
                assert!((found - loss).abs() > 1e-6, "{share}: {found} {loss}");
            }
            // The fused operations drop what the composed ones drop.
            let draw = Draw {
                seed: 5,
                share: 0.3,
            };
            let options = StepOptions {
                draw,
                ..StepOptions::default()
            };
            let both = [DType::F64, DType::F32]
                .map(|dtype| with_dropout(&folder, dtype, adapters.then_some(0.3), options).0);
            assert!((both[0] - both[1]).abs() < 1e-3, "{both:?}");
        }
    }
}
