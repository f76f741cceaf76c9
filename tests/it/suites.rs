//! Suites: the real files give the numbers that are known of them, and broken ones are named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use korfinsts_base::text::nfc;
use korfinsts_bench::suite::{
    Availability, Level, Manifest, Pair, Registry, Suite, SuiteError, overlap, stats,
};
use korfinsts_metric::spearman;

use super::support::{repository, shared};

fn registry(home: &Path) -> Registry {
    Registry::open(home).expect("the built-in suites are valid")
}

/// Imports a suite from the shared folder and loads a split.
fn real(id: &str, folder: &str, splits: &[&str]) -> Option<Vec<Suite>> {
    let data = shared(folder)?;
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry.find(id).expect("a suite");
    registry.import(&manifest, &data).expect("it imports");
    let load = |split: &&str| registry.load(&manifest, Some(split)).expect("it loads");
    Some(splits.iter().map(load).collect())
}

fn mean(suite: &Suite) -> f64 {
    suite.pairs.iter().map(|p| p.gold).sum::<f64>() / suite.pairs.len() as f64
}

fn count(suite: &Suite, gold: f64) -> usize {
    suite.pairs.iter().filter(|p| p.gold == gold).count()
}

fn domains(suite: &Suite) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for pair in &suite.pairs {
        *found
            .entry(pair.domain.as_deref().unwrap_or("-"))
            .or_default() += 1;
    }
    found
}

#[test]
fn every_built_in_suite_has_a_card_and_a_licence_note() {
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let ids: Vec<&str> = registry.all().iter().map(|m| m.id.as_str()).collect();
    let folders = std::fs::read_dir(repository("benchmarks")).expect("the suites");
    let mut folders: Vec<String> = folders
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().join("suite.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    assert_eq!(ids, folders);
    assert!(ids.len() >= 21, "{ids:?}");
    for id in ids {
        for name in ["suite.toml", "README.md", "LICENCE-NOTE.md"] {
            assert!(
                repository(&format!("benchmarks/{id}/{name}")).is_file(),
                "{id}/{name}"
            );
            assert!(
                korfinsts_bench::suite::built_in_text(id, name).is_some(),
                "{id}/{name}"
            );
        }
    }
}

#[test]
fn finsts_has_370_pairs_207_zeros_and_163_ones() {
    let Some(suites) = real("finsts", "data", &["test"]) else {
        return;
    };
    let suite = &suites[0];
    assert_eq!(suite.pairs.len(), 370);
    assert_eq!((count(suite, 0.0), count(suite, 1.0)), (207, 163));
    assert_eq!(suite.mteb_task.as_deref(), Some("FinSTS"));
    assert!(!suite.redistributable);
}

#[test]
fn the_authors_own_pairs_are_498_of_news_and_999_of_law() {
    let Some(news) = real("nmixx-news", "data/korfin_twice", &["test"]) else {
        return;
    };
    assert_eq!((count(&news[0], 0.0), count(&news[0], 1.0)), (244, 254));
    let law = real("nmixx-law", "data/korfin_twice", &["test"]).expect("the same folder");
    let law = &law[0];
    assert_eq!((count(law, 0.0), count(law, 1.0)), (500, 499));
    // Both texts of a row, but for the one that has one text.
    let rows: BTreeMap<&str, usize> = law.pairs.iter().fold(BTreeMap::new(), |mut rows, pair| {
        *rows.entry(pair.labels["row"].as_str()).or_default() += 1;
        rows
    });
    assert_eq!(rows.len(), 500);
    assert_eq!(
        rows.iter().filter(|(_, n)| **n == 1).collect::<Vec<_>>(),
        [(&"test-32", &1)]
    );
    assert_eq!(law.pairs[1].id, "test-1-2");
    let marked = |text: &str| text.contains("<<<") || text.trim() != text;
    assert!(!law.pairs.iter().any(|p| marked(&p.sentence2)));
    assert!(!law.redistributable && !news[0].redistributable);
}

/// Words for scores and several texts in a cell, in every format that has cells.
#[test]
fn several_texts_of_a_cell_are_pairs_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = |rows: &str, cluster: &str| {
        format!(
            "schema = 1\nid = \"own\"\nversion = \"1.0.0\"\ntitle = \"t\"\ndescription = \"d\"\nlanguages = [\"kor-Hang\"]\n\
             licence = \"MIT\"\nredistributable = true\ndefault_split = \"test\"\n{cluster}\n\
             scale = {{ kind = \"binary\", min = 0, max = 1 }}\n[splits.test]\n[[source]]\nname = \"own\"\n\
             format = {{ kind = \"auto\" }}\nfiles = {{ test = [{{ name = \"{rows}\" }}] }}\n[source.columns]\n\
             sentence1 = \"s\"\nsentence2 = \"t\"\nscore = \"g\"\nscores = {{ yes = 1, no = 0 }}\nmarks = [\"[1]\", \"[2]\"]\n"
        )
    };
    let load = |name: &str, rows: &str, cluster: &str| {
        std::fs::write(folder.path().join(name), rows).expect("written");
        let path = folder.path().join("suite.toml");
        std::fs::write(path, manifest(name, cluster)).expect("written");
        let registry = registry(folder.path());
        let manifest = registry.find(folder.path().to_str().expect("UTF-8"))?;
        registry.load(&manifest, None)
    };
    let csv = "s,t,g\na,[1] x [2]y,yes\nb,z,no\nc,[2]w[1],1\n";
    let jsonl = "{\"s\": \"a\", \"t\": \"[1] x [2]y\", \"g\": \"yes\"}\n{\"s\": \"b\", \"t\": \"z\", \"g\": \"no\"}\n\
                 {\"s\": \"c\", \"t\": \"[2]w[1]\", \"g\": 1}\n";
    for (name, rows) in [("p.csv", csv), ("p.jsonl", jsonl)] {
        let suite = load(name, rows, "cluster = \"row\"").expect("loaded");
        let found: Vec<(&str, &str, f64)> = suite
            .pairs
            .iter()
            .map(|p| (p.id.as_str(), p.sentence2.as_str(), p.gold))
            .collect();
        assert_eq!(
            found,
            [
                ("test-1-1", "x", 1.0),
                ("test-1-2", "y", 1.0),
                ("test-2-1", "z", 0.0),
                ("test-3-1", "w", 1.0)
            ]
        );
        assert_eq!(suite.pairs[1].labels["row"], "test-1");
    }
    let empty = load("p.csv", "s,t,g\na,[1] [2],yes\n", "").expect_err("refused");
    assert!(
        empty.to_string().contains("p.csv:2: `t` is empty"),
        "{empty}"
    );
    let unknown = load("p.csv", "s,t,g\na,x,maybe\n", "").expect_err("refused");
    assert!(
        unknown.to_string().contains("the gold score `maybe`"),
        "{unknown}"
    );
}

