//! Steps of training with tokens that are made up: `cargo bench --bench train_step -- FOLDER`.
//! `run.py` next to this file runs it against `PyTorch`.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measured program prints what it saw"
)]

use std::path::Path;
use std::time::Instant;

use korfinsts_base::fs;
use korfinsts_encoder::PreparedText;
use korfinsts_encoder::spec::{Overrides, read};
use korfinsts_train::model::{Model, ModelOptions};
use korfinsts_train::optim::{AdamW, AdamWOptions};
use korfinsts_train::step::{Objective, StepOptions, step};

/// User and system seconds of this process.
fn cpu_s() -> f64 {
    let text = fs::read(Path::new("/proc/self/stat")).expect("Linux");
    let text = String::from_utf8_lossy(&text).into_owned();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| fields[i].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / 100.0
}

/// A line of `/proc/self/status` in MB (10^6 bytes).
fn memory_mb(key: &str) -> f64 {
    let text = fs::read(Path::new("/proc/self/status")).expect("Linux");
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|l| l.starts_with(key)).expect("the line");
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kib * 1024.0 / 1e6
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [folder, rest @ ..] = &arguments[..] else {
        println!("usage: train_step FOLDER [TEXTS] [TOKENS] [STEPS]");
        return;
    };
    let number = |i: usize, default: usize| {
        rest.get(i)
            .map_or(default, |n| n.parse().expect("a number"))
    };
    let (texts, tokens, steps) = (number(0, 48), number(1, 128), number(2, 4));
    let overrides = Overrides {
        backend: Some("candle".into()),
        ..Overrides::default()
    };
    let spec = read(Path::new(folder), &overrides).expect("a model folder");
    let options = ModelOptions {
        decay_all: true,
        ..ModelOptions::default()
    };
    let model = Model::open(&spec, options).expect("a model that trains");
    let prepared: Vec<PreparedText> = (0..texts)
        .map(|i| PreparedText {
            ids: (0..tokens)
                .map(|j| 1000 + ((i * 7919 + j * 104_729) % 20_000) as u32)
                .collect(),
            ..PreparedText::default()
        })
        .collect();
    let batch: Vec<&PreparedText> = prepared.iter().collect();
    let objective = Objective::Triplet { temperature: 0.05 };
    let mut optimiser = AdamW::new(AdamWOptions::default());
    let mut losses = Vec::new();
    let mut one = || {
        let (loss, gradients) =
            step(&model, &batch, &objective, StepOptions::default()).expect("a step");
        optimiser
            .step(model.parameters(), &gradients, 5e-5, 1.0)
            .expect("an AdamW step");
        losses.push(loss);
    };
    let before = memory_mb("VmRSS:");
    one();
    let (started, cpu) = (Instant::now(), cpu_s());
    for _ in 0..steps {
        one();
    }
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_s() - cpu);
    println!(
        "{}",
        serde_json::json!({
            "cpu_s_per_step": cpu / steps as f64,
            "wall_s_per_step": wall / steps as f64,
            "peak_mb": memory_mb("VmHWM:"),
            "before_mb": before,
            "losses": losses,
            "version": env!("CARGO_PKG_VERSION"),
        })
    );
}
