//! A suite's manifest and its rows: the text before the first NUL, and what follows it under the names `rows.*`.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use korfinsts_bench::suite::Registry;
use libfuzzer_sys::fuzz_target;

mod scratch;

fn registry(home: &Path) -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Registry::open(home).expect("the built-in suites"))
}

fuzz_target!(|data: &[u8]| {
    let folder = scratch::folder("suite");
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let rows = data.get(cut + 1..).unwrap_or_default();
    std::fs::write(folder.join("suite.toml"), &data[..cut]).expect("memory");
    for ending in ["csv", "tsv", "json", "jsonl", "parquet"] {
        std::fs::write(folder.join("rows").with_extension(ending), rows).expect("memory");
    }
    let registry = registry(folder);
    if let Ok(manifest) = registry.find(&folder.to_string_lossy()) {
        let checked = registry.check(&manifest, None);
        // What loads has no error in its report.
        if registry.load(&manifest, None).is_ok() {
            assert!(checked.expect("loaded").passed());
        }
    }
});
