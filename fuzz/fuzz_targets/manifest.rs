//! Manifests of releases and suites, and a release whose manifest this is.
#![no_main]

use std::path::Path;

use korfinsts_publish::release::{Context, Manifest, Subject};
use korfinsts_bench::suite;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let path = Path::new("korfinsts.toml");
    let _ = suite::Manifest::parse(text, path, suite::Origin::BuiltIn);
    if Manifest::parse(text, path).is_ok() {
        let files = [("korfinsts.toml".to_owned(), data.to_vec())].into();
        let context = Context::on("2026-01-01".parse().expect("a day"));
        if let Ok(subject) = Subject::from_files(files, path, context) {
            let _ = korfinsts_publish::release::check(&subject);
        }
    }
});
