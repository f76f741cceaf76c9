//! What a text costs a network, in operations, and what this machine can do.

use serde_json::Value;

/// Operations of one text of float32 in a network: a multiplication and an addition are two. Counted are the linear
/// layers and attention, whole also where a mask leaves a part of it out. Norms, activations, lookups of embeddings and
/// what follows the network are under 1 % and are not counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// For each token.
    pub per_token: f64,
    /// For each pair of tokens.
    pub per_pair: f64,
}

impl Cost {
    /// The cost of a network that multiplies each token by `multiplied` weights, with the attention that
    /// `config.json` describes; `None` where it does not, or where only a part of the weights is used (experts).
    #[must_use]
    pub fn new(multiplied: u64, config: &Value) -> Option<Self> {
        let size = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| config.get(name)?.as_u64());
            found.next().map(|n| n as f64)
        };
        let layers = size(&["num_hidden_layers", "n_layers", "num_layers", "n_layer"])?;
        let heads = size(&["num_attention_heads", "num_heads", "n_heads", "n_head"])?;
        let each = size(&["head_dim", "d_kv"])
            .or_else(|| Some(size(&["hidden_size", "d_model", "dim", "n_embd"])? / heads));
        let experts = size(&["num_experts", "num_local_experts", "moe_every_n_layers"]);
        if multiplied == 0 || experts.is_some_and(|n| n > 0.0) {
            return None;
        }
        Some(Self {
            per_token: 2.0 * multiplied as f64,
            // Scores, and states weighted by them.
            per_pair: 4.0 * layers * heads * each?,
        })
    }

    /// Operations of a text of so many tokens.
    #[must_use]
    pub fn of(&self, tokens: usize) -> f64 {
        let tokens = tokens as f64;
        tokens * (self.per_token + tokens * self.per_pair)
    }
}

/// Operations per second of the fastest matrix product of float32 on so many threads, measured now; `None` where this
/// build has no kernels for it, or their instruction set is capped.
#[must_use]
pub fn matrix_peak(threads: usize) -> Option<f64> {
    #[cfg(feature = "candle")]
    return korfinsts_nn::matrix_peak(threads);
    #[cfg(not(feature = "candle"))]
    return (threads == usize::MAX).then_some(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bert_costs_what_its_layers_multiply() {
        let config = serde_json::json!({
            "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768,
        });
        // 12 layers of 4 768² and 2 768·3072.
        let cost = Cost::new(84_934_656, &config).expect("a transformer");
        assert_eq!(cost.of(1), 2.0 * 84_934_656.0 + 4.0 * 12.0 * 768.0);
        assert_eq!(cost.of(512), 96_636_764_160.0);
    }

    #[test]
    fn a_width_of_heads_may_be_named_and_experts_are_not_counted() {
        let mut config = serde_json::json!({
            "n_layers": 2, "n_heads": 4, "head_dim": 16, "dim": 32,
        });
        assert_eq!(Cost::new(1, &config).map(|c| c.per_pair), Some(512.0));
        config["num_experts"] = 8.into();
        assert_eq!(Cost::new(1, &config), None);
        assert_eq!(Cost::new(1, &Value::Null), None);
    }
}
