//! How a model folder is read: one rule or one way to be broken per case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_encoder::locate::find;
use korfinsts_encoder::modules::Module;
use korfinsts_encoder::network::{FixedShape, PaddingSide};
use korfinsts_encoder::onnx::{GraphInfo, ValueInfo};
use korfinsts_encoder::pooling::Pooling;
use korfinsts_encoder::spec::{self, Attention, ModelTable, Overrides, Setting, WeightsFormat};
use korfinsts_encoder::{EncoderError, EncoderSpec};
use korfinsts_metric::Similarity;
use serde_json::{Value, json};

use super::support::{repository, shared};

/// A copy of a reference folder that a test may break.
pub(super) struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    pub(super) fn of(architecture: &str) -> Self {
        Self::copied(&repository("tests/reference/encoders").join(architecture))
    }

    pub(super) fn copied(from: &Path) -> Self {
        let folder = Self {
            root: tempfile::tempdir().expect("a temporary folder"),
        };
        folder.copy(from, from);
        folder
    }

    fn copy(&self, from: &Path, folder: &Path) {
        for path in fs::list(folder).expect("it can be listed") {
            if path.is_dir() {
                self.copy(from, &path);
            } else if !path.to_string_lossy().contains("golden") {
                let name = path.strip_prefix(from).expect("it is inside");
                let content = fs::read(&path).expect("it can be read");
                fs::write_atomic(&self.path(name), &content).expect("it is written");
            }
        }
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write_atomic(&self.path(name), content.as_ref()).expect("it is written");
        self
    }

    pub(super) fn remove(&self, name: &str) -> &Self {
        let path = self.path(name);
        let removed = if path.is_dir() {
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.expect("it is removed");
        self
    }

    /// Sets fields of a JSON file; `null` and `"<remove>"` take one out.
    pub(super) fn set(&self, name: &str, fields: &Value) -> &Self {
        let mut value: Value = match fs::read(&self.path(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
            Err(_) => json!({}),
        };
        for (field, new) in fields.as_object().expect("fields") {
            if new.is_null() || new == "<remove>" {
                value.as_object_mut().expect("an object").remove(field);
            } else {
                value[field] = new.clone();
            }
        }
        self.write(name, value.to_string())
    }

    pub(super) fn read(&self) -> Result<EncoderSpec, EncoderError> {
        spec::read(self.root.path(), &Overrides::default())
    }

    pub(super) fn read_with(&self, overrides: &Overrides) -> Result<EncoderSpec, EncoderError> {
        spec::read(self.root.path(), overrides)
    }
}

fn modes(spec: &EncoderSpec) -> Vec<Pooling> {
    match spec.modules.first() {
        Some(Module::Pooling { modes, .. }) => modes.clone(),
        _ => Vec::new(),
    }
}

fn source(spec: &EncoderSpec, what: &str) -> String {
    spec.decisions
        .iter()
        .find(|d| d.what.name() == what)
        .map(|d| d.source.clone())
        .unwrap_or_default()
}

pub(super) fn strict() -> Overrides {
    Overrides {
        strict: true,
        ..Overrides::default()
    }
}

pub(super) fn graph(outputs: &[(&str, Option<usize>)]) -> GraphInfo {
    GraphInfo {
        inputs: Vec::new(),
        outputs: outputs
            .iter()
            .map(|(name, rank)| ValueInfo {
                name: (*name).to_owned(),
                element_type: "float32".to_owned(),
                rank: *rank,
                width: None,
            })
            .collect(),
        fixed: FixedShape::default(),
        dtype: "float32".to_owned(),
        external_files: Vec::new(),
        custom_domains: Vec::new(),
        contrib_operators: Vec::new(),
    }
}

/// One case of `tests/reference/broken/folders.toml`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    of: String,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    write: BTreeMap<String, String>,
    #[serde(default)]
    bytes: BTreeMap<String, String>,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    says: Vec<String>,
    #[serde(default)]
    hint: Vec<String>,
    class: Option<String>,
}

