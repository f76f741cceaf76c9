//! The one integration binary: what the command does, against references made by other software.

mod candle;
mod rooms;
mod support;
