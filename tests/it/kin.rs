//! What a folder says or holds beyond a plain encoder: done as the model's own library does it, or
//! said. Reference values: `tests/reference/kin/make.py`.

use korfinsts_base::fs;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::onnx::{GraphInfo, ValueInfo};
use korfinsts_encoder::spec::{Attention, Overrides, Setting};
use korfinsts_encoder::tokenizer::Tokenizer;
use korfinsts_nn::safetensors::Checkpoint;
use serde_json::{Value, json};

use super::candle::{Raw, read_tensors, write_safetensors};
use super::folders::{Folder, graph, strict};
use super::support::repository;

fn golden() -> Value {
    let path = repository("tests/reference/kin/golden.json");
    serde_json::from_slice(&fs::read(&path).expect("the reference")).expect("JSON")
}

/// Compares the embeddings of the reference's texts with those under `key`.
fn agrees(spec: &EncoderSpec, golden: &Value, key: &str) {
    let encoder = spec.open(&OpenOptions::default()).expect("it opens");
    let texts = golden["texts"].as_array().expect("texts");
    for (text, expected) in texts.iter().zip(golden[key].as_array().expect("rows")) {
        let prepared = encoder
            .prepare(text.as_str().expect("a text"), "")
            .expect("it tokenises");
        let found = encoder.encode(&[&prepared]).expect("it encodes");
        let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("numbers");
        assert_eq!(found.dimension, expected.len(), "{key}");
        for (found, expected) in found.values.iter().zip(expected) {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference < 2e-6, "{key}, {text}: {found} != {expected}");
        }
    }
}

/// The tensors of a folder with `more`, under names that `rename` gives.
fn rewrite(folder: &Folder, rename: impl Fn(&str) -> String, more: Vec<Raw>) {
    let mut tensors = read_tensors(&folder.path(""), "");
    tensors.retain(|(name, ..)| more.iter().all(|(new, ..)| new != name));
    for (name, ..) in &mut tensors {
        *name = rename(name);
    }
    tensors.extend(more);
    write_safetensors(&folder.path("model.safetensors"), &tensors);
}

fn floats(name: &str, shape: &[usize], value: impl Fn(usize) -> f32) -> Raw {
    let values = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes());
    (name.to_owned(), "F32", shape.to_vec(), values.collect())
}

#[cfg(feature = "candle")]
#[test]
fn a_bidirectional_decoder_with_a_projection_of_its_states_is_run_as_its_authors_run_it() {
    let folder = Folder::of("qwen3-last");
    let head = |i: usize| ((i / 32 * 31 + i % 32 * 17) % 13) as f32;
    let head = floats("linear.weight", &[64, 32], |i| (head(i) - 6.0) / 20.0);
    rewrite(&folder, |name| format!("model.{name}"), vec![head]);
    folder
        .set(
            "config.json",
            &json!({"use_bidirectional_attention": true, "num_labels": 64,
                    "auto_map": {"AutoModel": "modeling_qwen3_bidirectional.Qwen3Model"}}),
        )
        .set(
            "1_Pooling/config.json",
            &json!({"pooling_mode": "mean", "embedding_dimension": 64}),
        );
    let spec = folder.read().expect("it can be read");
    assert_eq!(spec.causal, Some(false));
    agrees(&spec, &golden(), "projected");
    // What the code does besides is not known: strictness wants a word of the user.
    let says = |warnings: &[String]| warnings.iter().any(|w| w.contains("Qwen3Model"));
    assert!(says(&spec.warnings), "{:?}", spec.warnings);
    let error = folder.read_with(&strict()).expect_err("code is not run");
    assert!(error.to_string().contains("auto_map"), "{error}");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("--attention bidirectional"), "{hint}");
    let said = Overrides {
        attention: Some(Attention::Bidirectional),
        ..strict()
    };
    assert!(says(&folder.read_with(&said).expect("it is said").warnings));
}

