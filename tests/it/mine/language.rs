//! Another language is data: a corpus and a quality file, and no code.

use super::{lines, manifest, tokenizer};
use crate::support::Home;

const QUALITY: &str = "language = \"LANGUAGE\"\nabout = \"a stub\"\nscripts = [\"SCRIPT\", \"Latin\"]\n\
    min_script_share = 0.5\nreplacement = true\ncontrols = true\nmojibake = true\nhtml = true\n\
    [limits]\nmax_digit_share = 0.35\n[repetition]\nmax_duplicate_lines = 0.3\nmax_top_2_gram = 0.2\n\
    max_top_3_gram = 0.18\nmax_top_4_gram = 0.16\n";

#[test]
fn indonesian_vietnamese_and_thai_run_through() {
    for (language, script, good) in [
        (
            "ind-Latn",
            "Latin",
            "Bank Indonesia mempertahankan suku bunga acuan sebesar enam persen karena inflasi terkendali dan rupiah stabil.",
        ),
        (
            "vie-Latn",
            "Latin",
            "Ngân hàng Nhà nước giữ nguyên lãi suất điều hành vì lạm phát được kiểm soát và tỷ giá ổn định trong quý này.",
        ),
        (
            "tha-Thai",
            "Thai",
            "ธนาคารแห่งประเทศไทยคงอัตราดอกเบี้ยนโยบายไว้ที่ร้อยละสองจุดห้า เนื่องจากอัตราเงินเฟ้ออยู่ในกรอบเป้าหมาย",
        ),
    ] {
        let home = Home::new();
        tokenizer(&home);
        let code = language.split('-').next().expect("a code");
        let quality = QUALITY.replace("LANGUAGE", code).replace("SCRIPT", script);
        std::fs::write(home.path("quality.toml"), quality).expect("written");
        let noise = "12345 67890 ".repeat(7) + good;
        let rows = format!(
            "title\tbody\n\"\"\t\"{good}\"\n\"\"\t\"{good}\"\n\"\"\t\"{noise}\"\n\"\"\t\"{good}\u{fffd}\"\n"
        );
        std::fs::write(home.path("rows.tsv"), rows).expect("written");
        let columns = "[columns]\ntext = [\"title\", \"body\"]";
        manifest(&home, "stub", language, "news", "rows.tsv", columns);
        home.command(&[
            "mine",
            "filter",
            "--corpus",
            "stub.toml",
            "--tokenizer",
            "tokenizer.json",
            "--quality",
            "quality.toml",
            "--min-tokens",
            "50",
        ])
        .assert()
        .success();
        let passages = lines(&home.path("korfinsts-mine/passages.jsonl"));
        assert_eq!(passages.len(), 1, "{language}: {passages:?}");
        assert_eq!(passages[0]["text"], good);
        assert_eq!(passages[0]["language"], language);
        let dropped = |step: &str| {
            let path = home
                .path("korfinsts-mine/verdicts")
                .join(format!("{step}.jsonl"));
            let reasons: Vec<String> = lines(&path)
                .iter()
                .map(|v| v["reason"].as_str().expect("a reason").to_owned())
                .collect();
            reasons
        };
        assert_eq!(
            dropped("exact-duplicate"),
            ["exact-duplicate"],
            "{language}"
        );
        assert_eq!(
            dropped("quality"),
            ["digits", "replacement-character"],
            "{language}"
        );
    }
}
