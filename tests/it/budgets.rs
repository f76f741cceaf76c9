//! Inputs that are small and become large: each is refused with its place within a stated budget of memory
//! and time. `cargo nextest run budgets --no-capture` prints what each of them took.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use korfinsts_base::protobuf::Message;
use serde_json::{Value, json};

use super::mine;
use super::server::{Answer, Seen, Server};
use super::submission::fixture;
use super::support::{Home, full};

/// Most memory of a process, in MB.
const MEMORY: u64 = 2048;
/// Most address space, which ends a process that asks for what the budget does not hold, in KB.
const ADDRESSES: u64 = 6_000_000;
/// Longest time of a process; a busy machine takes several times as long as an idle one.
const TIME: Duration = Duration::from_mins(3);

/// How a process ended.
struct Took {
    code: Option<i32>,
    said: String,
    memory: u64,
    time: Duration,
    /// Whether the process had bounded the memory that it may ask for.
    bounded: bool,
}

/// Runs `korfinsts ARGUMENTS` under the limits; its peak is looked at all the time.
fn run(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Took {
    let out = home.path("stderr.txt");
    let file = std::fs::File::create(&out).expect("created");
    let mut shell = Command::new("sh");
    let mut child = home
        .settled(&mut shell)
        .args(["-c", &format!("ulimit -v {ADDRESSES}; exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_korfinsts"))
        .args(arguments)
        .env_remove("HF_HUB_OFFLINE")
        .envs(variables.iter().copied())
        .stdin(std::fs::File::open(home.path("stdin")).map_or_else(|_| Stdio::null(), Stdio::from))
        .stdout(file.try_clone().expect("cloned"))
        .stderr(file)
        .spawn()
        .expect("sh starts");
    let (begun, mut memory, mut bounded) = (Instant::now(), 0, false);
    let status = loop {
        let status = format!("/proc/{}/status", child.id());
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok());
        memory = memory.max(peak.unwrap_or(0_u64) / 1024);
        let limits = format!("/proc/{}/limits", child.id());
        let limits = std::fs::read_to_string(limits).unwrap_or_default();
        let data = limits.lines().find_map(|l| l.strip_prefix("Max data size"));
        bounded |= data.is_some_and(|l| !l.trim().starts_with("unlimited"));
        if let Some(status) = child.try_wait().expect("asked") {
            break status;
        }
        if begun.elapsed() > TIME {
            child.kill().expect("stopped");
            break child.wait().expect("gone");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let said = std::fs::read(&out).expect("read");
    Took {
        code: status.code(),
        said: String::from_utf8_lossy(&said).into_owned(),
        memory,
        time: begun.elapsed(),
        bounded,
    }
}

/// Prints what an input took, and checks that it was refused (or read) as it should within the budget.
fn check(what: &str, took: &Took, code: i32, says: &str) {
    let first = took.said.lines().find(|l| l.starts_with("error: "));
    let first: String = first.unwrap_or_default().chars().take(160).collect();
    let (memory, seconds) = (took.memory, took.time.as_secs_f64());
    eprintln!("| {what} | {memory} MB | {seconds:.1} s | {first} |");
    let end: String = took.said.chars().rev().take(2000).collect();
    let end: String = end.chars().rev().collect();
    assert_eq!(took.code, Some(code), "{what}: {end}");
    assert!(took.said.contains(says), "{what}: `{says}` is not in {end}");
    assert!(memory < MEMORY, "{what}: {memory} MB");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// Files of a repository.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// A server whose answers have a head and no end.
fn endless(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut request = vec![0; 65_536];
                let n = stream.read(&mut request).unwrap_or(0);
                let text = String::from_utf8_lossy(&request[..n]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                if path.starts_with("/api/") {
                    let listing = json!({
                        "sha": "0123456789abcdef0123456789abcdef01234567",
                        "siblings": FILES.map(|name| json!({"rfilename": name})),
                    });
                    let listing = listing.to_string();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{listing}",
                        listing.len()
                    );
                    return;
                }
                let head = format!("HTTP/1.1 200 X\r\nconnection: close\r\n{head}\r\n");
                if text.starts_with("HEAD") {
                    let _ = stream.write_all(head.as_bytes());
                    return;
                }
                let head = head.replacen("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n", 1);
                let mut chunk = b"100000\r\n[".to_vec();
                chunk.extend(b"0,".repeat(0x80000 - 1));
                chunk.extend(b"0\r\n");
                let _ = stream.write_all(head.as_bytes());
                while stream.write_all(&chunk).is_ok() {}
            });
        }
    });
    address
}

