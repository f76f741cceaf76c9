//! What this machine is, for whoever compares times.

use std::path::Path;

use korfinsts_base::fs;
use serde::{Deserialize, Serialize};

/// A machine. Times of two machines are comparable only where all of it is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor, with family, model and stepping where the system says them.
    pub cpu: String,
    /// Physical cores; 0 where the system does not say.
    pub cores: usize,
    /// Widest vector instructions: `avx512`, `avx2`, `neon`, ...; with a cap on those of our kernels, where there is one.
    pub instructions: String,
    /// Graphics processor, where the model runs on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// System and architecture, as `linux x86_64`.
    pub system: String,
}

impl Machine {
    /// This machine; its graphics processor where `device` is one.
    #[must_use]
    pub fn here(device: &str) -> Self {
        Self {
            cpu: cpu(),
            cores: sysinfo::System::physical_core_count().unwrap_or(0),
            instructions: instructions(),
            gpu: device.starts_with("cuda").then(|| gpu(device)),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// In one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let gpu = self.gpu.iter().map(|gpu| format!("{gpu}, "));
        format!(
            "{}{}, {} cores, {}",
            gpu.collect::<String>(),
            self.cpu,
            self.cores,
            self.instructions
        )
    }
}

/// The fields `name : value` of a file of the system; the first of each name counts.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(key, _)| key.trim() == name)?.1.trim();
    (!found.is_empty()).then(|| found.to_owned())
}

fn cpu() -> String {
    let text = fs::read(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if let Some(name) = field(&text, "model name") {
        let numbers = ["cpu family", "model", "stepping"].map(|n| field(&text, n));
        return match numbers {
            [Some(family), Some(model), Some(stepping)] => {
                format!("{name} ({family}/{model}/{stepping})")
            }
            _ => name,
        };
    }
    let brand = sysinfo::System::new().ok().and_then(|mut system| {
        system.refresh_cpu_all();
        let brand = system.cpus().first()?.brand().trim().to_owned();
        (!brand.is_empty()).then_some(brand)
    });
    brand.unwrap_or_else(|| "unknown processor".into())
}

fn gpu(device: &str) -> String {
    let folders = fs::list(Path::new("/proc/driver/nvidia/gpus")).unwrap_or_default();
    let index: usize = device
        .rsplit(':')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let text = folders.get(index).map(|f| fs::read(&f.join("information")));
    let text = text.and_then(Result::ok).unwrap_or_default();
    field(&String::from_utf8_lossy(&text), "Model").unwrap_or_else(|| "unknown GPU".into())
}

fn instructions() -> String {
    #[cfg(feature = "candle")]
    return korfinsts_nn::isa::name();
    #[cfg(not(feature = "candle"))]
    return std::env::consts::ARCH.to_owned();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_name() {
        let here = Machine::here("cpu");
        assert!(!here.cpu.is_empty() && !here.instructions.is_empty());
        assert_eq!(here.gpu, None);
        assert!(here.sentence().contains(&here.cpu));
    }

    #[test]
    fn fields_are_read_by_their_name() {
        let text = "processor\t: 0\nmodel\t\t: 207\nmodel name\t: A: B\nmodel\t\t: 1\nempty :\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A: B"));
        assert_eq!(field(text, "model").as_deref(), Some("207"));
        assert_eq!(field(text, "empty"), None);
    }
}
