//! The libraries that ONNX Runtime's CUDA provider needs, and where they are looked for.

use std::path::{Path, PathBuf};

use super::library::site_packages;
use korfinsts_base::fs;

/// A library of CUDA that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// What it is, in words.
    pub what: &'static str,
    /// File name.
    pub name: &'static str,
    /// Python package that brings it.
    pub package: &'static str,
    /// Where it was found; `None` where it is missing.
    pub path: Option<PathBuf>,
}

/// File names in the order in which they depend on each other, for ONNX Runtime 1.31 with CUDA 13.
#[cfg(not(windows))]
const LIBRARIES: [(&str, &str, &str); 7] = [
    ("CUDA 13 runtime", "libcudart.so.13", "nvidia-cuda-runtime"),
    ("cuBLASLt", "libcublasLt.so.13", "nvidia-cublas"),
    ("cuBLAS", "libcublas.so.13", "nvidia-cublas"),
    ("NVRTC", "libnvrtc.so.13", "nvidia-cuda-nvrtc"),
    ("cuRAND", "libcurand.so.10", "nvidia-curand"),
    ("cuFFT", "libcufft.so.12", "nvidia-cufft"),
    ("cuDNN 9", "libcudnn.so.9", "nvidia-cudnn-cu13"),
];
#[cfg(windows)]
const LIBRARIES: [(&str, &str, &str); 5] = [
    ("CUDA 13 runtime", "cudart64_13.dll", "nvidia-cuda-runtime"),
    ("cuBLASLt", "cublasLt64_13.dll", "nvidia-cublas"),
    ("cuBLAS", "cublas64_13.dll", "nvidia-cublas"),
    ("cuFFT", "cufft64_12.dll", "nvidia-cufft"),
    ("cuDNN 9", "cudnn64_9.dll", "nvidia-cudnn-cu13"),
];

/// Every library that the CUDA provider needs, with where it was found: in ONNX Runtime's folder, in
/// `CUDA_PATH` or `CUDA_HOME`, on the loader's path, in the system's CUDA folders, or in the
/// `nvidia` packages of a Python environment.
#[must_use]
pub fn libraries(onnxruntime: Option<&Path>) -> Vec<Needed> {
    let folders = folders(onnxruntime);
    LIBRARIES
        .into_iter()
        .map(|(what, name, package)| Needed {
            what,
            name,
            package,
            path: folders
                .iter()
                .map(|folder| folder.join(name))
                .find(|path| fs::exists(path)),
        })
        .collect()
}

/// The driver's library, `libcuda`, where one is installed.
#[must_use]
pub fn driver() -> Option<PathBuf> {
    let (name, fixed): (&str, &[&str]) = if cfg!(windows) {
        ("nvcuda.dll", &["C:\\Windows\\System32"])
    } else {
        (
            "libcuda.so.1",
            &[
                "/usr/lib/x86_64-linux-gnu",
                "/usr/lib/aarch64-linux-gnu",
                "/usr/lib64",
                "/usr/lib",
                "/usr/local/nvidia/lib64",
                "/usr/lib/wsl/lib",
                "/run/opengl-driver/lib",
            ],
        )
    };
    loader_folders()
        .into_iter()
        .chain(fixed.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| fs::exists(path))
}

fn folders(onnxruntime: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(onnxruntime.and_then(Path::parent).map(Path::to_owned));
    for variable in ["CUDA_PATH", "CUDA_HOME"] {
        if let Some(root) = std::env::var_os(variable).filter(|v| !v.is_empty()) {
            for part in ["lib64", "lib", "bin"] {
                folders.push(Path::new(&root).join(part));
            }
        }
    }
    folders.extend(loader_folders());
    folders.extend(
        [
            "/usr/local/cuda/lib64",
            "/usr/local/cuda-13/lib64",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
        ]
        .map(PathBuf::from),
    );
    for site in site_packages() {
        // `nvidia/cu13/lib`, `nvidia/cudnn/lib`, ...; on Windows `bin` and `bin/x86_64`.
        for package in fs::list(&site.join("nvidia")).unwrap_or_default() {
            for part in ["lib", "bin", "bin/x86_64"] {
                folders.push(package.join(part));
            }
        }
    }
    folders
}

fn loader_folders() -> Vec<PathBuf> {
    let variable = if cfg!(windows) {
        "PATH"
    } else {
        "LD_LIBRARY_PATH"
    };
    let value = std::env::var_os(variable).unwrap_or_default();
    std::env::split_paths(&value)
        .filter(|p| !p.as_os_str().is_empty())
        .collect()
}
