//! Memory: what there is, and what a batch of a transformer needs, so that a batch is bounded by
//! memory as well as by tokens.

use std::io::Write as _;
use std::path::Path;

use korfinsts_base::fs;
use serde_json::Value;

use super::{EncoderSpec, Memory};

/// Free memory of this machine in bytes: what the system calls available, or what its container
/// has left where that is less; `None` where the system does not say.
#[must_use]
pub fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |c| c.free_memory);
    Some(system.available_memory().min(limit))
}

/// Most memory in bytes that this process has had resident since [`reset_peak`], or since its start; `None` where the
/// system does not say (Linux does).
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read(Path::new("/proc/self/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Lets the peak of [`peak_bytes`] start again at what is resident now. Where the system does not let it, the peak is
/// that of the whole process.
pub fn reset_peak() {
    let file = fs::open_append(Path::new("/proc/self/clear_refs"));
    let _ = file.map(|mut file| file.write_all(b"5"));
}

/// What a batch of this model needs and may take, when `free` bytes are free and `lanes` batches
/// run at once; `None` where `config.json` does not say how wide the model is.
///
/// An estimate from above of what is alive at one time in one layer: the residual stream, queries,
/// keys, values, the context and two results (9 widths), the inner layer with its gate (3 inner
/// widths), and two copies of the attention scores. Half of the free memory is left alone.
#[must_use]
pub fn of_batch(spec: &EncoderSpec, free: u64, lanes: usize) -> Option<Memory> {
    let size = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| spec.config.get(name).and_then(Value::as_u64))
    };
    let width = size(&["hidden_size", "d_model", "dim", "n_embd"])?;
    let heads = size(&["num_attention_heads", "num_heads", "n_heads", "n_head"])?;
    let inner = size(&["intermediate_size", "d_ff", "hidden_dim", "n_inner"])
        .unwrap_or(width.saturating_mul(4));
    let number = match spec.dtype.as_str() {
        // On a CPU low precision is computed in float32, whatever the weights are.
        "float16" | "bfloat16" if spec.device.starts_with("cuda") => 2,
        _ => 4,
    };
    Some(Memory {
        budget: free / 2 / lanes.max(1) as u64,
        per_token: width
            .saturating_mul(9)
            .saturating_add(inner.saturating_mul(3))
            .saturating_mul(number),
        per_pair: heads.saturating_mul(2 * number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(config: &Value) -> EncoderSpec {
        EncoderSpec {
            config: config.clone(),
            device: "cuda".into(),
            dtype: "bfloat16".into(),
            ..EncoderSpec::default()
        }
    }

    #[test]
    fn what_a_batch_needs_grows_with_texts_and_faster_with_length() {
        let bert = serde_json::json!({
            "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096,
        });
        let memory = of_batch(&spec(&bert), 8 << 30, 1).expect("a transformer");
        assert_eq!(memory.budget, 4 << 30);
        assert_eq!(memory.need(2, 512), 2 * memory.need(1, 512));
        assert!(memory.need(1, 1024) > 2 * memory.need(1, 512));
        // 512 texts of 512 tokens are 13 GB here, 64 are 1.7 GB.
        assert!(!memory.fits(512, 512) && memory.fits(64, 512));
        let four = of_batch(&spec(&bert), 8 << 30, 4).expect("a transformer");
        assert_eq!(four.budget, memory.budget / 4);
    }

    #[test]
    fn every_family_names_its_sizes_in_its_own_way() {
        for config in [
            serde_json::json!({"d_model": 768, "num_heads": 12, "d_ff": 3072}),
            serde_json::json!({"dim": 768, "n_heads": 12, "hidden_dim": 3072}),
            serde_json::json!({"n_embd": 768, "n_head": 12}),
        ] {
            let memory = of_batch(&spec(&config), 1 << 30, 1).expect("a transformer");
            assert_eq!(memory.per_token, 2 * (9 * 768 + 3 * 3072));
        }
        assert_eq!(of_batch(&spec(&Value::Null), 1 << 30, 1), None);
        let absurd = serde_json::json!({"hidden_size": u64::MAX, "num_attention_heads": u64::MAX});
        let memory = of_batch(&spec(&absurd), 1, 1).expect("numbers");
        assert!(!memory.fits(2, 2));
    }

    #[test]
    fn a_peak_starts_again() {
        let Some(start) = peak_bytes() else { return };
        let large = vec![1_u8; 64 << 20];
        let high = peak_bytes().expect("as before");
        assert!(high >= (64 << 20) && high >= start, "{high} {}", large[9]);
        drop(large);
        reset_peak();
        assert!(peak_bytes().expect("as before") < high);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(free_bytes().is_none_or(|n| n > 1 << 20));
    }
}
