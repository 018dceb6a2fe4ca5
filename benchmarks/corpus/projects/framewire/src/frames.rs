//! A frame is the length of what follows, a kind and a payload.

use crate::varint::{self, VarintError};

/// Longest payload that is taken.
pub const MOST_PAYLOAD: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub payload: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum FrameError {
    TooLong(u64),
    Empty,
    BadLength,
}

pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    varint::write(frame.payload.len() as u64 + 1, out);
    out.push(frame.kind);
    out.extend_from_slice(&frame.payload);
}

/// Takes bytes as they come and gives whole frames.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    pub fn feed(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// Returns the next whole frame, None while it is not there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let (length, head) = match varint::read(&self.buffer) {
            Ok(read) => read,
            Err(VarintError::Short) => return Ok(None),
            Err(VarintError::Overflow) => return Err(FrameError::BadLength),
        };
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length - 1 > MOST_PAYLOAD {
            return Err(FrameError::TooLong(length - 1));
        }
        let end = head + length as usize;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let frame = Frame {
            kind: self.buffer[head],
            payload: self.buffer[head + 1..end].to_vec(),
        };
        self.buffer.drain(..end);
        Ok(Some(frame))
    }

    /// Tells whether the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }
}
