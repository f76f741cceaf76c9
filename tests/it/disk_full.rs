//! A full disk at any write, a limit on the size of files, and two runs on one folder: each says
//! so, ends with exit code 6, and can be resumed to the same bytes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::durable::{Scene, embedded, snapshot};
use super::support::Home;

/// A shell that runs `script` with the binary and its arguments as `"$@"`.
fn shell(scene: &Scene, home: &Path, script: &str, before: &[&str]) -> Command {
    let mut command = match before {
        [] => Command::new("sh"),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg("sh");
            command
        }
    };
    command
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_korfinsts")])
        .args(scene.arguments(home));
    scene.settle(&mut command);
    command
}

/// An error of a full disk: one that names a file below `home` and what the system said.
fn assert_clear(said: &str, home: &Path, system: &str, when: &str) {
    let error = said
        .lines()
        .find(|l| l.starts_with("error: "))
        .unwrap_or_default();
    assert!(
        error.contains(&*home.to_string_lossy()),
        "{when}: no path in\n{said}"
    );
    assert!(error.contains(system), "{when}: no `{system}` in\n{said}");
    assert!(
        said.lines().any(|l| l.starts_with("hint: ")),
        "{when}: no hint in\n{said}"
    );
    assert!(!said.contains("panicked"), "{when}: a panic\n{said}");
}

#[test]
fn a_limit_on_file_size_is_named_and_the_run_resumed() {
    let scene = Scene::new(300);
    let largest = scene.written().into_iter().max().expect("files");
    let (mut refused, mut fine) = (0, 0);
    // POSIX counts blocks of 512 bytes, and nothing is written at 0.
    for share in [0.0, 0.01, 0.05, 0.1, 0.3, 0.6, 0.9, 0.99, 1.1] {
        let blocks = (largest as f64 * share / 512.0).ceil() as u64;
        let home = scene.home("limited");
        let when = format!("a limit of {blocks} blocks");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let output = shell(&scene, &home, &script, &[])
            .output()
            .expect("sh starts");
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => fine += 1,
            Some(6) => {
                refused += 1;
                assert_clear(&said, &home, "File too large", &when);
            }
            other => panic!("{when}: exit code {other:?}\n{said}"),
        }
        scene.finish(&home, &when);
    }
    assert!(refused >= 6 && fine >= 1, "{refused} refused, {fine} fine");
}

/// Runs on a file system of `$SIZE`, then on the same one with room, and copies what is there out.
const ON_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size="$SIZE" tmpfs "$DISK" || exit 99
    "$@" 2>"$OUT/first.txt"; echo $? >"$OUT/first.code"
    mkdir -p "$DISK/results"; cp -R "$DISK/results" "$OUT/first"
    mount -o remount,size=1g "$DISK" || exit 98
    "$@" 2>"$OUT/second.txt"; echo $? >"$OUT/second.code"
    cp -R "$DISK/results" "$OUT/results"
"#;

/// What runs a command where it may mount file systems of its own.
const NAMESPACE: [&str; 3] = ["unshare", "--map-root-user", "--mount"];
/// Bytes of a page, in which such a file system counts.
const PAGE: u64 = 4_096;

/// Whether file systems can be mounted here; said loudly where not.
fn may_mount() -> bool {
    let probe = "mount -t tmpfs -o size=64k tmpfs /tmp";
    let may = Command::new(NAMESPACE[0])
        .args(&NAMESPACE[1..])
        .args(["sh", "-c", probe])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !may {
        eprintln!("SKIPPED: no file system can be mounted in a namespace of one's own here");
    }
    may
}

