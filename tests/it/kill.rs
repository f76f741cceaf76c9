//! A run that is killed at any moment can be resumed, and gives the same bytes as one that was not.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::durable::{Scene, embedded, files};

/// What decides the moment of a kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// A share of the undisturbed run's time has passed.
    Time(f64),
    /// A share of the embeddings is on disk.
    Embedded(f64),
    /// So many files are in the results.
    Results(usize),
}

impl Moment {
    fn draw(random: &mut Xoshiro256PlusPlus, results: usize) -> Self {
        match random.random_range(0..4) {
            0 => Self::Time(random.random_range(0.0..1.1)),
            1 | 2 => Self::Embedded(random.random_range(0.0..1.0)),
            _ => Self::Results(random.random_range(1..=results)),
        }
    }

    fn has_come(self, home: &Path, scene: &Scene, started: Instant, undisturbed: Duration) -> bool {
        match self {
            Self::Time(share) => started.elapsed() >= undisturbed.mul_f64(share),
            Self::Embedded(share) => embedded(home) as f64 >= share * scene.embedded as f64,
            Self::Results(count) => files(&home.join("results")).len() > count,
        }
    }
}

/// Waits for the moment, or for the run's end: whether the run was killed.
fn kill_at(moment: Moment, run: &mut Child, has_come: impl Fn() -> bool, jitter: Duration) -> bool {
    while run.try_wait().expect("the run can be asked").is_none() {
        if has_come() {
            // Moments that are seen from outside come at the ends of writes; a wait of random
            // length moves them inside.
            std::thread::sleep(jitter);
            run.kill().expect("the run can be killed");
            let status = run.wait().expect("the run has ended");
            return !status.success();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let status = run.wait().expect("the run has ended");
    assert!(
        status.success(),
        "a run that was not killed ({moment:?}) ended with {status}"
    );
    false
}

#[test]
fn a_killed_run_is_resumed_to_the_same_bytes() {
    let wanted: usize = std::env::var("KORFINSTS_KILLS")
        .map_or(20, |n| n.parse().expect("KORFINSTS_KILLS is a number"));
    let seed = 20_261_123;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let scene = Scene::new(1_500);
    // A second undisturbed run, timed: the first one also warmed up.
    let started = Instant::now();
    scene.finish(&scene.home("timed"), "nothing");
    let undisturbed = started.elapsed();

    let (mut kills, mut amid, mut attempts) = (0, 0, 0);
    while kills < wanted {
        let home = scene.home("killed");
        let mut story = String::new();
        // Several kills in a row on one folder: what a torn run left is resumed and torn again.
        for _ in 0..random.random_range(1..=3) {
            attempts += 1;
            assert!(
                attempts <= wanted * 5 + 20,
                "only {kills} of {attempts} kills met a run"
            );
            let moment = Moment::draw(&mut random, scene.expected.len());
            let jitter = Duration::from_micros(random.random_range(0..4_000));
            let mut run = scene
                .command(&home)
                .stderr(Stdio::null())
                .spawn()
                .expect("the run starts");
            let started = Instant::now();
            let has_come = || moment.has_come(&home, &scene, started, undisturbed);
            if kill_at(moment, &mut run, has_come, jitter) {
                kills += 1;
                let share = embedded(&home) as f64 / scene.embedded as f64;
                amid += usize::from(share > 0.0 && share < 0.999);
                story += &format!("{moment:?} ({:.0} % embedded), ", 100.0 * share);
            }
        }
        scene.finish(&home, &format!("kills at {story}seed {seed}"));
    }
    eprintln!(
        "{kills} kills in {attempts} runs, {amid} of them with a part of the embeddings on disk"
    );
    assert!(
        amid * 4 >= kills,
        "only {amid} of {kills} kills met a run amid its embeddings"
    );
}
