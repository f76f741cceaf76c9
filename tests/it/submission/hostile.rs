//! A corpus of hostile bundles: each is refused with a reason, none brings the program down, and nothing
//! is written anywhere.

use std::time::Instant;

use korfinsts_base::archive::{self, Files};
use korfinsts_publish::release::{Context, Subject};
use serde_json::json;

use super::fixture::{Parts, SCORES, good, verify};
use super::zip::{Frame, PLAIN, Raw, pack};
use crate::support::Home;

/// Fewest bundles of the corpus.
const ENOUGH: usize = 150;

/// One hostile bundle: what it is, its bytes, and which check must refuse it.
type Case = (String, Vec<u8>, &'static str);

/// The good bundle's entries as raw ones.
fn entries() -> Vec<Raw> {
    let files = archive::read(good()).expect("a good bundle");
    files
        .iter()
        .map(|(name, bytes)| Raw::new(name, bytes))
        .collect()
}

/// Zip files that lie.
fn containers() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| cases.push((what.to_owned(), bytes, "container"));
    let base = entries();
    let more = |extra: Raw| {
        let mut entries = base.clone();
        entries.push(extra);
        pack(&entries, &PLAIN)
    };
    for name in [
        "../evil",
        "../../../../tmp/evil",
        "/etc/passwd",
        "//server/share",
        "C:\\evil",
        "C:evil",
        "..\\evil",
        "a\\..\\b",
        "scores/../../evil",
        "a/./b",
        "a//b",
        "a/",
        "",
        ".",
        "..",
        "con",
        "NUL.json",
        "aux.txt",
        "com1",
        "lpt9.x",
        "trailing.",
        "a b",
        "a:b",
        "a*b",
        "a\0b",
        "a\nb",
        "\u{202E}nosj.x",
        "파일",
        "e\u{301}",
        "\u{200B}",
        "~root/x",
        "%2e%2e/x",
        "$HOME",
        "`x`",
    ] {
        assert!(archive::name_flaw(name).is_some(), "{name:?}");
        add(&format!("name {name:?}"), more(Raw::new(name, b"x")));
    }
    add("a long name", more(Raw::new("n".repeat(500), b"x")));
    add(
        "a name that is not UTF-8",
        more(Raw::new([0xFF, 0xFE, b'x'], b"x")),
    );
    add("a name twice", more(Raw::new("submission.json", b"{}")));
    add(
        "a name twice in another case",
        more(Raw::new("SUBMISSION.json", b"{}")),
    );
    add(
        "a file that is a folder too",
        more(Raw::new("submission.json/x", b"x")),
    );
    for (what, mode) in [
        ("symbolic link", 0o120_777),
        ("device", 0o020_666),
        ("pipe", 0o010_644),
        ("socket", 0o140_755),
        ("folder", 0o040_755),
    ] {
        add(
            what,
            more(Raw::new("link", b"/etc/passwd").with(|e| e.attributes = mode << 16)),
        );
    }
    let bomb = vec![0_u8; 64 << 20];
    add("a bomb", more(Raw::deflated("bomb", &bomb)));
    add(
        "a bomb with a small declared size",
        more(Raw::deflated("bomb", &bomb).with(|e| e.size = 1000)),
    );
    add(
        "a size of 4 GiB",
        more(Raw::new("big", b"x").with(|e| e.size = u32::MAX)),
    );
    add(
        "sizes of 4 GiB",
        more(Raw::new("big", b"x").with(|e| (e.size, e.packed) = (u32::MAX - 1, u32::MAX - 1))),
    );
    add(
        "a ratio of 101",
        more(Raw::deflated("ratio", &vec![b'a'; 200_000])),
    );
    let many: Vec<Raw> = (0..201).map(|i| Raw::new(format!("f{i}"), b"x")).collect();
    add("201 entries", pack(&many, &PLAIN));
    let very_many: Vec<Raw> = (0..60_000).map(|i| Raw::new(format!("{i}"), b"")).collect();
    add("60,000 entries", pack(&very_many, &PLAIN));
    for (what, method) in [
        ("bzip2", 12),
        ("lzma", 14),
        ("zstd", 93),
        ("xz", 95),
        ("imploded", 6),
        ("aes", 99),
    ] {
        add(what, more(Raw::new("x", b"x").with(|e| e.method = method)));
    }
    for (what, flags) in [
        ("encrypted", 1),
        ("with a data descriptor", 8),
        ("patched", 0x20),
        ("strongly encrypted", 0x41),
        ("masked headers", 0x2000),
    ] {
        add(what, more(Raw::new("x", b"x").with(|e| e.flags = flags)));
    }
    add(
        "a wrong checksum",
        more(Raw::new("x", b"x").with(|e| e.crc ^= 1)),
    );
    add(
        "a wrong size",
        more(Raw::new("x", b"xx").with(|e| (e.size, e.packed) = (1, 1))),
    );
    add(
        "two lengths of a stored entry",
        more(Raw::new("x", b"xx").with(|e| e.size = 1)),
    );
    add(
        "damaged deflate",
        more(Raw::deflated("x", &[7; 99]).with(|e| e.stored[1] ^= 0x55)),
    );
    add(
        "deflate cut short",
        more(Raw::deflated("x", b"some text that is packed").with(|e| {
            e.stored.pop();
            e.packed -= 1;
        })),
    );
    add(
        "deflate with a tail",
        more(Raw::deflated("x", b"text").with(|e| {
            e.stored.push(0);
            e.packed += 1;
        })),
    );
    add(
        "two names of one entry",
        more(Raw::new("x", b"x").with(|e| e.local_name = Some(b"y".to_vec()))),
    );
    add(
        "a comment of an entry",
        more(Raw::new("x", b"x").with(|e| e.comment = b"hi".to_vec())),
    );
    add(
        "an extra field",
        more(Raw::new("x", b"x").with(|e| e.extra = vec![1, 0, 0, 0])),
    );
    // Overlaps and gaps.
    let mut overlap = base.clone();
    overlap[1].offset = Some(0);
    add("two entries at one place", pack(&overlap, &PLAIN));
    let mut inside = base.clone();
    inside[1].offset = Some(40);
    add("an entry inside another", pack(&inside, &PLAIN));
    let mut far = base.clone();
    far[1].offset = Some(0x7FFF_FFFF);
    add("an entry beyond the end", pack(&far, &PLAIN));
    let quine: Vec<Raw> = (0..150)
        .map(|i| Raw::new(format!("q{i}"), &[0; 1000]).with(|e| e.offset = Some(0)))
        .collect();
    add("150 entries at one place", pack(&quine, &PLAIN));
    for (what, frame) in [
        (
            "a script before it",
            Frame {
                before: b"#!/bin/sh\nexit\n",
                ..PLAIN
            },
        ),
        (
            "something between",
            Frame {
                between: b"hidden",
                ..PLAIN
            },
        ),
        (
            "a comment",
            Frame {
                comment: b"hello",
                ..PLAIN
            },
        ),
        (
            "a comment with another directory",
            Frame {
                comment: b"PK\x05\x06aaaaaaaaaaaaaaaaaa",
                ..PLAIN
            },
        ),
        (
            "something after it",
            Frame {
                after: b"tail",
                ..PLAIN
            },
        ),
        (
            "a count that is too small",
            Frame {
                count: Some(1),
                ..PLAIN
            },
        ),
        (
            "a count that is too large",
            Frame {
                count: Some(99),
                ..PLAIN
            },
        ),
        (
            "zip64",
            Frame {
                count: Some(u16::MAX),
                ..PLAIN
            },
        ),
    ] {
        add(what, pack(&base, &frame));
    }
    add(
        "another order",
        pack(&base.iter().rev().cloned().collect::<Vec<_>>(), &PLAIN),
    );
    add(
        "deflated",
        pack(
            &base
                .iter()
                .map(|e| Raw::deflated(&e.name, &e.stored))
                .collect::<Vec<_>>(),
            &PLAIN,
        ),
    );
    add("empty", Vec::new());
    add("text", b"hello".to_vec());
    add("a gzip file", vec![0x1F, 0x8B, 8, 0]);
    add(
        "two bundles, one after the other",
        [good(), good()].concat(),
    );
    for share in [1, 3, 7, 9] {
        add(
            &format!("cut at {share}/10"),
            good()[..good().len() * share / 10].to_vec(),
        );
    }
    add("without its last byte", good()[..good().len() - 1].to_vec());
    cases
}

