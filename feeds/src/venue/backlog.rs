//! Raw frames of one symbol that wait for its snapshot: one allocation, made once, with a ceiling.

use crate::types::Line;

/// A first-in first-out queue of frames in one buffer, each behind its length and its line.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    /// Where the oldest frame starts; everything before it has been taken.
    head: usize,
    limit_bytes: usize,
}

impl Backlog {
    /// Room for `limit_bytes` of frames and their lengths, reserved now.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(limit_bytes),
            head: 0,
            limit_bytes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.head = 0;
    }

    /// Keeps a copy of `frame`; false where the ceiling does not allow it.
    pub(crate) fn push(&mut self, line: Line, frame: &[u8]) -> bool {
        let needed = HEAD_BYTES + frame.len();
        if self.bytes.len() + needed > self.limit_bytes {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        let Ok(len) = u32::try_from(frame.len()) else {
            return false;
        };
        if self.bytes.len() + needed > self.limit_bytes {
            return false;
        }
        self.bytes.push(line as u8);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(frame);
        true
    }

    /// The oldest frame, and the line that brought it.
    pub(crate) fn first(&self) -> Option<(Line, &[u8])> {
        let (&[line, l0, l1, l2, l3], rest) = self.bytes.get(self.head..)?.split_first_chunk::<HEAD_BYTES>()?;
        let frame = rest.get(..u32::from_le_bytes([l0, l1, l2, l3]) as usize)?;
        Some((Line::ALL[usize::from(line) % Line::ALL.len()], frame))
    }

    /// Drops the oldest frame.
    pub(crate) fn pop(&mut self) {
        if let Some((_, frame)) = self.first() {
            self.head += HEAD_BYTES + frame.len();
        }
        if self.is_empty() {
            self.clear();
        }
    }
}

/// The line and the length.
const HEAD_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn keeps_order_up_to_its_ceiling() {
        let mut backlog = Backlog::new(64);
        let mut judge = VecDeque::new();
        let mut held = 0;
        for step in 0_usize..500 {
            let frame = vec![step as u8; step * 7 % 23];
            let line = Line::ALL[step % 2];
            let fits = held + 5 + frame.len() <= 64;
            assert_eq!(backlog.push(line, &frame), fits, "step {step}");
            if fits {
                held += 5 + frame.len();
                judge.push_back((line, frame));
            }
            if step % 3 != 0 {
                assert_eq!(
                    backlog.first(),
                    judge.front().map(|(line, frame)| (*line, &frame[..])),
                    "step {step}"
                );
                backlog.pop();
                held -= judge.pop_front().map_or(0, |(_, frame)| 5 + frame.len());
            }
            assert_eq!(backlog.is_empty(), judge.is_empty());
            assert_eq!(backlog.bytes.capacity(), 64, "never grows");
        }
    }
}
