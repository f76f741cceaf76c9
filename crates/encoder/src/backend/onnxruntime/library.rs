//! Where the library of ONNX Runtime is looked for.
//!
//! In order: the path that the user names, `ORT_DYLIB_PATH`, the executable's folder, the data
//! home, a Python environment, the system. Only files are looked at; nothing is run or loaded.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::OpenOptions;
use korfinsts_base::fs;

/// Oldest minor version of ONNX Runtime 1 whose interface is enough.
pub const OLDEST_MINOR: u32 = 17;

/// A kind of place, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// `--onnxruntime PATH`.
    Flag,
    /// `ORT_DYLIB_PATH`.
    Environment,
    /// Beside the executable.
    Executable,
    /// Put there by `korfinsts runtime install`.
    DataHome,
    /// Package `onnxruntime` of a Python environment.
    Python,
    /// Folders of the system's libraries.
    System,
}

impl Origin {
    /// Name for tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "--onnxruntime",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::Executable => "beside the executable",
            Self::DataHome => "data home",
            Self::Python => "Python environment",
            Self::System => "system",
        }
    }

    /// Whether the user named this place: then nothing else is tried.
    #[must_use]
    pub fn is_named(self) -> bool {
        matches!(self, Self::Flag | Self::Environment)
    }
}

/// A place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Kind of place.
    pub origin: Origin,
    /// Folder or file that was looked at.
    pub path: PathBuf,
    /// Library that was found there.
    pub library: Option<PathBuf>,
}

/// Every place in order, with what was found there.
///
/// A place that the user names ends the list: nothing else is used then.
#[must_use]
pub fn places(options: &OpenOptions) -> Vec<Place> {
    let mut places = Vec::new();
    let named = |origin, path: PathBuf| {
        vec![Place {
            origin,
            library: find(&path),
            path,
        }]
    };
    if let Some(path) = &options.onnxruntime {
        return named(Origin::Flag, path.clone());
    }
    if let Some(path) = variable("ORT_DYLIB_PATH") {
        return named(Origin::Environment, path);
    }
    let mut look = |origin: Origin, path: PathBuf| {
        if !places.iter().any(|p: &Place| p.path == path) {
            places.push(Place {
                origin,
                library: find(&path),
                path,
            });
        }
    };
    if let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|e| e.parent().map(Path::to_owned))
    {
        look(Origin::Executable, folder.clone());
        look(Origin::Executable, folder.join("lib"));
    }
    if let Some(home) = options.data_home.clone().or_else(fs::data_home) {
        let runtimes = home.join("runtime");
        let mut installed = fs::list(&runtimes).unwrap_or_default();
        installed.retain(|p| starts_with(p, "onnxruntime-"));
        // Newest first; the one with CUDA before the one without, since it also runs on the CPU.
        installed.sort_by_key(|p| {
            std::cmp::Reverse((starts_with(p, "onnxruntime-cuda"), version_key(p)))
        });
        if installed.is_empty() {
            look(Origin::DataHome, runtimes);
        }
        for folder in installed {
            look(Origin::DataHome, folder);
        }
    }
    for site in site_packages() {
        look(Origin::Python, site.join("onnxruntime").join("capi"));
    }
    for folder in system_folders() {
        look(Origin::System, folder);
    }
    places
}

/// The library at `path`: itself, or the newest in the folder. A Python package has no plain
/// name: there it is `libonnxruntime.so.1.32.0`.
#[must_use]
pub fn find(path: &Path) -> Option<PathBuf> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_file() {
        return Some(path.to_owned());
    }
    let mut found = fs::list(path).ok()?;
    found.retain(|p| is_library(p) && fs::metadata(p).is_ok_and(|m| m.is_file()));
    found.sort_by_key(|p| version_key(p));
    found.pop()
}

/// Version of a library file, from its name or, failing that, from the names of its symbols.
#[must_use]
pub fn version(library: &Path) -> Option<String> {
    let real = fs::canonicalize(library).unwrap_or_else(|_| library.to_owned());
    [library, &real]
        .into_iter()
        .find_map(version_in_name)
        .or_else(|| version_in_symbols(&real))
}

/// Folders of Python packages, of the environment that `python3` would run in first.
#[must_use]
pub fn site_packages() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(variable)
        .collect();
    prefixes.extend(python_prefixes());
    if let Some(home) = home() {
        prefixes.push(home.join(".local"));
    }
    let mut found = Vec::new();
    for prefix in prefixes {
        found.push(prefix.join("Lib").join("site-packages"));
        for lib in ["lib", "lib64"] {
            let mut pythons = fs::list(&prefix.join(lib)).unwrap_or_default();
            pythons.retain(|p| starts_with(p, "python3"));
            pythons.sort_by_key(|p| std::cmp::Reverse(version_key(p)));
            for python in pythons {
                found.push(python.join("site-packages"));
                found.push(python.join("dist-packages"));
            }
        }
    }
    found.retain(|p| fs::exists(p));
    let mut unique: Vec<PathBuf> = Vec::new();
    for path in found {
        if !unique.contains(&path) {
            unique.push(path);
        }
    }
    unique
}

