//! Results of others: whose they are, what their scores are called, and what is not read.

use std::path::Path;

use predicates::prelude::*;

use super::support::{Home, repository};

/// The figures that an import gives, as `(model, suite, score)`, and what it says.
fn import(home: &Home, folder: &Path) -> (Vec<(String, String, f64)>, String) {
    let output = home
        .command(&["leaderboard", "import", &folder.display().to_string()])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures: toml::Table = toml::from_str(&text).expect("TOML");
    let mut found = Vec::new();
    for model in figures["model"].as_array().expect("models") {
        let name = model["name"].as_str().expect("a name").to_owned();
        for (suite, score) in model["scores"].as_table().expect("scores") {
            let score = score.as_float().expect("a number");
            found.push((name.clone(), suite.clone(), score));
        }
    }
    (found, said)
}

fn fixture(name: &str) -> std::path::PathBuf {
    repository("tests/reference/mteb_results").join(name)
}

fn expected(rows: &[(&str, &str, f64)]) -> Vec<(String, String, f64)> {
    let rows = rows.iter();
    rows.map(|(m, s, x)| ((*m).to_owned(), (*s).to_owned(), *x))
        .collect()
}

/// A result file of one task in a folder of its own.
fn write(home: &Home, path: &str, content: &str) {
    let path = home.path("results").join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, content).expect("written");
}

fn scores(scores: &str) -> String {
    format!(
        "{{\"task_name\": \"STSBenchmark\", \"scores\": {{\"test\": [{{\"hf_subset\": \"default\", {scores}}}]}}}}"
    )
}

#[test]
fn the_cosine_spearman_is_read_whatever_it_is_called() {
    let (found, said) = import(&Home::new(), &fixture("main-score"));
    let rows = [
        ("acme/enc", "sickr", 0.802),
        ("acme/enc", "sts12", 0.8),
        ("acme/enc", "sts13", 0.81),
    ];
    assert_eq!(found, expected(&rows));
    for note in [
        "SICK-R.json: `main_score` is 0 and the cosine Spearman 80.2: the cosine Spearman is taken",
        "SICK-R.json: its scores are percentages: they are divided by 100",
        "STS12.json: its scores are percentages",
        "STS13.json: `main_score` is 0.79 and the cosine Spearman 0.81",
    ] {
        assert!(said.contains(note), "{note}: {said}");
    }
    // `record show` reads them in the same way.
    let home = Home::new();
    home.command(&[
        "record",
        "show",
        "--wide",
        "--detail",
        &fixture("main-score").display().to_string(),
    ])
    .assert()
    .success()
    .stdout(predicate::str::contains("0.8020").and(predicate::str::contains("80.2000").not()))
    .stdout(predicate::str::contains("its scores are percentages"));
}

#[test]
fn further_spellings_and_scores_that_are_none() {
    for (content, score, note) in [
        (
            scores("\"cos_sim\": {\"spearman\": 0.5}, \"main_score\": 0.5"),
            Some(0.5),
            "",
        ),
        (
            scores("\"cosine\": {\"spearman\": [0.5, 0.01]}"),
            Some(0.5),
            "",
        ),
        (scores("\"spearman_cosine\": 0.5"), Some(0.5), ""),
        (
            scores("\"cos_sim_spearman\": 0.4, \"cosine_spearman\": 0.5"),
            Some(0.5),
            "",
        ),
        (
            scores("\"main_score\": 0.5"),
            Some(0.5),
            "it names no cosine Spearman: `main_score` is taken",
        ),
        (
            scores("\"cosine_spearman\": -12.5, \"main_score\": -12.5"),
            Some(-0.125),
            "percentages",
        ),
        (
            scores("\"cosine_spearman\": NaN, \"main_score\": 0.5"),
            None,
            "its cosine Spearman is not a number",
        ),
        (
            scores("\"cosine_spearman\": 80.2, \"cosine_pearson\": 0.8"),
            None,
            "its cosine Spearman is 80.2: neither a correlation nor one of percentages only",
        ),
        (
            scores("\"accuracy\": 0.7, \"main_score\": 0.7"),
            None,
            "no Spearman of the cosine",
        ),
        (
            "{\"mteb_dataset_name\": \"STSBenchmark\", \"test\": {\"cos_sim_spearman\": 0.5}}"
                .into(),
            Some(0.5),
            "",
        ),
    ] {
        let home = Home::new();
        write(&home, "org__m/1/STSBenchmark.json", &content);
        write(
            &home,
            "org__ok/1/STSBenchmark.json",
            &scores("\"cosine_spearman\": 0.25"),
        );
        let (found, said) = import(&home, &home.path("results"));
        let mut rows = Vec::new();
        rows.extend(score.map(|score| ("org/m", "stsb", score)));
        rows.push(("org/ok", "stsb", 0.25));
        assert_eq!(found, expected(&rows), "{content}: {said}");
        assert!(said.contains(note), "{content}: {said}");
    }
}