/// A release on a full disk is there whole, folder and zip file, or nothing of it is.
#[test]
fn a_full_disk_leaves_no_half_of_a_release() {
    if !may_mount() {
        return;
    }
    let home = Home::new();
    super::release::fixture::Fixture::new().write(&home.path("source"));
    let build = |output: &Path| {
        let output = output.display().to_string();
        let arguments = [
            "release",
            "build",
            "source",
            "--as-of",
            "2026-02-03",
            "--output",
        ];
        [&arguments.map(str::to_owned)[..], &[output]].concat()
    };
    let whole = home.path("whole");
    let arguments = build(&whole);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    home.command(&arguments).assert().success();
    let expected = snapshot(&whole);
    let pages = |bytes: &Vec<u8>| (bytes.len() as u64).div_ceil(PAGE);
    let pages: u64 = expected.values().map(pages).sum();
    let (mut refused, mut fine) = (0, 0);
    let shares = [0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 3.0];
    for size in shares.map(|share| 1 + (pages as f64 * share) as u64) {
        let when = format!("a disk of {size} pages for {pages}");
        let (disk, out) = (home.path("disk"), home.path(&format!("out-{size}")));
        std::fs::create_dir_all(&disk).expect("made");
        std::fs::create_dir_all(&out).expect("made");
        let mut command = Command::new(NAMESPACE[0]);
        let status = home
            .settled(&mut command)
            .args(&NAMESPACE[1..])
            .args([
                "sh",
                "-c",
                ON_SMALL_DISK,
                "sh",
                env!("CARGO_BIN_EXE_korfinsts"),
            ])
            .args(build(&disk.join("results")))
            .env("SIZE", (size * PAGE).to_string())
            .env("DISK", &disk)
            .env("OUT", &out)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("sh starts").success(), "{when}");
        let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("written");
        let (code, said) = (read("first.code"), read("first.txt"));
        match code.trim() {
            "0" => fine += 1,
            "6" => {
                refused += 1;
                assert_clear(&said, &disk, "No space left on device", &when);
                let left = snapshot(&out.join("first"));
                assert!(left.is_empty(), "{when}: {:?}", left.keys());
            }
            other => panic!("{when}: exit code {other}\n{said}"),
        }
        assert_eq!(
            read("second.code").trim(),
            "0",
            "{when}: {}",
            read("second.txt")
        );
        assert!(
            snapshot(&out.join("results")) == expected,
            "{when}, with room"
        );
    }
    assert!(refused >= 6 && fine >= 1, "{refused} refused, {fine} fine");
}

#[test]
fn a_full_disk_at_any_write_is_named_and_the_run_resumed() {
    if !may_mount() {
        return;
    }
    let scene = Scene::new(300);
    let pages: u64 = scene
        .written()
        .iter()
        .map(|bytes| bytes.div_ceil(PAGE))
        .sum();
    let mut sizes: Vec<u64> = [0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95]
        .iter()
        .map(|share| 1 + (pages as f64 * share) as u64)
        .collect();
    // Records, per-pair scores, timings and the report come last: page by page there.
    sizes.extend((1..=4).map(|n| pages - n));
    sizes.push(pages * 2);
    let (mut refused, mut fine, mut records_refused) = (0, 0, 0);
    for size in sizes {
        let disk = scene.home("disk");
        let out = scene.home("out");
        let when = format!("a disk of {size} pages");
        let output = shell(&scene, &disk, ON_SMALL_DISK, &NAMESPACE)
            .env("SIZE", (size * PAGE).to_string())
            .env("DISK", &disk)
            .env("OUT", &out)
            .stderr(Stdio::piped())
            .output()
            .expect("sh starts");
        assert!(
            output.status.success(),
            "{when}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read =
            |name: &str| std::fs::read_to_string(out.join(name)).expect("the script wrote it");
        match read("first.code").trim() {
            "0" => fine += 1,
            "6" => {
                refused += 1;
                let said = read("first.txt");
                records_refused += usize::from(said.contains("results/"));
                assert_clear(&said, &disk, "No space left on device", &when);
            }
            other => panic!("{when}: exit code {other}\n{}", read("first.txt")),
        }
        assert_eq!(
            read("second.code").trim(),
            "0",
            "{when}, with room: {}",
            read("second.txt")
        );
        scene.compare(&snapshot(&out.join("results")), &when);
    }
    assert!(
        refused >= 8 && fine >= 1 && records_refused >= 1,
        "{refused} refused, {records_refused} of them at results, {fine} fine"
    );
}

#[test]
fn a_second_run_on_one_folder_is_refused_and_the_first_undisturbed() {
    let scene = Scene::new(1_500);
    let home = scene.home("shared");
    let mut first = scene
        .command(&home)
        .stderr(Stdio::null())
        .spawn()
        .expect("the run starts");
    let started = Instant::now();
    while embedded(&home) == 0 {
        assert!(
            first.try_wait().expect("asked").is_none(),
            "the first run ended too early"
        );
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "the first run encodes nothing"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
    let signal = |name: &str| {
        let status = Command::new("kill")
            .args([name, &first.id().to_string()])
            .status();
        assert!(status.expect("kill starts").success(), "kill {name}");
    };
    // Stopped, so that it is surely amid its work while the second one tries.
    signal("-STOP");
    let second = scene
        .command(&home)
        .output()
        .expect("the second run starts");
    signal("-CONT");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(6), "{said}");
    assert!(
        said.contains("another korfinsts process is working in it"),
        "{said}"
    );
    assert!(
        said.contains(&*home.join("results").to_string_lossy()),
        "{said}"
    );
    assert!(said.contains("hint: "), "{said}");
    assert!(
        first.wait().expect("the first run ends").success(),
        "the first run failed"
    );
    scene.compare(&scene.snapshot(&home), "a second run that was refused");
}