#[test]
fn answers_of_servers_are_bounded_after_they_are_unpacked() {
    let home = Home::new();
    let ask = |address: &str| {
        let url = format!("{address}/v1");
        let arguments = ["eval", &url, "--suite", "korfin-shift", "--limit", "8"];
        run(&home, &arguments, &[])
    };
    let bomb = gzip(&[b"[".to_vec(), b"0,".repeat(100 << 20), b"0]".to_vec()].concat());
    assert!(bomb.len() < 2 << 20);
    let packed = move || {
        Answer::status(200)
            .with("content-encoding", "gzip")
            .body(&bomb)
    };
    let all = packed.clone();
    let server = Server::new(move |_, _| all());
    let says = "the answer cannot be read: it has more than 16777216 bytes (unpacked)";
    check("a gzip bomb at /v1/models", &ask(&server.address), 5, says);
    let server = Server::new(move |seen, _| match seen.path.as_str() {
        "/v1/models" => Answer::json(&json!({"data": [{"id": "m"}]})),
        "/v1/embeddings" => packed(),
        _ => Answer::status(404),
    });
    let says = "it has more than 67108864 bytes (unpacked)";
    check(
        "a gzip bomb at /v1/embeddings",
        &ask(&server.address),
        5,
        says,
    );
    let row = [b"[".to_vec(), b"0,".repeat(19_999_999), b"0]".to_vec()].concat();
    let body = [&b"{\"data\":[{\"index\":0,\"embedding\":"[..], &row, b"}]}"].concat();
    let server = Server::new(move |seen, _| match seen.path.as_str() {
        "/v1/models" => Answer::json(&json!({"data": [{"id": "m"}]})),
        "/v1/embeddings" => Answer::status(200).body(&body),
        _ => Answer::status(404),
    });
    let says = "found an embedding of width 20000000, allowed are up to 65536";
    let took = ask(&server.address);
    check("an embedding of 20 million numbers", &took, 5, says);
    let seen = server.seen();
    let posts = seen.iter().filter(|s| s.path == "/v1/embeddings").count();
    assert_eq!(posts, 1, "it is not asked for again");
    let took = ask(&endless(""));
    check(
        "an answer without end",
        &took,
        5,
        "it has more than 16777216 bytes",
    );
    let server = Server::new(|seen, _| match seen.path.as_str() {
        "/v1/models" => Answer::json(&json!({"data": [{"id": "m"}]})),
        "/info" => Answer::status(404),
        _ => Answer::status(400).body(&vec![b'x'; 50_000_000]),
    });
    check(
        "the text of an error of 50 MB",
        &ask(&server.address),
        5,
        "status 400",
    );
}

