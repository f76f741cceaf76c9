//! Puts a pinned ONNX Runtime into the data home.
//!
//! The package index is asked through `pip download`, which knows proxies, mirrors and
//! certificates of the machine. What came is checked against a pinned hash before anything is
//! taken out of it; only libraries and licences are, and no Python runs from it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::cli::output::print;
use crate::cli::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::backend::onnxruntime::{self, library};

/// Python version and platform tags of the wheel do not matter to its libraries: they are pinned
/// so that the hash is.
const PYTHON: [&str; 6] = [
    "--implementation",
    "cp",
    "--python-version",
    "3.12",
    "--abi",
    "cp312",
];

/// A wheel of the package index.
#[derive(Debug, PartialEq, Eq)]
struct Wheel {
    os: &'static str,
    arch: &'static str,
    cuda: bool,
    package: &'static str,
    version: &'static str,
    platform: &'static str,
    sha256: &'static str,
}

/// Wheels by machine. To pin a newer version: `pip install --dry-run --report` gives the hashes.
const WHEELS: [Wheel; 7] = [
    cpu(
        "linux",
        "x86_64",
        "manylinux_2_28_x86_64",
        "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
    ),
    cpu(
        "linux",
        "aarch64",
        "manylinux_2_28_aarch64",
        "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
    ),
    cpu(
        "macos",
        "aarch64",
        "macosx_14_0_arm64",
        "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
    ),
    cpu(
        "windows",
        "x86_64",
        "win_amd64",
        "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
    ),
    cpu(
        "windows",
        "aarch64",
        "win_arm64",
        "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
    ),
    cuda(
        "linux",
        "manylinux_2_28_x86_64",
        "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
    ),
    cuda(
        "windows",
        "win_amd64",
        "2bb1e9373baba88f6415257f5b6a589d23e23c16004f7d89adf4344eada5749e",
    ),
];

const fn cpu(
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
) -> Wheel {
    Wheel {
        os,
        arch,
        cuda: false,
        package: "onnxruntime",
        version: "1.32.0",
        platform,
        sha256,
    }
}

const fn cuda(os: &'static str, platform: &'static str, sha256: &'static str) -> Wheel {
    Wheel {
        os,
        arch: "x86_64",
        cuda: true,
        package: "onnxruntime-gpu",
        version: "1.31.1",
        platform,
        sha256,
    }
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// The build with CUDA; CUDA's own libraries are not part of it (see `korfinsts doctor`)
    #[arg(long)]
    cuda: bool,
    /// Install from this wheel, fetched elsewhere: for machines without a network
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,
    /// Python whose pip is asked
    #[arg(long, value_name = "COMMAND", default_value = "python3")]
    python: String,
    /// Install again over what is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &InstallArgs, global: &Global) -> anyhow::Result<()> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let wheel = find(os, arch, args.cuda)?;
    let runtimes = global.data_home()?.join("runtime");
    let target = runtimes.join(wheel.folder());
    if library::find(&target).is_some() && !args.force {
        global.note(&format!("already there: {}", target.display()));
        return report(&target, global);
    }
    fs::create_dir(&runtimes)?;
    // Beside the target, so that the last step is a rename.
    let work = fs::temporary_dir_in(&runtimes)?;
    let file = match &args.wheel {
        Some(file) => file.clone(),
        None => download(wheel, &args.python, work.path(), global)?,
    };
    check(wheel, &file)?;
    let unpacked = work.path().join("unpacked");
    let count =
        unpack(&file, &unpacked).with_context(|| format!("cannot unpack `{}`", file.display()))?;
    if library::find(&unpacked).is_none() {
        return Err(damaged(format!(
            "no library of ONNX Runtime among the {count} files of `{}`",
            file.display()
        )));
    }
    fs::remove_dir(&target)?;
    fs::rename(&unpacked, &target)?;
    global.note(&format!(
        "installed {} {} into {}",
        wheel.package,
        wheel.version,
        target.display()
    ));
    report(&target, global)
}

