//! Frames with a length and a kind over any byte stream.

pub mod frames;
pub mod session;
pub mod varint;