/// A sealed split: the file is with its makers, its hash in the manifest.
#[test]
fn a_sealed_split_is_read_by_whoever_holds_its_file() {
    let home = super::support::Home::new();
    let rows: String = (0..4)
        .map(|i| format!("{{\"id\": \"r{}\", \"sentence1\": \"가 {i}\", \"sentence2\": \"나 {i}\", \"score\": {}}}\n", 3 - i, i % 2))
        .collect();
    std::fs::write(home.path("rows.jsonl"), rows).expect("written");
    std::fs::write(home.path("salt"), "0123456789abcdef\n").expect("written");
    let seal = |rows: &str, out: &str| {
        let output = home
            .command(&["release", "commit", rows, "--salt", "salt", "--seal", out])
            .output()
            .expect("run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, hash, said) = seal("rows.jsonl", "sealed.jsonl");
    assert_eq!(code, Some(0), "{said}");
    let sealed = std::fs::read(home.path("sealed.jsonl")).expect("the file");
    let hash = hash.trim();
    assert_eq!(hash, korfinsts_base::fs::sha256(&sealed));
    let first = String::from_utf8_lossy(&sealed)
        .lines()
        .next()
        .expect("a row")
        .to_owned();
    assert!(
        first.starts_with("{\"id\":\"r0\"") && first.ends_with("\"salt\":\"0123456789abcdef\"}"),
        "{first}"
    );
    let suite = |sha256: &str, sealed: &str| {
        let folder = home.path("own");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(
            folder.join("open.jsonl"),
            "{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 1}\n",
        )
        .expect("written");
        let source = "format = { kind = \"jsonl\" }\ncolumns = { sentence1 = \"sentence1\", sentence2 = \"sentence2\", score = \"score\" }";
        let text = format!(
            "schema = 1\nid = \"own\"\nversion = \"1.0.0\"\ntitle = \"t\"\ndescription = \"d\"\nlanguages = [\"kor-Hang\"]\n\
             licence = \"MIT\"\nredistributable = true\ndefault_split = \"test\"\nscale = {{ kind = \"binary\", min = 0, max = 1 }}\n\
             [splits.test]\n[splits.sealed]\n{sealed}\n[[source]]\nname = \"own\"\n{source}\n[source.files]\n\
             test = [{{ name = \"open.jsonl\" }}]\nsealed = [{{ name = \"sealed.jsonl\"{sha256} }}]\n"
        );
        std::fs::write(folder.join("suite.toml"), text).expect("written");
        folder.display().to_string()
    };
    let own = suite(&format!(", sha256 = \"{hash}\""), "sealed = true");
    let evaluated = |more: &str| {
        let mut command = home.command(&["eval", "--resamples", "100", "--suite"]);
        command.arg(format!("{own}{more}")).assert()
    };
    // Without the file, it is said who has it.
    evaluated(":sealed")
        .code(3)
        .stderr(predicates::str::contains("its makers keep the file"));
    // Another file is not taken for it.
    let other = home.path("other");
    std::fs::create_dir_all(&other).expect("a folder");
    std::fs::write(other.join("sealed.jsonl"), [&sealed[..], b"\n"].concat()).expect("written");
    home.command(&["suite", "import", &own, "other"])
        .assert()
        .code(3)
        .stderr(predicates::str::contains(format!("expected sha256 {hash}")));
    // With it, the split is a split like any other, whose texts nobody is shown.
    home.command(&["suite", "import", &own, "sealed.jsonl"])
        .assert()
        .success();
    evaluated(":sealed").success();
    evaluated("").success();
    let registry = registry(&home.data());
    let manifest = registry.find(&own).expect("found");
    let suite_of = |split: &str| registry.load(&manifest, Some(split)).expect("loaded");
    assert!(!suite_of("sealed").redistributable && suite_of("test").redistributable);
    assert_eq!(suite_of("sealed").pairs.len(), 4);
    // What a sealed split must say, and may not be.
    let refused = |folder: String| registry.find(&folder).expect_err("refused").to_string();
    let open = refused(suite("", "sealed = true"));
    assert!(
        open.contains("`sealed` is sealed, but `sealed.jsonl` has no `sha256`"),
        "{open}"
    );
    for (row, missing) in [
        ("{\"id\": \"a\", \"score\": 1}", "sentence1"),
        (
            "{\"id\": \"a\", \"sentence1\": \"x\", \"sentence2\": \"y\"}",
            "score",
        ),
    ] {
        std::fs::write(home.path("bad.jsonl"), format!("{row}\n")).expect("written");
        let (code, _, said) = seal("bad.jsonl", "out");
        assert!(
            code == Some(3) && said.contains(&format!("line 1: found no `{missing}`")),
            "{said}"
        );
    }
}

#[test]
fn korsts_has_5749_1500_and_1379_pairs() {
    let Some(suites) = real("korsts", "data", &["train", "dev", "test"]) else {
        return;
    };
    let rows: Vec<usize> = suites.iter().map(|s| s.pairs.len()).collect();
    assert_eq!(rows, [5749, 1500, 1379]);
    for (suite, expected) in suites.iter().zip([2.700_999, 2.363_908, 2.607_917]) {
        assert!((mean(suite) - expected).abs() < 1e-6, "{}", suite.split);
    }
    let test = &suites[2];
    assert_eq!(test.pairs[0].id, "test-1");
    assert_eq!(test.pairs[1378].id, "test-1379");
    // Quotes are characters of the text.
    assert!(test.pairs[989].sentence1.starts_with('"'));
}

#[test]
fn korsts_has_80_duplicate_pairs_29_conflicts_and_12_percent_seen_in_train() {
    let Some(suites) = real("korsts", "data", &["train", "dev", "test"]) else {
        return;
    };
    // A duplicate is a row whose two texts, in either order, are in an earlier row of the same
    // split; a conflict is a pair of texts that carries more than one score within a split.
    let repeats: Vec<_> = suites.iter().map(|s| stats(s, None).repeats).collect();
    let duplicates: usize = repeats.iter().map(|r| r.duplicate_pairs).sum();
    let conflicts: usize = repeats.iter().map(|r| r.conflicting_pairs).sum();
    assert_eq!((duplicates, conflicts), (80, 29));
    // A test pair is seen where either of its texts is anywhere in the training split.
    let seen = overlap(&suites[2], &suites[0]);
    assert_eq!(seen.pairs_with_shared_text, 166);
    assert_eq!(format!("{:.1}", 100.0 * seen.share), "12.0");
}

/// Minus the absolute difference of lengths in characters, against gold.
fn length_baseline(suite: &Suite) -> String {
    let difference = |p: &Pair| {
        let [a, b] = [&p.sentence1, &p.sentence2].map(|t| t.chars().count() as f64);
        -(a - b).abs()
    };
    let predicted: Vec<f64> = suite.pairs.iter().map(difference).collect();
    let gold: Vec<f64> = suite.pairs.iter().map(|p| p.gold).collect();
    let rho = spearman(&predicted, &gold).expect("lengths and scores vary");
    format!("{rho:.4}")
}

#[test]
fn length_difference_scores_4630_on_finsts_0451_on_korsts_and_minus_0089_on_stsb() {
    for (id, rho) in [
        ("finsts", "0.4630"),
        ("korsts", "0.0451"),
        ("stsb", "-0.0089"),
    ] {
        let Some(suites) = real(id, "data", &["test"]) else {
            return;
        };
        assert_eq!(length_baseline(&suites[0]), rho, "{id}");
    }
}

#[test]
fn korsts_as_mteb_reads_it_lacks_rows_989_1051_and_1069_counted_from_0() {
    let Some(suites) = real("korsts-mteb", "data", &["test"]) else {
        return;
    };
    let suite = &suites[0];
    assert_eq!(suite.pairs.len(), 1376);
    assert!((mean(suite) - 2.605_354).abs() < 1e-6);
    let ids: BTreeSet<&str> = suite.pairs.iter().map(|p| p.id.as_str()).collect();
    for row in [989, 1051, 1069] {
        assert!(!ids.contains(format!("test-{}", row + 1).as_str()));
    }
    assert!(ids.contains("test-1379"));
    assert!(
        suite.warnings.iter().any(|w| w.contains("3 of 1379 rows")),
        "{:?}",
        suite.warnings
    );
    assert_eq!(
        suite.hub_revision.as_deref(),
        Some("016f35f9b961daaaa7a352e927084e3da662ac1f")
    );
}

#[test]
fn stsb_has_5749_1500_and_1379_pairs_of_7_or_9_fields() {
    let Some(suites) = real("stsb", "data", &["train", "dev", "test"]) else {
        return;
    };
    let rows: Vec<usize> = suites.iter().map(|s| s.pairs.len()).collect();
    assert_eq!(rows, [5749, 1500, 1379]);
    assert_eq!(
        domains(&suites[2]),
        [("captions", 625), ("forums", 254), ("news", 500)].into()
    );
}

#[test]
fn sickr_has_9927_pairs_from_1_to_5() {
    let Some(suites) = real("sickr", "data", &["test"]) else {
        return;
    };
    let suite = &suites[0];
    assert_eq!(suite.pairs.len(), 9927);
    assert!(suite.pairs.iter().all(|p| (1.0..=5.0).contains(&p.gold)));
    assert!(suite.pairs.iter().all(|p| !p.sentence2.contains('\r')));
}

#[test]
fn sts12_and_sts14_have_3108_and_3750_pairs() {
    for (id, rows, largest) in [("sts12", 3108, "msrpar"), ("sts14", 3750, "headlines")] {
        let Some(suites) = real(id, "data", &["test"]) else {
            return;
        };
        assert_eq!(suites[0].pairs.len(), rows);
        assert_eq!(domains(&suites[0])[largest], 750);
    }
}

#[test]
fn klue_has_519_pairs_under_three_labels() {
    let splits = ["validation", "validation-real", "validation-binary"];
    let Some(suites) = real("klue-sts", "data", &splits) else {
        return;
    };
    for suite in &suites {
        assert_eq!(suite.pairs.len(), 519);
        assert_eq!(suite.pairs[0].id, "klue-sts-v1_dev_00000");
    }
    let first: Vec<f64> = suites.iter().map(|s| s.pairs[0].gold).collect();
    assert_eq!(first, [4.9, 4.857_142_857_142_857, 1.0]);
    assert_eq!(suites[0].mteb_task.as_deref(), Some("KLUE-STS"));
    assert_eq!(suites[1].mteb_task, None);
}

/// The set of 498 Korean news pairs has the form of KorFinSTS without domains.
#[test]
fn the_498_row_news_set_is_read_with_newlines_in_quotes() {
    let Some(file) = shared("data/korfin_twice/NMIXX_kor_Fin_news.csv") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a suite");
    let manifest = r#"
        schema = 1
        id = "news-498"
        version = "1.0.0"
        title = "News"
        description = "A set of the same form as KorFinSTS."
        languages = ["kor-Hang"]
        licence = "NOASSERTION"
        redistributable = false
        default_split = "test"
        scale = { kind = "binary", min = 0, max = 1 }
        [splits.test]
        rows = 498
        [[source]]
        name = "authors"
        format = { kind = "auto" }
        columns = { sentence1 = "sentence1", sentence2 = "sentence2", score = "score" }
        [source.files]
        test = [{ name = "news.csv" }]
    "#;
    write(&folder.path().join("suite.toml"), manifest.as_bytes());
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry
        .find(folder.path().to_str().expect("a UTF-8 path"))
        .expect("a folder with a manifest");
    registry.import(&manifest, &file).expect("it imports");
    let suite = registry.load(&manifest, None).expect("it loads");
    assert_eq!((count(&suite, 1.0), count(&suite, 0.0)), (254, 244));
    let newlines = suite
        .pairs
        .iter()
        .filter(|p| p.sentence1.contains('\n') || p.sentence2.contains('\n'))
        .count();
    assert_eq!(newlines, 30);
    assert_eq!(length_baseline(&suite), "0.0017");
}

fn write(path: &Path, bytes: &[u8]) {
    korfinsts_base::fs::write_atomic(path, bytes).expect("written");
}

/// Rows of the form KorFinSTS has on the hub: `n` per domain, spelled as given.
fn korfinsts_rows(spelled: [&str; 4]) -> String {
    let mut rows = String::from("data_type,sentence1,sentence2,score\n");
    for (domain, n) in spelled.into_iter().zip([355, 500, 421, 715]) {
        for i in 0..n {
            let score = i % 2;
            rows.push_str(&format!(
                "{domain},\"{domain} 기준금리를 {i}bp 인하했다.\n시장은 예상했다.\",{domain} 기준금리가 {i}bp 내렸다.,{score}\n"
            ));
        }
    }
    rows
}

#[test]
fn korfinsts_is_imported_from_a_file_and_its_four_domains_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry.find("korfinsts").expect("a suite");
    let file = folder.path().join("downloaded.csv");
    write(
        &file,
        korfinsts_rows(["News", "공시", "report", "law"]).as_bytes(),
    );
    let missing = registry.availability(&manifest, None).expect("known");
    assert_eq!(
        missing,
        Availability::Missing {
            command: "korfinsts suite fetch korfinsts".into(),
            file: None,
        }
    );
    let reports = registry.import(&manifest, &file).expect("it imports");
    assert_eq!(reports[0].files[0].0, "train.csv");
    let suite = registry.load(&manifest, None).expect("it loads");
    assert_eq!(suite.pairs.len(), 1991);
    assert_eq!(
        domains(&suite),
        [
            ("disclosure", 500),
            ("legal", 715),
            ("news", 355),
            ("report", 421)
        ]
        .into()
    );
    assert!(
        suite
            .warnings
            .iter()
            .any(|w| w.contains("pins no revision"))
    );
    assert_eq!(suite.release_id, reports[0].release_id);
    // The same bytes under another name have the same release id.
    let renamed = folder.path().join("other.name.csv");
    std::fs::rename(&file, &renamed).expect("renamed");
    let again = registry.import(&manifest, &renamed).expect("it imports");
    assert_eq!(again[0].release_id, suite.release_id);
    // A spelling nobody foresaw is kept and said.
    write(
        &renamed,
        korfinsts_rows(["news", "DART 보고서", "report", "law"]).as_bytes(),
    );
    registry.import(&manifest, &renamed).expect("it imports");
    let suite = registry.load(&manifest, None).expect("it loads");
    assert_eq!(domains(&suite)["DART 보고서"], 500);
    assert!(
        suite
            .warnings
            .iter()
            .any(|w| w.contains("`DART 보고서` (500 pairs)"))
    );
}

#[test]
fn korfin_shift_is_built_in_and_each_triplet_has_one_positive_and_one_negative() {
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry.find("korfin-shift").expect("a suite");
    assert_eq!(
        registry.availability(&manifest, None).expect("known"),
        Availability::Available
    );
    let report = registry.check(&manifest, None).expect("it is there");
    let odd: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        odd,
        ["benchmarks/korfin-shift/data/test.jsonl: \
          ties in the gold scores cap Spearman's correlation at 0.866"]
    );
    let suite = registry.load(&manifest, None).expect("it loads");
    assert_eq!(suite.pairs.len(), 888);
    assert_eq!(
        suite.triplets.as_ref().map(|t| t.id.as_str()),
        Some("triplet")
    );
    assert_eq!(
        domains(&suite),
        [
            ("disclosure", 264),
            ("legal", 240),
            ("news", 192),
            ("report", 192)
        ]
        .into()
    );
    let mut triplets: BTreeMap<&str, Vec<&Pair>> = BTreeMap::new();
    for pair in &suite.pairs {
        triplets
            .entry(&pair.labels["triplet"])
            .or_default()
            .push(pair);
        for text in [&pair.sentence1, &pair.sentence2] {
            assert_eq!(*text, nfc(text));
            assert_eq!(text.trim(), text);
        }
        assert!(pair.labels["pattern"].starts_with(pair.domain.as_deref().unwrap_or("-")));
        assert!(pair.labels["variant"].starts_with(&pair.labels["pattern"]));
        let hangul = |text: &str| text.chars().any(korfinsts_base::text::is_hangul);
        let scripts = (hangul(&pair.sentence1), hangul(&pair.sentence2));
        let expected = match pair.labels["language"].as_str() {
            "ko" => (true, true),
            "en" => (false, false),
            "ko-en" => (true, false),
            other => panic!("{}: language {other}", pair.id),
        };
        assert_eq!(scripts, expected, "{}", pair.id);
    }
    assert_eq!(triplets.len(), 444);
    for (name, pairs) in &triplets {
        let gold: Vec<f64> = pairs.iter().map(|p| p.gold).collect();
        assert_eq!(gold, [1.0, 0.0], "{name}");
        assert_eq!(pairs[0].sentence1, pairs[1].sentence1, "{name}");
        let texts: BTreeSet<&str> = pairs.iter().map(|p| p.sentence2.as_str()).collect();
        assert!(
            texts.len() == 2 && !texts.contains(pairs[0].sentence1.as_str()),
            "{name}"
        );
    }
    let mut patterns: BTreeMap<&str, usize> = BTreeMap::new();
    for pair in &suite.pairs {
        *patterns.entry(&pair.labels["pattern"]).or_default() += 1;
    }
    assert_eq!(patterns.len(), 12);
    assert!(
        patterns.values().all(|n| [48, 72, 96].contains(n)),
        "{patterns:?}"
    );
}

