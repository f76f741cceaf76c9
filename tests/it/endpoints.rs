//! Endpoints, spoken to through a server that fails in every way that servers fail.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use korfinsts_base::endpoint::Settings;
use korfinsts_base::http::Patience;
use korfinsts_encoder::endpoint::Endpoint;
use korfinsts_encoder::{Encoder, EncoderError, PreparedText, TokenCount};
use predicates::prelude::*;
use serde_json::{Value, json};

use super::server::{Answer, Seen, Server};
use super::support::{Home, shared};

const KEY: &str = "sk-korfinsts-7f3a9c1e5b";
const WIDTH: usize = 64;

/// The embedding that every server here gives: counts of character trigrams by hash.
fn lexical(text: &str) -> Vec<f32> {
    let mut row = vec![0.0; WIDTH];
    let characters: Vec<char> = text.to_lowercase().chars().collect();
    for gram in characters.windows(3.min(characters.len().max(1))) {
        let hash = gram.iter().fold(0x811c_9dc5_u32, |hash, c| {
            (hash ^ *c as u32).wrapping_mul(0x0100_0193)
        });
        row[hash as usize % WIDTH] += 1.0;
    }
    row[0] += 0.25;
    row
}

fn tokens(text: &str) -> usize {
    text.split_whitespace().count() + 2
}