#[test]
fn experiments_are_models_of_their_own() {
    let (found, _) = import(&Home::new(), &fixture("experiments"));
    let rows = [
        ("acme/exp", "stsb", 0.8),
        ("acme/exp (dim=256)", "stsb", 0.5),
        ("other/exp", "stsb", 0.18),
        ("other/exp (dim=256)", "stsb", 0.15),
    ];
    assert_eq!(found, expected(&rows));
    // Without mteb's file about the experiment, its folder names it.
    let home = Home::new();
    let text = scores("\"cosine_spearman\": 0.5");
    write(
        &home,
        "org__m/1/experiments/dim_64/STSBenchmark.json",
        &text,
    );
    let (found, _) = import(&home, &home.path("results"));
    assert_eq!(found, expected(&[("org/m (dim_64)", "stsb", 0.5)]));
}

#[test]
fn no_model_is_called_results() {
    let home = Home::new();
    let text = scores("\"cosine_spearman\": 0.5");
    write(&home, "STSBenchmark.json", &text);
    home.command(&["leaderboard", "import", "results"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains(
            "no model is named: there is no `model_meta.json`, and `results` is no name of a model",
        ));
    home.command(&["record", "show", "results"])
        .assert()
        .success()
        .stdout(predicate::str::contains("results/STSBenchmark.json"));
    write(&home, "minilm/STSBenchmark.json", &text);
    write(&home, "x/external/STSBenchmark.json", &text);
    write(&home, "y/model_meta.json", "{\"name\": \"org/y\"}");
    write(&home, "y/STSBenchmark.json", &text);
    let (found, said) = import(&home, &home.path("results"));
    let rows = [
        ("minilm", "stsb", 0.5),
        ("org/y", "stsb", 0.5),
        ("x", "stsb", 0.5),
    ];
    assert_eq!(found, expected(&rows));
    assert!(
        said.contains("the model is named by its folder: `minilm`"),
        "{said}"
    );
}

#[test]
fn what_is_left_out_is_named_with_its_reason() {
    let notes = [
        "org__devonly/1111111111111111111111111111111111111111/STSBenchmark.json: split `validation`, \
         subset `default` of STSBenchmark: the suite `stsb` is split `test`, subset `default`",
        "org__subsetko/1111111111111111111111111111111111111111/KorSTS.json: split `test`, subset `ko` of \
         KorSTS: the suite `korsts-mteb` is split `test`, subset `default`",
        "org__nullscores/1111111111111111111111111111111111111111/STSBenchmark.json: split `test` has no \
         correlation",
    ];
    let (found, said) = import(&Home::new(), &fixture("silent-drop"));
    assert_eq!(found, expected(&[("org/normal", "korsts-mteb", 0.71)]));
    for note in notes {
        assert!(said.contains(note), "{note}: {said}");
    }
    // Alone, each is an error with its own reason.
    for (name, note) in ["org__devonly", "org__subsetko", "org__nullscores"]
        .iter()
        .zip(notes)
    {
        Home::new()
            .command(&[
                "leaderboard",
                "import",
                &fixture("silent-drop").join(name).display().to_string(),
            ])
            .assert()
            .code(3)
            .stderr(predicate::str::contains(note))
            .stderr(predicate::str::contains("no result of a known suite").not());
    }
}

#[test]
fn the_scores_of_model_cards_are_read() {
    let home = Home::new();
    let card = "---\nlicense: mit\nmodel-index:\n- name: gte-tiny\n  results:\n  - task:\n      type: STS\n    dataset:\n\
        \x20     type: mteb/sickr-sts\n      name: MTEB SICK-R\n      config: default\n      split: test\n      revision: a6ea\n\
        \x20   metrics:\n    - type: cos_sim_pearson\n      value: 83.9\n    - type: cos_sim_spearman\n      value: 80.2\n\
        \x20 - task: {type: STS}\n    dataset: {type: mteb/sts22, name: MTEB STS22 (zh), split: test}\n\
        \x20   metrics: [{type: cos_sim_spearman, value: 60.5}]\n---\n# gte-tiny\n";
    write(&home, "cards/README.md", card);
    write(&home, "README.md", "# Results\n");
    let (found, said) = import(&home, &home.path("results"));
    assert_eq!(found, expected(&[("gte-tiny", "sickr", 0.802)]));
    assert!(said.contains("its scores are percentages"), "{said}");
    assert!(
        said.contains("1 tasks are of no known suite and were left out: STS22"),
        "{said}"
    );
    home.command(&["record", "show", "--wide", "results/cards/README.md"])
        .assert()
        .success()
        .stdout(predicate::str::contains("0.8020"));
    for (text, says) in [
        (
            "# Results\n",
            "README.md:1: found no head between lines of `---`",
        ),
        (
            "---\nlicense: mit\n---\n",
            "README.md:1: found no `model-index`",
        ),
        ("---\na: 1\na: 2\n---\n", "README.md:3: found `a` twice"),
    ] {
        write(&home, "README.md", text);
        for command in [&["record", "show"][..], &["leaderboard", "import"]] {
            home.command(&[command, &["results/README.md"]].concat())
                .assert()
                .code(3)
                .stderr(predicate::str::contains(says));
        }
    }
}
