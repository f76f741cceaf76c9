//! A record and the files next to it; what is read is written and read again.
#![no_main]

use korfinsts_bench::run::record::{self, Record};
use libfuzzer_sys::fuzz_target;

mod scratch;

fuzz_target!(|data: &[u8]| {
    let path = scratch::folder("record").join("any.json");
    std::fs::write(&path, data).expect("memory");
    let _ = record::read_pairs(&path);
    let _ = record::read_tokens(&path);
    if let Ok(read) = Record::read(&path) {
        let _ = record::RecordFiles::new(&path, &read, "");
        let written = record::to_json(&read);
        std::fs::write(&path, &written).expect("memory");
        let again = Record::read(&path).expect("what was written");
        assert_eq!(written, record::to_json(&again));
    }
});
