//! Models by hub id, from the command to the record, through a server of the hub's protocol.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use predicates::prelude::*;
use serde_json::{Value, json};

use super::server::{Answer, Seen, Server};
use super::support::{Home, repository};

const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";
const MODEL: &str = "tests/reference/encoders/bert-mean";
/// What a repository holds besides what an evaluation needs.
const UNNEEDED: [&str; 7] = [
    "README.md",
    "pytorch_model.bin",
    "tf_model.h5",
    "onnx/model_O4.onnx",
    "onnx/model_quantized.onnx",
    "openvino/openvino_model.bin",
    "train_script.py",
];

/// A repository with the files of a folder, and others that nobody needs.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .filter(|p| p.is_file() && !p.to_string_lossy().contains("golden"))
        .map(|p| {
            let name = p.strip_prefix(folder).expect("below").display().to_string();
            (name, std::fs::read(&p).expect("read"))
        })
        .collect();
    for name in UNNEEDED {
        files.insert(name.to_owned(), b"nobody needs this".to_vec());
    }
    files
}

/// The hub's answers for `org/tiny`: small files by git hash, large ones by SHA-256 and through
/// the storage.
fn answer(files: &BTreeMap<String, Vec<u8>>, seen: &Seen) -> Answer {
    let path = seen.path.as_str();
    if let Some(revision) = path.strip_prefix("/api/models/org/tiny/revision/") {
        if !["main", "v1.0", COMMIT].contains(&revision) {
            return Answer::status(404).with("x-error-code", "RevisionNotFound");
        }
        let siblings: Vec<Value> = files.keys().map(|f| json!({"rfilename": f})).collect();
        return Answer::json(&json!({"sha": COMMIT, "siblings": siblings}));
    }
    let resolve = format!("/org/tiny/resolve/{COMMIT}/");
    if let Some(name) = path.strip_prefix(&resolve) {
        let Some(body) = files.get(name) else {
            return Answer::status(404);
        };
        if !name.ends_with(".safetensors") {
            return part(seen, body).with("etag", format!("\"{}\"", git_hash(body)));
        }
        return Answer::status(302)
            .with("location", format!("/storage/{name}"))
            .with(
                "x-linked-etag",
                format!("\"{}\"", korfinsts_base::fs::sha256(body)),
            )
            .with("x-linked-size", body.len().to_string());
    }
    match path
        .strip_prefix("/storage/")
        .and_then(|name| files.get(name))
    {
        Some(body) => part(seen, body),
        None => Answer::status(404),
    }
}

/// A body, or the part of it that was asked for.
fn part(seen: &Seen, body: &[u8]) -> Answer {
    match seen.range.as_deref().and_then(|r| r.strip_prefix("bytes=")) {
        Some(range) => {
            let from: usize = range.trim_end_matches('-').parse().expect("a number");
            Answer::status(206).body(&body[from..])
        }
        None => Answer::status(200).body(body),
    }
}

fn git_hash(body: &[u8]) -> String {
    // The hub module hashes as git does; here the cache's own check is what is tested, so the tag
    // is one whose kind is not known, unless the content is.
    format!("tag-{}", &korfinsts_base::fs::sha256(body)[..24])
}

fn eval(home: &Home, server: &Server, model: &str, more: &[&str]) -> assert_cmd::assert::Assert {
    let arguments = [
        &[
            "eval",
            model,
            "--suite",
            "korfin-shift",
            "--no-baselines",
            "--resamples",
            "200",
            "--format",
            "json",
        ],
        more,
    ];
    home.command(&arguments.concat())
        .env("HF_ENDPOINT", &server.address)
        .env("HF_HUB_OFFLINE", "0")
        .assert()
}

fn record(assert: &assert_cmd::assert::Assert) -> Value {
    let records: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    records[0].clone()
}