#[test]
fn files_of_a_hub_are_as_long_as_it_says() {
    let home = Home::new();
    let ask = |address: &str| {
        let arguments = ["eval", "org/model", "--suite", "korfin-shift"];
        run(&home, &arguments, &[("HF_ENDPOINT", address)])
    };
    let cached = || {
        let files = walkdir::WalkDir::new(home.path("hub"));
        let files = files.into_iter().filter_map(Result::ok);
        let files = files.filter(|e| e.file_type().is_file());
        files
            .filter_map(|e| e.metadata().ok())
            .map(|m| m.len())
            .sum::<u64>()
    };
    let says = "it sends more than the 5 bytes that it declares";
    let address = endless("etag: \"abc-1\"\r\nx-linked-size: 5\r\n");
    check(
        "a file without end, 5 bytes declared",
        &ask(&address),
        5,
        says,
    );
    assert!(cached() < 1000, "{} bytes stay in the cache", cached());
    let declaring = |size: &'static str| {
        Server::new(move |seen, _| {
            if seen.path.starts_with("/api/") {
                let sha = "0123456789abcdef0123456789abcdef01234567";
                let files = FILES.map(|name| json!({"rfilename": name}));
                return Answer::json(&json!({"sha": sha, "siblings": files}));
            }
            let answer = Answer::status(200)
                .with("etag", "\"abc-1\"")
                .with("x-linked-size", size);
            answer.body(b"0123456789")
        })
    };
    let server = declaring("1125899906842624");
    let room = "the hub declares 1125899906842624 bytes more, and";
    let took = ask(&server.address);
    check("a file of 2^50 bytes, so declared", &took, 6, room);
    assert!(took.said.contains("hint: free some space"), "{}", took.said);
    let seen = server.seen();
    let asked = |s: &Seen| s.method == "GET" && !s.path.starts_with("/api/");
    assert!(!seen.iter().any(asked), "its bytes are not asked for");
    let server = declaring("5");
    let took = ask(&server.address);
    check("a file of 10 bytes, 5 declared", &took, 5, says);
    assert!(server.seen().len() <= 4, "{:?}", server.seen());
    if full("a gigabyte from a hub that declares no size") {
        let took = ask(&endless("etag: \"abc-1\"\r\n"));
        check(
            "a file without end, no size declared",
            &took,
            5,
            "it declares no size",
        );
        assert!(cached() < 1000, "{} bytes stay in the cache", cached());
    }
}

/// A suite of lines `score, sentence1, sentence2` in one file.
fn suite(home: &Home, file: &str, bytes: &[u8]) {
    let manifest = format!(
        "schema = 1\nid = \"s\"\nversion = \"1.0.0\"\ntitle = \"T\"\ndescription = \"For a test.\"\n\
         languages = [\"kor-Hang\"]\nlicence = \"NOASSERTION\"\nredistributable = false\n\
         default_split = \"test\"\n[scale]\nkind = \"interval\"\nmin = 0\nmax = 5\n[splits.test]\n\
         [[source]]\nname = \"own\"\nformat = {{ kind = \"auto\" }}\n\
         columns = {{ sentence1 = \"sentence1\", sentence2 = \"sentence2\", score = \"score\" }}\n\
         [source.files]\ntest = [{{ name = \"{file}\" }}]\n"
    );
    std::fs::create_dir_all(home.path("s")).expect("made");
    std::fs::write(home.path("s/suite.toml"), manifest).expect("written");
    std::fs::write(home.path("s").join(file), bytes).expect("written");
}

