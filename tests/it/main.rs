//! The one integration binary: what the command does, against references made by other software.

mod encoders;
mod folders;
mod hostile_tokenizers;
mod lexical;
mod rooms;
mod support;
mod tokenizers;
