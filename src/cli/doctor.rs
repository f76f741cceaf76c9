//! `korfinsts doctor`: what this machine has, what it lacks, and what to do about it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::output::{print, screen_width};
use super::runtime::Format;
use super::{CliError, Global, model};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_base::hub::{Hub, HubSettings, without_password};
use korfinsts_base::table::wrap;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::backend::onnxruntime::{self, Loaded, cuda, library};

const GIB: u64 = 1 << 30;

/// Check this machine: processor, memory, ONNX Runtime, CUDA, folders, network settings
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// ONNX Runtime library (or its folder) to look at
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Device that has to work: with `cuda`, what is missing for it is a failure
    #[arg(long, default_value = "cpu", value_parser = model::device)]
    device: String,
    /// Format of what is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    status: Status,
    what: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            status: Status::Ok,
            what,
            found: found.into(),
            remedy: None,
        }
    }

    fn bad(
        status: Status,
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status,
            what,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// When a check fails, or stdout cannot be written.
pub fn run(args: &DoctorArgs, global: &Global) -> anyhow::Result<()> {
    let checks = examine(args, global);
    match args.format {
        Format::Json => print(&(serde_json::to_string_pretty(&checks)? + "\n"))?,
        Format::Table => {
            let screen = screen_width().unwrap_or(usize::MAX);
            print(&table(&checks, screen))?;
        }
    }
    let failed: Vec<&str> = checks
        .iter()
        .filter(|c| c.status == Status::Fail)
        .map(|c| c.what)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(CliError::new(
        FailureClass::Check,
        format!("not in order: {}", failed.join(", ")),
        None,
    )
    .into())
}

fn examine(args: &DoctorArgs, global: &Global) -> Vec<Check> {
    let options = OpenOptions {
        onnxruntime: args.onnxruntime.clone(),
        data_home: global.data_home().ok(),
        ..OpenOptions::default()
    };
    let mut checks = vec![build(), processor()];
    #[cfg(feature = "candle")]
    checks.push(Check::ok("instruction set", korfinsts_nn::isa::describe()));
    checks.extend([cores(), memory()]);
    let loaded = onnxruntime::load(&options);
    checks.extend(runtime(&options, loaded.as_ref()));
    checks.extend(gpu(loaded.as_ref().ok(), args.device != "cpu"));
    checks.push(match global.data_home() {
        Ok(home) => data_home(&home),
        Err(error) => Check::bad(
            Status::Fail,
            "data home",
            error.to_string(),
            "name a folder with `--data DIR` or KORFINSTS_DATA",
        ),
    });
    let hub = Hub::from_env(global.offline);
    checks.push(hub_cache(hub.settings()));
    checks.push(network(global, hub.settings()));
    checks
}

fn build() -> Check {
    let features: Vec<&str> = [
        ("onnxruntime", cfg!(feature = "onnxruntime")),
        ("rten", cfg!(feature = "rten")),
        ("candle", cfg!(feature = "candle")),
        ("cuda", cfg!(feature = "cuda")),
    ]
    .into_iter()
    .filter_map(|(name, built)| built.then_some(name))
    .collect();
    let found = format!(
        "korfinsts {} for {} {}, features {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        if features.is_empty() {
            "none".to_owned()
        } else {
            features.join(", ")
        }
    );
    if features.is_empty() {
        let remedy = "build with the default features: nothing here can run a model";
        return Check::bad(Status::Fail, "build", found, remedy);
    }
    Check::ok("build", found)
}

