//! What a person sees: the language of tables and errors, names that are nearly right, and LaTeX
//! that compiles.

use std::path::{Path, PathBuf};
use std::process::Command;

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::{contains, starts_with};

use super::support::{Home, repository};

/// What a command prints in a language, on both streams.
fn screen(home: &Home, language: &str, arguments: &[&str]) -> String {
    let output = home
        .command(arguments)
        .env("KORFINSTS_LANG", language)
        .env("COLUMNS", "80")
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.replace(&home.path("").display().to_string(), "HOME/")
    };
    format!(
        "$ korfinsts {}\n--- stdout\n{}--- stderr\n{}",
        arguments.join(" "),
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn tables_verdicts_warnings_and_errors_are_in_the_language_of_the_reader() {
    let home = Home::new();
    let eval = ["eval", "--resamples", "500", "--detail"];
    let compare = ["compare", "nmixx-mini", "length", "--resamples", "500"];
    // The second time embeddings come from the store. Without the timing of the first run, no speed is shown.
    screen(&home, "en", &eval);
    std::fs::remove_dir_all(home.results()).expect("removed");
    for language in ["en", "ko"] {
        let screens = [
            screen(&home, language, &eval),
            screen(&home, language, &compare),
            screen(&home, language, &["eval", "nmixx"]),
            screen(&home, language, &["eval", "./nothing.onnx"]),
            screen(&home, language, &["eval", "--suite", "korst"]),
        ];
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("screens-{language}"), screens.join("\n"));
        });
    }
}

#[test]
fn what_programs_read_is_the_same_in_every_language() {
    let home = Home::new();
    for format in ["json", "csv"] {
        let of = |language: &str, name: &str| {
            let arguments = ["-q", "eval", "--resamples", "200", "--format", format];
            let mut command = home.command(&arguments);
            command
                .env("KORFINSTS_LANG", language)
                .args(["--results", name]);
            command.output().expect("it runs").stdout
        };
        let english = of("en", "en");
        assert!(!english.is_empty());
        assert_eq!(of("ko", "ko"), english);
    }
    let records = |name: &str| {
        let found = walkdir::WalkDir::new(home.path(name)).sort_by_file_name();
        let files = found
            .into_iter()
            .map(|entry| entry.expect("listed").into_path());
        files
            .filter(|path| path.is_file() && !path.to_string_lossy().contains("timing"))
            .map(|path| std::fs::read(path).expect("read"))
            .collect::<Vec<_>>()
    };
    assert!(records("en").len() > 3);
    assert!(records("en") == records("ko"));
}

#[test]
fn the_locale_chooses_and_the_variable_wins() {
    let home = Home::new();
    let error = |set: &[(&str, &str)]| {
        let mut command = home.command(&["eval", "nmixx"]);
        for name in ["KORFINSTS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"] {
            command.env_remove(name);
        }
        let output = command.envs(set.iter().copied()).output().expect("it runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(error(&[]).starts_with("error: "));
    assert!(error(&[("LANG", "ko_KR.UTF-8")]).starts_with("오류: "));
    let both = [("LC_ALL", "ko_KR.UTF-8"), ("KORFINSTS_LANG", "en")];
    assert!(error(&both).starts_with("error: "));
    home.command(&["eval"])
        .env("KORFINSTS_LANG", "fr")
        .assert()
        .code(2)
        .stderr(contains(
            "found `KORFINSTS_LANG=fr`, allowed are `en`, `ko`",
        ));
}

#[test]
fn names_that_are_nearly_right_are_answered() {
    let home = Home::new();
    for (name, code, error, hint) in [
        ("nmixx", 4, "no model `nmixx`", "did you mean `nmixx-mini`?"),
        (
            "NMIXX-mini-v2",
            4,
            "no model `NMIXX-mini-v2`",
            "did you mean `nmixx-mini`?",
        ),
        (
            "bge",
            4,
            "no model `bge`",
            "A model of the hub is named `org/name`",
        ),
        (
            "length",
            2,
            "`length` is a lexical baseline, not a model",
            "part of every run",
        ),
        (
            "3-grams",
            2,
            "`3-grams` is a lexical baseline",
            "part of every run",
        ),
    ] {
        home.command(&["eval", name])
            .assert()
            .code(code)
            .stderr(starts_with(format!("error: {error}")).and(contains(hint)));
    }
    // The model is opened before suites that are not on disk are listed.
    home.command(&["eval", "nosuch.onnx"])
        .assert()
        .code(4)
        .stderr(starts_with("error: cannot read `nosuch.onnx`"));
    home.command(&[
        "eval",
        "openai:text-embedding-3-small",
        "--suite",
        "korfin-shift",
    ])
    .env_remove("OPENAI_API_KEY")
    .env_remove("KORFINSTS_API_KEY")
    .env_remove("OPENAI_BASE_URL")
    .env_remove("HF_HUB_OFFLINE")
    .assert()
    .code(2)
    .stderr(starts_with(
        "error: https://api.openai.com/v1 needs an API key, and `OPENAI_API_KEY` or \
             `KORFINSTS_API_KEY` is not set",
    ));
    let twice = home
        .command(&[
            "-q",
            "eval",
            "nmixx-mini",
            "nmixx-mini",
            "--suite",
            "korfin-shift",
        ])
        .args(["--resamples", "200"])
        .output()
        .expect("it runs");
    let table = String::from_utf8_lossy(&twice.stdout).into_owned();
    assert_eq!(table.matches("\n nmixx-mini ").count(), 1, "{table}");
}

#[test]
fn a_release_without_signature_and_key_is_not_said_to_have_passed_that_check() {
    let home = Home::new();
    let release = repository("benchmarks/korfin-shift/releases/korfin-shift-1.1.0.zip");
    home.command(&["release", "verify", release.to_str().expect("UTF-8")])
        .assert()
        .success()
        .stdout(
            predicates::str::is_match(r"signature +skipped +not signed").expect("an expression"),
        );
}

/// xelatex, found through PATH; said loudly where there is none.
fn xelatex() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|folder| folder.join("xelatex"))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!(
            "SKIPPED: no `xelatex` in PATH, so LaTeX tables are not compiled \
             (Debian: texlive-xetex and fonts-nanum)"
        );
    }
    found
}