/// A small suite in a folder: manifest and rows.
struct Small {
    folder: tempfile::TempDir,
}

const MANIFEST: &str = r#"
schema = 1
id = "small"
version = "1.0.0"
title = "Small"
description = "For a test."
languages = ["kor-Hang"]
licence = "CC-BY-4.0"
redistributable = true
default_split = "test"
[scale]
kind = "interval"
min = 0
max = 5
[splits.test]
rows = 2
[[source]]
name = "here"
format = { kind = "delimited", delimiter = "\t", quoting = false, header = true }
columns = { id = ["id"], sentence1 = "a", sentence2 = "b", score = "s" }
[source.files]
test = [{ name = "test.tsv" }]
"#;
const ROWS: &str = "id\ta\tb\ts\nx\t가\t나\t1\ny\t다\t라\t4.5\n";

impl Small {
    fn new(manifest: &str, rows: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("suite.toml"), manifest.as_bytes());
        write(&folder.path().join("test.tsv"), rows);
        Self { folder }
    }

    fn load(&self) -> Result<Suite, SuiteError> {
        let home = self.folder.path().join("home");
        let registry = registry(&home);
        let manifest = registry.find(self.folder.path().to_str().expect("a UTF-8 path"))?;
        registry.load(&manifest, None)
    }

    /// The error without the folder, which differs from run to run.
    fn error(&self) -> (String, Option<String>) {
        let error = self.load().expect_err("the suite is broken");
        let folder = format!("{}/", self.folder.path().display());
        (error.to_string().replace(&folder, ""), error.hint())
    }
}