#[test]
fn rows_are_bounded_in_bytes_and_in_number() {
    let home = Home::new();
    let head = "score\tsentence1\tsentence2\n";
    let check_suite = || run(&home, &["suite", "check", "./s"], &[]);
    let lines = |n: usize| [head.as_bytes(), &b"1\ta\tb\n".repeat(n)].concat();
    suite(&home, "t.tsv.gz", &gzip(&lines(23 << 20)));
    let says = "not valid gzip: it has more than 134217728 bytes (unpacked)";
    check("a gz suite of 138 MB", &check_suite(), 1, says);
    suite(&home, "t.tsv.gz", &gzip(&lines(2_000_002)));
    let says = "it has more than 2000000 lines, the most that is read of one file";
    check(
        "a gz suite of 2 million rows and 2",
        &check_suite(),
        1,
        says,
    );
    let objects = [b"[".to_vec(), b"{},".repeat(2_000_001), b"{}]".to_vec()].concat();
    suite(&home, "t.json", &objects);
    let says = "it has more than 2000000 objects";
    check(
        "a JSON suite of 2 million objects and 2",
        &check_suite(),
        1,
        says,
    );
    suite(&home, "t.csv", &b",".repeat(20 << 20));
    let says = "it has more than 16777216 fields";
    check("a row of 20 million fields", &check_suite(), 1, says);
    let nested = format!("{{\"a\":[{}0]}}", "0,".repeat(20 << 20));
    suite(&home, "t.json", nested.as_bytes());
    let says = "it has more than 16777216 values";
    check("an object of 20 million values", &check_suite(), 1, says);
    std::fs::write(home.path("p.csv.gz"), gzip(&b"a,b,1\n".repeat(23 << 20))).expect("written");
    let pairs = ["eval", "--pairs", "p.csv.gz", "--baselines"];
    let took = run(&home, &pairs[..3], &[]);
    check(
        "a gz file of pairs of 138 MB",
        &took,
        3,
        "it has more than 134217728 bytes",
    );
    // Lines of a file are streamed; those of stdin are held.
    std::fs::write(home.path("stdin"), b"\n".repeat((1 << 24) + 2)).expect("written");
    let model = fixture::model().display().to_string();
    let took = run(&home, &["encode", &model, "-i", "-", "-o", "o.npy"], &[]);
    check(
        "17 million texts to encode",
        &took,
        3,
        "it has more than 16777216 texts",
    );
    mine::tokenizer(&home);
    let quote = [b"text\n\"".to_vec(), b"a\n".repeat(10 << 20)].concat();
    std::fs::write(home.path("c.csv"), quote).expect("written");
    let rest = "[columns]\ntext = [\"text\"]";
    mine::manifest(&home, "few", "kor-Hang", "legal", "c.csv", rest);
    let filter = [
        "mine",
        "filter",
        "--corpus",
        "few.toml",
        "--tokenizer",
        "tokenizer.json",
    ];
    let took = run(&home, &filter, &[]);
    check(
        "a quote that is never closed, 20 MB",
        &took,
        3,
        "a quote is opened here and never closed",
    );
}

/// A copy of the small encoder in which one JSON file is another.
fn model(home: &Home, file: &str, change: impl FnOnce(&mut Value)) {
    let folder = home.path("m");
    let _ = std::fs::remove_dir_all(&folder);
    home.copy(&fixture::model(), &folder);
    let path = folder.join(file);
    let text = std::fs::read(&path).expect("read");
    let mut value = serde_json::from_slice(&text).expect("JSON");
    change(&mut value);
    std::fs::write(&path, value.to_string()).expect("written");
}

fn eval(home: &Home, more: &[&str]) -> Took {
    let arguments = [
        "eval",
        "./m",
        "--suite",
        "korfin-shift",
        "--limit",
        "8",
        "--resamples",
        "100",
        "--no-baselines",
    ];
    run(home, &[&arguments[..], more].concat(), &[])
}

