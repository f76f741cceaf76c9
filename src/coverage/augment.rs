//! Plans for new tokens.