#[test]
fn a_suite_in_a_folder_needs_no_code() {
    let suite = Small::new(MANIFEST, ROWS.as_bytes())
        .load()
        .expect("it loads");
    assert_eq!(suite.pairs[1].gold, 4.5);
    assert_eq!(suite.pairs[1].id, "y");
    let list = format!(
        "{}  test.tsv\n",
        korfinsts_base::fs::sha256(ROWS.as_bytes())
    );
    assert_eq!(
        suite.release_id,
        korfinsts_base::fs::sha256(list.as_bytes())
    );
}

#[test]
fn each_broken_file_is_named_with_line_and_remedy() {
    let cp949 = [
        b"id\ta\tb\ts\nx\t".as_slice(),
        &[0xB1, 0xDD, 0xB8, 0xAE],
        b"\tb\t1\n",
    ]
    .concat();
    let utf16: Vec<u8> = std::iter::once(0xFEFF)
        .chain(ROWS.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let rows = |from: &str, to: &str| {
        assert!(ROWS.contains(from));
        ROWS.replacen(from, to, 1).into_bytes()
    };
    for (bytes, message, hint) in [
        (
            rows("y\t다\t라\t4.5", "y\t다"),
            "test.tsv:3: expected 4 fields, found 2",
            "the file is tab separated without quoting; was it re-saved by a spreadsheet?",
        ),
        (
            rows("4.5", "5.5"),
            "test.tsv:3: the gold score 5.5 is outside the declared scale 0 to 5",
            "is `[scale]` in suite.toml right",
        ),
        (
            rows("4.5", "NaN"),
            "test.tsv:3: the gold score `NaN` is not a finite number",
            "",
        ),
        (
            rows("4.5", "네"),
            "test.tsv:3: the gold score `네` is not a finite number",
            "",
        ),
        (
            rows("4.5", ""),
            "test.tsv:3: the gold score `` is not a finite number",
            "",
        ),
        (rows("가", " \u{a0}"), "test.tsv:2: `a` is empty", ""),
        (
            rows("y\t", "x\t"),
            "test.tsv:3: the id `x` was used before, in test.tsv:2",
            "leave `id` out",
        ),
        (
            rows("y\t다\t라\t4.5\n", ""),
            "test.tsv: expected 2 pairs, found 1",
            "was the file cut short",
        ),
        (
            rows("id\ta\tb", "id\tsentence1\tb"),
            "test.tsv:1: no column `a`; the columns are `id`, `sentence1`, `b`, `s`",
            "does the file belong to this suite?",
        ),
        (
            cp949,
            "test.tsv:2: not UTF-8 at byte 11 (0xB1); the file looks like CP949 (EUC-KR)",
            "iconv -f CP949 -t UTF-8",
        ),
        (
            utf16,
            "test.tsv:1: not UTF-8 at byte 0 (0xFF); the file looks like UTF-16 (little endian)",
            "iconv -f UTF-16LE -t UTF-8",
        ),
    ] {
        let (found, found_hint) = Small::new(MANIFEST, &bytes).error();
        assert_eq!(found, message);
        let found_hint = found_hint.unwrap_or_default();
        assert!(found_hint.contains(hint), "{message}: {found_hint}");
    }
}

#[test]
fn a_korsts_row_that_is_too_short_is_reported_as_promised() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = std::fs::read_to_string(repository("benchmarks/korsts/suite.toml"))
        .expect("the manifest is there");
    let manifest = manifest.replace("sts-test.tsv", "test.tsv");
    let mut text = String::from("genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\n");
    for i in 0..1379 {
        let row = if i == 988 {
            "main-news\tMSRpar\t2012".to_owned()
        } else {
            format!("main-news\tMSRpar\t2012test\t{i}\t1.0\t가 {i}\t나 {i}")
        };
        text.push_str(&format!("{row}\n"));
    }
    let at = manifest.find("sha256 = \"13f8").expect("the pinned hash");
    let manifest = format!(
        "{}sha256 = \"{}\"{}",
        &manifest[..at],
        korfinsts_base::fs::sha256(text.as_bytes()),
        &manifest[at + 75..]
    );
    write(
        &folder.path().join("benchmarks/korsts/suite.toml"),
        manifest.as_bytes(),
    );
    write(
        &folder.path().join("benchmarks/korsts/test.tsv"),
        text.as_bytes(),
    );
    let home = folder.path().join("home");
    let registry = registry(&home);
    let path: PathBuf = folder.path().join("benchmarks/korsts");
    let manifest = registry
        .find(path.to_str().expect("a UTF-8 path"))
        .expect("a suite");
    let error = registry.load(&manifest, None).expect_err("a row is short");
    let shown = error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        shown,
        "benchmarks/korsts/test.tsv:990: expected 7 fields, found 3"
    );
    assert_eq!(
        error.hint().as_deref(),
        Some("the file is tab separated without quoting; was it re-saved by a spreadsheet?")
    );
    assert_eq!(error.class().exit_code(), 3);
}