/// Files, every hash right, that are not of the schema.
fn schemas() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let good = Parts::good();
    let manifest = serde_json::to_string(&good.manifest).expect("JSON");
    let mut add = |what: &str, manifest: String, check| {
        let files = good.sealed_with(&manifest);
        cases.push((
            what.to_owned(),
            archive::write(&files).expect("packed"),
            check,
        ));
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (what, text) in [
        ("an empty manifest", String::new()),
        ("a manifest that is null", "null".into()),
        ("a manifest that is a list", "[]".into()),
        ("deep nesting", deep.clone()),
        (
            "deep nesting in a key",
            manifest.replacen(
                "\"schema_version\":1",
                &format!("\"schema_version\":1,\"x\":{deep}"),
                1,
            ),
        ),
        (
            "a key twice",
            manifest.replacen(
                "\"schema_version\":1",
                "\"schema_version\":1,\"schema_version\":1",
                1,
            ),
        ),
        (
            "a key twice through an escape",
            manifest.replacen(
                "\"schema_version\":1",
                "\"schema_version\":1,\"schema\\u005fversion\":1",
                1,
            ),
        ),
        (
            "an unknown key",
            manifest.replacen(
                "\"schema_version\":1",
                "\"schema_version\":1,\"html\":\"<script>\"",
                1,
            ),
        ),
        (
            "NaN",
            manifest.replacen("\"schema_version\":1", "\"schema_version\":NaN", 1),
        ),
        (
            "a number that is infinite",
            manifest.replacen("\"n_pairs\":888", "\"n_pairs\":1e999", 1),
        ),
        (
            "a negative count",
            manifest.replacen("\"n_pairs\":888", "\"n_pairs\":-1", 1),
        ),
        (
            "a fraction as a count",
            manifest.replacen("\"n_pairs\":888", "\"n_pairs\":888.5", 1),
        ),
        (
            "a count of 2^70",
            manifest.replacen("\"n_pairs\":888", "\"n_pairs\":1180591620717411303424", 1),
        ),
        (
            "a text as a count",
            manifest.replacen("\"n_pairs\":888", "\"n_pairs\":\"888\"", 1),
        ),
        (
            "another schema",
            manifest.replacen("\"schema_version\":1", "\"schema_version\":2", 1),
        ),
        ("a byte order mark", format!("\u{FEFF}{manifest}")),
        ("a comment", format!("// hi\n{manifest}")),
        ("a trailing comma", manifest.replacen('}', ",}", 1)),
        ("two documents", format!("{manifest}{manifest}")),
        (
            "a lone surrogate",
            manifest.replacen("example/bert-mean", "\\ud800", 1),
        ),
        (
            "a hash in upper case",
            manifest.replacen("\"sha256\":\"", "\"sha256\":\"A", 1),
        ),
        (
            "no weights",
            manifest.replace("\"role\":\"weights\"", "\"role\":\"config\""),
        ),
        (
            "no prompts",
            manifest.replacen("\"prompts\":[\"\",\"\"]", "\"prompts\":[\"\"]", 1),
        ),
        (
            "a suite that is a path",
            manifest.replacen("\"id\":\"korfin-shift\"", "\"id\":\"../../etc\"", 1),
        ),
        (
            "a file of scores elsewhere",
            manifest.replacen(SCORES, "scores/../../x.jsonl", 1),
        ),
        (
            "a huge text",
            manifest.replacen("example/bert-mean", &"x".repeat(2 << 20), 1),
        ),
    ] {
        assert!(text != manifest, "{what} changes nothing");
        add(what, text, "schema");
    }
    for key in [
        "schema_version",
        "model",
        "run",
        "suites",
        "disclosure",
        "resubmission_of",
    ] {
        let mut object = good.manifest.clone();
        object.as_object_mut().expect("an object").remove(key);
        // A missing option reads as none given.
        if key != "resubmission_of" {
            add(&format!("no {key}"), object.to_string(), "schema");
        }
        let mut object = good.manifest.clone();
        object[key] = json!(7.5);
        add(
            &format!("{key} of another type"),
            object.to_string(),
            "schema",
        );
    }
    let mut twice = good.manifest.clone();
    let suite = twice["suites"][0].clone();
    twice["suites"].as_array_mut().expect("a list").push(suite);
    add("a suite twice", twice.to_string(), "schema");
    let mut none = good.manifest.clone();
    none["suites"] = json!([]);
    add("no suite", none.to_string(), "schema");
    let mut many = good.manifest.clone();
    many["suites"] = (0..61)
        .map(|i| {
            let mut suite = good.manifest["suites"][0].clone();
            suite["id"] = json!(format!("s{i}"));
            suite["scores"]["file"] = json!(format!("scores/s{i}.test.jsonl"));
            suite
        })
        .collect();
    add("61 suites", many.to_string(), "schema");
    cases
}

