//! Adapters of PEFT, merged into their base as PEFT computes them, and what of one is refused. Reference
//! values: `tests/reference/adapters/make.py`.

use korfinsts_base::fs;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::spec::{self, Overrides, Setting};
use serde_json::{Value, json};

use super::candle::{Raw, read_file, read_tensors, write_safetensors};
use super::folders::{Folder, strict};
use super::support::{Home, repository};

const NAMES: [&str; 11] = [
    "bert-list",
    "bert-all",
    "bert-tables",
    "bert-saved",
    "xlmr-regex",
    "qwen3-layers",
    "mistral-tokens",
    "llama-exclude",
    "modernbert-linear",
    "t5-gated",
    "st-native",
];

/// A copy of an adapter that finds its base.
fn adapter(name: &str) -> Folder {
    let from = repository("tests/reference/adapters");
    let folder = Folder::copied(&from.join(name));
    let base = json_of(&folder, "adapter_config.json")["base_model_name_or_path"].clone();
    let base = from.join(base.as_str().expect("a path"));
    folder.set(
        "adapter_config.json",
        &json!({"base_model_name_or_path": base.display().to_string()}),
    );
    folder
}

fn json_of(folder: &Folder, name: &str) -> Value {
    serde_json::from_slice(&fs::read(&folder.path(name)).expect("there")).expect("JSON")
}

fn golden(name: &str) -> Value {
    let path = repository("tests/reference/adapters")
        .join(name)
        .join("golden.json");
    serde_json::from_slice(&fs::read(&path).expect("the reference")).expect("JSON")
}

/// The largest difference to the reference, over all texts alone.
fn difference(spec: &EncoderSpec, golden: &Value) -> f64 {
    let encoder = spec.open(&OpenOptions::default()).expect("it opens");
    let texts = golden["texts"].as_array().expect("texts");
    let rows = golden["embeddings"].as_array().expect("rows");
    let mut largest = 0.0_f64;
    for (text, row) in texts.iter().zip(rows) {
        let text = encoder
            .prepare(text.as_str().expect("a text"), "")
            .expect("it tokenises");
        let found = encoder.encode(&[&text]).expect("it encodes");
        assert_eq!(found.dimension, row.as_array().expect("a row").len());
        for (found, expected) in found.values.iter().zip(row.as_array().expect("a row")) {
            largest = largest.max((f64::from(*found) - expected.as_f64().expect("a number")).abs());
        }
    }
    largest
}

#[test]
fn an_adapter_gives_the_embeddings_of_peft() {
    for name in NAMES {
        let folder = adapter(name);
        let spec = folder.read_with(&strict()).expect(name);
        let found = difference(&spec, &golden(name));
        assert!(found < 1e-5, "{name}: {found}");
        // Without it, they are others.
        let base = EncoderSpec {
            adapters: Vec::new(),
            ..spec.clone()
        };
        assert!(
            difference(&base, &golden(name)) > 1e-3,
            "{name} changes nothing"
        );
        assert_ne!(spec.decided(&Setting::Adapter), None, "{name}");
        let roles: Vec<&str> = spec.files.iter().map(|f| f.role.as_str()).collect();
        assert!(
            roles.contains(&"weights") && roles.contains(&"weights-adapter"),
            "{roles:?}"
        );
        assert!(spec.files.iter().all(|f| f.sha256.len() == 64));
    }
}

