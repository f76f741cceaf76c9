//! Lines of JSON: scores, token counts, rows.
#![no_main]

use korfinsts::json;
use korfinsts::submission::{ScoreLine, TokenLine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(values) = json::parse_lines(data) {
        for value in values {
            let _ = serde_json::from_value::<ScoreLine>(value.clone());
            let _ = serde_json::from_value::<TokenLine>(value);
        }
    }
    let _ = korfinsts::sums::read(data);
});