/// Compiles tables in an article; no box may be wider than the text.
fn compile(xelatex: &Path, folder: &Path, name: &str, tables: &str) {
    let document = format!(
        "\\documentclass{{article}}\n\\usepackage{{booktabs,array,fontspec}}\n\
         \\IfFontExistsTF{{NanumMyeongjo}}{{\\setmainfont{{NanumMyeongjo}}}}{{}}\n\
         \\begin{{document}}\n{tables}\n\\end{{document}}\n"
    );
    std::fs::write(folder.join(format!("{name}.tex")), document).expect("written");
    let output = Command::new(xelatex)
        .args([
            "-interaction=nonstopmode",
            "-halt-on-error",
            &format!("{name}.tex"),
        ])
        .current_dir(folder)
        .output()
        .expect("it runs");
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {log}\n{tables}");
    let log = std::fs::read(folder.join(format!("{name}.log"))).expect("a log");
    let log = String::from_utf8_lossy(&log).into_owned();
    let missing = log.lines().find(|line| {
        // Other fonts have no Hangul.
        line.starts_with("Missing character") && line.contains("font NanumMyeongjo")
    });
    assert!(missing.is_none(), "{name}: {missing:?}");
    let wide = log.lines().find(|line| {
        let width = line
            .strip_prefix("Overfull \\hbox (")
            .and_then(|l| l.split("pt").next());
        width
            .and_then(|w| w.parse::<f64>().ok())
            .is_some_and(|w| w > 5.0)
    });
    assert!(wide.is_none(), "{name}: {wide:?}\n{tables}");
}

#[test]
fn latex_tables_compile_and_are_no_wider_than_the_text() {
    let Some(xelatex) = xelatex() else { return };
    let home = Home::new();
    let out = home.path("latex");
    std::fs::create_dir(&out).expect("made");
    home.command(&["-q", "eval", "--resamples", "200"])
        .assert()
        .success();
    let mut commands = vec![
        (
            "eval",
            vec!["eval", "--resamples", "200", "--wide", "--detail"],
        ),
        (
            "compare",
            vec!["compare", "nmixx-mini", "length", "--resamples", "200"],
        ),
        (
            "pairs",
            vec![
                "compare",
                "nmixx-mini",
                "length",
                "--resamples",
                "200",
                "--wide",
                "--pairs",
                "5",
            ],
        ),
        ("suites", vec!["suite", "list"]),
    ];
    let tokenizer = super::support::shared("tokenizers/qwen2/tokenizer.json");
    let tokenizer = tokenizer.map(|path| path.to_str().expect("UTF-8").to_owned());
    if let Some(tokenizer) = &tokenizer {
        let coverage = [
            "tokenizer",
            "coverage",
            tokenizer,
            "--suite",
            "korfin-shift",
        ];
        commands.push(("coverage", coverage.to_vec()));
        commands.push(("coverage-detail", [&coverage[..], &["--detail"]].concat()));
    }
    for language in ["en", "ko"] {
        for (name, arguments) in &commands {
            let output = home
                .command(arguments)
                .args(["--format", "latex"])
                .env("KORFINSTS_LANG", language)
                .output()
                .expect("it runs");
            let tables = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(tables.contains("\\begin{tabular}"), "{name}: {tables}");
            let hangul = tables.chars().any(|c| ('가'..='힣').contains(&c));
            assert_eq!(
                tables.contains("% compile with xelatex"),
                hangul || tables.chars().any(|c| c > '\u{17F}'),
                "{name}"
            );
            compile(&xelatex, &out, &format!("{name}-{language}"), &tables);
        }
    }
    home.command(&[
        "-q",
        "leaderboard",
        "build",
        "--resamples",
        "200",
        "-o",
        "site",
    ])
    .assert()
    .success();
    let board = std::fs::read_to_string(home.path("site/board.tex")).expect("built");
    compile(&xelatex, &out, "board", &board);
}