#[test]
fn broken_folders_are_refused_with_place_and_reason() {
    #[derive(serde::Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }
    let path = repository("tests/reference/broken/folders.toml");
    let text = String::from_utf8(fs::read(&path).expect("the cases")).expect("UTF-8");
    let cases: Cases = toml::from_str(&text).expect("the cases are TOML");
    assert!(cases.case.len() > 40);
    for case in cases.case {
        let name = &case.name;
        let folder = Folder::of(&case.of);
        for file in &case.remove {
            folder.remove(file);
        }
        for (file, content) in &case.write {
            folder.write(file, content);
        }
        for (file, digits) in &case.bytes {
            let bytes: Vec<u8> = (0..digits.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal digits"))
                .collect();
            folder.write(file, bytes);
        }
        for (file, fields) in &case.set {
            folder.set(file, fields);
        }
        let error = folder.read().expect_err(name);
        let text = error.to_string();
        for part in &case.says {
            assert!(text.contains(part), "{name}: `{part}` is not in: {text}");
        }
        let hint = error.hint().unwrap_or_default();
        for part in &case.hint {
            assert!(hint.contains(part), "{name}: `{part}` is not in: {hint}");
        }
        let class = match case.class.as_deref() {
            Some("usage") => FailureClass::Usage,
            _ => FailureClass::Model,
        };
        assert_eq!(error.class(), class, "{name}: {text}");
    }
}

#[test]
fn modules_are_taken_in_the_order_of_their_index() {
    let folder = Folder::of("t5enc-dense");
    let path = folder.path("modules.json");
    let mut modules: Vec<Value> =
        serde_json::from_slice(&fs::read(&path).expect("it can be read")).expect("a list");
    let before = folder.read().expect("it can be read").modules;
    modules.reverse();
    folder.write("modules.json", json!(modules).to_string());
    assert_eq!(folder.read().expect("it can be read").modules, before);
}

#[test]
fn both_schemas_of_pooling_are_read() {
    let old = |mode: &str| {
        json!({"pooling_mode": null, "embedding_dimension": null,
                                  "word_embedding_dimension": 32, mode: true})
    };
    let cases = [
        (
            json!({"pooling_mode": "lasttoken"}),
            vec![Pooling::LastToken],
        ),
        (
            json!({"pooling_mode": ["mean", "cls"]}),
            vec![Pooling::Mean, Pooling::Cls],
        ),
        (json!({"pooling_mode": null}), vec![Pooling::Mean]),
        (old("pooling_mode_cls_token"), vec![Pooling::Cls]),
        (old("pooling_mode_max_tokens"), vec![Pooling::Max]),
        (old("pooling_mode_mean_tokens"), vec![Pooling::Mean]),
        (
            old("pooling_mode_mean_sqrt_len_tokens"),
            vec![Pooling::MeanSqrtLen],
        ),
        (
            old("pooling_mode_weightedmean_tokens"),
            vec![Pooling::WeightedMean],
        ),
        (old("pooling_mode_lasttoken"), vec![Pooling::LastToken]),
        (
            json!({"pooling_mode": null, "pooling_mode_mean_tokens": true,
                   "pooling_mode_cls_token": true, "pooling_mode_max_tokens": false}),
            vec![Pooling::Cls, Pooling::Mean],
        ),
    ];
    for (fields, expected) in cases {
        let folder = Folder::of("bert-mean");
        folder.set("1_Pooling/config.json", &fields);
        assert_eq!(
            modes(&folder.read().expect("it can be read")),
            expected,
            "{fields}"
        );
    }
}

#[test]
fn an_instructor_pooling_leaves_the_prompt_out() {
    let folder = Folder::of("bert-mean");
    folder.write(
        "modules.json",
        r#"[{"idx": 0, "path": "", "type": "INSTRUCTOR_Transformer.Transformer"},
            {"idx": 1, "path": "1_Pooling", "type": "InstructorEmbedding.INSTRUCTOR_Pooling.Pooling"},
            {"idx": 2, "path": "", "type": "sentence_transformers.models.Dropout"}]"#,
    );
    let spec = folder.read().expect("it can be read");
    assert!(spec.leaves_prompt_out());
    assert_eq!(spec.modules.len(), 1);
}