fn base64(row: &[f32]) -> String {
    base64_of(
        &row.iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
}

fn base64_of(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let value = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for i in 0..4 {
            let digit = ALPHABET[(value >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

/// The texts of a request, in either dialect.
fn texts(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let input = body
        .get("input")
        .or_else(|| body.get("inputs"))
        .expect("texts");
    serde_json::from_value(input.clone()).expect("a list of texts")
}

/// Rows of the `OpenAI` protocol, the last first, as a server may order them.
fn data(texts: &[String], coded: bool) -> Vec<Value> {
    let mut rows: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let row = lexical(text);
            let embedding = if coded {
                json!(base64(&row))
            } else {
                json!(row)
            };
            json!({"object": "embedding", "index": i, "embedding": embedding})
        })
        .collect();
    rows.reverse();
    rows
}

fn models(names: &[&str]) -> Answer {
    let data: Vec<Value> = names
        .iter()
        .map(|n| json!({"id": n, "owned_by": "test"}))
        .collect();
    Answer::json(&json!({"object": "list", "data": data}))
}

/// A well-behaved server of the `OpenAI` protocol.
fn openai(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        "/v1/models" => models(&["org/lexical"]),
        "/v1/embeddings" => {
            let texts = texts(seen);
            let count: usize = texts.iter().map(|t| tokens(t)).sum();
            Answer::json(&json!({
                "object": "list",
                "model": "org/lexical",
                "data": data(&texts, seen.json()["encoding_format"] == "base64"),
                "usage": {"prompt_tokens": count, "total_tokens": count, "cost": 0.001},
            }))
        }
        _ => Answer::status(404),
    }
}

/// A server of text-embeddings-inference's own protocol that takes 40 tokens.
fn tei(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        "/info" => Answer::json(&json!({
            "model_id": "org/lexical", "model_sha": "0123456789abcdef0123456789abcdef01234567",
            "model_dtype": "float16", "model_type": {"embedding": {"pooling": "mean"}},
            "max_input_length": 40, "max_client_batch_size": 8, "max_concurrent_requests": 4,
            "auto_truncate": true, "version": "1.8.1",
        })),
        "/embed" => {
            let (texts, body) = (texts(seen), seen.json());
            if texts.len() > 8 {
                let error = format!("batch size {} > maximum allowed batch size 8", texts.len());
                return Answer::json(&json!({"error": error, "error_type": "Validation"}))
                    .with_status(413);
            }
            let longest = texts.iter().map(|t| tokens(t)).max().unwrap_or(0);
            if longest > 40 && body["truncate"] != true {
                let error = format!(
                    "Input validation error: `inputs` must have less than 40 tokens. Given: {longest}"
                );
                return Answer::json(&json!({"error": error, "error_type": "Validation"}))
                    .with_status(413);
            }
            let cut = |text: &String| -> String {
                let words: Vec<&str> = text.split_whitespace().take(38).collect();
                if tokens(text) > 40 {
                    words.join(" ")
                } else {
                    text.clone()
                }
            };
            let cut: Vec<String> = texts.iter().map(cut).collect();
            let count: usize = cut.iter().map(|t| tokens(t)).sum();
            let rows: Vec<Vec<f32>> = cut.iter().map(|t| lexical(t)).collect();
            Answer::json(&json!(rows)).with("x-compute-tokens", count.to_string())
        }
        _ => Answer::status(404),
    }
}

impl Answer {
    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

fn settings() -> Settings {
    Settings {
        patience: Patience {
            attempts: 6,
            first: Duration::from_millis(2),
            longest: Duration::from_secs(2),
        },
        timeout: Duration::from_millis(400),
        concurrency: 3,
        ..Settings::default()
    }
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn open(address: &str) -> Result<Arc<Endpoint>, EncoderError> {
    Endpoint::open(address, settings(), nothing).map(Arc::new)
}

fn prepared(encoder: &dyn Encoder, texts: &[&str]) -> Vec<PreparedText> {
    texts
        .iter()
        .map(|t| encoder.prepare(t, "").expect("prepared"))
        .collect()
}

/// An error with its causes, as it is printed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

/// Encodes texts and checks that each row is its text's.
fn encode(address: &str, texts: &[&str]) -> Result<Vec<TokenCount>, EncoderError> {
    let encoder = open(address)?.encoder();
    let prepared = prepared(encoder.as_ref(), texts);
    let (embeddings, counts) = encoder.encode_counted(&prepared.iter().collect::<Vec<_>>())?;
    for (i, text) in texts.iter().enumerate() {
        if counts[i].lost == 0 {
            assert_eq!(embeddings.row(i), lexical(text), "{text}");
        }
    }
    Ok(counts)
}

#[test]
fn the_server_says_what_it_is_and_what_it_does_not_say_is_said() {
    let server = Server::new(|seen, _| openai(seen));
    for suffix in ["", "/", "/v1", "/v1/embeddings", "/v1#org/lexical"] {
        let found = open(&format!("{}{suffix}", server.address)).expect("a server");
        assert_eq!(found.url, format!("{}/v1/embeddings", server.address));
        assert_eq!(
            (found.model.as_str(), found.dimension),
            ("org/lexical", WIDTH)
        );
        assert!(!found.is_pinned());
    }
    let tei = Server::new(|seen, _| tei(seen));
    for address in [
        tei.address.clone(),
        format!("tei:{}", &tei.address["http://".len()..]),
    ] {
        let found = open(&address).expect("a server");
        assert_eq!(found.dialect.name(), "tei");
        assert_eq!(found.max_tokens, Some(40));
        assert_eq!((found.texts_per_request, found.concurrency), (8, 3));
        assert!(found.is_pinned());
    }
    // A server without a list of models, as some gateways are.
    let bare = Server::new(|seen, _| match seen.path.as_str() {
        "/v1/models" | "/models" => Answer::status(404),
        _ => openai(seen),
    });
    let named = open(&format!("openai:m@{}/v1", bare.address)).expect("a server");
    assert_eq!(named.model, "m");
    open(&format!("{}/v1#m", bare.address)).expect("a server");
    let error = open(&bare.address).expect_err("no model").to_string();
    assert!(
        error.contains("neither `/info` nor `/v1/models`"),
        "{error}"
    );
}

#[test]
fn what_a_model_says_of_itself_is_passed_on_by_its_server() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let listed = |more: Value| {
        let server = Server::new(move |seen, _| match seen.path.as_str() {
            "/v1/models" => {
                let mut model = json!({"id": "m", "owned_by": "Python, torch 2"});
                for (key, value) in more.as_object().expect("an object") {
                    model[key] = value.clone();
                }
                Answer::json(&json!({"data": [model]}))
            }
            _ => openai(seen),
        });
        let rules = korfinsts_encoder::protocol::rules("raw", "m").expect("known");
        let wishes = korfinsts_encoder::endpoint::Wishes {
            strict: true,
            ..Default::default()
        };
        open(&server.address)
            .expect("a server")
            .spec(&rules, wishes)
    };
    let spec = listed(json!({
        "revision": commit, "prompts": {"STS": "Represent: "}, "default_prompt_name": "STS",
        "similarity_fn_name": "dot", "dtype": "float32",
    }))
    .expect("pinned");
    assert_eq!(spec.revision.as_deref(), Some(commit));
    assert_eq!(spec.prompts["STS"], "Represent: ");
    assert_eq!(spec.default_prompt_name.as_deref(), Some("STS"));
    assert_eq!(spec.similarity, korfinsts_metric::Similarity::Dot);
    assert_eq!(spec.dtype, "float32");
    // What is no commit pins nothing, and another server's fields of these names are left.
    for more in [json!({"revision": "main"}), json!({"prompts": 3})] {
        let error = listed(more).expect_err("unpinned");
        assert!(error.to_string().contains("unpinned"), "{error}");
    }
    let more = json!({"revision": commit, "similarity_fn_name": "jaccard"});
    let error = listed(more).expect_err("unknown");
    assert!(error.to_string().contains("`jaccard`"), "{error}");
}

#[test]
fn several_models_must_be_told_apart_by_name() {
    let server = Server::new(|seen, _| match seen.path.as_str() {
        "/v1/models" => models(&["a", "b"]),
        _ => openai(seen),
    });
    let error = open(&server.address).expect_err("which?");
    assert!(error.to_string().contains("has 2 models"), "{error}");
    let hint = error.hint().expect("a hint");
    assert!(hint.contains("#MODEL`: `a`, `b`"), "{hint}");
    let spec = |name: &str| {
        let rules = korfinsts_encoder::protocol::rules("raw", name).expect("known");
        open(&format!("{}#{name}", server.address))
            .expect("a server")
            .spec(&rules, korfinsts_encoder::endpoint::Wishes::default())
            .expect("understood")
    };
    assert_eq!(spec("a").warnings.len(), 1, "unpinned");
    let warnings = spec("c").warnings;
    assert!(
        warnings[0].contains("names `a`, `b` and not `c`"),
        "{warnings:?}"
    );
    assert_eq!(
        open(&format!("{}#b", server.address)).expect("b").model,
        "b"
    );
}

#[test]
fn both_codings_are_understood_and_floats_are_asked_for_where_base64_is_not_known() {
    let server = Server::new(|seen, _| {
        if seen.path == "/v1/embeddings" && seen.json()["encoding_format"] == "base64" {
            return Answer::json(&json!({"error": {"message": "unknown encoding_format"}}))
                .with_status(422);
        }
        openai(seen)
    });
    encode(&server.address, &["금리 인상", "rate hike"]).expect("encoded");
    let coded: Vec<Value> = server
        .seen()
        .iter()
        .filter(|s| s.path == "/v1/embeddings")
        .map(|s| s.json()["encoding_format"].clone())
        .collect();
    assert_eq!(coded, ["float", "base64", "float"]);
}

/// Ways to write a row as bytes that are not little-endian float32.
type Coding = (&'static str, fn(&[f32]) -> Vec<u8>);

#[test]
fn base64_of_other_numbers_is_found_out_and_lists_are_asked_for() {
    let codings: [Coding; 5] = [
        ("float16", |row| {
            row.iter().flat_map(|v| half(*v).to_le_bytes()).collect()
        }),
        ("float16, an odd number of them", |row| {
            row[1..]
                .iter()
                .flat_map(|v| half(*v).to_le_bytes())
                .collect()
        }),
        ("big-endian", |row| {
            row.iter().flat_map(|v| v.to_be_bytes()).collect()
        }),
        ("float64", |row| {
            row.iter()
                .flat_map(|v| f64::from(*v).to_le_bytes())
                .collect()
        }),
        ("int8", |row| row.iter().map(|v| (*v * 8.0) as u8).collect()),
    ];
    for (name, code) in codings {
        let server = Server::new(move |seen, _| {
            let answer = openai(seen);
            if seen.path != "/v1/embeddings" || seen.json()["encoding_format"] != "base64" {
                return answer;
            }
            let texts = texts(seen);
            change(&answer, |data| {
                for row in data.as_array_mut().expect("rows") {
                    let at = row["index"].as_u64().expect("an index") as usize;
                    row["embedding"] = json!(base64_of(&code(&lexical(&texts[at]))));
                }
            })
        });
        encode(&server.address, &["금리 인상", "rate hike"]).expect(name);
        let endpoint = open(&server.address).expect(name);
        let rules = korfinsts_encoder::protocol::rules("native", "org/lexical").expect("known");
        let spec = endpoint.spec(&rules, korfinsts_encoder::endpoint::Wishes::default());
        let warnings = spec.expect(name).warnings.join("; ");
        assert!(
            warnings.contains("does not hold float32"),
            "{name}: {warnings}"
        );
    }
}

/// Bits of the float16 nearest to a small number that is exact in it.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    match value {
        0.0 => 0,
        _ => ((((bits >> 23) & 0xff) - 112) << 10 | (bits >> 13) & 0x3ff) as u16,
    }
}

/// A way to refuse an empty text: what is said of it, and the answer.
type Refusal = (&'static str, fn(&Seen) -> Answer);

/// The text that a server refuses, or gives no number for, is named with its pair.
#[test]
fn a_text_that_a_server_refuses_is_named_with_suite_and_pair() {
    const SUITE: &str = "schema = 1\nid = \"emptxt\"\nversion = \"1.0.0\"\ntitle = \"t\"\n\
        description = \"t\"\nlanguages = [\"kor-Hang\"]\nlicence = \"NOASSERTION\"\n\
        redistributable = false\ndefault_split = \"test\"\n[scale]\nkind = \"interval\"\n\
        min = 0\nmax = 5\n[splits.test]\n[[source]]\nname = \"own\"\nformat = { kind = \
        \"delimited\", delimiter = \"\\t\", quoting = false, header = true }\ncolumns = { \
        sentence1 = \"sentence1\", sentence2 = \"sentence2\", score = \"score\", empty = \"keep\" \
        }\n[source.files]\ntest = [{ name = \"t.tsv\" }]\n";
    const ROWS: &str = "sentence1\tsentence2\tscore\n한 남자가 드럼을 치고 있다.\t남자가 기타를 치고 \
        있다.\t2.2\n한 남자가 기타를 치고 있다.\t\t2.2\n한 남자가 양파를 자르고 있다.\t한 남자가 \
        양파를 잘랐다.\t5.0\n";
    let home = Home::new();
    let (texts, suite) = (home.path("texts.txt"), home.path("emptxt"));
    std::fs::write(&texts, "Rates rose.\n\nRates fell.\n").expect("written");
    std::fs::create_dir(&suite).expect("made");
    std::fs::write(suite.join("suite.toml"), SUITE).expect("written");
    std::fs::write(suite.join("t.tsv"), ROWS).expect("written");
    let ways: [Refusal; 4] = [
        ("status 400: '$.input' is invalid", |_| {
            Answer::json(&json!({"error": {"message": "'$.input' is invalid"}})).with_status(400)
        }),
        ("status 422: cannot be empty", |_| {
            Answer::json(&json!({"error": "cannot be empty"})).with_status(422)
        }),
        ("unsupported value: NaN", |_| {
            let message = "failed to encode response: json: unsupported value: NaN";
            Answer::json(&json!({"error": {"message": message}})).with_status(500)
        }),
        ("an embedding holds NaN at dimension 0", |seen| {
            let empty = self::texts(seen).iter().position(String::is_empty);
            change(&openai(seen), |data| {
                for row in data.as_array_mut().expect("rows") {
                    if row["index"].as_u64() == empty.map(|at| at as u64) {
                        row["embedding"] = json!(vec![Value::Null; WIDTH]);
                    }
                }
            })
        }),
    ];
    let [texts, suite, output] =
        [texts, suite, home.path("o.npy")].map(|path| path.display().to_string());
    for (says, refuse) in ways {
        let server = Server::new(move |seen, _| {
            let embeds = seen.path == "/v1/embeddings";
            if embeds && self::texts(seen).iter().any(String::is_empty) {
                refuse(seen)
            } else {
                openai(seen)
            }
        });
        for (arguments, place) in [
            (
                ["encode", &server.address, "-i", &texts, "-o", &output],
                "texts.txt: text 2",
            ),
            (
                [
                    "eval",
                    &server.address,
                    "--suite",
                    &suite,
                    "--no-baselines",
                    "--no-resume",
                ],
                "suite `emptxt`, pair `",
            ),
        ] {
            home.command(&arguments)
                .assert()
                .failure()
                .stderr(predicate::str::contains(place))
                .stderr(predicate::str::contains("on an empty text: "))
                .stderr(predicate::str::contains(says));
        }
    }
}

/// A way to fail: its name, and what becomes of the right answer.
type Way = (&'static str, fn(Answer) -> Answer);

/// How one request in ten fails.
fn failures() -> Vec<Way> {
    vec![
        ("429 in seconds", |_| {
            Answer::status(429).with("retry-after", "0")
        }),
        ("429 by date", |_| {
            Answer::status(429).with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")
        }),
        ("500", |_| {
            Answer::status(500).body(b"{\"error\":\"Inference failed\"}")
        }),
        ("502 in HTML", |_| {
            Answer::status(502).body(b"<html>Bad Gateway</html>")
        }),
        ("slow", |answer| Answer {
            delay: Duration::from_millis(900),
            ..answer
        }),
        ("cut in the body", |answer| Answer {
            cut_after: Some(answer.body.len() / 2),
            ..answer
        }),
        ("cut at once", |answer| Answer {
            cut_after: Some(0),
            ..answer
        }),
        ("half a document", |answer| {
            let half = answer.body.len() / 2;
            Answer::status(200).body(&answer.body[..half])
        }),
        ("another index", |answer| {
            change(&answer, |data| data[0]["index"] = json!(77))
        }),
        ("an index twice", |answer| {
            change(&answer, |data| data[0]["index"] = json!(0))
        }),
        ("a row too few", |answer| {
            change(&answer, |data| {
                data.as_array_mut().expect("rows").pop();
            })
        }),
        ("another width", |answer| {
            change(&answer, |data| data[0]["embedding"] = json!([1.0, 2.0]))
        }),
        ("no number", |answer| {
            change(&answer, |data| {
                data[0]["embedding"] = json!(vec![Value::Null; WIDTH]);
            })
        }),
    ]
}

fn change(answer: &Answer, with: impl FnOnce(&mut Value)) -> Answer {
    let mut body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    with(&mut body["data"]);
    Answer::json(&body)
}

#[test]
fn every_way_to_fail_once_is_survived_with_the_right_rows() {
    for (name, fail) in failures() {
        let asked = AtomicUsize::new(0);
        let server = Server::new(move |seen, _| {
            let answer = openai(seen);
            // The third request for embeddings is the first after the two of the probe.
            let number = match seen.path.as_str() {
                "/v1/embeddings" => asked.fetch_add(1, Ordering::SeqCst),
                _ => 0,
            };
            if number == 2 { fail(answer) } else { answer }
        });
        let endpoint = open(&server.address).expect("a server");
        let encoder = endpoint.encoder();
        let texts = ["하나 둘 셋", "rate hike", "금리"];
        let prepared = prepared(encoder.as_ref(), &texts);
        let batch: Vec<&PreparedText> = prepared.iter().collect();
        let embeddings = encoder
            .encode(&batch)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(embeddings.row(i), lexical(text), "{name}");
        }
        let usage = encoder.usage().expect("a server was asked");
        assert_eq!((usage.requests, usage.retries), (2, 1), "{name}");
    }
}

#[test]
fn what_fails_for_ever_ends_in_an_error_that_says_what_was_found() {
    let expected = HashMap::from([
        ("429 in seconds", "status 429"),
        ("429 by date", "status 429"),
        ("500", "status 500: Inference failed"),
        ("502 in HTML", "status 502: <html>Bad Gateway</html>"),
        ("slow", "no answer: timeout"),
        ("cut in the body", "no answer: "),
        ("cut at once", "no answer: "),
        ("half a document", "EOF while parsing"),
        ("another index", "index 77 for 1 texts"),
        ("an index twice", "index 0 twice"),
        ("a row too few", "found 1 embeddings for 2 texts"),
        ("another width", "width 2, expected 64"),
        ("no number", "NaN at dimension 0"),
    ]);
    for (name, fail) in failures() {
        let probes = AtomicUsize::new(0);
        let server = Server::new(move |seen, _| {
            let answer = openai(seen);
            // Each coding is asked for once before the texts.
            if seen.path == "/v1/embeddings" && probes.fetch_add(1, Ordering::SeqCst) >= 2 {
                fail(answer)
            } else {
                answer
            }
        });
        let texts: &[&str] = match name {
            "an index twice" | "a row too few" => &["a b c", "d e f"],
            _ => &["a b c"],
        };
        let error = chain(&encode(&server.address, texts).expect_err(name));
        assert!(error.contains(expected[name]), "{name}: {error}");
    }
}

#[test]
fn a_wait_that_is_asked_for_is_kept_and_one_too_long_ends_the_attempt() {
    for (asked, waits) in [("1", true), ("3600", false)] {
        let calls = AtomicUsize::new(0);
        let server = Server::new(move |seen, _| {
            let embeds = seen.path == "/v1/embeddings";
            if embeds && calls.fetch_add(1, Ordering::SeqCst) == 2 {
                return Answer::status(429).with("retry-after", asked);
            }
            openai(seen)
        });
        let start = Instant::now();
        let result = encode(&server.address, &["a b c"]);
        assert_eq!(result.is_ok(), waits, "{result:?}");
        assert_eq!(start.elapsed() >= Duration::from_secs(1), waits);
    }
}

#[test]
fn truncation_is_switched_off_and_what_must_be_cut_is_counted() {
    let server = Server::new(|seen, _| tei(seen));
    let long = "word ".repeat(98);
    let texts = ["short one", long.as_str(), "another short one"];
    let counts = encode(&server.address, &texts).expect("encoded");
    let count = |kept, lost| TokenCount { kept, lost };
    assert_eq!(counts, [count(4, 0), count(40, 60), count(5, 0)]);
    let asked = server.seen();
    let asked: Vec<_> = asked.iter().filter(|s| s.path == "/embed").collect();
    let truncated: Vec<usize> = asked
        .iter()
        .filter(|s| s.json()["truncate"] == true)
        .map(|s| texts_of(s))
        .collect();
    assert_eq!(truncated, [1], "only the long text may be cut");
    assert!(asked.iter().all(|s| s.json()["truncate"].is_boolean()));
}

fn texts_of(seen: &Seen) -> usize {
    texts(seen).len()
}

#[test]
fn a_server_that_cannot_cut_gets_a_shorter_text() {
    // As OpenAI and llama.cpp: longer texts are refused, and that is all.
    let server = Server::new(|seen, _| {
        if seen.path == "/v1/embeddings" {
            let longest = texts(seen).iter().map(|t| tokens(t)).max().unwrap_or(0);
            if longest > 40 {
                let message = format!(
                    "This model's maximum context length is 40 tokens, however you requested \
                     {longest} tokens. Please reduce your prompt."
                );
                return Answer::json(&json!({"error": {"message": message}})).with_status(400);
            }
        }
        openai(seen)
    });
    let long = "word ".repeat(98);
    let counts = encode(&server.address, &["short", &long]).expect("encoded");
    assert_eq!(counts[0].lost, 0);
    assert!(counts[1].kept <= 40 && counts[1].kept >= 30, "{counts:?}");
    assert_eq!(counts[1].kept + counts[1].lost, 100, "{counts:?}");
}

#[test]
fn a_server_that_cuts_in_silence_is_found_out() {
    for (silent, expected) in [(true, TokenCount::UNKNOWN), (false, 0)] {
        let server = Server::new(move |seen, _| {
            let mut cut = seen.clone();
            if silent && seen.path == "/v1/embeddings" {
                let mut body = seen.json();
                let shorter: Vec<String> = texts(seen)
                    .iter()
                    .map(|t| t.split(' ').take(50).collect::<Vec<_>>().join(" "))
                    .collect();
                body["input"] = json!(shorter);
                cut.body = body.to_string().into_bytes();
            }
            openai(&cut)
        });
        let long = "인상 rate 금리 hike ".repeat(50);
        let counts = encode(&server.address, &[&long, "short"]).expect("encoded");
        assert_eq!((counts[0].lost, counts[1].lost), (expected, 0));
    }
}

/// `STSBenchmark`, 2,758 texts, where it is at hand; else the suite that ships in the binary.
fn suite(home: &Home) -> &'static str {
    let Some(data) = shared("data/stsbenchmark") else {
        return "korfin-shift";
    };
    home.command(&["suite", "import", "stsb", &data.display().to_string()])
        .assert()
        .success();
    "stsb"
}

fn records(home: &Home, data: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let results = home.path(data);
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(&results)
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .filter(|p| p.is_file() && !p.to_string_lossy().ends_with(".timing.json"))
        .filter(|p| {
            let name = p.to_string_lossy();
            name.ends_with(".json") || name.ends_with(".jsonl")
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|p| {
            let bytes = std::fs::read(&p).expect("read");
            (p.strip_prefix(&results).expect("below").to_owned(), bytes)
        })
        .collect()
}

fn everything_under(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .filter(|p| p.is_file())
        .map(|p| {
            let bytes = std::fs::read(&p).expect("read");
            (p, bytes)
        })
        .collect()
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
}

#[test]
fn a_server_that_fails_one_request_in_ten_gives_the_same_scores() {
    let failing = Arc::new(AtomicBool::new(false));
    let failed = Arc::new(AtomicUsize::new(0));
    let (switch, count) = (Arc::clone(&failing), Arc::clone(&failed));
    let ways = failures();
    let server = Server::new(move |seen, number| {
        let answer = openai(seen);
        let embeds = seen.path == "/v1/embeddings";
        if embeds && switch.load(Ordering::SeqCst) && number % 10 == 7 {
            let way = count.fetch_add(1, Ordering::SeqCst);
            let (name, fail) = ways[way % ways.len()];
            // The client of the command waits minutes for a slow server.
            if name != "slow" {
                return fail(answer);
            }
        }
        answer
    });
    let home = Home::new();
    let suite = suite(&home);
    let large = suite == "stsb";
    let run = |results: &str, resume: bool| {
        let mut arguments = vec![
            "eval",
            &server.address,
            "--suite",
            suite,
            "--results",
            results,
            "--resamples",
            "500",
        ];
        if !resume {
            arguments.push("--no-resume");
        }
        home.command(&arguments)
            .env("KORFINSTS_API_KEY", KEY)
            .env("OPENAI_API_KEY", "sk-of-another-service")
            .assert()
            .success()
    };
    let calm = run("calm", true);
    let requests = server.seen().len();
    failing.store(true, Ordering::SeqCst);
    run("stormy", false);
    let least = if large { 8 } else { 1 };
    assert!(failed.load(Ordering::SeqCst) >= least, "{failed:?}");
    let (calm_files, stormy_files) = (records(&home, "calm"), records(&home, "stormy"));
    assert_eq!(
        calm_files.len(),
        11,
        "record and pairs of an encoder and four baselines, and the encoder's token counts"
    );
    assert_eq!(calm_files, stormy_files);
    // A third run asks what the server is, and for nothing more.
    failing.store(false, Ordering::SeqCst);
    let before = server.seen().len();
    run("again", true);
    assert_eq!(records(&home, "again"), calm_files);
    assert!(server.seen().len() - before <= 5);
    assert!(requests > if large { 80 } else { 10 }, "{requests}");

    let record = calm_files
        .iter()
        .find(|(path, _)| {
            path.to_string_lossy().contains("lexical") && !path.to_string_lossy().ends_with("jsonl")
        })
        .map(|(_, bytes)| serde_json::from_slice::<Value>(bytes).expect("JSON"))
        .expect("a record");
    assert_eq!(record["encoder"]["sha256"], Value::Null);
    assert_eq!(record["encoder"]["endpoint"]["pinned"], false);
    assert_eq!(
        record["encoder"]["endpoint"]["url"],
        format!("{}/v1/embeddings", server.address)
    );
    assert!(record["warnings"].to_string().contains("unpinned"));
    assert_eq!(record["truncated_share"], 0.0);
    let shown = String::from_utf8_lossy(&calm.get_output().stdout).into_owned();
    assert!(shown.contains("org/lexical [unpinned]"), "{shown}");

    // The right key went out, and is nowhere else.
    for seen in server.seen() {
        assert_eq!(
            seen.authorization.as_deref(),
            Some(format!("Bearer {KEY}").as_str())
        );
    }
    for output in [&calm.get_output().stdout, &calm.get_output().stderr] {
        assert!(!holds(output, KEY));
    }
    let written = everything_under(&home.path(""));
    assert!(written.len() > 20);
    for (path, bytes) in written {
        assert!(!holds(&bytes, KEY), "{} holds the key", path.display());
    }
    let timings: Vec<Value> = everything_under(&home.path("calm"))
        .iter()
        .filter(|(p, _)| p.to_string_lossy().ends_with(".timing.json"))
        .map(|(_, bytes)| serde_json::from_slice(bytes).expect("JSON"))
        .collect();
    let usage = timings.iter().find_map(|t| t.get("usage")).expect("usage");
    let tokens = usage["tokens"].as_u64().expect("tokens");
    assert!(tokens > if large { 20_000 } else { 2_000 }, "{usage}");
    assert!(usage["cost"].as_f64().expect("a cost") > 0.005, "{usage}");
}

#[test]
fn a_run_that_the_server_ended_goes_on_where_it_stopped() {
    let Some(data) = shared("data/klue_sts") else {
        return;
    };
    let broken = Arc::new(AtomicBool::new(true));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (switch, log) = (Arc::clone(&broken), Arc::clone(&asked));
    let server = Server::new(move |seen, _| {
        if seen.path == "/v1/embeddings" {
            let mut log = log.lock().expect("no panic");
            // How many texts come in a request depends on when they are ready: what ends the run is
            // how many were answered, of 1,038 at most.
            if log.len() > 600 && switch.load(Ordering::SeqCst) {
                return Answer::status(401).body(b"{\"error\":{\"message\":\"Incorrect API key provided: sk-korfinsts-7f3a9c1e5b.\"}}");
            }
            log.extend(texts(seen));
        }
        openai(seen)
    });
    let home = Home::new();
    home.command(&["suite", "import", "klue-sts", &data.display().to_string()])
        .assert()
        .success();
    let arguments = [
        "eval",
        &server.address,
        "--suite",
        "klue-sts",
        "--resamples",
        "200",
        "--no-baselines",
    ];
    let failed = home
        .command(&arguments)
        .env("KORFINSTS_API_KEY", KEY)
        .assert()
        .code(5)
        .stderr(predicate::str::contains(
            "status 401: Incorrect API key provided: ***",
        ))
        .stderr(predicate::str::contains(
            "the key in `KORFINSTS_API_KEY` was sent",
        ));
    assert!(!holds(&failed.get_output().stderr, KEY));
    let first = asked.lock().expect("no panic").len();
    broken.store(false, Ordering::SeqCst);
    home.command(&arguments)
        .env("KORFINSTS_API_KEY", KEY)
        .assert()
        .success();
    let all = asked.lock().expect("no panic").clone();
    let again = all[first..].iter().filter(|t| all[..first].contains(t));
    // The fixed text of the probe, and nothing that was kept: of what was answered at most one
    // batch of 32 texts for each of the eight requests in flight may be lost.
    let again = again.count();
    assert!(
        again <= 8 * 32 + 2,
        "{again} of {first}, {} in all",
        all.len()
    );
    assert!(first > 8 * 32 + 100, "{first}");
}

#[test]
fn prompts_stand_before_the_texts_and_what_the_server_decides_is_refused() {
    let server = Server::new(|seen, _| openai(seen));
    let home = Home::new();
    let eval = |more: &[&str]| {
        let arguments = [
            &[
                "eval",
                &server.address,
                "--suite",
                "korfin-shift",
                "--limit",
                "10",
                "--resamples",
                "200",
            ],
            more,
        ];
        home.command(&arguments.concat()).assert()
    };
    eval(&["--prompt", "Q: ", "--prompt2", "P: "]).success();
    let sent: Vec<String> = server
        .seen()
        .iter()
        .filter(|s| s.path == "/v1/embeddings")
        .flat_map(texts)
        .collect();
    let with = |prompt: &str| sent.iter().filter(|t| t.starts_with(prompt)).count();
    assert!(with("Q: ") > 0 && with("P: ") > 0, "{sent:?}");
    for (flag, value) in [
        ("--dtype", "float16"),
        ("--pooling", "cls"),
        ("--max-tokens", "128"),
        ("--backend", "candle"),
        ("--device", "cuda"),
    ] {
        eval(&[flag, value])
            .code(2)
            .stderr(predicate::str::contains(format!(
                "`{flag}` is decided by the server"
            )));
    }
    eval(&["--strict", "--protocol", "raw"])
        .code(2)
        .stderr(predicate::str::contains("unpinned"));
    eval(&["--offline"])
        .code(2)
        .stderr(predicate::str::contains("an endpoint needs the network"));
}

#[test]
fn another_model_behind_the_same_address_is_not_taken_for_the_first() {
    let other = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&other);
    let server = Server::new(move |seen, _| {
        let mut answer = openai(seen);
        if seen.path == "/v1/embeddings" && switch.load(Ordering::SeqCst) {
            let rows: Vec<Value> = texts(seen)
                .iter()
                .enumerate()
                .map(|(i, t)| {
                    let row: Vec<f32> = lexical(t).into_iter().rev().collect();
                    json!({"index": i, "embedding": row})
                })
                .collect();
            answer = Answer::json(&json!({"data": rows}));
        }
        answer
    });
    let spec = || {
        let rules = korfinsts_encoder::protocol::rules("raw", "any").expect("known");
        open(&server.address)
            .expect("a server")
            .spec(&rules, korfinsts_encoder::endpoint::Wishes::default())
            .expect("understood")
    };
    let first = spec().key("");
    assert_eq!(spec().key(""), first);
    other.store(true, Ordering::SeqCst);
    assert_ne!(spec().key(""), first);
}

#[test]
fn nobody_there_is_said_at_once() {
    let home = Home::new();
    home.command(&["eval", "http://127.0.0.1:9/v1", "--suite", "korfin-shift"])
        .assert()
        .code(5)
        .stderr(predicate::str::contains("no answer"))
        .stderr(predicate::str::contains("is the server running"));
    home.command(&["eval", "https://u:hunter2@h/v1", "--suite", "korfin-shift"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("hunter2").not());
    home.command(&["tokenizer", "coverage", "http://127.0.0.1:9/v1"])
        .assert()
        .code(2);
}