#[test]
fn an_id_is_downloaded_once_evaluated_and_pinned() {
    let files = files(&repository(MODEL));
    let served = files.clone();
    let server = Server::new(move |seen, _| answer(&served, seen));
    let home = Home::new();
    let first = eval(&home, &server, "org/tiny", &[]).success();
    let found = record(&first);
    assert_eq!(found["encoder"]["name"], "org/tiny");
    assert_eq!(found["encoder"]["revision"], COMMIT);
    let weights = korfinsts_base::fs::sha256(&files["model.safetensors"]);
    assert_eq!(found["encoder"]["sha256"], weights);
    let asked: Vec<String> = server.seen().into_iter().map(|s| s.path).collect();
    for name in UNNEEDED {
        assert!(
            !asked.iter().any(|p| p.ends_with(name)),
            "{name} was asked for"
        );
    }
    for name in [
        "model.safetensors",
        "tokenizer.json",
        "modules.json",
        "1_Pooling/config.json",
    ] {
        assert!(
            asked.iter().any(|p| p.ends_with(name)),
            "{name} was not asked for"
        );
    }

    // The same model as a folder scores the same.
    let path = repository(MODEL).display().to_string();
    let local = record(&eval(&home, &server, &path, &[]).success());
    assert_eq!(found["scores"], local["scores"]);

    // Offline, and by commit, what is there is used, and nothing is asked.
    let before = server.seen().len();
    for (model, more) in [
        ("org/tiny", &["--offline"][..]),
        ("org/tiny@main", &["--offline"]),
        (&format!("org/tiny@{COMMIT}"), &[]),
    ] {
        let again = eval(&home, &server, model, more).success();
        assert_eq!(
            again.get_output().stdout,
            first.get_output().stdout,
            "{model}"
        );
    }
    assert_eq!(server.seen().len(), before);

    // A tag is resolved, and its files are there already.
    let tagged = record(&eval(&home, &server, "org/tiny@v1.0", &[]).success());
    assert_eq!(tagged, found);
    let new: Vec<String> = server.seen()[before..]
        .iter()
        .map(|s| s.path.clone())
        .collect();
    assert_eq!(new, ["/api/models/org/tiny/revision/v1.0"]);
    eval(&home, &server, "org/tiny@v9", &[])
        .code(5)
        .stderr(predicate::str::contains(
            "the hub has no model `org/tiny` at `v9`",
        ));
    eval(&home, &server, "org/absent", &["--offline"])
        .code(5)
        .stderr(predicate::str::contains("the network is not to be used"));
}

#[test]
fn a_download_that_was_cut_goes_on_and_damaged_bytes_are_refused() {
    let files = files(&repository(MODEL));
    let cut = Arc::new(AtomicBool::new(true));
    let (served, switch) = (files.clone(), Arc::clone(&cut));
    let server = Server::new(move |seen, _| {
        let mut given = answer(&served, seen);
        let body = seen.path == "/storage/model.safetensors" && seen.method == "GET";
        if body && switch.swap(false, Ordering::SeqCst) {
            given.cut_after = Some(given.body.len() / 3);
        }
        given
    });
    let home = Home::new();
    eval(&home, &server, "org/tiny", &[]).success();
    let ranges: Vec<Option<String>> = server
        .seen()
        .into_iter()
        .filter(|s| s.path == "/storage/model.safetensors" && s.method == "GET")
        .map(|s| s.range)
        .collect();
    let third = files["model.safetensors"].len() / 3;
    assert_eq!(ranges, [None, Some(format!("bytes={third}-"))]);

    let mut damaged = files.clone();
    damaged.get_mut("model.safetensors").expect("weights")[5000] ^= 1;
    let (honest, damaged) = (files, damaged);
    let server = Server::new(move |seen, _| {
        let files = if seen.path.starts_with("/storage") {
            &damaged
        } else {
            &honest
        };
        answer(files, seen)
    });
    let home = Home::new();
    eval(&home, &server, "org/tiny", &[])
        .code(5)
        .stderr(predicate::str::contains("expected sha256"));
}

/// A cache as Python's library leaves it.
fn python_cache(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let repo = root.join("models--org--tiny");
    let snapshot = repo.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(repo.join("blobs")).expect("made");
    std::fs::create_dir_all(repo.join("refs")).expect("made");
    std::fs::write(repo.join("refs/main"), COMMIT).expect("written");
    for (name, body) in files {
        let blob = repo.join("blobs").join(korfinsts_base::fs::sha256(body));
        std::fs::write(&blob, body).expect("written");
        let link = snapshot.join(name);
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        #[cfg(unix)]
        {
            let up: PathBuf = std::iter::repeat_n("..", 2 + name.matches('/').count()).collect();
            let target = up.join("blobs").join(blob.file_name().expect("a name"));
            std::os::unix::fs::symlink(target, link).expect("linked");
        }
        #[cfg(not(unix))]
        std::fs::write(link, body).expect("written");
    }
}

