//! Tokenizers: any format to one, hardened against broken files.
