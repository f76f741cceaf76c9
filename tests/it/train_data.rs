//! Training data as users have them: files, folders and datasets of the hub, with columns of any
//! name; the hub is a small server of its protocol.

use serde_json::Value;

use super::server::{Answer, Server};
use super::support::{Home, repository};
use super::train_run::{prepare, triplets, write};

pub(super) const COMMIT: &str = "47c5245b0e1d2c3f4a5b6c7d8e9f00112233445f";

/// A hub with datasets of the given files.
pub(super) fn hub(files: Vec<(&'static str, &'static str, Vec<u8>)>) -> Server {
    Server::new(move |seen, _| {
        let of = |dataset: &str| seen.path.contains(&format!("datasets/{dataset}/"));
        if seen.path.starts_with("/api/") {
            let own = files.iter().filter(|f| of(f.0));
            let own = own
                .map(|f| serde_json::json!({ "rfilename": f.1 }))
                .collect::<Vec<_>>();
            if own.is_empty() || !seen.path.ends_with(COMMIT) {
                return Answer::status(404);
            }
            return Answer::json(&serde_json::json!({ "sha": COMMIT, "siblings": own }));
        }
        let file = files
            .iter()
            .find(|f| of(f.0) && seen.path.ends_with(&format!("/{}", f.1)));
        file.map_or(Answer::status(404), |f| {
            let tag = korfinsts_base::fs::sha256(&f.2);
            Answer::status(200)
                .with("etag", format!("\"{tag}\""))
                .body(&f.2)
        })
    })
}

/// Rows as the authors have them: 20 triplets.
pub(super) fn authors() -> Vec<u8> {
    triplets(20)
        .replace("\"anchor\"", "\"source_text\"")
        .replace("\"source\"", "\"origin_url\"")
        .into_bytes()
}

/// The recipe with other data in place of `triplets.jsonl`.
fn with_data(home: &Home, data: &str) {
    let path = home.path("tiny.toml");
    let text = String::from_utf8(std::fs::read(&path).expect("read")).expect("UTF-8");
    let start = text.find("data = [").expect("data");
    let end = start + text[start..].find("]\n[evaluate]").expect("closed") + 1;
    let text = format!("{}data = [{data}]{}", &text[..start], &text[end..]);
    write(&path, text.as_bytes());
}