#[test]
fn what_a_python_user_downloaded_is_found_and_used() {
    let files = files(&repository(MODEL));
    let home = Home::new();
    python_cache(&home.path("hub"), &files);
    let server = Server::new(|_, _| Answer::status(500));
    for (model, more) in [
        ("org/tiny", &["--offline"][..]),
        (&format!("org/tiny@{COMMIT}"), &["--offline"]),
    ] {
        let found = record(&eval(&home, &server, model, more).success());
        assert_eq!(found["encoder"]["revision"], COMMIT);
    }
    assert!(server.seen().is_empty());
    // Where the hub cannot answer, what is there does.
    let found = record(&eval(&home, &server, "org/tiny", &[]).success());
    assert_eq!(found["encoder"]["revision"], COMMIT);
}

/// The hub's bge-m3 keeps tensors in `onnx/Constant_7_attr__value`: data that bears no name of its graph.
#[test]
fn external_data_is_downloaded_under_whatever_name_the_graph_gives_it() {
    let mut files = files(&repository(MODEL));
    let graph = repository("tests/reference/onnx/bert-external");
    let (old, new): (&[u8; 15], &[u8; 15]) = (b"model.onnx_data", b"Constant_7_data");
    let mut body = std::fs::read(graph.join("model.onnx")).expect("a graph");
    let mut renamed = 0;
    while let Some(at) = body.windows(old.len()).position(|w| w == old) {
        body[at..at + new.len()].copy_from_slice(new);
        renamed += 1;
    }
    assert!(renamed > 0, "the graph names its data");
    let data = std::fs::read(graph.join("model.onnx_data")).expect("data");
    files.insert("onnx/model.onnx".into(), body);
    files.insert("onnx/Constant_7_data".into(), data);
    // Not named by the graph, so not needed.
    files.insert("onnx/model.onnx_data".into(), b"of another export".to_vec());
    let server = Server::new(move |seen, _| answer(&files, seen));
    let home = Home::new();
    let read = |offline: &str| {
        home.command(&[
            "eval",
            "org/tiny",
            "--suite",
            "korfin-shift",
            "--dry-run",
            "--no-baselines",
            "--backend",
            "rten",
        ])
        .env("HF_ENDPOINT", &server.address)
        .env("HF_HUB_OFFLINE", offline)
        .assert()
        .success()
        .stderr(predicate::str::contains("onnx/model.onnx"));
    };
    read("0");
    let asked: Vec<String> = server.seen().into_iter().map(|s| s.path).collect();
    assert!(asked.iter().any(|p| p.ends_with("onnx/Constant_7_data")));
    assert!(!asked.iter().any(|p| p.ends_with("onnx/model.onnx_data")));
    read("1");
    assert_eq!(server.seen().len(), asked.len(), "from the cache");
}

#[test]
fn of_several_graphs_only_the_plain_one_is_downloaded_with_its_data() {
    let mut files = files(&repository(MODEL));
    let graph = repository("tests/reference/onnx/bert-external");
    for name in ["model.onnx", "model.onnx_data"] {
        let body = std::fs::read(graph.join(name)).expect("a graph");
        files.insert(format!("onnx/{name}"), body);
    }
    let server = Server::new(move |seen, _| answer(&files, seen));
    let home = Home::new();
    home.command(&[
        "eval",
        "org/tiny",
        "--suite",
        "korfin-shift",
        "--dry-run",
        "--no-baselines",
        "--backend",
        "rten",
    ])
    .env("HF_ENDPOINT", &server.address)
    .env("HF_HUB_OFFLINE", "0")
    .assert()
    .success()
    .stderr(predicate::str::contains("onnx/model.onnx"))
    .stdout(predicate::str::contains(
        "org/tiny (protocol `native`) on korfin-shift test: 888 pairs",
    ));
    let asked: Vec<String> = server.seen().into_iter().map(|s| s.path).collect();
    let weights: Vec<&String> = asked
        .iter()
        .filter(|p| p.contains(".onnx") || p.contains(".safetensors") || p.contains(".bin"))
        .collect();
    assert!(!weights.is_empty());
    for path in weights {
        assert!(
            path.ends_with("onnx/model.onnx") || path.ends_with("onnx/model.onnx_data"),
            "{path}"
        );
    }
    home.command(&[
        "eval",
        "org/tiny",
        "--suite",
        "korfin-shift",
        "--dry-run",
        "--backend",
        "candle",
    ])
    .env("HF_ENDPOINT", &server.address)
    .env("HF_HUB_OFFLINE", "0")
    .assert()
    .success()
    .stderr(predicate::str::contains("model.safetensors"));
}