#[test]
fn files_of_a_model_are_bounded() {
    let home = Home::new();
    model(&home, "1_Pooling/config.json", |j| {
        *j = json!({"word_embedding_dimension": 32, "pooling_mode": vec!["mean"; 1_000_000]});
    });
    let says = "`pooling_mode` is `1000000`, allowed is a list of up to";
    check("a million pooling modes", &eval(&home, &[]), 4, says);
    model(&home, "modules.json", |j| {
        let last = j[2].clone();
        let more = (3..100_000).map(|i| {
            let mut module = last.clone();
            module["idx"] = i.into();
            module
        });
        j.as_array_mut().expect("a list").extend(more);
    });
    let says = "it lists 100000 modules, allowed are 64";
    check("100,000 modules", &eval(&home, &[]), 4, says);
    let prompts = |length: usize| json!({"x": "가 ".repeat(length)});
    for (length, says) in [
        (7_500_000, "it has more than 16777216 bytes"),
        (30_000, "allowed is at most 65536 bytes long"),
    ] {
        model(&home, "config_sentence_transformers.json", |j| {
            j["prompts"] = prompts(length);
            j["default_prompt_name"] = "x".into();
        });
        let took = eval(&home, &[]);
        let code = took.code.unwrap_or_default();
        assert!(matches!(code, 4 | 6), "{code}");
        check(
            &format!("a prompt of {} bytes", 4 * length),
            &took,
            code,
            says,
        );
    }
    model(&home, "tokenizer.json", |j| {
        let vocabulary = (0..50_000).map(|i| json!([format!("{i:06}{}", "a".repeat(1000)), -1.0]));
        let first = std::iter::once(json!(["<unk>", 0.0]));
        j["model"] = json!({
            "type": "Unigram", "unk_id": 0, "vocab": first.chain(vocabulary).collect::<Vec<_>>(),
        });
        j["post_processor"] = Value::Null;
    });
    let says = "the tokens of the vocabulary have 50300005 bytes together, allowed are 16777216";
    check("a Unigram vocabulary of 50 MB", &eval(&home, &[]), 4, says);
    for (added, code, says) in [
        (50_000, 0, "so it is with 49999 more tokens"),
        (300_000, 4, "the file adds 3000"),
    ] {
        model(&home, "tokenizer.json", |j| {
            let more = (0..added).map(|i| {
                json!({
                    "id": 3000 + i, "content": format!("tok{i}"), "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": true, "special": false,
                })
            });
            j["added_tokens"]
                .as_array_mut()
                .expect("a list")
                .extend(more);
        });
        let took = eval(&home, &["-v"]);
        check(&format!("{added} added tokens"), &took, code, says);
    }
}

#[cfg(feature = "candle")]
#[test]
fn the_batches_of_a_recipe_are_counted_before_they_are_planned() {
    let home = super::train_run::prepare("bert-mean", "");
    let recipe = std::fs::read_to_string(home.path("tiny.toml")).expect("a recipe");
    let at = recipe.find("epochs = ").expect("epochs");
    let end = at + recipe[at..].find('\n').expect("a line");
    for epochs in ["4294967296", "9223372036854775807"] {
        let text = format!("{}epochs = {epochs}{}", &recipe[..at], &recipe[end..]);
        std::fs::write(home.path("endless.toml"), text).expect("written");
        let took = run(
            &home,
            &["train", "endless.toml", "--dry-run", "--offline"],
            &[],
        );
        check(
            &format!("{epochs} epochs"),
            &took,
            took.code.unwrap_or(0),
            "allowed are 134217728",
        );
        assert!(matches!(took.code, Some(2 | 3)), "{:?}", took.code);
    }
}

/// A graph that gives the mean of rows of a table, and in which `more` takes part.
struct Graph {
    nodes: Vec<Message>,
    tensors: Vec<Message>,
    /// What is added to the embedding.
    added: &'static str,
}

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let mut node = Message::default();
    for name in inputs {
        node = node.text(1, name);
    }
    for name in outputs {
        node = node.text(2, name);
    }
    node.text(4, operator)
}

/// An attribute of one whole number (type 2), or of several (type 7).
fn numbers(node: Message, name: &str, values: &[i64], list: bool) -> Message {
    let mut attribute = Message::default().text(1, name);
    for value in values {
        attribute = attribute.number(if list { 8 } else { 3 }, *value);
    }
    node.message(5, &attribute.number(20, if list { 7 } else { 2 }))
}

/// A tensor of 64-bit whole numbers; a scalar where `shape` is empty.
fn int64(name: &str, shape: &[i64], values: &[i64]) -> Message {
    let mut tensor = Message::default();
    for size in shape {
        tensor = tensor.number(1, *size);
    }
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor.number(2, 7).text(8, name).bytes(9, &bytes)
}