#[cfg(feature = "candle")]
#[test]
fn known_code_of_a_model_runs_as_its_family_and_other_code_needs_a_word() {
    // Mistral without a window is Llama.
    let folder = Folder::of("mistral-last");
    let embedded = |folder: &Folder, overrides: &Overrides| {
        let spec = folder.read_with(overrides).expect("it can be read");
        let encoder = spec.open(&OpenOptions::default()).expect("it opens");
        let text = encoder.prepare("기준금리 인상", "").expect("it tokenises");
        (spec.causal, encoder.encode(&[&text]).expect("it encodes"))
    };
    folder.set("config.json", &json!({"model_type": "llama"}));
    let (_, causal) = embedded(&folder, &strict());
    let asked = Overrides {
        attention: Some(Attention::Bidirectional),
        ..strict()
    };
    let (_, expected) = embedded(&folder, &asked);
    assert!(causal != expected);
    for (model_type, class, says) in [
        (
            "llama",
            "modeling_llama_encoder.LlamaEncoderModel",
            Some(false),
        ),
        (
            "llama",
            "org/x--modeling_llama_encoder.LlamaEncoderModel",
            Some(false),
        ),
        ("kanana2vec", "modeling_kanana2vec.Kanana2VecModel", None),
        (
            "llama_bidirec",
            "llama_bidirectional_model.LlamaBidirectionalModel",
            None,
        ),
    ] {
        let map = json!({"model_type": model_type, "auto_map": {"AutoModel": class}});
        folder.set("config.json", &map);
        assert_eq!(
            embedded(&folder, &strict()),
            (says, expected.clone()),
            "{class}"
        );
    }
    for (model_type, class) in [
        ("llama", "modeling_llama_encoder.LlamaEncoderModel2"),
        ("kanana2vec", "modeling_kanana2vec.Kanana3VecModel"),
    ] {
        let map = json!({"model_type": model_type, "auto_map": {"AutoModel": class}});
        folder.set("config.json", &map);
        let error = folder.read().expect_err("code is not run");
        assert!(error.to_string().contains(class), "{error}");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("--attention bidirectional"), "{hint}");
    }
}

#[cfg(feature = "candle")]
#[test]
fn pooling_of_known_code_is_no_guess() {
    let folder = Folder::of("mistral-last");
    let pooling = |spec: &EncoderSpec| {
        let row = spec.decisions.iter().find(|d| d.what == Setting::Pooling);
        row.map(|d| (d.value.clone(), d.source.clone()))
            .expect("a pooling")
    };
    folder.set(
        "config.json",
        &json!({"model_type": "llama_bidirec", "pooling": "avg"}),
    );
    let says = ["`lasttoken`", "config.json (`pooling`)", "`mean`"];
    doubted("pooling", &folder, &Overrides::default(), &says);
    folder.remove("modules.json").remove("1_Pooling");
    for (named, mode) in [("avg", "mean"), ("cls", "cls"), ("last", "lasttoken")] {
        folder.set("config.json", &json!({"pooling": named}));
        let spec = folder.read_with(&strict()).expect("nothing is open");
        assert_eq!(
            pooling(&spec),
            (mode.to_owned(), "config.json (`pooling`)".to_owned())
        );
        assert!(!spec.leaves_prompt_out());
    }
    folder.set(
        "config.json",
        &json!({"model_type": "kanana2vec", "pooling": null}),
    );
    let spec = folder.read_with(&strict()).expect("nothing is open");
    let source = "the own code of `kanana2vec`".to_owned();
    assert_eq!(pooling(&spec), ("mean".to_owned(), source));
    assert!(spec.leaves_prompt_out());
    // Its code joins the prompt, without white space at its end, and the text with a blank.
    let encoder = spec.open(&OpenOptions::default()).expect("it opens");
    let tokens = |prompt: &str| {
        let text = encoder
            .prepare("기준금리 인상", prompt)
            .expect("it tokenises");
        text.prompt_tokens
    };
    let prompt = "Instruct: Retrieve similar text.\nQuery:";
    assert_eq!(tokens(&format!("{prompt} ")), tokens(prompt));
    assert!(tokens(prompt) > 8);
}

