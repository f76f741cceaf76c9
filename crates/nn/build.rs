//! Compiles the CUDA kernels to PTX, one module for each number type and width of a head.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::compile();
}

#[cfg(feature = "cuda")]
#[allow(
    clippy::disallowed_methods,
    reason = "cargo keeps what a build script writes"
)]
mod cuda {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    const FOLDER: &str = "src/kernels/cuda";

    pub fn compile() {
        println!("cargo::rerun-if-changed={FOLDER}");
        println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
        let nvcc = match cudaforge::CudaToolkit::detect() {
            Ok(toolkit) => toolkit.nvcc_path,
            Err(e) => panic!("nvcc was not found: {e}; set NVCC or CUDA_HOME"),
        };
        let card = match cudaforge::detect_compute_cap() {
            Ok(found) => found.base(),
            Err(e) => panic!("no card says its compute capability: {e}; set CUDA_COMPUTE_CAP"),
        };
        assert!(
            card >= 80,
            "CUDA_COMPUTE_CAP is {card}; the kernels need 80 (Ampere) or later"
        );
        let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        let mut modules = String::new();
        let mut add = |name: &str, source: &str, definitions: &[String]| {
            ptx(&nvcc, card, &out, (name, source), definitions);
            modules.push_str(&format!(
                "(\"{name}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/{name}.ptx\"))),\n"
            ));
        };
        add("rows", "rows.cu", &[]);
        for (number, name) in ["f32", "bf16", "f16"].iter().enumerate() {
            for head in [32, 64, 128, 256] {
                let definitions = [format!("-DTYPE={number}"), format!("-DHEAD={head}")];
                add(
                    &format!("attention_{name}_{head}"),
                    "attention.cu",
                    &definitions,
                );
            }
        }
        let list = format!(
            "/// Modules by name, as PTX.\nconst MODULES: &[(&str, &str)] = &[\n{modules}];\n"
        );
        std::fs::write(out.join("modules.rs"), list).expect("OUT_DIR can be written");
    }

    fn ptx(
        nvcc: &Path,
        card: usize,
        out: &Path,
        (name, source): (&str, &str),
        definitions: &[String],
    ) {
        let done = Command::new(nvcc)
            .args([
                "--ptx",
                "-std=c++17",
                "-O3",
                &format!("-arch=compute_{card}"),
                "-o",
            ])
            .arg(out.join(format!("{name}.ptx")))
            .args(definitions)
            .arg(Path::new(FOLDER).join(source))
            .status();
        assert!(
            done.as_ref().is_ok_and(std::process::ExitStatus::success),
            "{} of {source}: {done:?}",
            nvcc.display()
        );
    }
}