#[test]
fn a_byte_order_mark_is_skipped_and_said() {
    let bytes = format!("\u{FEFF}{ROWS}");
    let suite = Small::new(MANIFEST, bytes.as_bytes())
        .load()
        .expect("it loads");
    assert!(suite.warnings.iter().any(|w| w.contains("byte order mark")));
}

#[test]
fn several_problems_are_counted_and_the_check_lists_them_all() {
    let small = Small::new(MANIFEST, b"id\ta\tb\ts\nx\t\t\t9\ny\tc\td\n");
    let (message, hint) = small.error();
    assert_eq!(message, "test.tsv:3: expected 4 fields, found 3");
    assert!(
        hint.unwrap_or_default()
            .contains("3 more: `korfinsts suite check small`")
    );
    let home = small.folder.path().join("home");
    let registry = registry(&home);
    let manifest: Manifest = registry
        .find(small.folder.path().to_str().expect("a UTF-8 path"))
        .expect("a manifest");
    let report = registry.check(&manifest, None).expect("it is there");
    assert!(!report.passed());
    let findings = report.findings;
    let errors = findings
        .iter()
        .filter(|f| f.problem.level() == Level::Error)
        .count();
    assert_eq!(errors, 4, "{findings:?}");
}

#[test]
fn wrong_bytes_are_refused_with_both_hashes_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry.find("korsts").expect("a suite");
    let bytes = b"genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\n";
    write(&folder.path().join("clone/KorSTS/sts-test.tsv"), bytes);
    let error = registry
        .import(&manifest, folder.path())
        .expect_err("other bytes");
    let SuiteError::WrongBytes {
        expected,
        found,
        hint,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(
        expected,
        "13f83a3440d9db52d134eb40303ce021b03264aa338fbf2871c8786ce04d2105"
    );
    assert_eq!(*found, korfinsts_base::fs::sha256(bytes));
    assert!(hint.contains("kor-nlu-datasets at 0df0fe7d"), "{hint}");
    assert_eq!(std::fs::read_dir(home.path()).expect("listed").count(), 0);
    // A folder without any of the files says what was looked for.
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let error = registry
        .import(&manifest, &empty)
        .expect_err("nothing there");
    assert!(
        error
            .to_string()
            .contains("looked for `sts-dev.tsv`, `sts-test.tsv`"),
        "{error}"
    );
}