#[cfg(feature = "candle")]
#[test]
fn config_kwargs_change_the_configuration() {
    let folder = Folder::of("qwen3-last");
    for field in ["config_kwargs", "config_args"] {
        let kwargs = json!({"is_causal": false, "trust_remote_code": true});
        folder.set("config.json", &json!({"is_causal": true})).set(
            "sentence_bert_config.json",
            &json!({"config_kwargs": null, field: kwargs}),
        );
        let spec = folder.read_with(&strict()).expect("it can be read");
        agrees(&spec, &golden(), "config_kwargs");
        // A key that the file has not may be none of the configuration's.
        folder.set("config.json", &json!({"is_causal": null}));
        let says = ["sentence_bert_config.json", "`is_causal`", "not applied"];
        doubted(field, &folder, &Overrides::default(), &says);
    }
}

#[cfg(feature = "candle")]
#[test]
fn scales_and_shifts_of_older_names_are_those_of_today() {
    for architecture in ["bert-mean", "xlmr-cls", "mpnet-mean", "distilbert-mean"] {
        let folder = Folder::of(architecture);
        let of = |folder: &Folder| {
            let spec = folder.read_with(&strict()).expect("it can be read");
            let encoder = spec.open(&OpenOptions::default()).expect("it opens");
            let text = encoder.prepare("금리 인상 a", "").expect("it tokenises");
            encoder.encode(&[&text]).expect("it encodes")
        };
        let expected = of(&folder);
        rewrite(
            &folder,
            |name| {
                let norm = name.to_lowercase().contains("norm");
                let (weight, bias) = if norm {
                    (".gamma", ".beta")
                } else {
                    (".weight", ".bias")
                };
                name.replace(".weight", weight).replace(".bias", bias)
            },
            Vec::new(),
        );
        assert_eq!(of(&folder), expected, "{architecture}");
    }
}

#[test]
fn static_embeddings_of_whole_numbers_are_those_of_model2vec() {
    let folder = Folder::of("static");
    let tokenizer = repository("tests/reference/encoders/bert-mean/tokenizer.json");
    let rows = Tokenizer::from_file(&tokenizer)
        .expect("a tokenizer")
        .vocabulary_size();
    let value = |i: usize| (i / 16 * 7 + i % 16 * 13) % 255;
    let table: Vec<u8> = (0..rows * 16)
        .map(|i| (value(i) as u8).wrapping_sub(127))
        .collect();
    let tensors = [("embeddings".to_owned(), "I8", vec![rows, 16], table)];
    write_safetensors(&folder.path("model.safetensors"), &tensors);
    folder
        .write("tokenizer.json", fs::read(&tokenizer).expect("read"))
        .write(
            "modules.json",
            fs::read(&repository("tests/reference/model2vec/modules.json")).expect("read"),
        )
        .write(
            "config.json",
            r#"{"normalize": true, "embedding_dtype": "int8"}"#,
        );
    let spec = folder.read_with(&strict()).expect("it can be read");
    agrees(&spec, &golden(), "whole_numbers");
    // A tensor that model2vec does not know may be anything.
    write_safetensors(
        &folder.path("model.safetensors"),
        &[tensors[0].clone(), floats("scale", &[rows], |_| 0.5)],
    );
    let error = folder
        .read_with(&strict())
        .expect_err("a scale is not known");
    assert!(error.to_string().contains("`scale`"), "{error}");
}