#[test]
fn a_guess_is_a_warning_and_under_strict_an_error() {
    for (architecture, expected) in [
        ("bert-mean", Pooling::Mean),
        ("qwen2-last", Pooling::LastToken),
    ] {
        let folder = Folder::of(architecture);
        folder.remove("modules.json").remove("1_Pooling");
        let spec = folder.read().expect("a guess is allowed");
        assert_eq!(modes(&spec), [expected]);
        assert!(
            spec.decisions
                .iter()
                .any(|d| d.guessed && d.what == Setting::Pooling)
        );
        assert!(
            spec.warnings
                .iter()
                .any(|w| w.contains("pooling was guessed"))
        );
        let error = folder.read_with(&strict()).expect_err("a guess is refused");
        assert!(error.to_string().contains("guessed"), "{error}");
        assert!(error.hint().is_some_and(|h| h.contains("--pooling")));
        let said = Overrides {
            pooling: Some(vec![Pooling::Cls]),
            ..strict()
        };
        assert_eq!(
            modes(&folder.read_with(&said).expect("it is said")),
            [Pooling::Cls]
        );
    }
    // The pooling's own configuration is no guess, even without a list of modules.
    let folder = Folder::of("xlmr-cls");
    folder.remove("modules.json");
    assert_eq!(
        modes(&folder.read_with(&strict()).expect("it is said")),
        [Pooling::Cls]
    );
}

#[test]
fn the_maximum_length_comes_from_the_first_place_that_names_one() {
    type Change = fn(&Folder);
    let huge = json!(1e30);
    let cases: Vec<(&str, &str, Change, usize, &str)> = vec![
        ("tokenizer", "bert-mean", |_| {}, 48, "model_max_length"),
        (
            "module",
            "bert-mean",
            |f| {
                f.set("sentence_bert_config.json", &json!({"max_seq_length": 20}));
            },
            20,
            "sentence_bert_config.json",
        ),
        (
            "module's tokenizer",
            "bert-mean",
            |f| {
                let settings = json!({"tokenizer_args": {"model_max_length": 19}});
                f.set("sentence_bert_config.json", &settings);
            },
            19,
            "sentence_bert_config.json",
        ),
        (
            "module of another name",
            "xlmr-cls",
            |f| {
                f.remove("sentence_bert_config.json").set(
                    "sentence_xlm-roberta_config.json",
                    &json!({"max_seq_length": 21}),
                );
            },
            21,
            "sentence_xlm-roberta_config.json",
        ),
        (
            "positions",
            "bert-mean",
            |f| {
                f.set("tokenizer_config.json", &json!({"model_max_length": null}));
            },
            64,
            "positions",
        ),
        (
            "positions of a RoBERTa",
            "xlmr-cls",
            |f| {
                f.set("tokenizer_config.json", &json!({"model_max_length": null}));
            },
            64,
            "positions",
        ),
        (
            "more than there are positions",
            "xlmr-cls",
            |f| {
                f.set("sentence_bert_config.json", &json!({"max_seq_length": 512}));
            },
            64,
            "positions",
        ),
        (
            "the smaller of tokenizer and positions",
            "qwen2-last",
            |f| {
                f.set(
                    "tokenizer_config.json",
                    &json!({"model_max_length": 131_072}),
                );
            },
            128,
            "model_max_length",
        ),
        (
            "rotary positions do not cap a module's word",
            "qwen2-last",
            |f| {
                f.set("sentence_bert_config.json", &json!({"max_seq_length": 512}));
            },
            512,
            "sentence_bert_config.json",
        ),
        (
            "no word at all",
            "t5enc-dense",
            |f| {
                f.set("tokenizer_config.json", &json!({"model_max_length": null}));
            },
            512,
            "guessed",
        ),
    ];
    for (name, architecture, change, expected, from) in cases {
        let folder = Folder::of(architecture);
        change(&folder);
        let spec = folder.read().expect(name);
        assert_eq!(spec.max_tokens, expected, "{name}");
        assert!(
            source(&spec, "max tokens").contains(from),
            "{name}: {:?}",
            spec.decisions
        );
    }
    let folder = Folder::of("bert-mean");
    folder.set("tokenizer_config.json", &json!({"model_max_length": huge}));
    assert_eq!(folder.read().expect("it can be read").max_tokens, 64);
    let asked = |max| Overrides {
        max_tokens: Some(max),
        ..Overrides::default()
    };
    assert_eq!(folder.read_with(&asked(7)).expect("it fits").max_tokens, 7);
    let error = folder
        .read_with(&asked(65))
        .expect_err("there are 64 positions");
    assert!(error.to_string().contains("positions for 64"), "{error}");
}