#[test]
fn a_tokenizer_of_the_hub_is_reported_on_without_its_weights() {
    let files = files(&repository(MODEL));
    let server = Server::new(move |seen, _| answer(&files, seen));
    let home = Home::new();
    let report = |address: &str, offline: &str| {
        let assert = home
            .command(&[
                "tokenizer",
                "coverage",
                "org/tiny@v1.0",
                "--suite",
                "korfin-shift",
                "--no-terms",
                "--format",
                "json",
            ])
            .env("HF_ENDPOINT", address)
            .env("HF_HUB_OFFLINE", offline)
            .assert()
            .success();
        serde_json::from_slice::<Value>(&assert.get_output().stdout).expect("JSON")
    };
    let found = report(&server.address, "0");
    assert_eq!(found[0]["tokenizer"], "org/tiny");
    assert!(found[0]["suites"]["korfin-shift"]["truncated_share"].is_number());
    let asked: Vec<String> = server.seen().into_iter().map(|s| s.path).collect();
    assert!(asked.iter().any(|p| p.ends_with("/tokenizer.json")));
    for path in &asked {
        let weights =
            path.contains(".safetensors") || path.contains(".onnx") || path.contains(".bin");
        assert!(!weights, "{path}");
    }
    assert_eq!(report("http://127.0.0.1:9", "1"), found, "from the cache");
}

/// A copy of a reference adapter whose base is named `base`.
fn adapter(home: &Home, base: &str) -> PathBuf {
    let folder = home.path("adapter");
    home.copy(&repository("tests/reference/adapters/bert-list"), &folder);
    let config = folder.join("adapter_config.json");
    let mut value: Value =
        serde_json::from_slice(&std::fs::read(&config).expect("read")).expect("JSON");
    value["base_model_name_or_path"] = base.into();
    value["revision"] = "v1.0".into();
    std::fs::write(&config, value.to_string()).expect("written");
    folder
}

#[cfg(feature = "candle")]
#[test]
fn an_adapter_and_its_base_come_from_the_hub_or_from_disk() {
    let base = files(&repository(MODEL));
    let of = |record: &Value, role: &str| -> Vec<Value> {
        let files = record["encoder"]["files"].as_array().expect("files");
        let files = files.iter().filter(|f| f["role"] == role);
        files.map(|f| f["sha256"].clone()).collect()
    };
    // The base on the hub, the adapter on disk.
    let home = Home::new();
    let served = base.clone();
    let server = Server::new(move |seen, _| answer(&served, seen));
    let folder = adapter(&home, "org/tiny");
    let found = record(&eval(&home, &server, &folder.display().to_string(), &[]).success());
    let weights = korfinsts_base::fs::sha256(&base["model.safetensors"]);
    assert_eq!(of(&found, "weights"), [Value::from(weights.clone())]);
    let own = std::fs::read(folder.join("adapter_model.safetensors")).expect("read");
    let own = Value::from(korfinsts_base::fs::sha256(&own));
    assert_eq!(of(&found, "weights-adapter"), std::slice::from_ref(&own));
    let decisions = found["encoder"]["decisions"].as_array().expect("decisions");
    let named = decisions
        .iter()
        .find(|d| d["what"] == "base")
        .expect("a base");
    assert_eq!(named["value"], format!("org/tiny@{COMMIT}"));
    let asked: Vec<String> = server.seen().into_iter().map(|s| s.path).collect();
    assert!(
        asked.contains(&"/api/models/org/tiny/revision/v1.0".to_owned()),
        "{asked:?}"
    );

    // The adapter on the hub, the base on disk: the same scores.
    let home = Home::new();
    let folder = adapter(&home, &repository(MODEL).display().to_string());
    let served = files(&folder);
    let server = Server::new(move |seen, _| answer(&served, seen));
    let again = record(&eval(&home, &server, "org/tiny", &[]).success());
    assert_eq!(again["scores"], found["scores"]);
    assert_eq!(again["encoder"]["revision"], COMMIT);
    assert_eq!(of(&again, "weights"), [Value::from(weights)]);
    assert_eq!(of(&again, "weights-adapter"), [own]);
    let plain = record(
        &eval(
            &home,
            &server,
            &repository(MODEL).display().to_string(),
            &[],
        )
        .success(),
    );
    assert_ne!(plain["scores"], found["scores"]);

    // A base that is nowhere: the file, what it says, and what to write.
    let home = Home::new();
    let folder = adapter(&home, "/models/of/another/machine");
    eval(&home, &server, &folder.display().to_string(), &[])
        .code(4)
        .stderr(predicate::str::contains(
            "adapter_config.json: `base_model_name_or_path` is `/models/of/another/machine`",
        ))
        .stderr(predicate::str::contains(
            "hint: write the path or the hub id of that model",
        ));
}