#[test]
fn quantised_forms_of_model2vec_give_its_embeddings() {
    let source = |name: &str| repository("tests/reference/model2vec").join(name);
    let golden = fs::read(&source("quantized.json")).expect("the reference");
    let golden: Value = serde_json::from_slice(&golden).expect("JSON");
    let files = ["model.safetensors", "quantized.safetensors"].map(source);
    let checkpoint = Checkpoint::open(&files).expect("tensors");
    let raw = |name: &str, tensor: &str| -> Raw {
        let found = checkpoint.get(tensor).expect(tensor);
        (
            name.to_owned(),
            found.dtype,
            found.shape.to_vec(),
            found.bytes().to_vec(),
        )
    };
    let texts = golden["texts"].as_array().expect("texts");
    for form in golden["forms"].as_array().expect("forms") {
        let name = form["name"].as_str().expect("a name");
        let folder = Folder::of("static");
        let mut tensors: Vec<Raw> = ["embeddings", "weights", "mapping"]
            .into_iter()
            .filter_map(|key| Some(raw(key, form[key].as_str()?)))
            .collect();
        if form["gather"] == true {
            let rows = checkpoint.get("mapping").and_then(|t| t.to_indices());
            let rows = rows.expect("a mapping");
            let (_, _, shape, bytes) = &mut tensors[0];
            let row = bytes.len() / shape[0];
            *bytes = rows
                .iter()
                .flat_map(|&at| bytes[at * row..][..row].to_vec())
                .collect();
            shape[0] = rows.len();
        }
        write_safetensors(&folder.path("model.safetensors"), &tensors);
        for file in ["modules.json", "tokenizer.json"] {
            folder.write(file, fs::read(&source(file)).expect("read"));
        }
        let config = json!({"normalize": form["normalize"], "max_length": 512});
        folder.write("config.json", config.to_string());
        if form["normalize"] == false {
            let modules = r#"[{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]"#;
            folder.write("modules.json", modules);
        }
        let spec = folder.read_with(&strict()).expect(name);
        let is_half = form["dtype"] == "float16";
        assert_eq!(
            spec.dtype,
            if is_half { "float16" } else { "float32" },
            "{name}"
        );
        let encoder = spec.open(&OpenOptions::default()).expect("it opens");
        let mut other = 0;
        for (text, expected) in texts.iter().zip(form["rows"].as_array().expect("rows")) {
            let text = text.as_str().expect("a text");
            let prepared = encoder.prepare(text, "").expect("it tokenises");
            let found = encoder.encode(&[&prepared]).expect("it encodes");
            let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("numbers");
            for (found, expected) in found.values.iter().zip(expected) {
                let difference = (f64::from(*found) - expected).abs();
                assert!(
                    difference < 2e-6 || is_half,
                    "{name}, {text}: {found} != {expected}"
                );
                // A number in float16 is the same, or its neighbour where float32 rounds to the middle.
                assert!(
                    difference <= 1e-3 * expected.abs(),
                    "{name}, {text}: {found} != {expected}"
                );
                other += usize::from(difference > 0.0);
            }
        }
        assert!(!is_half || other <= 2, "{name}: {other} numbers differ");
    }
}