/// Instruction sets that matter, each with whether the processor has it.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn instructions() -> [(&'static str, bool); 5] {
    [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avxvnni", std::is_x86_feature_detected!("avxvnni")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn instructions() -> [(&'static str, bool); 4] {
    [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        (
            "dotprod",
            std::arch::is_aarch64_feature_detected!("dotprod"),
        ),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn instructions() -> [(&'static str, bool); 0] {
    []
}

fn processor() -> Check {
    let instructions = instructions();
    let has: Vec<&str> = instructions
        .iter()
        .filter_map(|(name, has)| has.then_some(*name))
        .collect();
    let found = if has.is_empty() {
        "no vector instructions known here".to_owned()
    } else {
        has.join(", ")
    };
    let lacks = instructions
        .iter()
        .any(|(name, has)| ["avx2", "fma", "neon"].contains(name) && !has);
    if lacks {
        let remedy = "encoding will be several times slower than on a newer machine";
        return Check::bad(Status::Warn, "processor", found, remedy);
    }
    Check::ok("processor", found)
}

fn cores() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let physical = sysinfo::System::physical_core_count()
        .map_or_else(|_| "unknown".to_owned(), |count| count.to_string());
    Check::ok(
        "cores",
        format!("{threads} threads, {physical} physical cores"),
    )
}

fn memory() -> Check {
    let Ok(mut system) = sysinfo::System::new() else {
        return Check::ok("memory", "cannot be read");
    };
    system.refresh_memory();
    let limit = system.cgroup_limits();
    let total = limit
        .as_ref()
        .map_or(u64::MAX, |l| l.total_memory)
        .min(system.total_memory());
    let free = limit
        .map_or(u64::MAX, |l| l.free_memory)
        .min(system.available_memory());
    let found = format!("{} free of {}", gib(free), gib(total));
    if free < GIB {
        let remedy = "close other programs, or use fewer `--threads` and small models";
        return Check::bad(Status::Warn, "memory", found, remedy);
    }
    Check::ok("memory", found)
}

fn runtime(
    options: &OpenOptions,
    loaded: Result<&Loaded, &korfinsts_encoder::EncoderError>,
) -> Vec<Check> {
    const WHAT: &str = "ONNX Runtime";
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let named = library::places(options)
                .first()
                .is_some_and(|place| place.origin.is_named());
            let status = if named { Status::Fail } else { Status::Warn };
            let remedy = error.hint().unwrap_or_default();
            return vec![Check::bad(status, WHAT, error.to_string(), remedy)];
        }
    };
    let mut checks: Vec<Check> = loaded
        .passed_over
        .iter()
        .map(|(path, reason)| {
            Check::bad(
                Status::Warn,
                WHAT,
                format!("`{}` does not load: {reason}", path.display()),
                "remove it, or name another with `--onnxruntime PATH`",
            )
        })
        .collect();
    checks.push(Check::ok(
        WHAT,
        format!(
            "{} with {}, {}",
            loaded.version,
            loaded.providers.join(", "),
            loaded.path.display()
        ),
    ));
    checks
}

/// With a GPU in sight or one asked for, everything that its use needs, so that all that is missing
/// is named at once.
fn gpu(loaded: Option<&Loaded>, wanted: bool) -> Vec<Check> {
    let bad = if wanted { Status::Fail } else { Status::Warn };
    let mut checks = Vec::new();
    match cuda::driver() {
        Some(driver) => {
            let version = fs::read(Path::new("/proc/driver/nvidia/version"))
                .ok()
                .and_then(|text| driver_version(&String::from_utf8_lossy(&text)))
                .map(|v| format!("{v}, "))
                .unwrap_or_default();
            let found = format!("{version}{}", driver.display());
            checks.push(Check::ok("CUDA driver", found));
        }
        None if wanted => checks.push(Check::bad(
            bad,
            "CUDA driver",
            "no NVIDIA driver (libcuda) found",
            "install the NVIDIA driver, or run the container with its GPUs",
        )),
        None => {
            let found = "no NVIDIA driver (libcuda) found: models run on the CPU";
            return vec![Check::ok("CUDA driver", found)];
        }
    }
    if loaded.is_some_and(|l| l.providers.contains(&"CUDA")) {
        checks.push(Check::ok("CUDA provider", "in this ONNX Runtime"));
    } else {
        let found = match loaded {
            Some(_) => "this ONNX Runtime was built without it",
            None => "no ONNX Runtime that could have it",
        };
        let remedy = "`korfinsts runtime install --cuda`";
        checks.push(Check::bad(bad, "CUDA provider", found, remedy));
    }
    for library in cuda::libraries(loaded.map(|l| l.path.as_path())) {
        checks.push(match library.path {
            Some(path) => Check::ok(library.what, path.display().to_string()),
            None => Check::bad(
                bad,
                library.what,
                format!("`{}` not found", library.name),
                format!(
                    "`pip install {}` in the Python environment at hand, or set LD_LIBRARY_PATH",
                    library.package
                ),
            ),
        });
    }
    let candle = if cfg!(feature = "cuda") {
        Check::ok("candle on CUDA", "built in")
    } else {
        Check::ok(
            "candle on CUDA",
            "not in this build (`cargo build --release --features cuda`)",
        )
    };
    checks.push(candle);
    checks
}

