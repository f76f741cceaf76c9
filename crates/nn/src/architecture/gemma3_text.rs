//! The text network of Gemma 3 (EmbeddingGemma): normalised queries and keys, normalisations around
//! each block with scales stored less 1, scaled word embeddings, and layers with a sliding window and
//! rotary positions of their own.

use super::decoder::{Body, Norms, Variant};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::config::Config;
use crate::ops::Activation;
use crate::rope::{LayerKind, Rope};
use crate::weights::Weights;

/// The line of Gemma 3 in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["gemma3_text"],
    causal: true,
    build,
};

const KINDS: [LayerKind; 2] = [
    LayerKind {
        name: "full_attention",
        theta: "rope_theta",
        default_theta: 1_000_000.0,
        scaled: true,
    },
    LayerKind {
        name: "sliding_attention",
        theta: "rope_local_base_freq",
        default_theta: 10_000.0,
        scaled: false,
    },
];
const HEAD: usize = 256;
const BIDIRECTIONAL: &str = "use_bidirectional_attention";

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    if let Some(found) = config.get("attn_logit_softcapping") {
        let allowed = "null: scores are not capped";
        return Err(config.invalid("attn_logit_softcapping", found, allowed));
    }
    if let Some(found) = config.get("is_causal") {
        let allowed = format!("no such field: `{BIDIRECTIONAL}` says it in a Gemma 3 model");
        return Err(config.invalid("is_causal", found, &allowed));
    }
    let bidirectional = config.flag_or(BIDIRECTIONAL, false)?;
    let causal = input.causal.unwrap_or(!bidirectional);
    if causal == bidirectional {
        let asked = if causal { "causal" } else { "bidirectional" };
        return Err(NnError::Invalid {
            path: config.path().to_owned(),
            reason: format!(
                "`{BIDIRECTIONAL}` is `{bidirectional}`, but {asked} attention was asked for: the \
                 window of local layers depends on this field alone"
            ),
            hint: Some(format!(
                "set `{BIDIRECTIONAL}` in `config.json`, and leave `--attention` out"
            )),
        });
    }
    let head = config.size_or("head_dim", HEAD)?;
    // PyTorch keeps it in float32.
    let root = (config.size("hidden_size")? as f64).sqrt() as f32;
    let scalar = config.positive_or("query_pre_attn_scalar", 256.0)?;
    let (window, local) = windows(config, bidirectional)?;
    let bias = config.flag_or("attention_bias", false)?;
    let variant = Variant {
        default_head: Some(HEAD),
        default_groups: Some(4),
        activation: ("hidden_activation", Activation::GeluTanh),
        qkv_bias: bias,
        output_bias: bias,
        norms: Norms::Around,
        embedding_scale: Some(f64::from(root)),
        score_scale: Some(1.0 / scalar.sqrt()),
        window: Some(window),
        ropes: Some(Rope::of_kinds(config, head, KINDS)?),
        ..Variant::of(local)
    };
    let causal = Some(causal);
    let input = BuildInput { causal, ..*input };
    Ok(Box::new(Body::read(&input, weights, &variant)?))
}

/// The window and the layers that have one: all but every sixth. Without causal order, half of the
/// window is before a token and half behind it.
fn windows(config: &Config<'_>, bidirectional: bool) -> Result<(usize, Vec<bool>), NnError> {
    let layers = config.layers("num_hidden_layers")?;
    let every = config.size_or("sliding_window_pattern", 6)?;
    if config.get("layer_types").is_none()
        && let Some(written) = config.optional_size("_sliding_window_pattern")?
        && written != every
    {
        return Err(config.error(format!(
            "`_sliding_window_pattern` is {written}, but without `layer_types` every {every}th \
             layer has full attention"
        )));
    }
    let local = config.local_layers(layers, |i| !(i + 1).is_multiple_of(every))?;
    if config.is_null("sliding_window") && local.contains(&true) {
        return Err(config.error(
            "`sliding_window` is `null`, expected a number of tokens for the local layers".into(),
        ));
    }
    let window = config.size_or("sliding_window", 4096)?;
    Ok((if bidirectional { window / 2 } else { window }, local))
}