#[test]
fn a_missing_end_token_is_appended_for_the_last_token_and_said() {
    let folder = Folder::of("mistral-last");
    assert_eq!(folder.read().expect("it can be read").append_token, None);
    // As e5-mistral's file: only the first token is added.
    let path = folder.path("tokenizer.json");
    let mut tokenizer: Value =
        serde_json::from_slice(&fs::read(&path).expect("it can be read")).expect("JSON");
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    });
    folder.write("tokenizer.json", tokenizer.to_string());
    let spec = folder.read().expect("it can be read");
    assert_eq!(spec.append_token, Some(2));
    assert!(
        spec.warnings
            .iter()
            .any(|w| w.contains("`</s>` is appended")),
        "{:?}",
        spec.warnings
    );

    // `add_eos_token` says so itself; false is not overruled, and neither is a flag.
    for (flag, expected) in [(true, Some(2)), (false, None)] {
        folder.set("tokenizer_config.json", &json!({"add_eos_token": flag}));
        assert_eq!(
            folder.read().expect("it can be read").append_token,
            expected,
            "{flag}"
        );
    }
    let unknown = |token: &str| Overrides {
        end_token: Some(token.to_owned()),
        ..Overrides::default()
    };
    assert_eq!(
        folder
            .read_with(&unknown("<unk>"))
            .expect("it is there")
            .append_token,
        Some(0)
    );
    assert_eq!(
        folder.read_with(&unknown("")).expect("none").append_token,
        None
    );
    assert!(folder.read_with(&unknown("[NONE]")).is_err());
    // A mean does not want one.
    folder
        .set("tokenizer_config.json", &json!({"add_eos_token": null}))
        .set("1_Pooling/config.json", &json!({"pooling_mode": "mean"}));
    assert_eq!(folder.read().expect("it can be read").append_token, None);
}

#[test]
fn flags_win_over_the_table_and_the_table_over_the_folder() {
    let folder = Folder::of("bert-mean");
    let table = ModelTable {
        pooling: Some(vec![Pooling::Cls]),
        max_tokens: Some(30),
        normalize: Some(false),
        similarity: Some(Similarity::Dot),
        attention: Some(Attention::Causal),
        dtype: Some("bfloat16".into()),
        device: Some("cuda".into()),
        prompts: [("sts".to_owned(), "p: ".to_owned())].into(),
        default_prompt_name: Some("sts".into()),
        ..ModelTable::default()
    };
    let from_table = Overrides {
        table: table.clone(),
        ..Overrides::default()
    };
    let spec = folder.read_with(&from_table).expect("it can be read");
    assert_eq!(
        (modes(&spec), spec.max_tokens, spec.similarity, spec.causal),
        (vec![Pooling::Cls], 30, Similarity::Dot, Some(true))
    );
    assert_eq!(
        (spec.dtype.as_str(), spec.device.as_str()),
        ("bfloat16", "cuda")
    );
    assert_eq!(spec.modules.len(), 1, "the normalisation is gone");
    assert_eq!(spec.default_prompt_name.as_deref(), Some("sts"));
    assert_eq!(source(&spec, "pooling"), "korfinsts.toml");
    let both = Overrides {
        pooling: Some(vec![Pooling::Max]),
        normalize: Some(true),
        attention: Some(Attention::Bidirectional),
        table,
        ..Overrides::default()
    };
    let spec = folder.read_with(&both).expect("it can be read");
    assert_eq!(
        (modes(&spec), spec.causal),
        (vec![Pooling::Max], Some(false))
    );
    assert_eq!(spec.modules.last(), Some(&Module::Normalize));
    assert_eq!(source(&spec, "pooling"), "`--pooling`");
    for (field, wrong) in [
        (
            "backend",
            Overrides {
                backend: Some("tpu".into()),
                ..Overrides::default()
            },
        ),
        (
            "device",
            Overrides {
                device: Some("tpu".into()),
                ..Overrides::default()
            },
        ),
        (
            "dtype",
            Overrides {
                dtype: Some("int4".into()),
                ..Overrides::default()
            },
        ),
    ] {
        let error = folder.read_with(&wrong).expect_err(field);
        assert_eq!(error.class(), FailureClass::Usage, "{field}");
        assert!(
            error.to_string().contains("allowed are"),
            "{field}: {error}"
        );
    }
}

