//! `korfinsts encode`: texts in, embeddings out, through files and through pipes.

use predicates::prelude::*;
use serde_json::Value;

use super::support::{Home, repository};

const MODEL: &str = "tests/reference/encoders/bert-mean";

fn model() -> String {
    repository(MODEL).display().to_string()
}

/// Texts of the reference, but for those with a line break, and the embeddings that
/// sentence-transformers computed.
fn golden() -> (Vec<String>, Vec<Vec<f64>>) {
    let path = repository(MODEL).join("golden.json");
    let golden: Value =
        serde_json::from_slice(&std::fs::read(path).expect("a reference")).expect("JSON");
    let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).expect("texts");
    let rows: Vec<Vec<f64>> =
        serde_json::from_value(golden["embeddings"].clone()).expect("embeddings");
    texts
        .into_iter()
        .zip(rows)
        .filter(|(text, _)| !text.contains(['\n', '\r']))
        .unzip()
}

fn assert_rows(found: &[Vec<f32>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 1e-5, "{f} {e}");
        }
    }
}

#[test]
fn lines_of_a_pipe_give_the_embeddings_of_sentence_transformers() {
    let home = Home::new();
    let (texts, expected) = golden();
    assert!(texts.len() > 3);
    let output = home
        .command(&["encode", &model(), "-i", "-", "-o", "-", "--quiet"])
        .write_stdin(texts.join("\n") + "\n")
        .assert()
        .success();
    let lines = String::from_utf8(output.get_output().stdout.clone()).expect("UTF-8");
    let (found, rows): (Vec<String>, Vec<Vec<f32>>) = lines
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let row = serde_json::from_value(line["embedding"].clone()).expect("a row");
            (line["text"].as_str().expect("a text").to_owned(), row)
        })
        .unzip();
    assert_eq!(found, texts, "row order is kept");
    assert_rows(&rows, &expected);
}

#[test]
fn a_file_of_lines_gives_the_same_rows_as_npy() {
    let home = Home::new();
    let (texts, expected) = golden();
    std::fs::write(home.path("texts.txt"), texts.join("\n") + "\n").expect("written");
    home.command(&["encode", &model(), "-i", "texts.txt", "-o", "rows.npy"])
        .assert()
        .success()
        .stderr(predicate::str::contains(format!(
            "written to rows.npy: {} embeddings of 32 dimensions",
            texts.len()
        )));
    let bytes = std::fs::read(home.path("rows.npy")).expect("written");
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[..header]).into_owned();
    assert!(text.contains("'<f4'") && text.contains("False"), "{text}");
    let values: Vec<f32> = bytes[header..]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")))
        .collect();
    let rows: Vec<Vec<f32>> = values.chunks(32).map(<[f32]>::to_vec).collect();
    assert_rows(&rows, &expected);
}

#[test]
fn shards_one_behind_the_other_are_one_run() {
    let home = Home::new();
    let lines: String = (0..23)
        .map(|i| format!("{{\"text\": \"본문 {i}\"}}\n"))
        .collect();
    std::fs::write(home.path("texts.jsonl"), lines).expect("written");
    let rows = |shard: Option<&str>| {
        let model = model();
        let mut arguments = vec!["encode", &model, "-i", "texts.jsonl", "-o", "rows.jsonl"];
        arguments.extend(shard.iter().flat_map(|shard| ["--shard", shard]));
        home.command(&arguments).assert().success();
        std::fs::read_to_string(home.path("rows.jsonl")).expect("written")
    };
    let parts = ["1/3", "2/3", "3/3"].map(|shard| rows(Some(shard)));
    assert_eq!(parts.each_ref().map(|p| p.lines().count()), [7, 8, 8]);
    // Rows of another batch differ in their last digits.
    let texts = |rows: &str| -> Vec<String> {
        rows.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["text"].to_string())
            .collect()
    };
    assert_eq!(texts(&parts.concat()), texts(&rows(None)));
    let kept = std::fs::read_dir(home.path("data/embeddings")).expect("a store");
    assert_eq!(kept.count(), 1, "what only shards needed is gone");
    for (arguments, says) in [
        (["texts.jsonl", "24/24"], ""),
        (["texts.jsonl", "1/24"], "shard 1/24 of 23 texts holds none"),
        (["texts.jsonl", "0/3"], "the first of four is `1/4`"),
        (["texts.jsonl", "4/3"], "there is no shard 4 of 3"),
    ] {
        let [input, shard] = arguments;
        let run = home
            .command(&[
                "encode",
                &model(),
                "-i",
                input,
                "-o",
                "x.npy",
                "--shard",
                shard,
            ])
            .assert();
        if says.is_empty() {
            run.success();
        } else {
            run.code(2).stderr(predicate::str::contains(says));
        }
    }
}

