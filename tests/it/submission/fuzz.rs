//! Random damage, the same every time: what the fuzz targets under `fuzz/` do for hours, for seconds. Nothing
//! may panic, and nothing that is damaged may pass.

use korfinsts_base::{archive, json, sums};
use korfinsts_encoder::onnx;
use korfinsts_nn::safetensors;
use korfinsts_publish::submission::{Bundle, ScoreLine};

use super::fixture::{Parts, SCORES, good};
use crate::support::repository;

/// Numbers that look random and are the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n.max(1) as u64) as usize
    }

    /// Bytes with one to eight changes: flips, cuts, repeats, numbers that are odd.
    pub fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        const ODD: [&[u8]; 10] = [
            b"\0",
            b"\xFF\xFF\xFF\xFF",
            b"{",
            b"[[[[",
            b"\"",
            b"NaN",
            b"1e999",
            b"\\u202e",
            b"PK\x01\x02",
            b"-9223372036854775809",
        ];
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(8) {
            let at = self.below(out.len());
            match self.below(5) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 => out.truncate(at),
                2 => {
                    let end = (at + self.below(64)).min(out.len());
                    let piece = out[at..end].to_vec();
                    out.splice(at..at, piece);
                }
                3 => {
                    let odd = ODD[self.below(ODD.len())];
                    out.splice(at..at, odd.iter().copied());
                }
                _ => {
                    let end = (at + self.below(16)).min(out.len());
                    out.drain(at..end);
                }
            }
        }
        out
    }
}

#[test]
fn random_damage_never_panics_and_never_passes() {
    let mut random = Random(20_261_123);
    for _ in 0..3_000 {
        let bytes = random.damage(good());
        if bytes != good() {
            assert!(Bundle::open(&bytes).is_err());
        }
        let _ = archive::read(&bytes);
    }
    let parts = Parts::good();
    let manifest = parts.manifest.to_string();
    for _ in 0..3_000 {
        let text = random.damage(manifest.as_bytes());
        let mut files = parts.sealed();
        files.insert("submission.json".into(), text);
        files.remove(sums::SUMS);
        let list = sums::write(&files);
        files.insert(sums::SUMS.into(), list.into_bytes());
        let _ = Bundle::open(&archive::write(&files).expect("packed"));
    }
    let scores = &parts.files[SCORES];
    for _ in 0..3_000 {
        let text = random.damage(&scores[..2_000]);
        for value in json::parse_lines(&text).unwrap_or_default() {
            let _ = serde_json::from_value::<ScoreLine>(value);
        }
        let _ = sums::read(&text);
    }
    let manifest =
        std::fs::read(repository("benchmarks/korfin-shift/korfinsts.toml")).expect("a manifest");
    for _ in 0..1_000 {
        let text = random.damage(&manifest);
        if let Ok(text) = std::str::from_utf8(&text) {
            let _ = korfinsts_publish::release::Manifest::parse(
                text,
                std::path::Path::new("korfinsts.toml"),
            );
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let graph =
        std::fs::read(repository("tests/reference/onnx/bert-states/model.onnx")).expect("a graph");
    let tensors = std::fs::read(repository(
        "tests/reference/encoders/bert-mean/model.safetensors",
    ))
    .expect("tensors");
    let header = 8 + u64::from_le_bytes(tensors[..8].try_into().expect("eight bytes")) as usize;
    for _ in 0..500 {
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, random.damage(&graph[..graph.len().min(20_000)])).expect("written");
        let _ = onnx::inspect(&path);
        let path = folder.path().join("model.safetensors");
        let mut bytes = random.damage(&tensors[..header]);
        bytes.extend(&tensors[header..]);
        std::fs::write(&path, bytes).expect("written");
        let _ = safetensors::check(&path);
    }
}
