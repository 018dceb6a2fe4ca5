//! A session numbers its data frames, keeps them until they are acknowledged, and sends them again after a break.

use crate::frames::Frame;
use crate::varint;
use std::collections::VecDeque;

pub const DATA: u8 = 1;
pub const ACK: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub enum SessionError {
    Full,
    UnknownAck(u64),
    Malformed,
}

pub struct Session {
    most: usize,
    next_out: u64,
    kept: VecDeque<(u64, Vec<u8>)>,
    last_in: u64,
}

impl Session {
    pub fn new(most: usize) -> Self {
        Session { most, next_out: 1, kept: VecDeque::new(), last_in: 0 }
    }

    /// Makes the frame of a message; Full while too many are not acknowledged.
    pub fn send(&mut self, message: &[u8]) -> Result<Frame, SessionError> {
        if self.kept.len() >= self.most {
            return Err(SessionError::Full);
        }
        let number = self.next_out;
        self.next_out += 1;
        self.kept.push_back((number, message.to_vec()));
        Ok(data_frame(number, message))
    }

    /// Takes a frame: returns a message that is new, and forgets what is acknowledged.
    pub fn receive(&mut self, frame: &Frame) -> Result<Option<Vec<u8>>, SessionError> {
        let (number, head) = varint::read(&frame.payload).map_err(|_| SessionError::Malformed)?;
        match frame.kind {
            DATA if number <= self.last_in => Ok(None),
            DATA if number == self.last_in + 1 => {
                self.last_in = number;
                Ok(Some(frame.payload[head..].to_vec()))
            }
            ACK if number < self.next_out => {
                while self.kept.front().is_some_and(|(kept, _)| *kept <= number) {
                    self.kept.pop_front();
                }
                Ok(None)
            }
            ACK => Err(SessionError::UnknownAck(number)),
            _ => Err(SessionError::Malformed),
        }
    }

    pub fn ack(&self) -> Frame {
        let mut payload = Vec::new();
        varint::write(self.last_in, &mut payload);
        Frame { kind: ACK, payload }
    }

    /// The frames that must be sent again after a break.
    pub fn resend(&self) -> Vec<Frame> {
        self.kept.iter().map(|(number, message)| data_frame(*number, message)).collect()
    }
}

fn data_frame(number: u64, message: &[u8]) -> Frame {
    let mut payload = Vec::new();
    varint::write(number, &mut payload);
    payload.extend_from_slice(message);
    Frame { kind: DATA, payload }
}