fn float32(name: &str, shape: &[i64]) -> Message {
    let mut tensor = Message::default();
    for size in shape {
        tensor = tensor.number(1, *size);
    }
    let count = shape.iter().product::<i64>().max(1) as usize;
    let values = (0..count).flat_map(|i| ((i % 97) as f32 / 97.0).to_le_bytes());
    tensor
        .number(2, 1)
        .text(8, name)
        .bytes(9, &values.collect::<Vec<_>>())
}

fn value(name: &str, element: i64, shape: &[i64]) -> Message {
    let mut dimensions = Message::default();
    for &size in shape {
        let free = Message::default().text(2, &format!("n{size}"));
        let fixed = Message::default().number(1, size);
        dimensions = dimensions.message(1, if size < 3 { &free } else { &fixed });
    }
    let tensor = Message::default()
        .number(1, element)
        .message(2, &dimensions);
    let kind = Message::default().message(1, &tensor);
    Message::default().text(1, name).message(2, &kind)
}

impl Graph {
    fn write(self, folder: &Path, table: &Message) {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph = graph.message(1, node);
        }
        let mean = numbers(node("ReduceMean", &["x"], &["y"]), "axes", &[1], true);
        graph = graph
            .message(1, &node("Gather", &["table", "input_ids"], &["x"]))
            .message(1, &numbers(mean, "keepdims", &[0], false))
            .message(1, &node("Add", &["y", self.added], &["sentence_embedding"]))
            .text(2, "g")
            .message(5, table)
            .message(5, &float32("zero", &[1]));
        for tensor in &self.tensors {
            graph = graph.message(5, tensor);
        }
        graph = graph
            .message(11, &value("input_ids", 7, &[1, 2]))
            .message(11, &value("attention_mask", 7, &[1, 2]))
            .message(12, &value("sentence_embedding", 1, &[1, 32]));
        let opset = Message::default().text(1, "").number(2, 17);
        let model = Message::default()
            .number(1, 8)
            .message(7, &graph)
            .message(8, &opset);
        std::fs::write(folder.join("model.onnx"), model.finish()).expect("written");
    }
}

/// The folder of a graph, with the tokenizer of the small encoder.
fn graph_folder(home: &Home) -> std::path::PathBuf {
    home.copy(&fixture::model(), &home.path("m"));
    std::fs::remove_file(home.path("m/model.safetensors")).expect("removed");
    home.path("m")
}

fn one(nodes: Vec<Message>, tensors: Vec<Message>, added: &'static str) -> Graph {
    Graph {
        nodes,
        tensors,
        added,
    }
}

/// A loop around `body`, whose number of turns is `turns`, if anything.
fn looped(turns: &str, body: &[Message]) -> Message {
    let mut inner = Message::default();
    for node in body {
        inner = inner.message(1, node);
    }
    let inner = inner
        .message(1, &node("Identity", &["on"], &["still"]))
        .message(1, &node("Identity", &["v"], &["w"]))
        .text(2, "body")
        .message(11, &value("turn", 7, &[]))
        .message(11, &value("on", 9, &[]))
        .message(11, &value("v", 1, &[1]))
        .message(12, &value("still", 9, &[]))
        .message(12, &value("w", 1, &[1]));
    let attribute = Message::default()
        .text(1, "body")
        .message(6, &inner)
        .number(20, 5);
    node("Loop", &[turns, "", "zero"], &["big"]).message(5, &attribute)
}

