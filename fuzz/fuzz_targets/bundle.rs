//! The container of a bundle: as it is, and with the bytes as the manifest inside a container that is in order.
#![no_main]

use korfinsts_publish::submission::Bundle;
use korfinsts_base::{archive, sums};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = archive::read(data);
    let _ = Bundle::open(data);
    let mut files: sums::Files = [
        ("submission.json".to_owned(), data.to_vec()),
        ("env.json".to_owned(), b"{}".to_vec()),
        ("train_data.json".to_owned(), br#"{"statement":"x","datasets":[]}"#.to_vec()),
        ("scores/a.test.jsonl".to_owned(), b"{\"id\":\"x\",\"score\":0.5}\n".to_vec()),
    ]
    .into();
    let list = sums::write(&files);
    files.insert(sums::SUMS.to_owned(), list.into_bytes());
    if let Ok(bytes) = archive::write(&files) {
        let _ = Bundle::open(&bytes);
    }
});
