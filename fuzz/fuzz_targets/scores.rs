//! Lines of JSON: scores and token counts, by the fast reader and by the strict one, which must agree.
#![no_main]

use korfinsts_base::json;
use korfinsts_publish::submission::{ScoreLine, TokenLine};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn both<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let fast = json::flat_lines::<T>(data).ok();
    let strict = json::parse_lines(data).ok().and_then(|values| {
        let typed = values.into_iter().map(json::typed::<T>);
        typed.collect::<Result<Vec<T>, _>>().ok()
    });
    assert_eq!(fast, strict);
}

fuzz_target!(|data: &[u8]| {
    both::<ScoreLine>(data);
    both::<TokenLine>(data);
    let _ = korfinsts_base::sums::read(data);
});