#[test]
fn graphs_that_ask_for_everything_or_never_end_are_refused() {
    let home = Home::new();
    let folder = graph_folder(&home);
    let table = float32("table", &[2000, 32]);
    let sum = || numbers(node("ReduceSum", &["big"], &["r"]), "keepdims", &[0], false);
    let large = 1_i64 << 33;
    let shape = |values: &[i64]| int64("shape", &[values.len() as i64], values);
    let scalar = |name: &str, n: i64| int64(name, &[], &[n]);
    let cast = || numbers(node("Cast", &["range"], &["big"]), "to", &[1], false);
    let range = || node("Range", &["a", "b", "c"], &["range"]);
    let cases: Vec<(&str, Graph, &str)> = vec![
        ("no operator of this kind", one(vec![], vec![], "zero"), ""),
        (
            "ConstantOfShape of 2^33",
            one(
                vec![node("ConstantOfShape", &["shape"], &["big"]), sum()],
                vec![shape(&[large])],
                "r",
            ),
            "an operator `ConstantOfShape` makes 8589934592 elements of one, allowed are 268435456",
        ),
        (
            "ConstantOfShape of 2^33 in a node",
            one(
                vec![
                    numbers(
                        node("Constant", &[], &["shape"]),
                        "value_ints",
                        &[1 << 20, 1 << 13],
                        true,
                    ),
                    node("ConstantOfShape", &["shape"], &["big"]),
                    sum(),
                ],
                vec![],
                "r",
            ),
            "an operator `ConstantOfShape` makes 8589934592 elements",
        ),
        (
            "Range to 10^12",
            one(
                vec![range(), cast(), sum()],
                vec![
                    scalar("a", 0),
                    scalar("b", 1_000_000_000_000),
                    scalar("c", 1),
                ],
                "r",
            ),
            "an operator `Range` makes 1000000000000 elements",
        ),
        (
            "Range by 0",
            one(
                vec![range(), cast(), sum()],
                vec![scalar("a", 0), scalar("b", 10), scalar("c", 0)],
                "r",
            ),
            "an operator `Range` makes elements without end, allowed are 268435456",
        ),
        (
            "ConstantOfShape of 2^93",
            one(
                vec![node("ConstantOfShape", &["shape"], &["big"]), sum()],
                vec![shape(&[1 << 31, 1 << 31, 1 << 31])],
                "r",
            ),
            "an operator `ConstantOfShape` makes more than 2^64 elements of one, allowed are",
        ),
        (
            "Expand to 2^33",
            one(
                vec![node("Expand", &["zero", "shape"], &["big"]), sum()],
                vec![shape(&[large, 1])],
                "r",
            ),
            "an operator `Expand` makes 8589934592 elements",
        ),
        (
            "Tile by 2^40",
            one(
                vec![node("Tile", &["zero", "shape"], &["big"]), sum()],
                vec![shape(&[1 << 40])],
                "r",
            ),
            "an operator `Tile` makes 1099511627776 elements",
        ),
        (
            "Pad by 2^40",
            one(
                vec![node("Pad", &["zero", "shape"], &["big"]), sum()],
                vec![shape(&[0, 1 << 40])],
                "r",
            ),
            "an operator `Pad` makes 1099511627776 elements",
        ),
        (
            "RandomNormal of 2^33",
            one(
                vec![
                    numbers(node("RandomNormal", &[], &["big"]), "shape", &[large], true),
                    sum(),
                ],
                vec![],
                "r",
            ),
            "an operator `RandomNormal` makes 8589934592 elements",
        ),
        (
            "a Loop without end",
            one(vec![looped("", &[])], vec![], "big"),
            "an operator `Loop` has no number of turns in the file, or more than the 65536",
        ),
        (
            "a Loop of 2^40 turns",
            one(
                vec![looped("turns", &[])],
                vec![scalar("turns", 1 << 40)],
                "big",
            ),
            "an operator `Loop` has no number of turns in the file, or more than the 65536",
        ),
        (
            "a Loop whose turns are computed",
            one(
                vec![
                    node("Add", &["turns", "turns"], &["twice"]),
                    looped("twice", &[]),
                ],
                vec![scalar("turns", 1 << 40)],
                "big",
            ),
            "an operator `Loop` has no number of turns in the file, or more than the 65536",
        ),
        (
            "a Loop in a Loop",
            one(
                vec![looped("turns", &[looped("turns", &[])])],
                vec![scalar("turns", 60_000)],
                "big",
            ),
            "an operator `Loop` holds another loop",
        ),
    ];
    for backend in ["rten", "onnxruntime"] {
        if backend == "onnxruntime" && !home.has_onnxruntime() {
            eprintln!("SKIPPED: no ONNX Runtime is installed");
            continue;
        }
        for (what, graph, says) in &cases {
            let graph = one(graph.nodes.clone(), graph.tensors.clone(), graph.added);
            graph.write(&folder, &table);
            let took = eval(&home, &["--backend", backend, "--no-resume"]);
            let code = if says.is_empty() { 0 } else { 4 };
            check(&format!("{what} ({backend})"), &took, code, says);
            assert!(code != 0 || took.bounded, "its memory is not bounded");
        }
    }
}

