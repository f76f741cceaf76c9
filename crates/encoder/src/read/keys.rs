//! Keys of configuration files: each is used, or known to change no embedding, or said to the user.
//!
//! What is known to change embeddings and is not done here is refused where it is read. To add a
//! key: its place in the list of its file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Reader;
use super::text::TRANSFORMER_CONFIGS;
use crate::locate::file_name;
use crate::{EncoderError, json};

/// Keys of `config.json` that are read here; a network says itself which ones it reads.
const MODEL: &str = "\
    model_type architectures auto_map is_causal use_bidirectional_attention pad_token_id \
    eos_token_id max_position_embeddings n_positions seq_length position_embedding_type \
    quantization_config tokenizer_class hidden_size vocab_size";

/// Keys of `config.json` that change no token state of a text: training, generation, heads, other
/// ids, number types, and what a network reads only where another key switches it on.
const MODEL_HARMLESS: &str = "\
    _name_or_path _attn_implementation _attn_implementation_autoset _commit_hash \
    transformers_version torch_dtype dtype attn_implementation use_cache use_bfloat16 \
    torchscript chunk_size_feed_forward gradient_checkpointing reference_compile \
    repad_logits_with_grad deterministic_flash_attn return_dict output_past output_attentions \
    output_hidden_states output_scores return_dict_in_generate id2label label2id num_labels \
    problem_type finetuning_task task_specific_params prefix tf_legacy_loss tie_word_embeddings \
    tie_encoder_decoder is_encoder_decoder cross_attention_hidden_size decoder_start_token_id \
    num_decoder_layers scale_decoder_outputs decoder_bias initializer_range initializer_factor \
    initializer_cutoff_factor sinusoidal_pos_embds attention_probs_dropout_prob \
    hidden_dropout_prob attention_dropout embedding_dropout mlp_dropout dropout dropout_rate \
    qa_dropout seq_classif_dropout classifier_dropout classifier_activation classifier_bias \
    classifier_pooling sparse_prediction sparse_pred_ignore_index pooler_dropout \
    pooler_hidden_act pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers \
    pooler_size_per_head pooler_type directionality language bos_token_id sep_token_id \
    cls_token_id mask_token_id unk_token_id sliding_window use_sliding_window max_window_layers \
    layer_types global_attn_every_n_layers rope_scaling rope_theta global_rope_theta \
    local_rope_theta type rope_type original_max_position_embeddings pretraining_tp max_length \
    min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature \
    top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size \
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences forced_bos_token_id \
    forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens \
    begin_suppress_tokens unsloth_version unsloth_fixed summary_type summary_use_proj \
    summary_activation summary_last_dropout summary_first_dropout summary_proj_to_labels \
    sliding_window_pattern _sliding_window_pattern final_logit_softcapping cache_implementation \
    pooler_hidden_size legacy clf_pooling bos_token eos_token mask_token pad_token unpad_inputs \
    use_memory_efficient_attention logn_attention_clip1 matryoshka_dimensions attn_pdrop \
    embd_pdrop resid_pdrop dense_seq_output fused_bias_fc fused_dropout_add_ln \
    max_trained_positions pad_vocab_size_multiple reorder_and_upcast_attn use_flash_attn \
    use_xentropy";

/// Keys of the `config.json` of static embeddings.
const STATIC: &str = "\
    model_type architectures normalize max_length tokenizer_name apply_pca apply_zipf \
    sif_coefficient hidden_dim seq_length embedding_dtype vocabulary_quantization pooling \
    token_remove_pattern torch_dtype dtype transformers_version";

/// Keys of `tokenizer_config.json`: those that are read, then those that matter for decoding,
/// for pairs, for conversations, or for how a file was written.
const TOKENIZER: &str = "\
    tokenizer_class auto_map do_lower_case strip_accents tokenize_chinese_chars add_prefix_space \
    add_bos_token add_eos_token model_max_length padding_side truncation_side bos_token \
    eos_token unk_token sep_token pad_token cls_token mask_token additional_special_tokens \
    extra_special_tokens added_tokens_decoder extra_ids backend is_local local_files_only \
    name_or_path special_tokens_map_file tokenizer_file vocab_file merges_file \
    full_tokenizer_file use_fast legacy errors trim_offsets clean_up_tokenization_spaces \
    spaces_between_special_tokens use_default_system_prompt chat_template response_schema \
    processor_class model_input_names return_token_type_ids pad_token_type_id pad_to_multiple_of \
    padding truncation truncation_strategy max_length stride do_basic_tokenize clean_text \
    wordpieces_prefix unk_id device_map trust_remote_code transformers_version image_token \
    model_specific_special_tokens tokenizer_type mask_token_id added_tokens _commit_hash";

/// Keys of `sentence_bert_config.json` and its older names.
const TRANSFORMER: &str = "\
    max_seq_length do_lower_case transformer_task modality_config module_output_name \
    processing_kwargs processor_kwargs tokenizer_args config_kwargs config_args model_kwargs \
    model_args tokenizer_name_or_path unpad_inputs backend cache_dir model_name_or_path";

