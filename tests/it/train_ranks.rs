//! Several ranks as processes: they give what one gives, go on after one was killed, and name it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::{Home, reference_rounding};
use super::train_run::{losses, prepare, weights, write};

fn adjust(home: &Home, from: &str, to: &str) {
    let path = home.path("tiny.toml");
    let text = String::from_utf8(korfinsts_base::fs::read(&path).expect("read")).expect("UTF-8");
    assert!(text.contains(from), "{text}");
    write(&path, text.replace(from, to).as_bytes());
}

/// The values of a file of tensors. Biases of keys move every score of a query alike, so their
/// gradient is 0 but for rounding, and `AdamW`, which divides by its size, follows the rounding.
fn values(file: &[u8]) -> Vec<f64> {
    let file = safetensors::SafeTensors::deserialize(file).expect("tensors");
    let mut names = file.names();
    names.retain(|name| !name.ends_with("key.bias"));
    names.sort_unstable();
    names
        .into_iter()
        .flat_map(|name| {
            let bytes = file.tensor(name).expect("a tensor").data().to_vec();
            bytes
                .chunks_exact(4)
                .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

#[test]
fn ranks_together_give_what_one_rank_gives() {
    for (negatives, more) in [
        ("hard", ""),
        ("hard+batch", ""),
        (
            "hard+batch",
            "[compute]\nmicro_batch = 3\ngradient_checkpointing = true\n",
        ),
        (
            "hard+batch",
            "[lora]\nrank = 2\nalpha = 16.0\ndropout = 0.3\n[compute]\nmicro_batch = 3\n",
        ),
        ("hard\"\ndropout = 0.3 # \"", "[compute]\nmicro_batch = 3\n"),
    ] {
        let home = prepare("bert-mean", more);
        adjust(
            &home,
            "temperature = 0.1",
            &format!("temperature = 0.1\nnegatives = \"{negatives}\""),
        );
        let train = |output: &str, ranks: &str| {
            home.command(&["train", "tiny.toml", "--output", output, "--ranks", ranks])
                .assert()
                .success();
            (
                losses(&home.path(output)),
                values(&weights(&home.path(output))),
            )
        };
        let base = super::support::repository("tests/reference/encoders/bert-mean");
        let base = values(&weights(&base));
        let (expected, one) = train("one", "1");
        let way = apart(&one, &base);
        assert!(way > 0.0);
        // As in `train.rs`, at a temperature of 0.1: ranks add the same numbers in another order.
        let bound = 3_f64.sqrt() * reference_rounding(&serde_json::Value::Null) / 0.1;
        for ranks in ["2", "3"] {
            let (found, several) = train(&format!("several-{ranks}"), ranks);
            assert_eq!(found.len(), 12);
            let mut worst = 0.0_f64;
            for ((step, a), (_, b)) in found.iter().zip(&expected) {
                let difference = (a - b).abs() / b.abs();
                worst = worst.max(difference);
                assert!(difference < bound, "{negatives} step {step}: {a} {b}");
            }
            let share = apart(&several, &one) / way;
            #[allow(clippy::print_stderr, reason = "how near they are is said")]
            {
                eprintln!(
                    "{ranks} ranks, {negatives}: losses within {worst:.1e}, weights within \
                     {share:.1e} of the way that training went"
                );
            }
            assert!(share < bound, "{negatives}: {share}");
        }
    }
}

fn start(home: &Home, output: &str, rank: &str, meet: &str) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("korfinsts"))
        .current_dir(home.path(""))
        .args(["train", "tiny.toml", "--output", output, "--offline"])
        .args(["--ranks", "2", "--rank", rank, "--meet", meet])
        .env("KORFINSTS_DATA", home.data())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

fn has_state(folder: &Path) -> bool {
    korfinsts_base::fs::exists(folder)
        && korfinsts_base::fs::list(folder)
            .expect("listed")
            .iter()
            .any(|p| p.to_string_lossy().contains("state-"))
}

#[test]
fn a_rank_that_was_killed_is_named_and_the_run_goes_on_to_the_same_weights() {
    let home = prepare("bert-mean", "");
    adjust(&home, "epochs = 2", "epochs = 12");
    let together = |output: &str| {
        home.command(&["train", "tiny.toml", "--output", output, "--ranks", "2"])
            .assert()
            .success();
    };
    together("whole");
    for killed in [1, 0] {
        let output = format!("killed-{killed}");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let meet = free.local_addr().expect("an address").to_string();
        drop(free);
        let mut ranks = [
            start(&home, &output, "0", &meet),
            start(&home, &output, "1", &meet),
        ];
        let states = home.path(&output).join("training");
        for _ in 0..6000 {
            if has_state(&states) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        ranks[killed].kill().expect("killed");
        let [first, second] = ranks.map(|r| r.wait_with_output().expect("ended"));
        let (left, other) = if killed == 1 { (first, 1) } else { (second, 0) };
        let said = String::from_utf8_lossy(&left.stderr).into_owned();
        assert_eq!(left.status.code(), Some(6), "{said}");
        let expected = format!("error: rank {other}: it went away");
        assert!(said.contains(&expected), "{said}");
        together(&output);
        assert_eq!(losses(&home.path(&output)), losses(&home.path("whole")));
        assert!(weights(&home.path(&output)) == weights(&home.path("whole")));
    }
}

#[test]
fn ranks_that_are_asked_for_wrongly_are_refused() {
    let home = prepare("bert-mean", "");
    for (arguments, expected) in [
        (&["--ranks", "0"][..], "0 is not in 1..=1024"),
        (&["--rank", "1"], "--meet <HOST:PORT>"),
        (
            &["--ranks", "2", "--rank", "2", "--meet", "127.0.0.1:1"],
            "found `--rank 2` of 2 ranks",
        ),
        (
            &["--ranks", "2", "--rank", "0", "--meet", "nowhere"],
            "ranks cannot meet at `nowhere`",
        ),
    ] {
        let mut all = vec!["train", "tiny.toml"];
        all.extend(arguments);
        let output = home.command(&all).assert().code(2);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(expected), "{text} / {expected}");
    }
}
