//! What kind of failure an error is: the one thing the edge needs to choose an exit code.

/// The class of a failure. The command line maps each to one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// A check ran and did not pass (exit code 1).
    Check,
    /// The request itself cannot be carried out as asked (exit code 2).
    Usage,
    /// A suite, a score file or another data file is wrong or missing (exit code 3).
    Data,
    /// A model, its tokenizer or its configuration is wrong or missing (exit code 4).
    Model,
    /// The network failed, or is forbidden by offline mode (exit code 5).
    Network,
    /// A device, a run-time library, the disk or memory failed (exit code 6).
    Runtime,
    /// The user interrupted the run (exit code 130).
    Interrupted,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Check,
        Self::Usage,
        Self::Data,
        Self::Model,
        Self::Network,
        Self::Runtime,
        Self::Interrupted,
    ];

    /// The process exit code of this class.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Check => 1,
            Self::Usage => 2,
            Self::Data => 3,
            Self::Model => 4,
            Self::Network => 5,
            Self::Runtime => 6,
            Self::Interrupted => 130,
        }
    }
}