impl Wheel {
    fn folder(&self) -> String {
        let kind = if self.cuda { "-cuda" } else { "" };
        format!("onnxruntime{kind}-{}", self.version)
    }
}

fn find(os: &str, arch: &str, cuda: bool) -> anyhow::Result<&'static Wheel> {
    let wheel = WHEELS
        .iter()
        .find(|w| w.os == os && w.arch == arch && w.cuda == cuda);
    wheel.ok_or_else(|| {
        let kind = if cuda { " with CUDA" } else { "" };
        CliError::usage(
            format!("no ONNX Runtime{kind} is pinned for {os} on {arch}"),
            "build or fetch one yourself and name it with `--onnxruntime PATH` or \
             `ORT_DYLIB_PATH`; `--backend rten` needs none",
        )
        .into()
    })
}

fn download(
    wheel: &Wheel,
    python: &str,
    folder: &Path,
    global: &Global,
) -> anyhow::Result<PathBuf> {
    if global.offline {
        return Err(CliError::new(
            FailureClass::Network,
            "`--offline` forbids fetching ONNX Runtime",
            Some(format!(
                "fetch it elsewhere with `{}` and give it with `--wheel FILE`",
                pip(wheel, python).join(" ")
            )),
        )
        .into());
    }
    let command = pip(wheel, python);
    global.note(&format!("running {}", command.join(" ")));
    let output = Command::new(&command[0])
        .args(&command[1..])
        .args(["--disable-pip-version-check", "--quiet", "--dest"])
        .arg(folder)
        .output()
        .map_err(|error| {
            CliError::new(
                FailureClass::Runtime,
                format!("cannot run `{python}`: {error}"),
                Some(
                    "name a Python with `--python COMMAND`, or a wheel with `--wheel FILE`".into(),
                ),
            )
        })?;
    if !output.status.success() {
        return Err(pip_failed(&String::from_utf8_lossy(&output.stderr)).into());
    }
    let wheels = fs::list(folder)?;
    wheels
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| damaged("pip came back without a wheel".to_owned()))
}

fn pip(wheel: &Wheel, python: &str) -> Vec<String> {
    let mut command: Vec<String> = [python, "-m", "pip", "download", "--no-deps"]
        .into_iter()
        .chain(["--only-binary", ":all:"])
        .chain(PYTHON)
        .chain(["--platform", wheel.platform])
        .map(str::to_owned)
        .collect();
    command.push(format!("{}=={}", wheel.package, wheel.version));
    command
}

/// The error of a pip that failed: its last lines, and whether the network was the reason.
fn pip_failed(stderr: &str) -> CliError {
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with("WARNING: pip is"))
        .collect();
    let tail = lines[lines.len().saturating_sub(3)..].join("; ");
    let lower = stderr.to_lowercase();
    let network = [
        "connection",
        "network",
        "resolve",
        "timed out",
        "proxy",
        "certificate",
    ]
    .iter()
    .any(|word| lower.contains(word));
    if lower.contains("no module named pip") {
        return CliError::new(
            FailureClass::Runtime,
            "this Python has no pip",
            Some("name another with `--python COMMAND`, or a wheel with `--wheel FILE`".into()),
        );
    }
    CliError::new(
        if network {
            FailureClass::Network
        } else {
            FailureClass::Runtime
        },
        format!("pip failed: {tail}"),
        Some("fetch the wheel elsewhere and give it with `--wheel FILE`".into()),
    )
}

fn check(wheel: &Wheel, file: &Path) -> anyhow::Result<()> {
    let found = fs::sha256_file(file)?;
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(damaged(format!(
        "`{}` has SHA-256 {found}, pinned is {} ({} {} for {})",
        file.display(),
        wheel.sha256,
        wheel.package,
        wheel.version,
        wheel.platform
    )))
}

fn damaged(message: String) -> anyhow::Error {
    CliError::new(
        FailureClass::Check,
        message,
        Some("nothing was installed; fetch the wheel again, from an index you trust".into()),
    )
    .into()
}

