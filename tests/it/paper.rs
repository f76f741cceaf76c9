//! The seven encoders of the paper's Table 3: what is read of their published configurations, and
//! what would be run under each protocol.

use std::path::Path;

use super::support::{Home, repository, shared};

/// Model, tokenizer files of the shared folder, number type of the published weights.
const MODELS: [(&str, &[&str], &str); 7] = [
    (
        "BAAI/bge-large-en-v1.5",
        &["bert-base-uncased/vocab.txt"],
        "F32",
    ),
    (
        "sentence-transformers/all-MiniLM-L12-v2",
        &["bert-base-uncased/vocab.txt"],
        "F32",
    ),
    ("BAAI/bge-m3", &["xlm-roberta-base/tokenizer.json"], "F32"),
    (
        "hkunlp/instructor-base",
        &["t5-small/tokenizer.json"],
        "F32",
    ),
    (
        "intfloat/e5-mistral-7b-instruct",
        &["mistral-7b-v0.1/tokenizer.model"],
        "F16",
    ),
    (
        "BAAI/bge-en-icl",
        &["mistral-7b-v0.1/tokenizer.model"],
        "F32",
    ),
    (
        "Alibaba-NLP/gte-Qwen2-1.5B-instruct",
        &["qwen2/tokenizer.json"],
        "F32",
    ),
];

/// A safetensors file with one tensor of zeros.
fn safetensors(path: &Path, name: &str, dtype: &str, shape: &[usize]) {
    let width = if dtype == "F32" { 4 } else { 2 };
    let bytes = shape.iter().product::<usize>() * width;
    let header = serde_json::json!({
        name: {"dtype": dtype, "shape": shape, "data_offsets": [0, bytes]}
    })
    .to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    std::fs::write(path, file).expect("written");
}

#[test]
fn each_encoder_of_the_paper_is_read_and_shown_as_it_would_be_run() {
    let Some(tokenizers) = shared("tokenizers") else {
        return;
    };
    let home = Home::new();
    for (model, files, dtype) in MODELS {
        let name = model.rsplit('/').next().expect("a name");
        let folder = home.path(model);
        home.copy(
            &repository(&format!("tests/reference/paper/{name}")),
            &folder,
        );
        for file in files {
            let to = folder.join(Path::new(file).file_name().expect("a name"));
            std::fs::copy(tokenizers.join(file), to).expect("copied");
        }
        safetensors(
            &folder.join("model.safetensors"),
            "embeddings.weight",
            dtype,
            &[2, 2],
        );
        if folder.join("2_Dense").exists() {
            let dense = folder.join("2_Dense/model.safetensors");
            safetensors(&dense, "linear.weight", "F32", &[768, 768]);
        }
        let mut shown = String::new();
        for protocol in ["native", "raw", "mteb", "finmteb"] {
            let path = format!("./{model}");
            let arguments = [
                "eval",
                &path,
                "--suite",
                "korfin-shift",
                "--protocol",
                protocol,
                "--dry-run",
                "--no-baselines",
            ];
            let output = home.command(&arguments).assert().success();
            let output = output.get_output();
            shown.push_str(&format!("--- {protocol}\n"));
            shown.push_str(&String::from_utf8_lossy(&output.stderr));
            shown.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        insta::assert_snapshot!(format!("paper_{name}"), shown);
    }
}