#[test]
fn the_flags_of_a_tokenizer_are_followed_as_its_class_follows_them() {
    let golden = golden();
    let texts = golden["texts"].as_array().expect("texts");
    let check = |folder: &Folder, case: &Value, special: bool| {
        let config = serde_json::from_slice(&fs::read(&folder.path("config.json")).expect("read"));
        let config: Value = config.expect("JSON");
        let tokenizer =
            Tokenizer::from_folder(&[&folder.path("")], &config).expect("it can be read");
        let options = korfinsts_encoder::tokenizer::EncodeOptions {
            add_special_tokens: special,
            ..Default::default()
        };
        for (text, expected) in texts.iter().zip(case["ids"].as_array().expect("ids")) {
            let text = text.as_str().expect("a text");
            let found = tokenizer.encode(text, &options).expect("it tokenises").ids;
            assert_eq!(json!(found), *expected, "{case} {text:?}");
        }
        tokenizer.warnings().len()
    };
    let folder = Folder::of("bert-mean");
    let mut followed = 0;
    let cases = golden["flags"].as_array().expect("cases");
    assert!(cases.len() > 200);
    for case in cases {
        let mut normalizer = case["normalizer"].clone();
        normalizer["type"] = json!("BertNormalizer");
        normalizer["clean_text"] = json!(true);
        folder
            .set("config.json", &json!({"model_type": case["model_type"]}))
            .set("tokenizer.json", &json!({"normalizer": normalizer}))
            .write("tokenizer_config.json", case["settings"].to_string());
        followed += usize::from(check(&folder, case, true) > 0);
    }
    assert!(followed > 50, "{followed} said that a flag is followed");
    for case in golden["spaces"].as_array().expect("cases") {
        let folder = Folder::of("qwen3-last");
        let splitter = json!({"type": "ByteLevel", "add_prefix_space": case["in_file"],
                              "trim_offsets": true, "use_regex": true});
        folder
            .set(
                "tokenizer.json",
                &json!({"normalizer": null, "pre_tokenizer": splitter}),
            )
            .write("tokenizer_config.json", case["settings"].to_string());
        check(&folder, case, false);
    }
}

/// Read with a warning, and under strictness an error with a hint.
fn doubted(name: &str, folder: &Folder, overrides: &Overrides, says: &[&str]) {
    let spec = folder.read_with(overrides).expect(name);
    let warned = |w: &String| says.iter().all(|part| w.contains(part));
    assert!(
        spec.warnings.iter().any(warned),
        "{name}: {:?}",
        spec.warnings
    );
    let asked = Overrides {
        strict: true,
        ..overrides.clone()
    };
    let error = folder.read_with(&asked).expect_err(name);
    for part in says {
        assert!(error.to_string().contains(part), "{name}: {error}");
    }
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("leave `--strict` out"), "{name}: {hint}");
}

#[test]
fn what_is_not_known_is_a_warning_that_names_it_and_an_error_under_strict() {
    let cases = [
        (
            "bert-mean",
            "config.json",
            json!({"alibi_starting_size": 512}),
            "`alibi_starting_size`",
        ),
        (
            "bert-mean",
            "tokenizer_config.json",
            json!({"never_split": ["a"]}),
            "`never_split`",
        ),
        (
            "bert-mean",
            "tokenizer_config.json",
            json!({"split_special_tokens": true}),
            "`split_special_tokens`",
        ),
        (
            "bert-mean",
            "sentence_bert_config.json",
            json!({"query_length": 8}),
            "`query_length`",
        ),
        (
            "bert-mean",
            "sentence_bert_config.json",
            json!({"model_kwargs": {"num_layers": 1}}),
            "`num_layers`",
        ),
        (
            "bert-mean",
            "sentence_bert_config.json",
            json!({"tokenizer_args": {"do_lower_case": false}}),
            "`do_lower_case`",
        ),
        (
            "bert-mean",
            "config_sentence_transformers.json",
            json!({"late_chunking": true}),
            "`late_chunking`",
        ),
        (
            "bert-mean",
            "1_Pooling/config.json",
            json!({"attention_dim": 8}),
            "`attention_dim`",
        ),
        (
            "t5enc-dense",
            "2_Dense/config.json",
            json!({"scale": 2.0}),
            "`scale`",
        ),
        (
            "static",
            "config.json",
            json!({"quantization_scale": 2.0}),
            "`quantization_scale`",
        ),
        (
            "qwen3llama3-last",
            "config.json",
            json!({"attn_temperature": 2.0}),
            "`attn_temperature`",
        ),
    ];
    for (architecture, file, fields, says) in cases {
        if architecture != "static" && file == "config.json" && cfg!(not(feature = "candle")) {
            continue;
        }
        let folder = Folder::of(architecture);
        folder.set(file, &fields);
        doubted(
            &fields.to_string(),
            &folder,
            &Overrides::default(),
            &[file, says],
        );
    }
    // Nothing is said of keys without a value, and of those that change nothing.
    let folder = Folder::of("bert-mean");
    folder
        .set("config.json", &json!({"id2label": {"0": "a"}, "torch_dtype": "float16", "gradient_checkpointing": true}))
        .set("tokenizer_config.json", &json!({"sp_model_kwargs": {}, "never_split": [], "chat_template": "x"}))
        .set("sentence_bert_config.json", &json!({"model_args": {"trust_remote_code": true}}));
    let spec = folder.read_with(&strict()).expect("nothing is open");
    assert_eq!(spec.warnings, Vec::<String>::new());
}