#[test]
fn settings_come_from_the_adapter_where_it_has_them_and_else_from_the_base() {
    let folder = adapter("st-native");
    folder.set("sentence_bert_config.json", &json!({"max_seq_length": 40}));
    let own = folder.read().expect("read");
    assert_eq!(
        (own.max_tokens, own.prompts["query"].as_str()),
        (40, "query: ")
    );
    let bare = adapter("bert-list").read().expect("read");
    let base = spec::read(
        &repository("tests/reference/encoders/bert-mean"),
        &Overrides::default(),
    )
    .expect("read");
    assert_eq!(
        (bare.max_tokens, &bare.prompts),
        (base.max_tokens, &base.prompts)
    );
    assert_eq!(bare.modules, base.modules);
    assert!(own.max_tokens != base.max_tokens);
    assert_eq!(bare.decided(&Setting::Base), Some("bert-mean"));
    let names: Vec<&str> = bare.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names[0], "base/model.safetensors", "{names:?}");
    assert!(names.contains(&"adapter_model.safetensors"), "{names:?}");
    assert!(names.contains(&"base/tokenizer.json"), "{names:?}");
}

#[test]
fn the_key_names_the_adapter_and_its_base() {
    let folder = adapter("bert-list");
    let key = |folder: &Folder| folder.read().expect("read").key("");
    let before = key(&folder);
    folder.set("adapter_config.json", &json!({"lora_alpha": 6}));
    let scaled = key(&folder);
    assert_ne!(scaled, before);
    let mut tensors: Vec<Raw> = read_file(&folder.path("adapter_model.safetensors"), "");
    tensors[0].3[0] ^= 1;
    write_safetensors(&folder.path("adapter_model.safetensors"), &tensors);
    assert_ne!(key(&folder), scaled);
    let base = Folder::of("bert-mean");
    let path = base.path("").display().to_string();
    folder.set(
        "adapter_config.json",
        &json!({"base_model_name_or_path": path}),
    );
    let moved = key(&folder);
    let mut tensors = read_tensors(&base.path(""), "");
    tensors[0].3[0] ^= 1;
    write_safetensors(&base.path("model.safetensors"), &tensors);
    assert_ne!(key(&folder), moved);
}

#[test]
fn adapters_on_top_of_each_other_and_next_to_their_base_are_merged_in_order() {
    // A model that is complete, with an adapter next to it.
    let folder = Folder::of("bert-mean");
    let from = adapter("bert-list");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        folder.write(name, fs::read(&from.path(name)).expect("there"));
    }
    folder.set(
        "adapter_config.json",
        &json!({"base_model_name_or_path": "org/elsewhere"}),
    );
    let spec = folder.read_with(&strict()).expect("read");
    assert!(difference(&spec, &golden("bert-list")) < 1e-5);
    // The same adapter once more with its sign changed: the two cancel.
    let second = adapter("bert-list");
    let path = folder.path("").display().to_string();
    let less: Vec<Raw> = read_file(&second.path("adapter_model.safetensors"), "")
        .into_iter()
        .map(|(name, dtype, shape, mut bytes)| {
            if name.contains("lora_B") {
                bytes.iter_mut().skip(3).step_by(4).for_each(|b| *b ^= 0x80);
            }
            (name, dtype, shape, bytes)
        })
        .collect();
    write_safetensors(&second.path("adapter_model.safetensors"), &less);
    second.set(
        "adapter_config.json",
        &json!({"base_model_name_or_path": path}),
    );
    let both = second.read().expect("read");
    assert_eq!(both.adapters.len(), 2);
    let base = spec::read(
        &repository("tests/reference/encoders/bert-mean"),
        &Overrides::default(),
    )
    .expect("read");
    let embedded = |spec: &EncoderSpec| {
        let encoder = spec.open(&OpenOptions::default()).expect("it opens");
        let text = encoder.prepare("기준금리 인상", "").expect("it tokenises");
        encoder.encode(&[&text]).expect("it encodes").values
    };
    for (a, b) in embedded(&both).iter().zip(embedded(&base)) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn what_is_not_known_whole_is_refused_with_a_word() {
    type Case = (&'static str, Value, &'static str, &'static str);
    let cases: [Case; 16] = [
        (
            "bert-list",
            json!({"use_dora": true}),
            "`use_dora` is `true`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"peft_type": "LOHA"}),
            "`peft_type` is `\"LOHA\"`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"peft_type": null}),
            "`peft_type` is `null`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"init_lora_weights": "pissa_niter_4"}),
            "`init_lora_weights`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"init_lora_weights": "eva"}),
            "`init_lora_weights`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"layer_replication": [[0, 2]]}),
            "`layer_replication`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"target_parameters": ["x"]}),
            "`target_parameters`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"use_new_thing": true}),
            "`use_new_thing` is `true`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"bias": "some"}),
            "allowed is `none`, `all` or `lora_only`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"r": 4}),
            "has the shape [32, 3], expected [32, 4]",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"alpha_pattern": {"query": "2"}}),
            "`alpha_pattern`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"alpha_pattern": {"(": 2}}),
            "`alpha_pattern` has a pattern",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"target_modules": ["query"]}),
            "`target_modules`",
            "merge_and_unload",
        ),
        (
            "bert-list",
            json!({"base_model_name_or_path": null}),
            "`base_model_name_or_path` is missing",
            "hub id",
        ),
        (
            "bert-list",
            json!({"base_model_name_or_path": "/nowhere/m"}),
            "`/nowhere/m`",
            "hub id",
        ),
        (
            "mistral-tokens",
            json!({"trainable_token_indices": {"embed_tokens": [5, 17, 999_999]}}),
            "999999",
            "merge_and_unload",
        ),
    ];
    for (name, change, says, hint) in cases {
        let folder = adapter(name);
        // `set` takes a null out of the file.
        folder.set("adapter_config.json", &change);
        let error = folder.read().expect_err(says);
        assert!(error.to_string().contains(says), "{change}: {error}");
        assert!(error.to_string().contains("adapter_"), "{change}: {error}");
        let found = error.hint().unwrap_or_default();
        assert!(found.contains(hint), "{change}: {found}");
    }
}

