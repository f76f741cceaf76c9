//! Tokenizer coverage: vocabulary and text side. Imports `suite`, `encoder` and the ground floor.