#[cfg(feature = "candle")]
#[test]
fn tensors_that_no_part_of_the_network_reads_are_named() {
    let head = |name: &str| floats(name, &[2, 2], |i| i as f32);
    for architecture in ["bert-mean", "qwen2-last", "t5enc-dense"] {
        let folder = Folder::of(architecture);
        let heads = ["pooler.dense.weight", "lm_head.weight", "classifier.weight"];
        rewrite(&folder, str::to_owned, heads.map(head).to_vec());
        let spec = folder.read_with(&strict()).expect("heads are known");
        assert_eq!(spec.warnings, Vec::<String>::new(), "{architecture}");
        let unread = [
            "layer_weights.weight",
            "encoder.layer.9.output.dense.weight",
        ];
        rewrite(&folder, str::to_owned, unread.map(head).to_vec());
        doubted(
            architecture,
            &folder,
            &Overrides::default(),
            &[
                "model.safetensors holds 2 tensors",
                "`layer_weights.weight`",
                "`encoder.layer.9.",
            ],
        );
    }
}

#[test]
fn an_adapter_is_left_out_only_where_the_weights_are_named() {
    let folder = Folder::of("bert-mean");
    folder.write("adapter_model.safetensors", "x");
    folder.read().expect_err("the adapter belongs to the model");
    let named = folder.path("model.safetensors");
    let spec = korfinsts_encoder::spec::read(&named, &strict()).expect("it was named");
    assert!(
        spec.warnings.iter().any(|w| w.contains("adapter")),
        "{:?}",
        spec.warnings
    );
}

fn with_graph(outputs: &[(&str, usize, Option<usize>)]) -> Overrides {
    let names: Vec<(&str, Option<usize>)> =
        outputs.iter().map(|(n, r, _)| (*n, Some(*r))).collect();
    let mut info: GraphInfo = graph(&names);
    for (output, (.., width)) in info.outputs.iter_mut().zip(outputs) {
        *output = ValueInfo {
            width: *width,
            ..output.clone()
        };
    }
    Overrides {
        graph: Some(info),
        ..Overrides::default()
    }
}

