//! Tokenizer coverage against the numbers that other software gave for real vocabularies.

use korfinsts_bench::coverage::corpus::{self, Corpus, CorpusOptions};
use korfinsts_bench::coverage::subject::{HangulForm, Subject};
use korfinsts_bench::coverage::text::{TextReport, count_texts};
use korfinsts_bench::coverage::vocabulary::{HangulCounts, VocabularyCounts, count};
use korfinsts_bench::coverage::{ScriptQuery, gains};

use super::support::shared;

fn load(name: &str) -> Option<Subject> {
    let path = shared(&format!("tokenizers/{name}"))?;
    Some(Subject::load(&path).expect("a real tokenizer loads"))
}

/// Both sentences of every row of KorSTS test: tab separated, without quoting.
fn korsts() -> Option<Vec<String>> {
    let path = shared("data/korsts/sts-test.tsv")?;
    let text = std::fs::read_to_string(path).expect("KorSTS is UTF-8");
    let texts: Vec<String> = text
        .lines()
        .skip(1)
        .flat_map(|line| line.split('\t').skip(5).take(2).map(str::to_owned))
        .collect();
    assert_eq!(texts.len(), 2 * 1379);
    Some(texts)
}

fn on(subject: &Subject, texts: &[String]) -> TextReport {
    let texts: Vec<(&str, Option<&str>)> = texts.iter().map(|t| (t.as_str(), None)).collect();
    count_texts(subject, &texts).expect("real texts")
}

fn counts(name: &str) -> Option<VocabularyCounts> {
    let thai = ScriptQuery::parse("Thai").expect("a script");
    Some(count(&load(name)?, &[thai]))
}

#[test]
fn vocabularies_have_the_counts_of_table_6_raw_and_decoded() {
    // any raw, any decoded, only syllables, one, two or more, distinct, partial UTF-8
    for (name, size, expected) in [
        (
            "xlm-roberta-base",
            250_002,
            [5413, 5413, 5373, 2108, 3265, 1725, 0],
        ),
        ("mistral-7b-v0.1", 32_000, [346, 346, 346, 346, 0, 346, 128]),
        ("qwen2", 151_646, [0, 3567, 3473, 2718, 755, 2512, 1448]),
        ("bert-base-uncased", 30_522, [70, 70, 0, 0, 0, 0, 0]),
        ("t5-small", 32_100, [0, 0, 0, 0, 0, 0, 0]),
    ] {
        let Some(found) = counts(name) else { return };
        let HangulCounts {
            raw_any,
            decoded_any,
            decoded_syllables_only,
            decoded_single_syllable,
            decoded_multi_syllable,
            distinct_syllables,
            ..
        } = found.hangul;
        assert_eq!(found.vocab_size, size, "{name}");
        assert_eq!(
            [
                raw_any,
                decoded_any,
                decoded_syllables_only,
                decoded_single_syllable,
                decoded_multi_syllable,
                distinct_syllables,
                found.partial_utf8
            ],
            expected,
            "{name}"
        );
        let share = |n: usize| format!("{:.2}", n as f64 / found.vocab_size as f64 * 100.0);
        match name {
            "xlm-roberta-base" => assert_eq!(share(raw_any), "2.17"),
            "mistral-7b-v0.1" => assert_eq!(share(raw_any), "1.08"),
            "qwen2" => assert_eq!(share(decoded_any), "2.35"),
            _ => {}
        }
    }
}

#[test]
fn special_and_reserved_entries_stand_apart() {
    let Some(bert) = counts("bert-base-uncased") else {
        return;
    };
    assert_eq!((bert.special, bert.unused), (5, 994));
    let mistral = counts("mistral-7b-v0.1").expect("it is there");
    assert_eq!((mistral.special, mistral.byte_fallback), (3, 256));
    let t5 = counts("t5-small").expect("it is there");
    assert_eq!(t5.special, 103, "pad, end, unknown and a hundred sentinels");
    let qwen = counts("qwen2").expect("it is there");
    assert_eq!(qwen.special, 3);
    let thai = &qwen.scripts["Thai"];
    assert!(thai.raw_any == 0 && thai.decoded_any > 1000, "{thai:?}");
}