/// Prefixes of the Python interpreters on the search path; a pyenv shim leads to the version it
/// would run.
fn python_prefixes() -> Vec<PathBuf> {
    let mut prefixes = Vec::new();
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        for name in ["python3", "python", "python.exe"] {
            let python = folder.join(name);
            if !fs::exists(&python) {
                continue;
            }
            if folder.ends_with("shims") {
                if let Some(root) = folder.parent() {
                    prefixes.extend(pyenv_prefixes(root));
                }
                continue;
            }
            // The prefix as it is named (a virtual environment links to the real interpreter),
            // then the real one. On Windows the executable is in the prefix itself.
            prefixes.extend(folder.parent().map(Path::to_owned));
            if cfg!(windows) {
                prefixes.push(folder.clone());
            }
            if let Ok(real) = fs::canonicalize(&python) {
                prefixes.extend(real.parent().and_then(Path::parent).map(Path::to_owned));
            }
        }
    }
    prefixes
}

fn pyenv_prefixes(root: &Path) -> Vec<PathBuf> {
    let wanted = variable("PYENV_VERSION")
        .map(|v| v.to_string_lossy().into_owned())
        .or_else(|| {
            let text = fs::read(&root.join("version")).ok()?;
            Some(String::from_utf8_lossy(&text).into_owned())
        })
        .unwrap_or_default();
    wanted
        .split([':', '\n'])
        .map(str::trim)
        .filter(|v| !v.is_empty() && !v.contains(['/', '\\']) && *v != "system")
        .map(|v| root.join("versions").join(v))
        .collect()
}

/// Folders in which the system's loader would look.
fn system_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let variables: &[&str] = if cfg!(target_os = "macos") {
        &["DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"]
    } else if cfg!(windows) {
        &["PATH"]
    } else {
        &["LD_LIBRARY_PATH"]
    };
    for name in variables {
        if let Some(value) = std::env::var_os(name) {
            folders.extend(std::env::split_paths(&value).filter(|p| !p.as_os_str().is_empty()));
        }
    }
    let fixed: &[&str] = if cfg!(target_os = "macos") {
        &["/opt/homebrew/lib", "/usr/local/lib"]
    } else if cfg!(windows) {
        &[]
    } else {
        &[
            "/usr/local/lib",
            "/usr/local/lib64",
            "/usr/lib",
            "/usr/lib64",
            "/opt/onnxruntime/lib",
        ]
    };
    folders.extend(fixed.iter().map(PathBuf::from));
    if cfg!(target_os = "linux") {
        let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
        folders.push(Path::new("/usr/lib").join(triple));
    }
    folders
}

fn is_library(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return false;
    };
    let numbers = |text: &str| text.split('.').all(|n| n.parse::<u32>().is_ok());
    if cfg!(windows) {
        name.eq_ignore_ascii_case("onnxruntime.dll")
    } else if cfg!(target_os = "macos") {
        name.strip_prefix("libonnxruntime.")
            .and_then(|rest| rest.strip_suffix("dylib"))
            .is_some_and(|rest| rest.strip_suffix('.').is_none_or(numbers))
    } else {
        name.strip_prefix("libonnxruntime.so")
            .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(numbers))
    }
}

/// Numbers in a file name, for choosing the newest: `libonnxruntime.so.1.32.0` is `[1, 32, 0]`.
fn version_key(path: &Path) -> Vec<u32> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect()
}

fn version_in_name(path: &Path) -> Option<String> {
    match version_key(path).as_slice() {
        [major, minor, patch] => Some(format!("{major}.{minor}.{patch}")),
        _ => None,
    }
}

/// ELF libraries export `OrtGetApiBase` under a symbol version such as `VERS_1.32.0`.
fn version_in_symbols(path: &Path) -> Option<String> {
    const MARK: &[u8] = b"VERS_1.";
    let mut file = fs::open(path).ok()?.take(256 << 20);
    let mut buffer = vec![0_u8; 1 << 16];
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..]).ok()?;
        if read == 0 {
            return None;
        }
        let filled = kept + read;
        if let Some(at) = buffer[..filled].windows(MARK.len()).position(|w| w == MARK)
            && filled - at >= 32
        {
            let text: String = buffer[at + 5..filled]
                .iter()
                .map(|&b| char::from(b))
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            return Some(text);
        }
        kept = filled.min(40);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    path.file_name()
        .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

fn home() -> Option<PathBuf> {
    variable(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn libraries_are_told_from_their_neighbours_and_the_newest_is_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime.so.txt",
            "libonnxruntime.sources",
        ] {
            fs::write_atomic(&folder.path().join(name), b"").expect("written");
        }
        let found = find(folder.path()).expect("one is there");
        assert!(found.ends_with("libonnxruntime.so.1.32.0"), "{found:?}");
        assert_eq!(version(&found).as_deref(), Some("1.32.0"));
    }

    #[test]
    fn the_version_is_read_from_symbols_where_the_name_has_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("libonnxruntime.so");
        for before in [0, 100, (1 << 16) - 3, 1 << 16, 200_001] {
            let mut bytes = vec![b'x'; before];
            bytes.extend(b"VERS_1.27.3\0");
            bytes.extend([0; 64]);
            fs::write_atomic(&path, &bytes).expect("written");
            assert_eq!(version(&path).as_deref(), Some("1.27.3"), "{before}");
        }
        fs::write_atomic(&path, b"nothing here").expect("written");
        assert_eq!(version(&path), None);
    }

    #[test]
    fn a_named_place_is_the_only_one() {
        let options = OpenOptions {
            onnxruntime: Some("/nowhere/libonnxruntime.so".into()),
            ..OpenOptions::default()
        };
        let places = places(&options);
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].library, None);
    }
}
