//! Devices, by name.

use crate::EncoderError;

/// Where a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// `cpu`.
    Cpu,
    /// `cuda` (the first NVIDIA GPU) or `cuda:N`, with the GPU's index.
    Cuda(usize),
}

impl std::fmt::Display for Device {
    /// The name that [`Device::parse`] reads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl Device {
    /// The device of that name.
    ///
    /// # Errors
    /// When the name is none of `cpu`, `cuda` and `cuda:N`.
    pub fn parse(name: &str) -> Result<Self, EncoderError> {
        let index = match name {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            _ => name
                .strip_prefix("cuda:")
                .filter(|index| index.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|index| index.parse().ok()),
        };
        index
            .map(Self::Cuda)
            .ok_or_else(|| EncoderError::Unsupported {
                what: format!(
                    "device `{name}` is not known; allowed are `cpu`, `cuda` and `cuda:N`"
                ),
                hint: None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_by_name() {
        for (name, device) in [
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:3", Device::Cuda(3)),
        ] {
            assert_eq!(Device::parse(name).expect(name), device);
            assert_eq!(device.to_string(), name);
        }
        for name in ["", "tpu", "cuda:", "cuda:x", "cuda:+1", "cuda3"] {
            let error = Device::parse(name).expect_err(name).to_string();
            assert!(error.contains("`cuda:N`"), "{error}");
        }
    }
}