#[test]
fn weights_are_chosen_in_a_fixed_order_and_never_an_altered_file_silently() {
    let folder = Folder::of("bert-mean");
    let chosen = || {
        let files = find(folder.root.path(), None).expect("weights are there");
        let name = files.weights[0].strip_prefix(folder.root.path());
        (
            name.expect("inside").to_string_lossy().replace('\\', "/"),
            files.warnings.len(),
        )
    };
    assert_eq!(chosen(), ("model.safetensors".into(), 0));
    folder.write("onnx/model_quantized.onnx", "x");
    assert_eq!(
        chosen(),
        ("model.safetensors".into(), 0),
        "altered, and other weights are there"
    );
    folder.write("onnx/model_O4.onnx", "x");
    assert_eq!(chosen(), ("model.safetensors".into(), 0));
    folder.write("onnx/model.onnx", "x");
    assert_eq!(chosen(), ("onnx/model.onnx".into(), 0));
    folder.write("model.onnx", "x");
    assert_eq!(chosen(), ("model.onnx".into(), 0));
    let only = find(folder.root.path(), Some(WeightsFormat::Safetensors)).expect("it is there");
    assert_eq!(only.weights[0], folder.path("model.safetensors"));

    folder
        .remove("model.safetensors")
        .remove("model.onnx")
        .remove("onnx/model.onnx")
        .remove("onnx/model_O4.onnx");
    assert_eq!(
        chosen(),
        ("onnx/model_quantized.onnx".into(), 1),
        "the only one, and said"
    );
    let named = find(&folder.path("onnx/model_quantized.onnx"), None).expect("it was named");
    assert_eq!((named.warnings.len(), named.explicit), (0, true));
    assert_eq!(
        named.root,
        folder.root.path(),
        "the tokenizer lies one folder up"
    );
}

/// Exporters leave a configuration next to the graph; the pooling is known one folder up.
#[test]
fn a_named_graph_with_a_configuration_of_its_own_is_pooled_as_its_model() {
    let folder = Folder::of("xlmr-cls");
    let config = fs::read(&folder.path("config.json")).expect("it can be read");
    folder.write("onnx/config.json", &config);
    folder.write("onnx/model.onnx", "x");
    let found = find(&folder.path("onnx/model.onnx"), None).expect("it was named");
    assert_eq!(found.root, folder.root.path());
    let overrides = Overrides {
        graph: Some(graph(&[("last_hidden_state", Some(3))])),
        strict: true,
        ..Overrides::default()
    };
    let spec = spec::read(&folder.path("onnx/model.onnx"), &overrides).expect("nothing is guessed");
    assert_eq!(modes(&spec), [Pooling::Cls]);
    assert_eq!(source(&spec, "pooling"), "1_Pooling/config.json");

    // Where no folder above says otherwise, the folder is read as it is.
    folder.remove("modules.json");
    let alone = find(&folder.path("onnx/model.onnx"), None).expect("it was named");
    assert_eq!(alone.root, folder.path("onnx"));
}

#[test]
fn static_embeddings_are_read_from_safetensors_though_a_graph_lies_beside() {
    let folder = Folder::of("static");
    folder.write("onnx/model.onnx", "x");
    let spec = folder.read().expect("it can be read");
    assert_eq!(
        (spec.backend, spec.format),
        ("static", WeightsFormat::Safetensors)
    );
    let named = spec::read(&folder.path("onnx/model.onnx"), &Overrides::default());
    let error = named.expect_err("this graph is not run").to_string();
    assert!(error.contains("`model.safetensors` only"), "{error}");
}