/// Takes libraries and licences out of a wheel, flat; returns how many files the wheel has.
fn unpack(wheel: &Path, folder: &Path) -> anyhow::Result<usize> {
    let mut archive = zip::ZipArchive::new(fs::open(wheel)?)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        // The last part of a name cannot lead out of the folder.
        let Some(name) = wanted(&entry.name()?).map(str::to_owned) else {
            continue;
        };
        let path = folder.join(name);
        fs::write_atomic_with(&path, |file| std::io::copy(&mut entry, file).map(drop))?;
    }
    Ok(archive.len())
}

fn wanted(entry: &str) -> Option<&str> {
    let name = entry.strip_prefix("onnxruntime/")?;
    let (folder, name) = name.rsplit_once('/').unwrap_or(("", name));
    let ends = |suffix| Path::new(name).extension().is_some_and(|e| e == suffix);
    let library = folder == "capi"
        && name.contains("onnxruntime")
        && !name.contains("pybind")
        && (name.contains(".so") || ends("dylib") || ends("dll"));
    let licence = folder.is_empty() && ["LICENSE", "ThirdPartyNotices.txt"].contains(&name);
    (library || licence).then_some(name)
}

fn report(target: &Path, global: &Global) -> anyhow::Result<()> {
    let options = OpenOptions {
        onnxruntime: Some(target.to_owned()),
        ..OpenOptions::default()
    };
    let loaded = onnxruntime::load(&options)?;
    global.note(&format!(
        "ONNX Runtime {} loads, with {}",
        loaded.version,
        loaded.providers.join(", ")
    ));
    print(&format!("{}\n", loaded.path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_and_licences_are_taken() {
        for (entry, expected) in [
            (
                "onnxruntime/capi/libonnxruntime.so.1.32.0",
                Some("libonnxruntime.so.1.32.0"),
            ),
            (
                "onnxruntime/capi/libonnxruntime_providers_cuda.so",
                Some("libonnxruntime_providers_cuda.so"),
            ),
            (
                "onnxruntime/capi/libonnxruntime.1.32.0.dylib",
                Some("libonnxruntime.1.32.0.dylib"),
            ),
            ("onnxruntime/capi/onnxruntime.dll", Some("onnxruntime.dll")),
            (
                "onnxruntime/ThirdPartyNotices.txt",
                Some("ThirdPartyNotices.txt"),
            ),
            (
                "onnxruntime/capi/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
                None,
            ),
            ("onnxruntime/LICENSE", Some("LICENSE")),
            ("onnxruntime/capi/onnxruntime_validation.py", None),
            ("onnxruntime/tools/libonnxruntime.so", None),
            ("onnxruntime/capi/../../libonnxruntime.so", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(wanted(entry), expected, "{entry}");
        }
    }

    #[test]
    fn every_machine_has_at_most_one_wheel_of_a_kind() {
        for wheel in &WHEELS {
            assert_eq!(
                find(wheel.os, wheel.arch, wheel.cuda).expect("pinned"),
                wheel
            );
            assert_eq!(wheel.sha256.len(), 64);
        }
        let error = find("macos", "aarch64", true).expect_err("no CUDA there");
        assert!(error.to_string().contains("with CUDA"));
    }

    #[test]
    fn a_wheel_of_another_content_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("onnxruntime.whl");
        fs::write_atomic(&file, b"PK").expect("written");
        let error = check(&WHEELS[0], &file).expect_err("refused");
        assert!(error.to_string().contains(WHEELS[0].sha256));
    }

    #[test]
    fn a_pip_that_failed_is_told_from_a_network_that_did() {
        for (stderr, message, code) in [
            (
                "WARNING: Retrying: NewConnectionError\nERROR: No matching distribution found",
                "No matching distribution",
                5,
            ),
            (
                "ERROR: No matching distribution found for x",
                "No matching",
                6,
            ),
            ("/usr/bin/python3: No module named pip", "no pip", 6),
        ] {
            let error = pip_failed(stderr);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.class().exit_code(), code);
        }
    }
}
