//! The encoder of T5 and mT5: relative positions shared by the layers, scores that are not scaled.

use korfinsts_encoder::EncoderSpec;
use korfinsts_nn::architecture::t5::feed_forward;
use korfinsts_nn::config::Config;
use korfinsts_nn::ops::{Activation, Epilogue};

use super::graph::Graph;
use super::{Heads, activated, mask, number, padding, relative, size};
use crate::TrainError;

/// The first of the names of every encoder.
const FIRST: &str = "block.0.layer.0.SelfAttention.q.weight";

/// From token ids to token states, under the name `states`; gives their width.
pub(super) fn transformer(graph: &mut Graph, spec: &EncoderSpec) -> Result<usize, TrainError> {
    let (hidden, layers) = (size(spec, "d_model")?, size(spec, "num_layers")?);
    let heads = Heads {
        count: size(spec, "num_heads")?,
        width: size(spec, "d_kv")?,
        scale: None,
    };
    let epsilon = number(spec, "layer_norm_epsilon", 1e-6);
    let furthest = number(spec, "relative_attention_max_distance", 128.0) as usize;
    let config = Config::new(&spec.config, &spec.config_path);
    let epilogue = feed_forward(&config).map_err(korfinsts_encoder::EncoderError::from)?;
    // A decoder's blocks have the same names behind another prefix.
    let (outside, prefix) = match graph.prefix(&format!("encoder.{FIRST}")) {
        Ok(outside) => (outside.clone(), format!("{outside}encoder.")),
        Err(_) => (String::new(), graph.prefix(FIRST)?),
    };
    let shared = format!("{outside}shared.weight");
    let words = if graph.has(&shared) {
        shared
    } else {
        format!("{prefix}embed_tokens.weight")
    };
    mask(graph);
    let mut x = graph.rows(&words, "input_ids")?;
    let first = format!("{prefix}block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    let bias = relative(graph, &first, furthest)?;
    let away = padding(graph);
    let away = graph.op("Add", &[&away, &bias], &[]);
    for layer in 0..layers {
        let attention = |part: &str| format!("{prefix}block.{layer}.layer.0.{part}");
        let forward = |part: &str| format!("{prefix}block.{layer}.layer.1.{part}");
        let y = graph.rms_norm(&x, &attention("layer_norm"), epsilon)?;
        let mut part = |what: &str| -> Result<String, TrainError> {
            let y = graph.linear(&y, &attention(&format!("SelfAttention.{what}")))?;
            Ok(heads.split(graph, &y))
        };
        let qkv = [part("q")?, part("k")?, part("v")?];
        let seen = heads.attend(graph, &qkv, &away);
        let y = graph.linear(&seen, &attention("SelfAttention.o"))?;
        x = graph.op("Add", &[&y, &x], &[]);
        let y = graph.rms_norm(&x, &forward("layer_norm"), epsilon)?;
        let dense = |part: &str| forward(&format!("DenseReluDense.{part}"));
        let y = match epilogue {
            Epilogue::Gate(activation) => {
                let gate = graph.linear(&y, &dense("wi_0"))?;
                let gate = activated(graph, &gate, name(activation))?;
                let y = graph.linear(&y, &dense("wi_1"))?;
                graph.op("Mul", &[&gate, &y], &[])
            }
            Epilogue::Activate(activation) => {
                let y = graph.linear(&y, &dense("wi"))?;
                activated(graph, &y, name(activation))?
            }
            Epilogue::None => graph.linear(&y, &dense("wi"))?,
        };
        let y = graph.linear(&y, &dense("wo"))?;
        x = graph.op("Add", &[&y, &x], &[]);
    }
    let x = graph.rms_norm(&x, &format!("{prefix}final_layer_norm"), epsilon)?;
    graph.rename(&x, "states");
    Ok(hidden)
}

/// The name of an activation in a configuration.
fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
    }
}