#[test]
fn shards_are_found_through_their_index() {
    let folder = Folder::of("bert-mean");
    let weights = fs::read(&folder.path("model.safetensors")).expect("it can be read");
    folder
        .remove("model.safetensors")
        .write("model-00002-of-00002.safetensors", &weights)
        .write("model-00001-of-00002.safetensors", &weights)
        .write(
            "model.safetensors.index.json",
            r#"{"weight_map": {"b": "model-00002-of-00002.safetensors",
                "a": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"}}"#,
        );
    for path in [
        folder.root.path().to_owned(),
        folder.path("model.safetensors.index.json"),
    ] {
        let spec = spec::read(&path, &Overrides::default()).expect("it can be read");
        let names: Vec<_> = spec.weights.iter().filter_map(|p| p.file_name()).collect();
        assert_eq!(
            names,
            [
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors"
            ]
        );
        assert!(
            spec.files
                .iter()
                .any(|f| f.name == "model.safetensors.index.json")
        );
    }
}

#[test]
fn the_first_module_s_folder_holds_weights_and_tokenizer() {
    let flat = Folder::of("bert-mean");
    let nested = Folder::of("bert-mean");
    for name in [
        "config.json",
        "model.safetensors",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        let content = fs::read(&nested.path(name)).expect("it can be read");
        nested
            .remove(name)
            .write(&format!("0_Transformer/{name}"), content);
    }
    let text = fs::read(&nested.path("modules.json")).expect("it can be read");
    let text = String::from_utf8(text).expect("UTF-8");
    nested.write(
        "modules.json",
        text.replacen("\"path\": \"\"", "\"path\": \"0_Transformer\"", 1),
    );
    let (flat, spec) = (flat.read().expect("flat"), nested.read().expect("nested"));
    assert_eq!(spec.modules, flat.modules);
    assert_eq!(spec.max_tokens, flat.max_tokens);
    assert_eq!(
        spec.weights,
        [nested.path("0_Transformer/model.safetensors")]
    );
    let named = spec::read(&spec.weights[0], &Overrides::default()).expect("named");
    assert_eq!((named.modules, named.folder), (spec.modules, spec.folder));
}

#[test]
fn a_graph_s_output_is_chosen_by_name_and_a_finished_one_is_not_pooled_again() {
    const RAW: (&str, Option<usize>) = ("last_hidden_state", Some(3));
    const DONE: (&str, Option<usize>) = ("sentence_embedding", Some(2));
    let folder = Folder::of("t5enc-dense");
    folder.write("model.onnx", "a graph that is not looked at");
    let with = |outputs: &[(&str, Option<usize>)]| Overrides {
        graph: Some(graph(outputs)),
        ..Overrides::default()
    };
    // This model leaves its prompt out, so it needs the token states.
    let spec = folder
        .read_with(&with(&[DONE, RAW]))
        .expect("it can be read");
    assert_eq!(spec.onnx_output.as_deref(), Some("last_hidden_state"));
    assert_eq!(spec.modules.len(), 3);
    assert!(folder.read_with(&with(&[DONE])).is_err(), "there are none");

    folder.set("1_Pooling/config.json", &json!({"include_prompt": true}));
    let spec = folder
        .read_with(&with(&[RAW, DONE]))
        .expect("it can be read");
    assert_eq!(spec.onnx_output.as_deref(), Some("sentence_embedding"));
    assert_eq!(
        spec.modules,
        [Module::Normalize],
        "pooling and dense layer are done"
    );
    let spec = folder
        .read_with(&with(&[("text_embeds", None)]))
        .expect("it can be read");
    assert_eq!(spec.onnx_output.as_deref(), Some("text_embeds"));
    // Not when the user pools differently.
    let asked = Overrides {
        pooling: Some(vec![Pooling::Cls]),
        ..with(&[RAW, DONE])
    };
    let spec = folder.read_with(&asked).expect("it can be read");
    assert_eq!(spec.onnx_output.as_deref(), Some("last_hidden_state"));
    let named = Overrides {
        onnx_output: Some("other".into()),
        ..with(&[RAW, DONE])
    };
    let error = folder
        .read_with(&named)
        .expect_err("it is not there")
        .to_string();
    assert!(
        error.contains("`last_hidden_state`, `sentence_embedding`"),
        "{error}"
    );
    // A usual name of token states on one vector for each text: the flag takes it as it is.
    let flat = with(&[("last_hidden_state", Some(2))]);
    let error = folder.read_with(&flat).expect_err("no token states");
    assert!(
        error
            .hint()
            .is_some_and(|h| h.contains("`--onnx-output last_hidden_state` takes it")),
        "{error}"
    );
    let named = Overrides {
        onnx_output: Some("last_hidden_state".into()),
        ..flat
    };
    let spec = folder.read_with(&named).expect("it is named");
    assert_eq!(spec.modules, [Module::Normalize]);
    // An unusual name is a guess; two of them are an error.
    let odd = with(&[("output_0", Some(3)), ("pooler_output", Some(2))]);
    let spec = folder.read_with(&odd).expect("a guess");
    assert!(
        spec.decisions
            .iter()
            .any(|d| d.guessed && d.what == Setting::Output)
    );
    assert!(
        folder
            .read_with(&with(&[("x", Some(3)), ("y", Some(3))]))
            .is_err()
    );
    assert_eq!(spec.dtype, "float32");
    let other = Overrides {
        dtype: Some("float16".into()),
        ..with(&[RAW])
    };
    assert!(
        folder.read_with(&other).is_err(),
        "a graph's number type is fixed"
    );
}