#[test]
fn every_format_of_qwen2_gives_the_same_vocabulary() {
    let Some(folder) = shared("tokenizers/qwen2") else {
        return;
    };
    let texts = korsts().expect("it is there");
    let texts = &texts[..200];
    let whole = Subject::load(&folder).expect("the folder");
    for file in ["tokenizer.json", "vocab.json", "merges.txt"] {
        let one = Subject::load(&folder.join(file)).expect(file);
        assert_eq!(one.name(), "qwen2", "{file}");
        assert_eq!(count(&one, &[]), count(&whole, &[]), "{file}");
        assert_eq!(on(&one, texts), on(&whole, texts), "{file}");
    }
    assert_eq!(whole.max_tokens().map(|m| m.tokens), Some(32_768));
}

#[test]
fn korsts_is_split_as_the_reference_software_splits_it() {
    let Some(texts) = korsts() else { return };
    // tokens per eojeol, unknown rate in %, byte or partial in %: to the printed digits; tokens
    // exactly, as Python's tokenizers 0.23 and sentencepiece 0.2 count them.
    for (name, fertility, unknown, partial, tokens, form) in [
        (
            "xlm-roberta-base",
            "2.15",
            "0.0",
            "0.0",
            45_324,
            HangulForm::Composes,
        ),
        ("qwen2", "2.77", "0.0", "16.5", 58_340, HangulForm::Composes),
        (
            "mistral-7b-v0.1",
            "4.44",
            "0.0",
            "17.2",
            93_509,
            HangulForm::Keeps,
        ),
        (
            "bert-base-uncased",
            "5.26",
            "5.0",
            "0.0",
            110_847,
            HangulForm::Decomposes,
        ),
        // Its table of normal forms composes nothing longer than five bytes in the tokenizers crate.
        ("t5-small", "2.17", "45.7", "0.0", 45_599, HangulForm::Keeps),
    ] {
        let Some(subject) = load(name) else { return };
        let report = on(&subject, &texts);
        let percent = |share: Option<f64>| format!("{:.1}", share.expect("a share") * 100.0);
        assert_eq!(report.counts.eojeol, 21_061);
        assert_eq!(report.counts.syllables, 56_694);
        assert_eq!(report.counts.bytes, 194_397);
        assert_eq!(report.counts.tokens, tokens, "{name}");
        let found = report.tokens_per_eojeol.expect("eojeol");
        assert_eq!(format!("{found:.2}"), fertility, "{name}");
        assert_eq!(percent(report.unknown_rate), unknown, "{name}");
        assert_eq!(percent(report.partial_utf8_share), partial, "{name}");
        assert_eq!(subject.hangul_form(), form, "{name}");
        let forms = report.unicode_forms;
        match name {
            "mistral-7b-v0.1" => assert!(forms.differing_share > Some(0.99), "{forms:?}"),
            // Composed or not, every word is unknown to it.
            "t5-small" => assert!(forms.nfd_unknown_rate > Some(0.4), "{forms:?}"),
            _ => assert_eq!(forms.differing_share, Some(0.0), "{name}"),
        }
    }
}

#[test]
fn looking_up_eojeol_changes_no_number() {
    let Some(texts) = korsts() else { return };
    let news = shared("data/korfin_twice/NMIXX_kor_Fin_news.csv").expect("it is there");
    let subjects: Vec<Subject> = [
        "xlm-roberta-base",
        "mistral-7b-v0.1",
        "qwen2",
        "bert-base-uncased",
        "t5-small",
    ]
    .iter()
    .map(|name| load(name).expect("it is there"))
    .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = folder.path().join("korsts.txt");
    std::fs::write(&lines, texts.join("\n")).expect("written");
    for corpus in [
        Corpus::new(&lines, None).expect("lines"),
        Corpus::new(&news, Some("sentence1,sentence2")).expect("a table"),
    ] {
        let count = |memo, workers| {
            corpus::count(&subjects, &corpus, CorpusOptions { workers, memo }, &|_| {})
                .expect("a corpus")
                .reports
        };
        let whole = count(false, 1);
        let looked_up = count(true, 2);
        for ((subject, a), b) in subjects.iter().zip(&whole).zip(&looked_up) {
            assert!(
                subject.tokenizer().eojeol_context().is_some(),
                "{} is looked up",
                subject.name()
            );
            assert_eq!(a, b, "{}", subject.name());
        }
    }
}