/// What `train --dry-run` says, and its exit code.
fn dry_run(home: &Home, data: &str, more: &[&str], hub: Option<&Server>) -> (i32, Value, String) {
    with_data(home, data);
    let mut arguments = vec!["train", "tiny.toml", "--dry-run", "--format", "json"];
    arguments.extend(more);
    let mut command = home.command(&arguments);
    if let Some(hub) = hub {
        command
            .env("HF_ENDPOINT", &hub.address)
            .env_remove("HF_HUB_OFFLINE");
    }
    let output = command.output().expect("it runs");
    (
        output.status.code().expect("a code"),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

const COLUMNS: &str = "columns = { anchor = \"source_text\" }";

#[test]
fn every_form_of_the_same_rows_gives_the_same_plan() {
    let home = prepare("bert-mean", "");
    let rows = authors();
    let values: Vec<Value> = rows
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    write(&home.path("a.jsonl"), &rows);
    write(
        &home.path("a.json"),
        Value::Array(values.clone()).to_string().as_bytes(),
    );
    let table = |rows: &[Value], between: &str| -> String {
        let names = ["source_text", "positive", "negative"];
        let lines = rows.iter().map(|row| {
            names
                .map(|n| row[n].as_str().expect("a text"))
                .join(between)
        });
        std::iter::once(names.join(between))
            .chain(lines)
            .map(|l| l + "\n")
            .collect()
    };
    write(&home.path("a.csv"), table(&values, ",").as_bytes());
    write(&home.path("a.tsv"), table(&values, "\t").as_bytes());
    write(
        &home.path("folder/2.csv"),
        table(&values[8..], ",").as_bytes(),
    );
    write(
        &home.path("folder/1.csv"),
        table(&values[..8], ",").as_bytes(),
    );
    write(&home.path("folder/README.md"), b"a card");
    let mut longest = None;
    for file in ["a.jsonl", "a.json", "a.csv", "a.tsv", "folder"] {
        let data = format!("{{ triplets = \"{file}\", {COLUMNS} }}");
        let (code, outline, said) = dry_run(&home, &data, &[], None);
        assert_eq!(code, 0, "{file}: {said}");
        assert_eq!(outline["leakage"]["examples"], 20, "{file}");
        assert_eq!(outline["stages"][0]["steps"], 10, "{file}");
        assert_eq!(
            *longest.get_or_insert(outline["longest_text"].clone()),
            outline["longest_text"]
        );
        // Labels are read from named columns alone.
        assert_eq!(outline["labels"], Value::Null, "{file}");
    }
    let (_, outline, _) = dry_run(
        &home,
        &format!("{{ triplets = \"folder\", {COLUMNS} }}"),
        &[],
        None,
    );
    let names = [&outline["files"][0]["name"], &outline["files"][1]["name"]];
    assert_eq!(names, ["folder/1.csv", "folder/2.csv"]);
    let limited = format!("{{ triplets = \"folder\", {COLUMNS}, limit = 9 }}");
    let (_, outline, _) = dry_run(&home, &limited, &[], None);
    assert_eq!(outline["leakage"]["examples"], 9);
    write(
        &home.path("pairs.tsv"),
        b"text1\ttext2\tlabel\nabc def\tghi jkl\t1\nxyz\tuvw\t0.5\n",
    );
    let data = "{ scored = { file = \"pairs.tsv\" }, scale = [0, 1], \
                columns = { first = \"text1\", second = \"text2\", score = \"label\" } }";
    let (code, outline, said) = dry_run(&home, data, &[], None);
    assert_eq!(
        (code, &outline["leakage"]["examples"]),
        (0, &2.into()),
        "{said}"
    );
}

#[test]
fn wrong_data_are_refused_with_their_place_and_what_to_write() {
    let home = prepare("bert-mean", "");
    write(&home.path("rows.csv"), b"anchor,pos,negative\na,b,c\n");
    write(
        &home.path("scored.jsonl"),
        b"{\"first\": \"a\", \"second\": \"b\", \"score\": 7}",
    );
    write(
        &home.path("mixed/a.csv"),
        b"anchor,positive,negative\na,b,c\n",
    );
    write(&home.path("mixed/b.jsonl"), b"{}");
    write(&home.path("arrow/data-0.arrow"), b"x");
    write(&home.path("empty/README.md"), b"x");
    write(&home.path("notes.txt"), b"x");
    for (data, code, expected) in [
        (
            "{ triplets = \"rows.csv\" }",
            3,
            "rows.csv:2: `positive` is missing; there is `anchor`, `pos`, `negative`",
        ),
        (
            "{ triplets = \"rows.csv\" }",
            3,
            "columns = { positive = \"COLUMN\" }",
        ),
        (
            "{ triplets = \"rows.csv\", columns = { positiv = \"pos\" } }",
            2,
            "`columns` names `positiv`, expected one of `anchor`, `positive`",
        ),
        (
            "{ shift = [\"news.temporal.phase\"], columns = { anchor = \"a\" } }",
            2,
            "`columns` are of `triplets`",
        ),
        (
            "{ scored = { file = \"scored.jsonl\" } }",
            2,
            "as in `scale = [0, 5]`",
        ),
        (
            "{ scored = { file = \"scored.jsonl\" }, scale = [0, 5] }",
            3,
            "scored.jsonl:1: `score` is `7`, expected a number from 0 to 5",
        ),
        (
            "{ scored = \"scored.jsonl\" }",
            2,
            "write `scored = { file = \"scored.jsonl\" }`",
        ),
        (
            "{ triplets = \"mixed\" }",
            2,
            "`mixed/a.csv` and `mixed/b.jsonl` are of two formats",
        ),
        ("{ triplets = \"arrow\" }", 3, "dataset.to_parquet"),
        (
            "{ triplets = \"empty\" }",
            3,
            "the folder holds no file of rows",
        ),
        (
            "{ triplets = \"notes.txt\" }",
            3,
            "end it in .jsonl, .json, .csv, .tsv or .parquet",
        ),
        (
            "{ triplets = { hub = { dataste = \"a/b\" } } }",
            2,
            "unknown field `dataste`",
        ),
        (
            "{ triplets = { hub = { dataset = \"a b/c\" } } }",
            2,
            "`a b/c` is no repository name",
        ),
        (
            "{ triplets = { file = \"a\", hub = { dataset = \"a/b\" } } }",
            2,
            "expected a name, `{ file",
        ),
        (
            "{ triplets = \"mixed/a.csv\", sha256 = [\"0\", \"1\"] }",
            2,
            "`sha256` has 2 values for 1 files",
        ),
    ] {
        let (found, _, said) = dry_run(&home, data, &[], None);
        assert_eq!(found, code, "{data}: {said}");
        assert!(said.contains(expected), "{data}: {said} / {expected}");
    }
}

#[test]
fn a_dataset_of_the_hub_is_read_at_a_commit_once_and_then_offline() {
    let server = hub(vec![
        ("nmixx-fin/NMIXX_train", "data/train.jsonl", authors()),
        ("nmixx-fin/NMIXX_train", "README.md", b"card".to_vec()),
        ("org/two", "ko/train.csv", b"a\n".to_vec()),
        ("org/two", "en/train.csv", b"a\n".to_vec()),
    ]);
    let home = prepare("bert-mean", "");
    let of = |dataset: &str, revision: &str| {
        format!("{{ triplets = {{ hub = {{ dataset = \"{dataset}\"{revision} }} }}, {COLUMNS} }}")
    };
    let plain = of("nmixx-fin/NMIXX_train", "");
    let pinned = format!(", revision = \"{COMMIT}\"");
    let given = format!("nmixx-fin/NMIXX_train={COMMIT}");
    // Nothing is invented: a missing revision is asked for, before any request.
    let (code, _, said) = dry_run(&home, &plain, &[], Some(&server));
    assert_eq!(code, 2, "{said}");
    for expected in [
        "`revision` of `nmixx-fin/NMIXX_train` is missing",
        "/datasets/nmixx-fin/NMIXX_train/commits/main",
        "--hub-revision nmixx-fin/NMIXX_train=COMMIT",
    ] {
        assert!(said.contains(expected), "{said} / {expected}");
    }
    assert!(server.seen().is_empty());
    let (code, _, said) = dry_run(&home, &plain, &["--hub-revision", &given], None);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("is not in the cache"), "{said}");
    let (code, outline, said) = dry_run(&home, &plain, &["--hub-revision", &given], Some(&server));
    assert_eq!(code, 0, "{said}");
    assert_eq!(outline["leakage"]["examples"], 20);
    assert_eq!(
        outline["stages"][0]["sources"][0][0],
        "nmixx-fin/NMIXX_train train (triplets)"
    );
    let file = &outline["files"][0];
    assert_eq!(
        file["name"],
        format!("nmixx-fin/NMIXX_train@{COMMIT}/data/train.jsonl")
    );
    assert_eq!(file["sha256"], korfinsts_base::fs::sha256(&authors()));
    let asked = server.seen().len();
    for (data, hub) in [
        (of("nmixx-fin/NMIXX_train", &pinned), Some(&server)),
        (of("nmixx-fin/NMIXX_train", &pinned), None),
    ] {
        let (code, again, said) = dry_run(&home, &data, &[], hub);
        assert_eq!((code, &again["files"]), (0, &outline["files"]), "{said}");
    }
    assert_eq!(server.seen().len(), asked, "the cache needs no request");
    // A file that is gone from the cache is named where there is no network.
    let cached = home.path("hub/datasets--nmixx-fin--NMIXX_train/snapshots");
    std::fs::remove_dir_all(&cached).expect("removed");
    let (code, _, said) = dry_run(&home, &of("nmixx-fin/NMIXX_train", &pinned), &[], None);
    assert_eq!(code, 5, "{said}");
    assert!(
        said.contains("`data/train.jsonl` in dataset `nmixx-fin/NMIXX_train`"),
        "{said}"
    );
    for (data, more, code, expected) in [
        (
            of("nmixx-fin/NMIXX_train", ", revision = \"main\""),
            "",
            2,
            "`revision` is `main`, expected a commit",
        ),
        (
            plain.clone(),
            "nmixx-fin/NMIXX_train=main",
            2,
            "expected a commit: 40 hexadecimal digits",
        ),
        (
            plain.clone(),
            "nmixx-fin/other=47c5245b0e1d2c3f4a5b6c7d8e9f00112233445f",
            2,
            "the recipe reads no dataset `nmixx-fin/other`",
        ),
        (plain.clone(), "nmixx-fin/NMIXX_train", 2, "there is no `=`"),
        (
            of("nmixx-fin/NMIXX_train", &pinned),
            "nmixx-fin/NMIXX_train=0000000000000000000000000000000000000000",
            2,
            "the recipe reads `nmixx-fin/NMIXX_train` at 47c",
        ),
        (
            of("nmixx-fin/none", &pinned),
            "",
            5,
            "the hub has no dataset `nmixx-fin/none`",
        ),
        (
            of(
                "nmixx-fin/NMIXX_train",
                &format!("{pinned}, split = \"test\""),
            ),
            "",
            2,
            "no file of split `test`, found data/train.jsonl",
        ),
        (
            of("org/two", &pinned),
            "",
            2,
            "files of several configurations: `en`, `ko`",
        ),
    ] {
        let more: Vec<&str> = if more.is_empty() {
            vec![]
        } else {
            vec!["--hub-revision", more]
        };
        let (found, _, said) = dry_run(&home, &data, &more, Some(&server));
        assert_eq!(found, code, "{data}: {said}");
        assert!(said.contains(expected), "{data}: {said} / {expected}");
    }
}

#[test]
fn every_recipe_of_the_authors_is_planned_from_a_hub_with_columns_as_theirs() {
    let server = hub(vec![(
        "nmixx-fin/NMIXX_train",
        "data/train.jsonl",
        authors(),
    )]);
    let given = format!("nmixx-fin/NMIXX_train={COMMIT}");
    let home = Home::new();
    let folder = repository("training/recipes/authors");
    // Rows of a step, and steps: 20 triplets, epochs by recipe.
    let cases = [
        ("bge-large-en-v1.5", "bert-mean", 2),
        ("bge-m3", "xlmr-cls", 2),
        ("gte-qwen2-1.5b-instruct", "qwen2bi-mean", 2),
        ("instructor-base", "t5enc-dense", 2),
        ("all-minilm-l12-v2", "bert-mean", 6),
        ("e5-mistral-7b-instruct", "mistral-last", 3),
        ("bge-en-icl", "mistral-last", 5),
        ("kure-v1", "xlmr-cls", 1),
        ("kanana-nano-2.1b-embedding", "qwen2-last", 3),
    ];
    assert_eq!(
        korfinsts_base::fs::list(&folder).expect("recipes").len(),
        cases.len()
    );
    for (recipe, base, steps) in cases {
        let path = folder.join(format!("authors-{recipe}.toml"));
        let base = repository("tests/reference/encoders").join(base);
        let arguments = |more: &[&'static str]| -> Vec<String> {
            let first = [
                "train",
                &path.to_string_lossy(),
                "--base",
                &base.to_string_lossy(),
            ];
            first.iter().chain(more).map(|a| (*a).to_owned()).collect()
        };
        let run = |arguments: Vec<String>| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = home.command(&arguments);
            command
                .env("HF_ENDPOINT", &server.address)
                .env_remove("HF_HUB_OFFLINE");
            let output = command.output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.code(), output.stdout, said)
        };
        let (code, _, said) = run(arguments(&["--dry-run"]));
        assert_eq!(code, Some(2), "{recipe}: {said}");
        assert!(
            said.contains("`revision` of `nmixx-fin/NMIXX_train` is missing"),
            "{said}"
        );
        let mut pinned = arguments(&["--dry-run", "--format", "json", "--hub-revision"]);
        pinned.push(given.clone());
        let (code, stdout, said) = run(pinned);
        assert_eq!(code, Some(0), "{recipe}: {said}");
        let outline: Value = serde_json::from_slice(&stdout).expect("an outline");
        assert_eq!(outline["stages"][0]["steps"], steps, "{recipe}");
        assert_eq!(outline["leakage"]["examples"], 20, "{recipe}");
    }
}
