//! A run of 500 calls that is killed again and again pays for each accepted answer once, and ends
//! with the triplets of one that was not.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use korfinsts_mine::generate::state::State;
use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::support::Home;
use super::writer::{Writer, generate, generation, read, write_passages};

/// Documents: seven calls each, 504 in all.
const DOCUMENTS: usize = 72;
/// Calls under way at once.
const AT_ONCE: usize = 4;

/// Questions whose answers the state holds.
fn kept(run: &Path, writer: &Writer) -> HashSet<String> {
    if !run.join("state.sqlite").exists() {
        return HashSet::new();
    }
    let state = State::open(&run.join("state.sqlite")).expect("the state opens");
    let log = writer.log.lock().expect("no test thread panicked");
    let calls = state.calls().expect("the calls are read");
    calls
        .iter()
        .map(|call| {
            log.of
                .get(&call.answer)
                .unwrap_or_else(|| panic!("an answer that the server never gave: {}", call.answer))
                .clone()
        })
        .collect()
}

#[test]
fn each_accepted_answer_is_paid_for_once_however_often_a_run_is_killed() {
    let wanted: usize = std::env::var("KORFINSTS_KILLS")
        .map_or(8, |n| n.parse().expect("KORFINSTS_KILLS is a number"));
    let seed = 20_261_125;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let home = Home::new();

    let undisturbed = home.path("undisturbed");
    write_passages(&undisturbed, DOCUMENTS);
    let quiet = Writer::new(|_| None);
    generate(&home, &undisturbed, &quiet, &["--concurrency", "4"])
        .assert()
        .success();
    assert_eq!(quiet.requests(), 7 * DOCUMENTS, "seven calls a document");

    let run = home.path("killed");
    write_passages(&run, DOCUMENTS);
    let writer = Writer::slow(Duration::from_millis(3), |_| None);
    let (mut kills, mut amid, mut attempts, mut again) = (0, 0, 0, 0);
    // Kills are spread over the run: each stretch is a share of the calls that are left.
    while kills < wanted {
        attempts += 1;
        assert!(attempts <= 3 * wanted + 10, "only {kills} kills met a run");
        let before = writer.requests();
        let done = kept(&run, &writer);
        let left = 7 * DOCUMENTS - done.len();
        let stretch = random.random_range(0..=(2 * left / (wanted - kills + 1)).max(1));
        let jitter = Duration::from_micros(random.random_range(0..6_000));
        let mut child = spawn(&home, &run, &writer);
        let killed = loop {
            if child.try_wait().expect("asked").is_some() {
                break false;
            }
            if writer.requests() >= before + stretch {
                std::thread::sleep(jitter);
                child.kill().expect("killed");
                break !child.wait().expect("ended").success();
            }
            std::thread::sleep(Duration::from_micros(300));
        };
        // What was kept before the run began was not asked for again.
        let log = writer.log.lock().expect("no test thread panicked");
        let repeated = log.order[before..]
            .iter()
            .filter(|q| done.contains(*q))
            .count();
        drop(log);
        assert_eq!(
            repeated, 0,
            "kept answers were asked for again (seed {seed})"
        );
        if !killed {
            again += 1;
            assert!(again < 3, "the run ends before it can be killed");
            continue;
        }
        kills += 1;
        amid += usize::from(writer.requests() > before);
    }
    generate(&home, &run, &writer, &["--concurrency", "4"])
        .assert()
        .success();

    let kept = kept(&run, &writer);
    let log = writer.log.lock().expect("no test thread panicked");
    let paid: usize = log.answered.values().sum();
    let twice = log.answered.values().filter(|n| **n > 1).count();
    eprintln!(
        "{kills} kills, {amid} of them amid calls; {} answers kept, {paid} given; {twice} were under way at a kill and came again",
        kept.len()
    );
    assert_eq!(kept.len(), 7 * DOCUMENTS);
    // Beyond what was kept only answers under way at a kill were given: nobody had them.
    assert!(paid - kept.len() <= kills * AT_ONCE, "{paid} given");
    assert_eq!(
        read(&run, "triplets.jsonl"),
        read(&undisturbed, "triplets.jsonl")
    );
    assert_eq!(generation(&run)["triplets"], DOCUMENTS);
    let spent = State::open(&run.join("state.sqlite"))
        .and_then(|s| s.spent())
        .expect("read");
    assert_eq!(
        spent.replies,
        7 * DOCUMENTS as u64,
        "one line per kept answer"
    );
}

fn spawn(home: &Home, run: &Path, writer: &Writer) -> std::process::Child {
    let (generator, judge) = (writer.model("writer"), writer.model("judge"));
    Command::new(env!("CARGO_BIN_EXE_korfinsts"))
        .args(["mine", "generate", "--dir", run.to_str().expect("UTF-8")])
        .args(["--generator", &generator, "--judge", &judge])
        .args(["--variants", "1", "--calibration", "0", "--retries", "4"])
        .args(["--concurrency", &AT_ONCE.to_string(), "--quiet"])
        .env("KORFINSTS_DATA", home.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the run starts")
}