#[test]
fn a_file_of_several_parts_is_encoded_part_by_part() {
    let home = Home::new();
    let (texts, expected) = golden();
    // One text more than a part holds, so that the second part has other rows than the first.
    let count = (1 << 17) + 1;
    let many: String = texts
        .iter()
        .cycle()
        .take(count)
        .flat_map(|t| [t.as_str(), "\n"])
        .collect();
    std::fs::write(home.path("texts.txt"), &many).expect("written");
    let model = model();
    let encode = [
        "encode",
        &*model,
        "-i",
        "texts.txt",
        "-o",
        "rows.safetensors",
    ];
    home.command(&encode)
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "131072 of 131073 texts are encoded",
        ))
        .stderr(predicate::str::contains(
            "131073 embeddings of 32 dimensions",
        ));
    let bytes = std::fs::read(home.path("rows.safetensors")).expect("written");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a tensor");
    let tensor = tensors.tensor("embeddings").expect("embeddings");
    assert_eq!(tensor.shape(), [count, 32]);
    let rows: Vec<Vec<f32>> = (tensor.data().chunks_exact(128))
        .map(|row| {
            let values = row.chunks_exact(4).map(|b| b.try_into().expect("4 bytes"));
            values.map(f32::from_le_bytes).collect()
        })
        .collect();
    let all: Vec<Vec<f64>> = expected.iter().cycle().take(count).cloned().collect();
    assert_rows(&rows, &all);
    // What is wrong with the last line is said before the first is encoded.
    std::fs::write(
        home.path("texts.txt"),
        [many.as_bytes(), b"\xff\n"].concat(),
    )
    .expect("written");
    home.command(&encode)
        .assert()
        .code(3)
        .stderr(predicate::str::contains(
            "texts.txt:131074: found bytes that are not UTF-8",
        ));
}

#[test]
fn every_format_of_texts_gives_the_texts_and_nothing_around_them() {
    let home = Home::new();
    let model = model();
    for (name, content, more) in [
        ("f.csv", "text\n금리\n\"주가, 환율\"\n", &[][..]),
        ("only.csv", "본문\n금리\n\"주가, 환율\"\n", &[]),
        (
            "f.tsv",
            "id\t본문\n1\t금리\n2\t주가, 환율\n",
            &["--column", "본문"],
        ),
        ("g.json", "[\"금리\",\"주가, 환율\"]", &[]),
        (
            "h.json",
            "[\n {\"text\": \"금리\"},\n {\"text\": \"주가, 환율\"}\n]",
            &[],
        ),
        (
            "i.jsonl",
            "\"금리\"\n\n{\"a\": \"주가, 환율\"}\n",
            &["--field", "a"],
        ),
        ("j.NDJSON", "\"금리\"\n\"주가, 환율\"", &[]),
        ("k.md", "금리\r\n주가, 환율\r\n", &["--input-format", "txt"]),
        ("l.txt", "\u{feff}금리\n주가, 환율", &[]),
    ] {
        std::fs::write(home.path(name), content).expect("written");
        let output = home
            .command(&[&["encode", &model, "-i", name, "-o", "-", "--quiet"], more].concat())
            .output()
            .expect("it runs");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let found: Vec<String> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["text"].to_string())
            .collect();
        assert_eq!(found, ["\"금리\"", "\"주가, 환율\""], "{name}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let home = Home::new();
    let model = model();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(home.path(name), bytes).expect("written");
    };
    for (name, bytes, code, says) in [
        ("empty.txt", &b""[..], 3, "empty.txt:1: found no text"),
        (
            "latin.txt",
            b"a\nb\xff\n",
            3,
            "latin.txt:2: found bytes that are not UTF-8",
        ),
        (
            "keys.jsonl",
            b"{\"text\": \"a\"}\n{\"body\": \"b\"}\n",
            3,
            "keys.jsonl:2: found neither",
        ),
        (
            "pretty.jsonl",
            b"{\n\"text\": \"a\"\n}\n",
            3,
            "pretty.jsonl:1: EOF while parsing",
        ),
        (
            "twice.jsonl",
            b"{\"text\": \"a\", \"text\": \"b\"}\n",
            3,
            "twice.jsonl:1: the key `text` occurs twice",
        ),
        (
            "object.json",
            b"{\"text\": [\"a\"]}",
            3,
            "object.json:1: not one JSON array",
        ),
        (
            "number.json",
            b"[\"a\", 3]",
            3,
            "number.json: element 2: found neither a string",
        ),
        (
            "two.csv",
            b"id,body\n1,a\n",
            3,
            "two.csv:1: no column `text`, found `id`, `body`",
        ),
        ("header.csv", b"text\n", 3, "header.csv:1: found no text"),
        (
            "open.csv",
            b"text\n\"a\nb\n",
            3,
            "open.csv:2: a quote is opened here and never closed (column 1)",
        ),
        (
            "page.txt",
            b"<!doctype html>\n",
            3,
            "page.txt: this is a web page",
        ),
        (
            "packed.txt",
            b"\x1f\x8b\x08",
            3,
            "packed.txt: this is a gzip file",
        ),
        (
            "notes.md",
            b"a\n",
            2,
            "the ending of `notes.md` says no format; known are .txt, .csv, .tsv, .json and .jsonl",
        ),
        ("notes", b"a\n", 2, "the ending of `notes` says no format"),
    ] {
        write(name, bytes);
        home.command(&["encode", &model, "-i", name, "-o", "x.npy"])
            .assert()
            .code(code)
            .stderr(predicate::str::contains(says))
            .stderr(predicate::str::contains("hint: "));
    }
    write("good.txt", b"a\n");
    for (arguments, code, says) in [
        (["good.txt", "-o", "x.csv"], 2, "found output `x.csv`"),
        (["absent.txt", "-o", "x.npy"], 3, "absent.txt"),
        (
            ["good.txt", "-ox.npy", "--column=a"],
            2,
            "which have no fields",
        ),
    ] {
        home.command(&[&["encode", &model, "-i"][..], &arguments].concat())
            .assert()
            .code(code)
            .stderr(predicate::str::contains(says))
            .stderr(predicate::str::contains("hint: "));
    }
    home.command(&[
        "encode",
        &model,
        "-i",
        "good.txt",
        "-o",
        "x.npy",
        "--prompt",
        "a",
        "--prompt2",
        "b",
    ])
    .assert()
    .code(2)
    .stderr(predicate::str::contains("`--prompt2` is for pairs"));
    assert!(!home.path("x.npy").exists());
}