#[test]
fn the_width_of_a_graph_s_output_is_that_of_the_folder() {
    let folder = Folder::of("t5enc-dense");
    folder
        .set("1_Pooling/config.json", &json!({"include_prompt": true}))
        .remove("model.safetensors")
        .write("model.onnx", "x");
    let sentence = |width| {
        with_graph(&[
            ("token_embeddings", 3, Some(32)),
            ("sentence_embedding", 2, width),
        ])
    };
    let refused = |overrides: &Overrides, says: &[&str]| {
        let error = folder.read_with(overrides).expect_err("another width");
        for part in says {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(error.hint().is_some());
    };
    refused(
        &sentence(Some(32)),
        &[
            "`sentence_embedding` gives 32 dimensions",
            "2_Dense/config.json says 24",
        ],
    );
    for width in [Some(24), None] {
        let says = [
            "dense 32 to 24",
            "within the graph's output `sentence_embedding`",
        ];
        doubted(
            "a graph of the same width",
            &folder,
            &sentence(width),
            &says,
        );
        let named = Overrides {
            onnx_output: Some("sentence_embedding".into()),
            strict: true,
            ..sentence(width)
        };
        let spec = folder.read_with(&named).expect("it is said");
        // What the graph leaves open is checked when it runs.
        assert_eq!(spec.widths.declared.as_ref().map(|(n, _)| *n), Some(24));
    }
    refused(
        &with_graph(&[("last_hidden_state", 3, Some(48))]),
        &["gives 48 dimensions", "1_Pooling/config.json says 32"],
    );
    refused(
        &with_graph(&[("token_embeddings", 3, Some(2400))]),
        &[
            "`token_embeddings`",
            "2400 values",
            "one per token of the vocabulary",
        ],
    );
}

#[test]
fn scores_are_not_read_as_states() {
    let vocabulary = "one per token of the vocabulary";
    let named = "named like the scores";
    // An output, its rank and width; whether the folder keeps its config.json; what is said.
    let cases = [
        ("last_hidden_state", 3, Some(2000), false, vocabulary),
        // A vocabulary of 2,000 that is rounded up.
        ("last_hidden_state", 3, Some(2048), false, vocabulary),
        ("last_hidden_state", 3, Some(2000), true, vocabulary),
        ("logits", 3, Some(2000), true, named),
        ("logits", 3, Some(9), false, named),
        ("prediction_scores", 3, None, true, named),
        ("lm_logits", 3, None, false, named),
        ("logits", 2, Some(2), false, named),
    ];
    for (output, rank, width, keeps, says) in cases {
        let folder = Folder::of("bert-mean");
        folder.remove("1_Pooling/config.json");
        folder.remove("modules.json");
        folder.remove("model.safetensors");
        folder.write("model.onnx", "a graph");
        if !keeps {
            folder.remove("config.json");
        }
        let overrides = with_graph(&[(output, rank, width)]);
        let error = folder.read_with(&overrides).expect_err(output);
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(text.contains(output) && text.contains(says), "{text}");
        assert!(text.contains("--task feature-extraction"), "{text}");
    }
    // States of an unusual name are still guessed, next to scores too.
    let folder = Folder::of("bert-mean");
    folder.remove("model.safetensors");
    folder.write("model.onnx", "a graph");
    let outputs = [("logits", 3, Some(2400)), ("encoder_out", 3, Some(32))];
    let spec = folder.read_with(&with_graph(&outputs)).expect("states");
    assert_eq!(spec.onnx_output.as_deref(), Some("encoder_out"));
}

#[test]
fn weights_of_another_format_are_named_where_they_hold_other_numbers() {
    let folder = Folder::of("bert-mean");
    let weights = fs::read(&folder.path("model.safetensors")).expect("read");
    let overrides = with_graph(&[("last_hidden_state", 3, Some(32))]);
    // Initial values of a graph are the same bytes, wherever they are in its file.
    folder.write("onnx/model.onnx", [b"xyz".as_slice(), &weights].concat());
    let asked = Overrides {
        strict: true,
        ..overrides.clone()
    };
    folder.read_with(&asked).expect("the same numbers");
    let changed: Vec<Raw> = read_tensors(&folder.path(""), "")
        .into_iter()
        .map(|(name, dtype, shape, mut bytes)| {
            bytes.iter_mut().step_by(4).for_each(|b| *b ^= 1);
            (name, dtype, shape, bytes)
        })
        .collect();
    write_safetensors(&folder.path("model.safetensors"), &changed);
    let says = [
        "`onnx/model.onnx` is read",
        "`model.safetensors` next to it holds other numbers",
    ];
    doubted("weights that were trained on", &folder, &overrides, &says);
    let candle = Overrides {
        backend: Some("candle".into()),
        ..strict()
    };
    if cfg!(feature = "candle") {
        folder.read_with(&candle).expect("the weights were chosen");
    }
}