/// Keys of `config_sentence_transformers.json`.
const SENTENCE: &str = "\
    __version__ model_type prompts default_prompt_name similarity_fn_name truncate_dim \
    requirements";

/// Keys of an entry of `modules.json`. `kwargs` names arguments that a caller may give.
const MODULES: &str = "\
    idx name path type kwargs";

/// Keys of the configuration of a pooling, a dense layer, a normalisation or a dropout.
const MODULE: &str = "\
    embedding_dimension word_embedding_dimension pooling_mode pooling_mode_cls_token \
    pooling_mode_mean_tokens pooling_mode_max_tokens pooling_mode_mean_sqrt_len_tokens \
    pooling_mode_weightedmean_tokens pooling_mode_lasttoken include_prompt in_features \
    out_features bias activation_function module_input_name module_output_name use_residual \
    dimension dropout";

/// Keys that say nothing where they are `false`.
const OFF: &str = "split_special_tokens add_cross_attention is_decoder";

/// Arguments of a loader that change no embedding, or change its number type only.
pub(super) const LOADER: &str = "\
    trust_remote_code revision code_revision cache_dir token use_auth_token local_files_only \
    subfolder use_fast use_safetensors low_cpu_mem_usage device_map torch_dtype dtype \
    attn_implementation add_pooling_layer";

impl Reader<'_> {
    /// Doubts every key that is neither used nor known to be harmless. `network`: what the network
    /// reads of `config.json`, where one is built from it.
    pub(super) fn check_keys(
        &mut self,
        network: Option<&BTreeSet<String>>,
        is_static: bool,
    ) -> Result<(), EncoderError> {
        let mut files: Vec<PathBuf> = self
            .read_files
            .iter()
            .filter(|(role, _)| *role == "config")
            .map(|(_, path)| path.clone())
            .collect();
        files.extend(TRANSFORMER_CONFIGS.map(|name| self.files.module.join(name)));
        files.sort();
        files.dedup();
        for path in files {
            let Some(value) = json::load(&path)? else {
                continue;
            };
            let known: &[&str] = if path != self.config_path {
                lists(&path)
            } else if network.is_some() {
                &[MODEL, MODEL_HARMLESS]
            } else if is_static {
                &[STATIC, MODEL_HARMLESS]
            } else {
                // A graph holds its mathematics, whatever this file says.
                &[]
            };
            if known.is_empty() {
                continue;
            }
            let network = network.filter(|_| path == self.config_path);
            let unknown = unknown(&value, known, network);
            if !unknown.is_empty() {
                self.doubt(
                    format!(
                        "{} has keys that are not known here and may change embeddings: {}",
                        self.relative(&path),
                        list(&unknown)
                    ),
                    "take out what has no effect, or export the whole model to ONNX and name that \
                     file",
                )?;
            }
        }
        Ok(())
    }
}

/// The keys that a file of this name may have; none for one that is not checked.
fn lists(path: &Path) -> &'static [&'static str] {
    match file_name(path).as_str() {
        "tokenizer_config.json" => &[TOKENIZER],
        "config_sentence_transformers.json" => &[SENTENCE],
        "modules.json" => &[MODULES],
        "config.json" => &[MODULE],
        name if TRANSFORMER_CONFIGS.contains(&name) => &[TRANSFORMER],
        _ => &[],
    }
}

/// The keys of a file that are in none of the lists and that no network reads.
fn unknown(value: &Value, known: &[&str], network: Option<&BTreeSet<String>>) -> Vec<String> {
    let mut unknown = BTreeSet::new();
    gather(value, &mut |key| {
        let used = network.is_some_and(|keys| keys.contains(key));
        if !used && !known.iter().any(|keys| holds(keys, key)) {
            unknown.insert(key.to_owned());
        }
        used
    });
    unknown.into_iter().collect()
}

/// Whether a list has a key.
pub(crate) fn holds(list: &str, key: &str) -> bool {
    list.split_whitespace().any(|known| known == key)
}

/// Calls `visit` with each key of an object, or of the objects of a list, that has a value; and
/// with the keys of that value where `visit` says so.
fn gather(value: &Value, visit: &mut impl FnMut(&str) -> bool) {
    match value {
        Value::Array(entries) => entries.iter().for_each(|entry| gather(entry, visit)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let says_something = match value {
                    Value::Null => false,
                    Value::Bool(on) => *on || !holds(OFF, key),
                    Value::Object(fields) => !fields.is_empty(),
                    Value::Array(entries) => !entries.is_empty(),
                    _ => true,
                };
                if says_something && visit(key) && value.is_object() {
                    gather(value, visit);
                }
            }
        }
        _ => {}
    }
}

/// Names for a message: the first few, and how many more there are.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    if names.len() > SHOWN {
        text.push(format!("and {} more", names.len() - SHOWN));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_in_two_lists_of_one_file() {
        for key in MODEL.split_whitespace() {
            assert!(!holds(MODEL_HARMLESS, key), "{key}");
        }
        assert!(holds(MODEL, "seq_length") && !holds(MODEL, "seq"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(list(&names[..2]), "`0`, `1`");
        assert_eq!(list(&names), "`0`, `1`, `2`, `3`, `4`, and 2 more");
    }
}