#[test]
fn tensors_without_a_place_are_refused_and_layers_without_tensors_doubted() {
    let folder = adapter("bert-list");
    let tensors = read_file(&folder.path("adapter_model.safetensors"), "");
    let changed = |change: &dyn Fn(Raw) -> Option<Raw>| {
        let tensors: Vec<Raw> = tensors.iter().cloned().filter_map(change).collect();
        write_safetensors(&folder.path("adapter_model.safetensors"), &tensors);
        folder.read_with(&strict())
    };
    let renamed = |from: &'static str, to: &'static str| {
        move |(name, dtype, shape, bytes): Raw| Some((name.replace(from, to), dtype, shape, bytes))
    };
    let layer = "layer.1.attention.self.query";
    for (from, to, says) in [
        (
            "layer.1.",
            "layer.7.",
            "for which the base has no counterpart: `base_model.model.encoder.layer.7",
        ),
        (
            "base_model.model.",
            "model.",
            "does not begin with `base_model.model.`",
        ),
        (
            "lora_A.weight",
            "lora_A.default.weight",
            "of no kind that is known here",
        ),
        (
            "lora_A.weight",
            "lora_magnitude_vector",
            "of no kind that is known here",
        ),
    ] {
        let error = changed(&renamed(from, to)).expect_err(says);
        assert!(error.to_string().contains(says), "{from}: {error}");
        assert!(error.hint().is_some(), "{from}: {error}");
    }
    let half = changed(&|raw| (!raw.0.contains("query.lora_B")).then_some(raw));
    let error = half.expect_err("half of an adapter");
    assert!(
        error.to_string().contains("one of the two factors"),
        "{error}"
    );
    let less = |raw: Raw| (!raw.0.contains(layer)).then_some(raw);
    let error = changed(&less).expect_err("a layer without tensors");
    assert!(
        error.to_string().contains("holds nothing of 1 layers"),
        "{error}"
    );
    let spec = folder.read().expect("a warning without strictness");
    assert!(
        spec.warnings.iter().any(|w| w.contains(layer)),
        "{:?}",
        spec.warnings
    );
    // Tables that the network of PEFT reads past the adapter.
    let t5 = adapter("t5-gated");
    let path = t5.path("adapter_model.safetensors");
    let own = read_file(&path, "");
    let (name, dtype, shape, bytes) = own[0].clone();
    for (place, says) in [
        (
            "shared.weight",
            "the encoder of T5 reads under another name",
        ),
        ("shared.lora_embedding_A", "one of the two factors"),
    ] {
        let more = (
            format!("base_model.model.{place}"),
            dtype,
            shape.clone(),
            bytes.clone(),
        );
        let tensors: Vec<Raw> = own.iter().cloned().chain([more]).collect();
        write_safetensors(&path, &tensors);
        let error = t5.read().expect_err(says);
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
    // A head that the base has not is no part of an embedding.
    let head = |raw: Raw| {
        let name = raw.0.replace(layer, "classifier.dense");
        Some((name, raw.1, raw.2, raw.3))
    };
    folder.set(
        "adapter_config.json",
        &json!({"rank_pattern": {"query": 2, "classifier.dense": 2}}),
    );
    let moved = changed(&head);
    let error = moved.expect_err("layer 1 has no values now");
    assert!(
        error.to_string().contains("holds nothing of 1 layers"),
        "{error}"
    );
}

#[test]
fn an_adapter_is_exported_and_trained_from_merged() {
    let home = Home::new();
    let folder = adapter("bert-list");
    let path = folder.path("").display().to_string();
    home.command(&["export", &path, "--output", "graph"])
        .assert()
        .success();
    let exported = spec::read(&home.path("graph/model.onnx"), &Overrides::default()).expect("read");
    assert!(difference(&exported, &golden("bert-list")) < 1e-5);
    let spec = folder.read().expect("read");
    let options = korfinsts_train::model::ModelOptions::default();
    let model = korfinsts_train::model::Model::open(&spec, options).expect("it trains");
    korfinsts_train::save::model(
        &model,
        &home.path("saved"),
        korfinsts_train::recipe::Number::Float32,
        0.0,
    )
    .expect("saved");
    let saved = spec::read(&home.path("saved"), &Overrides::default()).expect("read");
    assert!(saved.adapters.is_empty());
    assert!(difference(&saved, &golden("bert-list")) < 1e-5);
}

#[test]
fn a_folder_of_llm2vec_gives_the_embeddings_of_its_package() {
    let path = repository("tests/reference/adapters/llm2vec/golden.json");
    let cases: Value = serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
    for case in cases["cases"].as_array().expect("cases") {
        let folder = Folder::of("mistral-last");
        let type_of = case["model_type"].as_str().expect("a type");
        folder
            .remove("modules.json")
            .remove("1_Pooling")
            .set(
                "config.json",
                &json!({"model_type": type_of, "_name_or_path": case["name"]}),
            )
            .write("llm2vec_config.json", case["config"].to_string());
        let spec = folder.read_with(&strict()).expect("read");
        assert_eq!(spec.causal, Some(false));
        let encoder = spec.open(&OpenOptions::default()).expect("it opens");
        let rows = case["embeddings"].as_array().expect("rows");
        for (pair, row) in cases["texts"].as_array().expect("texts").iter().zip(rows) {
            let (prompt, text) = (
                pair[0].as_str().expect("text"),
                pair[1].as_str().expect("text"),
            );
            let text = encoder.prepare(text, prompt).expect("it tokenises");
            let found = encoder.encode(&[&text]).expect("it encodes");
            for (found, expected) in found.values.iter().zip(row.as_array().expect("a row")) {
                let difference = (f64::from(*found) - expected.as_f64().expect("a number")).abs();
                assert!(
                    difference < 1e-5,
                    "{}, {pair}: {found} {expected}",
                    case["config"]
                );
            }
        }
        let error = korfinsts_train::model::Model::open(
            &spec,
            korfinsts_train::model::ModelOptions::default(),
        )
        .expect_err("no checkpoint can say how its texts are prepared");
        assert!(error.to_string().contains("as llm2vec does"), "{error}");
    }
}
