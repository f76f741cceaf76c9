//! ModernBERT: rotary positions, layers with local attention, gated feed-forward layers.

use korfinsts_encoder::{EncoderError, EncoderSpec};
use korfinsts_nn::architecture::modernbert;
use korfinsts_nn::config::Config;
use korfinsts_nn::rope::Rope;
use serde_json::Value;

use super::graph::Graph;
use super::proto::{self, Attribute};
use super::{AWAY, Heads, activated, distances, mask, number, numbers, padding, size};
use crate::TrainError;

/// The table of words.
const WORDS: &str = "embeddings.tok_embeddings.weight";

/// From token ids to token states, under the name `states`; gives their width.
pub(super) fn transformer(graph: &mut Graph, spec: &EncoderSpec) -> Result<usize, TrainError> {
    let hidden = size(spec, "hidden_size")?;
    let inner = size(spec, "intermediate_size")?;
    let layers = size(spec, "num_hidden_layers")?;
    let heads = size(spec, "num_attention_heads")?;
    let head = hidden / heads.max(1);
    let epsilon = number(spec, "norm_eps", 1e-5);
    let activation = spec.config.get("hidden_activation");
    let activation = activation.and_then(Value::as_str).unwrap_or("gelu");
    let config = Config::new(&spec.config, &spec.config_path);
    let (local, window) = modernbert::local(&config, layers).map_err(EncoderError::from)?;
    let ropes = modernbert::ropes(&config, head).map_err(EncoderError::from)?;
    let heads = Heads {
        count: heads,
        width: head,
        scale: Some(1.0 / (head as f32).sqrt()),
    };
    let prefix = graph.prefix(WORDS)?;
    mask(graph);
    let x = graph.rows(&format!("{prefix}{WORDS}"), "input_ids")?;
    let mut x = graph.layer_norm(&x, &format!("{prefix}embeddings.norm"), epsilon)?;
    let full = padding(graph);
    let near = within(graph, &full, window);
    let turns = ropes.map(|rope| turns(graph, &rope));
    for (layer, local) in local.into_iter().enumerate() {
        let name = |part: &str| format!("{prefix}layers.{layer}.{part}");
        let (away, [cos, sin]) = if local {
            (&near, &turns[1])
        } else {
            (&full, &turns[0])
        };
        // The embeddings are normalised already.
        let y = match layer {
            0 => x.clone(),
            _ => graph.layer_norm(&x, &name("attn_norm"), epsilon)?,
        };
        let y = graph.linear(&y, &name("attn.Wqkv"))?;
        let parts = graph.thirds(&y, hidden);
        let [q, k, v] = parts.map(|part| heads.split(graph, &part));
        let qkv = [
            turned(graph, &q, head, [cos, sin]),
            turned(graph, &k, head, [cos, sin]),
            v,
        ];
        let seen = heads.attend(graph, &qkv, away);
        let y = graph.linear(&seen, &name("attn.Wo"))?;
        x = graph.op("Add", &[&y, &x], &[]);
        let y = graph.layer_norm(&x, &name("mlp_norm"), epsilon)?;
        let y = graph.linear(&y, &name("mlp.Wi"))?;
        let [gate, y] = graph.halves(&y, 2 * inner);
        let gate = activated(graph, &gate, activation)?;
        let y = graph.op("Mul", &[&gate, &y], &[]);
        let y = graph.linear(&y, &name("mlp.Wo"))?;
        x = graph.op("Add", &[&y, &x], &[]);
    }
    let x = graph.layer_norm(&x, &format!("{prefix}final_norm"), epsilon)?;
    graph.rename(&x, "states");
    Ok(hidden)
}

/// `away` with the tokens that are more than `window` away taken out too.
fn within(graph: &mut Graph, away: &str, window: usize) -> String {
    let to_float = ("to", Attribute::Int(proto::FLOAT));
    let distances = distances(graph);
    let distances = graph.op("Cast", &[&distances], &[to_float]);
    let distances = graph.op("Abs", &[&distances], &[]);
    let window = graph.float(window as f32);
    let far = graph.op("Greater", &[&distances, &window], &[]);
    let to_float = ("to", Attribute::Int(proto::FLOAT));
    let far = graph.op("Cast", &[&far], &[to_float]);
    let most = graph.float(AWAY);
    let far = graph.op("Mul", &[&far, &most], &[]);
    graph.op("Add", &[away, &far], &[])
}

/// Cosines and sines, `[sequence, head / 2]`.
fn turns(graph: &mut Graph, rope: &Rope) -> [String; 2] {
    let to_float = ("to", Attribute::Int(proto::FLOAT));
    let numbers = numbers(graph);
    let numbers = graph.op("Cast", &[&numbers], &[to_float]);
    let columns = graph.ints(&[1]);
    let numbers = graph.op("Unsqueeze", &[&numbers, &columns], &[]);
    let angles = graph.floats(rope.angles());
    let angles = graph.op("Mul", &[&numbers, &angles], &[]);
    let factor = graph.float(rope.factor());
    ["Cos", "Sin"].map(|of| {
        let value = graph.op(of, &[&angles], &[]);
        graph.op("Mul", &[&value, &factor], &[])
    })
}

/// Queries or keys turned by their positions: each coordinate of the first half with that of the second.
fn turned(graph: &mut Graph, x: &str, head: usize, [cos, sin]: [&String; 2]) -> String {
    let [first, second] = graph.halves(x, head);
    let a = graph.op("Mul", &[&first, cos], &[]);
    let b = graph.op("Mul", &[&second, sin], &[]);
    let low = graph.op("Sub", &[&a, &b], &[]);
    let a = graph.op("Mul", &[&second, cos], &[]);
    let b = graph.op("Mul", &[&first, sin], &[]);
    let high = graph.op("Add", &[&a, &b], &[]);
    graph.op("Concat", &[&low, &high], &[("axis", Attribute::Int(-1))])
}