#[test]
fn the_built_in_counts_are_those_of_the_files() {
    for (name, file) in [
        ("XLM-R", "xlm-roberta-base"),
        ("Mistral v0.1", "mistral-7b-v0.1"),
        ("Qwen2", "qwen2"),
        ("BERT uncased", "bert-base-uncased"),
        ("T5", "t5-small"),
    ] {
        let Some(found) = counts(file) else { return };
        let built_in = gains::measured_vocabularies()
            .into_iter()
            .find(|v| v.name == name)
            .expect("it is listed");
        assert_eq!(
            (built_in.vocab_size, built_in.raw_any, built_in.decoded_any),
            (
                found.vocab_size,
                found.hangul.raw_any,
                found.hangul.decoded_any
            ),
            "{name}"
        );
    }
}

#[test]
fn a_broken_tokenizer_is_an_error_or_a_right_result() {
    let Some(folder) = shared("reference/broken/tokenizers") else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        seen += 1;
        match Subject::load(&path) {
            Err(error) => assert_eq!(error.class().exit_code(), 4, "{}: {error}", path.display()),
            Ok(subject) => {
                let report = on(&subject, &["aabb 금리".to_owned()]);
                assert!(report.counts.eojeol == 2, "{}", path.display());
            }
        }
    }
    assert_eq!(seen, 9);
}

fn command() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("korfinsts").expect("the binary is built");
    command.env("KORFINSTS_LANG", "en");
    command.env(
        "KORFINSTS_DATA",
        std::env::temp_dir().join("korfinsts-coverage-tests"),
    );
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = command().args(arguments).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (
        output.status.code().expect("an exit code"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_broken_tokenizer_ends_the_command_with_exit_code_4() {
    let Some(folder) = shared("reference/broken/tokenizers") else {
        return;
    };
    let mut refused = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let path = path.to_str().expect("UTF-8");
        let (code, _, stderr) = run(&["tokenizer", "coverage", path, "--suite", "korfin-shift"]);
        assert!(code == 0 || code == 4, "{path}: {code}: {stderr}");
        assert!(!stderr.contains("panicked"), "{path}: {stderr}");
        if code == 4 {
            refused += 1;
            assert!(stderr.starts_with("error: "), "{stderr}");
        }
    }
    assert!(refused >= 7, "{refused}");
}

#[test]
fn json_holds_the_keys_that_scripts_rely_on() {
    let Some(bert) = shared("tokenizers/bert-base-uncased/vocab.txt") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let corpus = folder.path().join("a.txt");
    std::fs::write(&corpus, "기준금리 인상\nrates\n").expect("written");
    let arguments = [
        "tokenizer",
        "coverage",
        bert.to_str().expect("UTF-8"),
        "--suite",
        "korfin-shift",
        "--corpus",
        corpus.to_str().expect("UTF-8"),
        "--script",
        "Thai",
        "--max-tokens",
        "16",
        "--detail",
        "--format",
        "json",
    ];
    let (code, stdout, stderr) = run(&arguments);
    assert_eq!(code, 0, "{stderr}");
    let found: serde_json::Value = serde_json::from_str(&stdout).expect("one document");
    let report = &found[0];
    assert_eq!(report["tokenizer"], "bert-base-uncased");
    assert_eq!(report["vocab_size"], 30_522);
    for key in [
        "raw_any",
        "decoded_any",
        "decoded_syllables_only",
        "decoded_single_syllable",
        "decoded_multi_syllable",
        "distinct_syllables",
    ] {
        assert!(report["hangul"][key].is_u64(), "{key}");
    }
    assert!(report["partial_utf8"].is_u64());
    assert_eq!(report["hangul_form"], "decomposes");
    assert_eq!(report["max_tokens"]["source"], "--max-tokens");
    let suite = &report["suites"]["korfin-shift"];
    for key in [
        "tokens_per_eojeol",
        "unknown_rate",
        "partial_utf8_share",
        "truncated_share",
    ] {
        assert!(suite[key].is_f64(), "{key}: {suite}");
    }
    let text = &report["corpora"][corpus.to_str().expect("UTF-8")];
    assert_eq!(text["counts"]["eojeol"], 3);
    assert_eq!(report["terms"]["worst"].as_array().map(Vec::len), Some(432));
    for key in ["tokens_per_eojeol", "hangul.raw_any"] {
        assert!(report["definitions"][key].is_string(), "{key}");
    }
    for (format, needle) in [
        ("table", "tokens/eojeol"),
        ("md", "| bert-base-uncased |"),
        ("latex", "\\toprule"),
        ("csv", "bert-base-uncased,text,korfin-shift,,unknown_rate,"),
        ("svg", "<title id="),
    ] {
        let mut arguments = arguments.to_vec();
        *arguments.last_mut().expect("a format") = format;
        let (code, stdout, stderr) = run(&arguments);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(needle), "{format}: {stdout}");
        if format != "csv" && format != "svg" {
            assert!(
                stdout.contains("the count of the paper's Table 6"),
                "{format}"
            );
        }
    }
}

