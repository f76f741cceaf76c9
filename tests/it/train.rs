//! Training against losses, gradients and `AdamW` steps that `PyTorch` computed in float64
//! (`tests/reference/encoders/*/golden_training.json`).

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use korfinsts_base::fs;
use korfinsts_encoder::PreparedText;
use korfinsts_encoder::spec::{Overrides, read};
use korfinsts_train::model::{Model, ModelOptions};
use korfinsts_train::optim::{AdamW, AdamWOptions, Gradients};
use korfinsts_train::step::{Objective, StepOptions, step};
use serde_json::Value;

use super::support::{reference_rounding, repository};

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
    let folders: Vec<PathBuf> = fs::list(&repository("tests/reference/encoders"))
        .expect("reference encoders")
        .into_iter()
        .filter(|p| p.join("golden_training.json").exists())
        .collect();
    assert!(folders.len() >= 7, "references are missing: {folders:?}");
    folders
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
    for (name, norm) in norms {
        let norm = norm.as_f64().unwrap_or(0.0);
        let Some(found) = gradients.get(name) else {
            assert!(
                norm == 0.0,
                "{}: no gradient for `{name}`",
                folder.display()
            );
            continue;
        };
        let found = float64(found);
        let first = numbers(&golden["grad_first8"][name]);
        let difference = l2(&found
            .iter()
            .zip(&first)
            .map(|(a, b)| a - b)
            .collect::<Vec<_>>());
        // A gradient that is 0 but for rounding (a key's bias) is measured against all of them.
        let scale = if norm > 1e-9 * whole { norm } else { whole };
        worst.gradient = worst.gradient.max((l2(&found) - norm).abs() / scale);
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
        let expected = &adamw["param_l2_after"][&parameter.name];
        let Some(expected) = expected.as_f64() else {
            continue;
        };
        // AdamW divides by the gradient's own size, so a gradient that is 0 but for rounding moves
        // its parameter as the rounding of the number type has it.
        let norm = norms[&parameter.name].as_f64().unwrap_or(0.0);
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
    let folders: Vec<PathBuf> = fs::list(&repository("tests/reference/encoders"))
        .expect("reference encoders")
        .into_iter()
        .filter(|p| p.join("modules.json").exists())
        .collect();
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