#[test]
fn a_graph_that_pools_the_last_token_itself_wants_its_end_token() {
    let folder = Folder::of("mistral-last");
    folder.write("model.onnx", "a graph that is not looked at");
    let path = folder.path("tokenizer.json");
    let mut tokenizer: Value =
        serde_json::from_slice(&fs::read(&path).expect("it can be read")).expect("JSON");
    tokenizer["post_processor"] = Value::Null;
    folder.write("tokenizer.json", tokenizer.to_string());
    let overrides = Overrides {
        graph: Some(graph(&[("sentence_embedding", Some(2))])),
        ..Overrides::default()
    };
    let spec = folder.read_with(&overrides).expect("it can be read");
    assert_eq!(
        (spec.onnx_output.as_deref(), spec.append_token),
        (Some("sentence_embedding"), Some(2))
    );
}

#[test]
fn a_folder_without_modules_uses_a_finished_output() {
    let folder = Folder::of("bert-mean");
    folder
        .remove("modules.json")
        .remove("1_Pooling")
        .remove("model.safetensors")
        .write("model.onnx", "a graph that is not looked at");
    let overrides = Overrides {
        graph: Some(graph(&[
            ("sentence_embedding", Some(2)),
            ("token_embeddings", Some(3)),
        ])),
        ..strict()
    };
    let spec = folder.read_with(&overrides).expect("nothing is guessed");
    assert_eq!(spec.onnx_output.as_deref(), Some("sentence_embedding"));
    assert!(spec.modules.is_empty());
}

#[test]
fn padding_side_and_attention_are_read() {
    let folder = Folder::of("qwen2-last");
    folder
        .set("tokenizer_config.json", &json!({"padding_side": "left"}))
        .set("config.json", &json!({"is_causal": false}));
    let spec = folder.read().expect("it can be read");
    assert_eq!(
        (spec.padding_side, spec.causal),
        (PaddingSide::Left, Some(false))
    );
    assert_eq!(spec.pad_id, 1);
}

#[test]
fn the_real_encoder_is_read_as_its_authors_use_it() {
    let Some(folder) = shared("models/all-MiniLM-L6-v2") else {
        return;
    };
    let spec = spec::read(&folder, &strict()).expect("nothing is guessed");
    assert_eq!(spec.name, "all-MiniLM-L6-v2");
    assert_eq!(
        spec.max_tokens, 256,
        "not the 128 baked into tokenizer.json"
    );
    assert_eq!(modes(&spec), [Pooling::Mean]);
    assert_eq!(spec.modules.last(), Some(&Module::Normalize));
    assert_eq!(spec.weights, [folder.join("onnx/model.onnx")]);
    assert_eq!(spec.onnx_output.as_deref(), Some("last_hidden_state"));
    assert_eq!((spec.format, spec.pad_id), (WeightsFormat::Onnx, 0));
}