#[test]
fn a_copy_that_was_changed_after_the_import_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry.find("korfinsts").expect("a suite");
    let file = folder.path().join("korfinsts.csv");
    write(
        &file,
        korfinsts_rows(["news", "dart", "report", "law"]).as_bytes(),
    );
    registry.import(&manifest, &file).expect("it imports");
    let copy = registry.imported_folder(&manifest).join("train/train.csv");
    write(&copy, b"changed");
    let error = registry.load(&manifest, None).expect_err("it was changed");
    assert!(matches!(error, SuiteError::WrongBytes { .. }), "{error}");
    assert!(
        error
            .hint()
            .unwrap_or_default()
            .contains("suite fetch korfinsts")
    );
}

#[test]
fn a_renamed_file_is_found_by_its_hash() {
    let Some(file) = shared("data/korsts/sts-test.tsv") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = korfinsts_base::fs::read(&file).expect("read");
    write(&folder.path().join("a/b/renamed.txt"), &bytes);
    let home = tempfile::tempdir().expect("a data home");
    let registry = registry(home.path());
    let manifest = registry.find("korsts").expect("a suite");
    let reports = registry
        .import(&manifest, folder.path())
        .expect("it imports");
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].files[0].0, "sts-test.tsv");
    assert!(matches!(
        registry
            .availability(&manifest, Some("dev"))
            .expect("known"),
        Availability::Missing { .. }
    ));
}