/// What a number counts is said wherever the number is shown.
#[test]
fn every_format_states_its_definitions() {
    let Some(tokenizer) = shared("tokenizers/qwen2/tokenizer.json") else {
        return;
    };
    let raw = "entries whose stored token has a Hangul code point";
    let unknown = "share of tokens that are the unknown token";
    for format in ["table", "json", "csv", "md", "latex", "svg"] {
        let (code, stdout, stderr) = run(&[
            "tokenizer",
            "coverage",
            tokenizer.to_str().expect("UTF-8"),
            "--suite",
            "korfin-shift",
            "--no-terms",
            "--detail",
            "--format",
            format,
        ]);
        assert_eq!(code, 0, "{format}: {stderr}");
        for text in [raw, unknown] {
            assert!(stdout.contains(text), "{format}: {text}");
        }
        if format == "csv" {
            let first = stdout.lines().next().unwrap_or_default();
            assert_eq!(first, "tokenizer,part,text,domain,measure,value,definition");
            let stored = stdout
                .lines()
                .find(|l| l.contains(",hangul.raw_single_syllable,"))
                .expect("a row");
            assert!(stored.contains("of the tokens as stored"), "{stored}");
        }
    }
}

#[test]
fn wrong_requests_end_with_their_exit_code_and_a_hint() {
    let Some(bert) = shared("tokenizers/bert-base-uncased") else {
        return;
    };
    let bert = bert.to_str().expect("UTF-8");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let latin1 = folder.path().join("cp949.txt");
    std::fs::write(&latin1, b"ok\n\xb1\xdd\xb8\xae\n").expect("written");
    let latin1 = latin1.to_str().expect("UTF-8");
    for (arguments, code, needle) in [
        (
            vec!["tokenizer", "coverage", "./nowhere"],
            4,
            "the tokenizer is missing",
        ),
        (
            vec!["tokenizer", "coverage", bert, "--script", "Klingon"],
            2,
            "no script is called",
        ),
        (
            vec!["tokenizer", "coverage", bert, "--corpus", latin1],
            3,
            "cp949.txt:2: the line is not",
        ),
        (
            vec!["tokenizer", "coverage", bert, "--suite", "nope"],
            2,
            "nope",
        ),
        (
            vec![
                "tokenizer",
                "augment",
                bert,
                "--corpus",
                latin1,
                "--into",
                bert,
            ],
            2,
            "holds the tokenizer itself",
        ),
    ] {
        let (found, _, stderr) = run(&arguments);
        assert!(
            stderr.contains(needle) && stderr.contains("hint: "),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(found, code, "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_papers_claim_is_shown_with_what_it_supports() {
    let (code, stdout, stderr) = run(&["tokenizer", "gains"]);
    assert_eq!(code, 0, "{stderr}");
    for needle in [
        "gte-Qwen2-1.5B-instruct: the raw count of 0 is an artefact",
        "these 4 models support nothing either way",
        "share, raw",
        "share, decoded",
    ] {
        assert!(stdout.contains(needle), "{needle}: {stdout}");
    }
}

#[test]
fn new_tokens_are_used_and_the_old_ones_stay() {
    let Some(texts) = korsts() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let corpus = folder.path().join("korsts.txt");
    std::fs::write(&corpus, texts.join("\n")).expect("written");
    for name in [
        "xlm-roberta-base",
        "mistral-7b-v0.1",
        "qwen2",
        "bert-base-uncased",
        "t5-small",
    ] {
        let source = shared(&format!("tokenizers/{name}")).expect("it is there");
        let into = folder.path().join(name);
        let (code, stdout, stderr) = run(&[
            "tokenizer",
            "augment",
            source.to_str().expect("UTF-8"),
            "--corpus",
            corpus.to_str().expect("UTF-8"),
            "--tokens",
            "300",
            "--into",
            into.to_str().expect("UTF-8"),
            "--format",
            "json",
        ]);
        assert_eq!(code, 0, "{name}: {stderr}");
        let report: serde_json::Value = serde_json::from_str(&stdout).expect("one document");
        let added = report["added"].as_u64().expect("a number");
        assert!((200..=300).contains(&added), "{name}: {added}");
        let used = report["used_in_training_texts"].as_u64().expect("a number");
        assert!(used * 10 >= added * 9, "{name}: {used} of {added} are used");
        for part in report["texts"].as_array().expect("two parts") {
            let number = |when: &str, key: &str| part[when][key].as_f64().expect(key);
            let unknown = (
                number("before", "unknown_rate"),
                number("after", "unknown_rate"),
            );
            assert!(unknown.1 <= unknown.0 + 1e-3, "{name}: {unknown:?}");
            // Where words were unknown whole, knowing them takes more tokens.
            if unknown.0 < 0.2 {
                let fertility = |when| number(when, "tokens_per_eojeol");
                assert!(
                    fertility("after") < 0.97 * fertility("before"),
                    "{name}: {} to {}",
                    fertility("before"),
                    fertility("after")
                );
            }
        }

        let map = std::fs::read(into.join("row_map.json")).expect("a row map");
        let map: serde_json::Value = serde_json::from_slice(&map).expect("JSON");
        let old = Subject::load(&source).expect("the old one");
        let new = Subject::load(&into).expect("the new one");
        let old_rows = map["old_rows"].as_u64().expect("a number") as u32;
        assert_eq!(
            old_rows,
            old.entries().last().expect("entries").id + 1,
            "{name}"
        );
        assert!(
            map["new_rows"].as_u64() == Some(u64::from(old_rows) + added),
            "{name}"
        );
        for row in map["rows"].as_array().expect("rows") {
            let id = row["id"].as_u64().expect("an id") as u32;
            let token = row["token"].as_str().expect("a token");
            assert_eq!(new.tokenizer().id_of(token), Some(id), "{name}: {token}");
            assert_eq!(old.tokenizer().id_of(token), None, "{name}: {token}");
            let pieces = row["pieces"].as_array().expect("pieces");
            assert!(!pieces.is_empty(), "{name}: {token}");
            assert!(
                pieces
                    .iter()
                    .all(|p| p.as_u64() < Some(u64::from(old_rows)))
            );
        }
        for entry in old.entries() {
            assert_eq!(
                new.tokenizer().id_of(&entry.raw),
                Some(entry.id),
                "{name}: {}",
                entry.raw
            );
        }
        let english = "The central bank raised its policy rate by 0.25% on Monday.";
        let ids = |subject: &Subject| {
            let mut ids = Vec::new();
            let scanned = subject.tokenizer().scan(english, |id, _| ids.push(id));
            scanned.map(|()| ids).expect("English")
        };
        assert_eq!(
            ids(&old),
            ids(&new),
            "{name}: other text is split as before"
        );
    }
}

#[test]
fn an_uncased_wordpiece_uses_only_decomposed_new_entries() {
    let Some(source) = shared("tokenizers/bert-base-uncased/vocab.txt") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let vocabulary = std::fs::read_to_string(&source).expect("UTF-8");
    let decomposed = "\u{1100}\u{1173}\u{11b7}\u{1105}\u{1175}";
    for (entry, used) in [("금리", false), (decomposed, true)] {
        let path = folder.path().join(format!("{used}.txt"));
        std::fs::write(&path, format!("{vocabulary}{entry}\n")).expect("written");
        let subject = Subject::load(&path).expect("one entry more");
        let mut ids = Vec::new();
        subject
            .tokenizer()
            .scan("금리", |id, _| ids.push(id))
            .expect("a word");
        assert_eq!(ids.contains(&30_522), used, "{entry}: {ids:?}");
    }
}
