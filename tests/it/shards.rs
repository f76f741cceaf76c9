//! Work spread over processes and joined again.

use std::path::{Path, PathBuf};

use predicates::prelude::*;

use super::support::{Home, repository};

fn encoder(name: &str) -> String {
    repository(&format!("tests/reference/encoders/{name}"))
        .display()
        .to_string()
}

/// Records and per-pair scores by path; timings differ from run to run.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    if !folder.exists() {
        return Vec::new();
    }
    let mut files: Vec<(PathBuf, Vec<u8>)> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .filter(|p| {
            let name = p.to_string_lossy();
            (name.ends_with(".json") || name.ends_with(".jsonl")) && !name.ends_with(".timing.json")
        })
        .map(|p| {
            let bytes = std::fs::read(&p).expect("read");
            (p.strip_prefix(folder).expect("below").to_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}

/// A suite of our own, so that there is more than one without data from elsewhere: the first rows
/// of the built-in one under another name.
fn second_suite(home: &Home) -> String {
    let folder = home.path("second");
    home.copy(&repository("benchmarks/korfin-shift"), &folder);
    let manifest = folder.join("suite.toml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let text = text.replacen("id = \"korfin-shift\"", "id = \"second\"", 1);
    std::fs::write(&manifest, text).expect("written");
    folder.display().to_string()
}

fn arguments(home: &Home, more: &[&str]) -> Vec<String> {
    let suites = format!("korfin-shift,{}", second_suite(home));
    let mut all: Vec<String> = [
        "eval",
        &encoder("bert-mean"),
        &encoder("mpnet-mean"),
        "--suite",
        &suites,
        "--resamples",
        "200",
        "--format",
        "json",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend(more.iter().map(|m| (*m).to_owned()));
    all
}

fn run(home: &Home, more: &[&str]) -> assert_cmd::assert::Assert {
    let arguments = arguments(home, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    home.command(&arguments).assert()
}

#[test]
fn shards_that_are_joined_equal_one_run_byte_for_byte() {
    let home = Home::new();
    let whole = run(&home, &["--results", "whole"]).success();
    for shard in ["1/3", "2/3", "3/3"] {
        run(&home, &["--results", "spread", "--shard", shard])
            .success()
            .stderr(predicate::str::contains(format!(
                "shard {shard}: 2 of 6 units"
            )));
    }
    let joined = home
        .command(&["merge", "spread", "--into", "joined", "--format", "json"])
        .assert()
        .success()
        .stderr(predicate::str::contains("12 joined"));
    assert_eq!(joined.get_output().stdout, whole.get_output().stdout);
    let expected = files(&home.path("whole"));
    // Record and pairs of each of 12, and the token counts of the 4 of real encoders.
    assert_eq!(expected.len(), 28);
    assert_eq!(files(&home.path("joined")), expected);
    // Each shard did its part and no more, and joining again changes nothing.
    let parts: usize = ["1", "2", "3"]
        .iter()
        .map(|i| files(&home.path(&format!("spread/shard-{i}-of-3"))).len() - 1)
        .sum();
    assert_eq!(parts, expected.len());
    home.command(&["merge", "spread", "joined", "--into", "joined"])
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "12 of them in more than one folder",
        ));
    assert_eq!(files(&home.path("joined")), expected);
    let joined = home.path("joined").display().to_string();
    home.command(&["record", "recompute", &joined])
        .assert()
        .success();
}

#[test]
fn a_missing_an_unfinished_and_a_foreign_shard_are_named() {
    let home = Home::new();
    run(&home, &["--results", "spread", "--shard", "1/3"]).success();
    run(&home, &["--results", "spread", "--shard", "3/3"]).success();
    home.command(&["merge", "spread", "--into", "joined"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains(
            "missing or not finished: `--shard 2/3`",
        ))
        .stderr(predicate::str::contains("--partial"));
    assert!(files(&home.path("joined")).is_empty(), "nothing is written");
    home.command(&["merge", "spread", "--into", "joined", "--partial"])
        .assert()
        .success()
        .stderr(predicate::str::contains("warning: shard 2/3 is missing"));
    // A shard that was stopped leaves no plan.
    std::fs::create_dir_all(home.path("spread/shard-2-of-3")).expect("made");
    home.command(&["merge", "spread", "--into", "other"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("`--shard 2/3`"));
    run(
        &home,
        &["--results", "foreign", "--shard", "2/3", "--limit", "20"],
    )
    .success();
    home.command(&["merge", "spread", "foreign", "--into", "other"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains("are shards of different runs"));
}

#[test]
fn records_that_differ_or_were_damaged_are_not_joined() {
    let home = Home::new();
    let base = ["eval", "--resamples", "200", "--results"];
    home.command(&[&base[..], &["a"]].concat())
        .assert()
        .success();
    home.copy(&home.path("a"), &home.path("b"));
    let records = files(&home.path("b")).into_iter().map(|(path, _)| path);
    for record in records.filter(|p| p.to_string_lossy().ends_with(".resamples-200.json")) {
        let path = home.path("b").join(record);
        let text = std::fs::read_to_string(&path).expect("read");
        let other = text.replace("\"seed\": 0", "\"seed\": 7");
        assert_ne!(other, text);
        std::fs::write(path, other).expect("written");
    }
    home.command(&["merge", "a", "b", "--into", "c"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains(
            "are records of one name and differ",
        ));
    assert!(files(&home.path("c")).is_empty());
    let pairs = files(&home.path("a"))
        .into_iter()
        .map(|(p, _)| p)
        .find(|p| p.to_string_lossy().ends_with(".pairs.jsonl"))
        .expect("pairs");
    let path = home.path("a").join(pairs);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, bytes).expect("cut");
    home.command(&["merge", "a", "--into", "c"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains("sha256 is"))
        .stderr(predicate::str::contains("was the copy cut short?"));
    std::fs::create_dir_all(home.path("empty")).expect("made");
    home.command(&["merge", "empty", "--into", "c"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains("no record in"));
    for (shard, expected) in [
        ("0/2", "counted from 1"),
        ("3/2", "no shard 3 of 2"),
        ("x", "I/N"),
    ] {
        home.command(&["eval", "--shard", shard])
            .assert()
            .code(2)
            .stderr(predicate::str::contains(expected));
    }
}

/// Blocks of a recipe in a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    document
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[cfg(unix)]
#[test]
fn every_recipe_parses_and_names_flags_that_exist() {
    let home = Home::new();
    let help: String = [["eval", "--help"], ["merge", "--help"]]
        .iter()
        .map(|arguments| {
            let output = home.command(arguments).output().expect("help");
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
        .collect();
    for (page, shells) in [("docs/slurm.md", 3), ("docs/kubernetes.md", 1)] {
        let text = std::fs::read_to_string(repository(page)).expect("a recipe");
        let scripts = blocks(&text, "bash");
        assert!(scripts.len() >= shells, "{page}: {}", scripts.len());
        for script in scripts {
            assert_cmd::Command::new("bash")
                .args(["-n"])
                .write_stdin(script.clone())
                .assert()
                .success();
            for line in script.lines().filter(|l| l.contains("korfinsts ")) {
                for flag in line.split_whitespace().filter(|w| w.starts_with("--")) {
                    let flag = flag.split('=').next().unwrap_or_default();
                    let known = help.contains(flag)
                        || ["--array", "--dependency", "--wrap", "--parsable"].contains(&flag);
                    assert!(known, "{page}: `{flag}` in `{line}`");
                }
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn the_recipe_for_plain_shells_gives_what_one_run_gives() {
    let home = Home::new();
    let text = std::fs::read_to_string(repository("docs/slurm.md")).expect("a recipe");
    let script = blocks(&text, "bash")
        .into_iter()
        .find(|b| b.contains("for shard in"))
        .expect("the recipe without a scheduler");
    let binary = assert_cmd::cargo::cargo_bin("korfinsts");
    let script = script
        .replace(
            "korfinsts eval",
            &format!("{} eval --resamples 200", binary.display()),
        )
        .replace("korfinsts merge", &format!("{} merge", binary.display()))
        .replace(
            "org/model-a org/model-b",
            &format!("{} {}", encoder("bert-mean"), encoder("mpnet-mean")),
        );
    assert_cmd::Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(home.path(""))
        .env("KORFINSTS_DATA", home.data())
        .env("HF_HUB_OFFLINE", "1")
        .assert()
        .success();
    let whole = [
        "eval",
        &encoder("bert-mean"),
        &encoder("mpnet-mean"),
        "--resamples",
        "200",
        "--results",
        "whole",
    ];
    home.command(&whole).assert().success();
    let expected = files(&home.path("whole"));
    assert!(expected.len() >= 12);
    assert_eq!(files(&home.path("joined")), expected);
}

/// Runs a script of a recipe with tiny models, below this home instead of `/shared`.
#[cfg(unix)]
fn follow(home: &Home, script: &str, environment: &[(&str, &str)]) -> assert_cmd::assert::Assert {
    let binary = assert_cmd::cargo::cargo_bin("korfinsts");
    let script = script
        .replace(
            "korfinsts eval org/model-a org/model-b",
            &format!(
                "{} eval {} {} --suite korfin-shift --limit 40 --resamples 100",
                binary.display(),
                encoder("bert-mean"),
                encoder("mpnet-mean")
            ),
        )
        .replace("korfinsts merge", &format!("{} merge", binary.display()))
        .replace("/shared/", &format!("{}/", home.path("shared").display()));
    assert_cmd::Command::new("bash")
        .arg("-c")
        // Without a scheduler, `srun` is what it runs.
        .arg(format!("srun() {{ \"$@\"; }}\n{script}"))
        .current_dir(home.path(""))
        .env("KORFINSTS_DATA", home.data())
        .env("HF_HUB_OFFLINE", "1")
        .envs(environment.iter().copied())
        .assert()
}

#[cfg(unix)]
#[test]
fn the_array_of_slurm_does_what_it_says_and_one_task_can_be_run_again() {
    let home = Home::new();
    let text = std::fs::read_to_string(repository("docs/slurm.md")).expect("a recipe");
    let script = blocks(&text, "bash")
        .into_iter()
        .find(|b| b.contains("#SBATCH"))
        .expect("the batch script");
    let shards = script
        .split("--array=1-")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse::<usize>().ok())
        .expect("an array");
    let task = |index: usize, of: usize| {
        follow(
            &home,
            &script,
            &[
                ("SLURM_ARRAY_TASK_ID", &index.to_string()),
                ("SLURM_ARRAY_TASK_COUNT", &of.to_string()),
                ("SLURM_CPUS_PER_TASK", "1"),
            ],
        )
        .success();
    };
    let runs = home.path("shared/runs/2026-11");
    let merge = [
        "merge",
        runs.to_str().expect("UTF-8"),
        "--into",
        "joined",
        "--format",
        "csv",
    ];
    for index in (1..=shards).filter(|i| *i != 3) {
        task(index, shards);
    }
    home.command(&merge)
        .assert()
        .code(1)
        .stderr(predicate::str::contains(format!("`--shard 3/{shards}`")));
    // `sbatch --array=3 eval.sbatch` has one task.
    task(3, 1);
    home.command(&merge).assert().success();
    assert!(files(&home.path("joined")).len() >= 6);
}

/// The argument of a `>-` block of a manifest, folded to one line as YAML does.
#[cfg(unix)]
fn folded(manifest: &str) -> String {
    let mut lines = manifest
        .lines()
        .skip_while(|l| l.trim() != "- >-")
        .skip(1)
        .peekable();
    let depth = |l: &str| l.len() - l.trim_start().len();
    let at = lines.peek().map_or(0, |l| depth(l));
    lines
        .take_while(|l| depth(l) >= at && !l.trim().is_empty())
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(unix)]
#[test]
fn the_pods_of_kubernetes_do_what_they_say() {
    let home = Home::new();
    let text = std::fs::read_to_string(repository("docs/kubernetes.md")).expect("a recipe");
    let manifests = blocks(&text, "yaml");
    let with = |needle: &str| {
        manifests
            .iter()
            .find(|m| m.contains(needle))
            .map(|m| folded(m))
            .expect("a manifest")
    };
    let (eval, merge) = (with("korfinsts eval org/model-a"), with("korfinsts merge"));
    let pods: usize = manifests[0]
        .split("completions: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok())
        .expect("completions");
    for index in 0..pods {
        follow(
            &home,
            &eval,
            &[("JOB_COMPLETION_INDEX", &index.to_string())],
        )
        .success();
    }
    follow(&home, &merge, &[])
        .success()
        .stdout(predicate::str::contains("mpnet-mean"));
    assert!(files(&home.path("shared/runs/2026-11-joined")).len() >= 6);
}