#[test]
fn a_local_suite_is_listed_and_a_broken_one_stops_no_other() {
    let home = tempfile::tempdir().expect("a data home");
    let local = home.path().join("suites-local");
    write(&local.join("small/suite.toml"), MANIFEST.as_bytes());
    write(&local.join("small/test.tsv"), ROWS.as_bytes());
    write(
        &local.join("broken/suite.toml"),
        MANIFEST.replace("title", "titel").as_bytes(),
    );
    write(
        &local.join("taken/suite.toml"),
        MANIFEST.replace("\"small\"", "\"korsts\"").as_bytes(),
    );
    let registry = registry(home.path());
    let (manifest, split) = registry.select("small:test").expect("a suite and split");
    assert_eq!(split, "test");
    assert_eq!(
        registry
            .load(&manifest, None)
            .expect("it loads")
            .pairs
            .len(),
        2
    );
    let reasons: Vec<&str> = registry.broken().iter().map(|(_, r)| r.as_str()).collect();
    assert!(
        reasons[0].contains("suite.toml:5: unknown field `titel`"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("the id `korsts` is taken"),
        "{reasons:?}"
    );
    let error = registry.find("broken").expect_err("it is broken");
    assert!(error.to_string().contains("titel"), "{error}");
    assert!(matches!(
        registry.select("korsts:tset"),
        Err(SuiteError::UnknownSplit { .. })
    ));
}