/// What the file does not say, since it is computed: the process says it and ends, and is not killed.
#[test]
fn sizes_that_a_graph_computes_end_with_an_error() {
    let home = Home::new();
    let folder = graph_folder(&home);
    let table = float32("table", &[2000, 32]);
    let sum = || numbers(node("ReduceSum", &["big"], &["r"]), "keepdims", &[0], false);
    let twice = || node("Add", &["half", "half"], &["shape"]);
    let constant = || {
        vec![
            twice(),
            node("ConstantOfShape", &["shape"], &["big"]),
            sum(),
        ]
    };
    let grown = |operator| vec![twice(), node(operator, &["zero", "shape"], &["big"]), sum()];
    let cases = [
        ("ConstantOfShape of a computed 2^31", constant(), 1),
        ("ConstantOfShape of a computed 2^93", constant(), 3),
        ("Expand to a computed 2^31", grown("Expand"), 1),
        ("Tile by a computed 2^31", grown("Tile"), 1),
    ];
    for backend in ["rten", "onnxruntime"] {
        if backend == "onnxruntime" && !home.has_onnxruntime() {
            eprintln!("SKIPPED: no ONNX Runtime is installed");
            continue;
        }
        for (what, nodes, axes) in &cases {
            let half = int64("half", &[*axes], &vec![(1 << 30) - 1; *axes as usize]);
            one(nodes.clone(), vec![half], "r").write(&folder, &table);
            let took = eval(&home, &["--backend", backend]);
            check(&format!("{what} ({backend})"), &took, 6, "hint: ");
            assert!(took.said.contains("error: "), "{}", took.said);
            assert!(!took.said.contains("panicked"), "{}", took.said);
        }
    }
}

#[test]
fn external_data_may_say_nothing_but_the_name_of_the_file() {
    let home = Home::new();
    let folder = graph_folder(&home);
    let whole = float32("table", &[2000, 32]);
    one(vec![], vec![], "zero").write(&folder, &whole);
    let scores = |name: &str| {
        let took = eval(&home, &["--backend", "rten", "--results", name]);
        assert_eq!(took.code, Some(0), "{}", took.said);
        let files = walkdir::WalkDir::new(home.path(name)).sort_by_file_name();
        let files = files.into_iter().map(|e| e.expect("listed").into_path());
        let pairs = files.filter(|p| p.to_string_lossy().ends_with(".pairs.jsonl"));
        pairs
            .map(|p| std::fs::read(p).expect("read"))
            .collect::<Vec<_>>()
    };
    let expected = scores("inside");
    let values = (0..64_000).flat_map(|i| ((i % 97) as f32 / 97.0).to_le_bytes());
    std::fs::write(folder.join("w.bin"), values.collect::<Vec<_>>()).expect("written");
    for (at, more) in [None, Some(("checksum", "0123")), Some(("offset", "0"))]
        .into_iter()
        .enumerate()
    {
        let mut table = Message::default()
            .number(1, 2000)
            .number(1, 32)
            .number(2, 1)
            .text(8, "table");
        for (key, value) in [Some(("location", "w.bin")), more].into_iter().flatten() {
            table = table.message(13, &Message::default().text(1, key).text(2, value));
        }
        one(vec![], vec![], "zero").write(&folder, &table.number(14, 1));
        assert!(
            !expected.is_empty() && scores(&format!("beside{at}")) == expected,
            "{more:?}"
        );
    }
}