/// Score files and other files, every hash right.
fn contents() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let good = Parts::good();
    let scores = good.text(SCORES);
    let first = scores.lines().next().expect("a line").to_owned();
    for (what, text) in [
        (
            "scores: NaN",
            scores.replacen(&first, r#"{"id":"x","score":NaN}"#, 1),
        ),
        (
            "scores: infinity",
            scores.replacen(&first, r#"{"id":"x","score":-Infinity}"#, 1),
        ),
        (
            "scores: 1e999",
            scores.replacen(&first, r#"{"id":"x","score":1e999}"#, 1),
        ),
        (
            "scores: null",
            scores.replacen(&first, r#"{"id":"x","score":null}"#, 1),
        ),
        (
            "scores: a text",
            scores.replacen(&first, r#"{"id":"x","score":"0.5"}"#, 1),
        ),
        (
            "scores: a list",
            scores.replacen(&first, r#"{"id":"x","score":[0.5]}"#, 1),
        ),
        (
            "scores: a key twice",
            scores.replacen(&first, r#"{"id":"x","score":0.5,"score":0.9}"#, 1),
        ),
        (
            "scores: an unknown key",
            scores.replacen(&first, r#"{"id":"x","score":0.5,"gold":1}"#, 1),
        ),
        (
            "scores: no id",
            scores.replacen(&first, r#"{"score":0.5}"#, 1),
        ),
        (
            "scores: an id that is a number",
            scores.replacen(&first, r#"{"id":1,"score":0.5}"#, 1),
        ),
        (
            "scores: a list for a line",
            scores.replacen(&first, r#"["x",0.5]"#, 1),
        ),
        ("scores: a blank line", format!("\n{scores}")),
        ("scores: no last line end", scores.trim_end().to_owned()),
        (
            "scores: deep nesting",
            scores.replacen(
                &first,
                &format!("{{\"id\":\"x\",\"score\":{}", "[".repeat(50_000)),
                1,
            ),
        ),
        ("scores: a byte order mark", format!("\u{FEFF}{scores}")),
        ("scores: a nul", format!("\0{scores}")),
        ("scores: in UTF-16", String::from("\u{FFFD}")),
        (
            "scores: hexadecimal",
            scores.replacen(&first, r#"{"id":"x","score":0x1}"#, 1),
        ),
        (
            "scores: a plus",
            scores.replacen(&first, r#"{"id":"x","score":+1}"#, 1),
        ),
        (
            "scores: a comma for a point",
            scores.replacen(&first, r#"{"id":"x","score":0,5}"#, 1),
        ),
        ("scores: CSV", "id,score\nx,0.5\n".into()),
        ("scores: a pickle", "\u{80}\u{2}}q\0.".into()),
        (
            "scores: HTML",
            "<html><script>alert(1)</script></html>\n".into(),
        ),
    ] {
        let mut parts = good.clone();
        parts.files.insert(SCORES.into(), text.into_bytes());
        cases.push((what.into(), parts.bytes(), "schema"));
    }
    let mut parts = good.clone();
    parts.files.insert(SCORES.into(), vec![0xFF, 0xFE, b'\n']);
    cases.push(("scores: not UTF-8".into(), parts.bytes(), "schema"));
    let mut parts = good.clone();
    parts.files.insert(SCORES.into(), Vec::new());
    cases.push(("scores: empty".into(), parts.bytes(), "ids"));
    for (what, name, text) in [
        ("env: a list", "env.json", "[]".to_owned()),
        ("env: nested", "env.json", r#"{"a":{"b":1}}"#.into()),
        ("env: 41 entries", "env.json", format!("{{{}}}", (0..41).map(|i| format!("\"k{i}\":\"v\"")).collect::<Vec<_>>().join(","))),
        ("train data: unknown key", "train_data.json", r#"{"statement":"x","datasets":[],"secret":1}"#.into()),
        ("train data: rows below zero", "train_data.json", r#"{"statement":"x","datasets":[{"name":"a","licence":"b","rows":-1}]}"#.into()),
        ("train data: text", "train_data.json", "trained on everything".into()),
        ("tokens: a negative count", "tokens.jsonl", "{\"suite\":\"a\",\"split\":\"b\",\"id\":\"c\",\"tokens\":[-1,1],\"lost\":[0,0]}\n".into()),
        ("tokens: three sides", "tokens.jsonl", "{\"suite\":\"a\",\"split\":\"b\",\"id\":\"c\",\"tokens\":[1,1,1],\"lost\":[0,0]}\n".into()),
        ("tokens: 2^40", "tokens.jsonl", "{\"suite\":\"a\",\"split\":\"b\",\"id\":\"c\",\"tokens\":[1099511627776,1],\"lost\":[0,0]}\n".into()),
    ] {
        let mut parts = good.clone();
        parts.files.insert(name.into(), text.into_bytes());
        cases.push((what.into(), parts.bytes(), "schema"));
    }
    for name in [
        "index.html",
        "run.py",
        "model.safetensors",
        "scores/extra.test.jsonl",
        "README.md",
        ".gitattributes",
        "a/b/c/d/e/f.txt",
    ] {
        let mut parts = good.clone();
        parts.files.insert(name.into(), b"x\n".to_vec());
        cases.push((format!("a file `{name}` too many"), parts.bytes(), "names"));
    }
    for name in [SCORES, "tokens.jsonl"] {
        let mut parts = good.clone();
        parts.files.remove(name);
        cases.push((format!("no {name}"), parts.bytes(), "names"));
    }
    cases.push(("no entry".into(), pack(&[], &PLAIN), "names"));
    for name in ["env.json", "train_data.json"] {
        let mut parts = good.clone();
        parts.files.remove(name);
        cases.push((format!("no {name}"), parts.bytes(), "names"));
    }
    // Hashes that are wrong.
    let damage = |change: &dyn Fn(&mut Files)| {
        let mut files = good.sealed();
        change(&mut files);
        archive::write(&files).expect("packed")
    };
    cases.push((
        "no SHA256SUMS".into(),
        damage(&|f| drop(f.remove("SHA256SUMS"))),
        "hashes",
    ));
    cases.push((
        "an empty SHA256SUMS".into(),
        damage(&|f| drop(f.insert("SHA256SUMS".into(), Vec::new()))),
        "hashes",
    ));
    cases.push((
        "a list in another order".into(),
        damage(&|f| {
            let text = String::from_utf8(f["SHA256SUMS"].clone()).expect("UTF-8");
            let turned: String = text.lines().rev().map(|l| format!("{l}\n")).collect();
            f.insert("SHA256SUMS".into(), turned.into_bytes());
        }),
        "hashes",
    ));
    cases.push((
        "a list that leaves its folder".into(),
        damage(&|f| {
            f.get_mut("SHA256SUMS")
                .expect("a list")
                .extend(format!("{}  ../../etc/passwd\n", "0".repeat(64)).bytes());
        }),
        "hashes",
    ));
    for name in [SCORES, "tokens.jsonl", "env.json", "train_data.json"] {
        let bytes = damage(&|f| {
            let file = f.get_mut(name).expect("a file");
            let at = file.len() - 2;
            file.insert(at, b' ');
        });
        cases.push((
            format!("{name} changed after it was hashed"),
            bytes,
            "hashes",
        ));
    }
    let mut sealed = good.sealed();
    let other = String::from_utf8(sealed["submission.json"].clone())
        .expect("UTF-8")
        .replacen(
            &korfinsts_base::fs::sha256(&good.files[SCORES]),
            &"0".repeat(64),
            1,
        );
    sealed.insert("submission.json".into(), other.into_bytes());
    sealed.remove("SHA256SUMS");
    let list = korfinsts_base::sums::write(&sealed);
    sealed.insert("SHA256SUMS".into(), list.into_bytes());
    cases.push((
        "a manifest with another hash of the scores".into(),
        archive::write(&sealed).expect("packed"),
        "hashes",
    ));
    cases
}

/// The whole corpus.
fn corpus() -> Vec<Case> {
    [containers(), schemas(), contents()].concat()
}

#[test]
fn every_hostile_bundle_is_refused_with_a_reason() {
    let corpus = corpus();
    assert!(corpus.len() >= ENOUGH, "{}", corpus.len());
    let mut slowest = (0.0, String::new());
    let mut wrong = Vec::new();
    for (what, bytes, check) in &corpus {
        let start = Instant::now();
        let verdict = verify(bytes, &[], &[]);
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed > slowest.0 {
            slowest = (elapsed, what.clone());
        }
        let Some(failure) = verdict.first_failure() else {
            wrong.push(format!("{what} was accepted"));
            continue;
        };
        let said = &failure.message;
        let readable =
            (10..2_000).contains(&said.len()) && !said.contains(['\u{202E}', '\0', '\u{200B}']);
        if failure.id != *check || !readable {
            wrong.push(format!("{what} ({check}): {failure:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!(
        "{} hostile bundles, the slowest ({}) took {:.3} s",
        corpus.len(),
        slowest.1,
        slowest.0
    );
    // A bound that a hang would break, not a measurement: benches/ measures.
    assert!(slowest.0 < 20.0, "{slowest:?}");
}

#[test]
fn hostile_containers_are_no_releases_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("release.zip");
    for (what, bytes, _) in containers() {
        std::fs::write(&path, bytes).expect("written");
        let context = Context::on("2026-01-01".parse().expect("a day"));
        assert!(Subject::open(&path, context).is_err(), "{what}");
    }
}

#[test]
fn nothing_is_written_outside_and_the_command_says_why() {
    let home = Home::new();
    let outside = home.path("bundles");
    std::fs::create_dir_all(&outside).expect("made");
    let before = |home: &Home| {
        let mut found: Vec<String> = walkdir::WalkDir::new(home.path(""))
            .into_iter()
            .map(|e| e.expect("listed").path().display().to_string())
            .collect();
        found.sort();
        found
    };
    let corpus = corpus();
    let sample: Vec<&Case> = corpus.iter().step_by(corpus.len() / 20).collect();
    for (what, bytes, check) in sample {
        let path = outside.join("x.kfsub.zip");
        std::fs::write(&path, bytes).expect("written");
        let listed = before(&home);
        let output = home
            .command(&["verify", "--format", "json"])
            .arg(&path)
            .output()
            .expect("run");
        assert_eq!(
            output.status.code(),
            Some(1),
            "{what}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains(&format!("error: refused: {check}: ")) && said.contains("hint: "),
            "{what}: {said}"
        );
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(printed["passed"], false);
        assert_eq!(printed["level"], "claimed");
        assert_eq!(before(&home), listed, "{what} wrote something");
    }
}

#[test]
fn any_flipped_byte_of_a_bundle_is_found() {
    let bytes = good();
    let mut tried = 0;
    // All of the directory and headers, and every 31st byte of the content.
    for at in (0..bytes.len()).filter(|at| at % 31 == 0 || *at + 700 > bytes.len() || *at < 100) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        let verdict = verify(&damaged, &[], &[]);
        assert!(!verdict.passed, "byte {at}");
        tried += 1;
    }
    assert!(tried > 1_000, "{tried}");
}