/// Version in `/proc/driver/nvidia/version`: `NVRM version: ... Module  580.65.06  ...`.
fn driver_version(text: &str) -> Option<String> {
    text.lines()
        .next()?
        .split_whitespace()
        .find(|word| word.contains('.') && word.split('.').all(|n| n.parse::<u32>().is_ok()))
        .map(str::to_owned)
}

fn data_home(home: &Path) -> Check {
    const WHAT: &str = "data home";
    // Looking creates nothing: the nearest folder that exists is looked at instead.
    let existing = home.ancestors().find(|p| fs::exists(p));
    let Some(existing) = existing.filter(|p| !p.as_os_str().is_empty()) else {
        let found = format!("{}: no folder above it is there", home.display());
        return Check::bad(Status::Fail, WHAT, found, "name another with `--data DIR`");
    };
    if let Err(error) = fs::temporary_dir_in(existing) {
        let found = format!("{} cannot be written: {}", home.display(), error.source);
        let remedy = "name another with `--data DIR` or KORFINSTS_DATA";
        return Check::bad(Status::Fail, WHAT, found, remedy);
    }
    let Some(free) = fs::free_bytes(existing) else {
        return Check::ok(WHAT, home.display().to_string());
    };
    let found = format!("{}, {} free", home.display(), gib(free));
    if free < GIB {
        let remedy = "free some space: embeddings and run-time libraries are kept there";
        return Check::bad(Status::Warn, WHAT, found, remedy);
    }
    Check::ok(WHAT, found)
}

/// Where hub models are kept, as the Python library decides it.
fn hub_cache(settings: &HubSettings) -> Check {
    let cache = &settings.cache;
    let models = fs::list(cache).map(|entries| {
        let model = |p: &&PathBuf| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("models--"))
        };
        entries.iter().filter(model).count()
    });
    let state = match models {
        Ok(1) => "1 model".to_owned(),
        Ok(count) => format!("{count} models"),
        Err(_) => "not there yet".to_owned(),
    };
    Check::ok("hub cache", format!("{}, {state}", cache.display()))
}

fn network(global: &Global, settings: &HubSettings) -> Check {
    let mut found = vec![match (global.offline, settings.offline) {
        (true, _) => "offline (`--offline`)".to_owned(),
        (false, true) => "offline (HF_HUB_OFFLINE)".to_owned(),
        (false, false) => format!("allowed, hub at {}", without_password(&settings.endpoint)),
    }];
    found.push(if settings.token.is_some() {
        "with a token".to_owned()
    } else {
        "no token".to_owned()
    });
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        if std::env::var_os(name).is_some_and(|v| !v.is_empty()) {
            found.push(format!("{name} is set"));
        }
    }
    Check::ok("network", found.join(", "))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

/// The checks, one a line of at most `screen` characters where it has spaces.
fn table(checks: &[Check], screen: usize) -> String {
    use std::fmt::Write as _;
    let width = checks.iter().map(|c| c.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (status, what) = (check.status.name(), check.what);
        let line = format!("{status:<4}  {what:<width$}  {}", check.found);
        let _ = writeln!(text, "{}", wrap(&line, screen, width + 8));
        if let Some(remedy) = check.remedy.as_ref().filter(|r| !r.is_empty()) {
            let line = format!("      {:width$}  -> {remedy}", "");
            let _ = writeln!(text, "{}", wrap(&line, screen, width + 11));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_is_a_failure() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fine = data_home(&folder.path().join("a/b"));
        assert_ne!(fine.status, Status::Fail, "{fine:?}");
        assert!(!fs::exists(&folder.path().join("a")));
        let file = folder.path().join("file");
        fs::write_atomic(&file, b"").expect("written");
        let bad = data_home(&file.join("b"));
        assert_eq!(bad.status, Status::Fail, "{bad:?}");
        assert!(bad.remedy.is_some());
    }

    #[test]
    fn the_driver_version_is_read() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release \
                    Build\nGCC version:  gcc 13.3.0\n";
        assert_eq!(driver_version(text).as_deref(), Some("580.65.06"));
        assert_eq!(driver_version(""), None);
    }

    #[test]
    fn remedies_stand_under_their_lines() {
        let checks = [
            Check::ok("cores", "2"),
            Check::bad(Status::Warn, "ONNX Runtime", "none", "install it"),
        ];
        assert_eq!(
            table(&checks, 80),
            "ok    cores         2\nwarn  ONNX Runtime  none\n                    -> install it\n"
        );
        assert!(table(&checks, 31).ends_with("-> install\n                       it\n"));
    }
}
