//! The configuration of a model: `config.json`, `tokenizer_config.json`, `sentence_bert_config.json` and that of the pooling, with a NUL
//! between them, in a folder whose tokenizer and header of weights are in order.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use korfinsts_encoder::open::{self, ModelOptions};
use libfuzzer_sys::fuzz_target;

mod scratch;

const FILES: [&str; 4] = [
    "config.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];

const TOKENIZER: &str = r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{"type":"BertNormalizer",
"clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
"post_processor":null,"decoder":null,"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
"max_input_chars_per_word":100,"vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"a":4,"b":5}}}"###;

/// What no input changes.
fn prepare(folder: &Path) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        std::fs::create_dir_all(folder.join("1_Pooling")).expect("memory");
        let header = r#"{"embeddings.word_embeddings.weight":{"dtype":"F32","shape":[6,1],"data_offsets":[0,24]}}"#;
        let mut weights = (header.len() as u64).to_le_bytes().to_vec();
        weights.extend(header.as_bytes());
        weights.extend([0; 24]);
        let modules = r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
            {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#;
        for (name, content) in [
            ("model.safetensors", weights.as_slice()),
            ("tokenizer.json", TOKENIZER.as_bytes()),
            ("modules.json", modules.as_bytes()),
        ] {
            std::fs::write(folder.join(name), content).expect("memory");
        }
    });
}

fuzz_target!(|data: &[u8]| {
    let folder = scratch::folder("model");
    prepare(folder);
    let mut parts = data.split(|byte| *byte == 0);
    for name in FILES {
        let path = folder.join(name);
        match parts.next() {
            Some(content) => std::fs::write(path, content).expect("memory"),
            None => _ = std::fs::remove_file(path),
        }
    }
    let source = folder.to_string_lossy();
    let lenient = open::read(&source, &ModelOptions::default()).is_ok();
    let options = ModelOptions { strict: true, ..ModelOptions::default() };
    let strict = open::read(&source, &options).is_ok();
    assert!(lenient || !strict, "strict reads what is refused otherwise");
});
