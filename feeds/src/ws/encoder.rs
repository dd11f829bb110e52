//! Frames into a buffer of the caller's. Nothing is allocated once that buffer has grown to its working size.

use super::{CONTROL_PAYLOAD_BYTES_MAX, MaskSource, Opcode, mask};

/// The payload of a control frame is over 125 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("control frame payload of {length} bytes: at most 125 are allowed")]
pub struct ControlTooLong {
    /// The bytes given.
    pub length: usize,
}

/// Appends one frame to `out`. `mask` is a client's fresh mask, or `None` for a server.
///
/// This is the raw door: `fin` and `opcode` are written as given, so that a test can also speak wrongly.
/// [`Encoder`] is the one that keeps the rules.
#[inline]
pub fn encode_frame(fin: bool, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    let mut header = [0u8; 14];
    header[0] = u8::from(fin) << 7 | opcode as u8;
    let mut header_bytes = match payload.len() {
        length @ 0..=125 => {
            header[1] = length as u8;
            2
        }
        length @ 126..=0xFFFF => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        length => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    header[1] |= mask_bit;
    if let Some(mask) = mask {
        header[header_bytes..header_bytes + 4].copy_from_slice(&mask);
        header_bytes += 4;
    }
    out.reserve(header_bytes + payload.len());
    out.extend_from_slice(&header[..header_bytes]);
    let payload_start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask::apply(&mut out[payload_start..], mask);
    }
}

/// Appends a close frame. A `reason` that does not fit into 123 bytes is cut at a character's border; with no `code`
/// there is no reason either, the frame is empty.
pub fn encode_close(code: Option<u16>, reason: &str, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let mut payload = [0u8; CONTROL_PAYLOAD_BYTES_MAX];
    let mut length = 0;
    if let Some(code) = code {
        let reason = &reason.as_bytes()[..reason.floor_char_boundary(CONTROL_PAYLOAD_BYTES_MAX - 2)];
        length = 2 + reason.len();
        payload[..2].copy_from_slice(&code.to_be_bytes());
        payload[2..length].copy_from_slice(reason);
    }
    encode_frame(true, Opcode::Close, &payload[..length], mask, out);
}

/// Frames of one role: a client's are masked, each with a mask of its own; a server's are not.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// `Some` for a client.
    masks: Option<MaskSource>,
}

impl Encoder {
    /// The encoder of a client.
    pub fn client(masks: MaskSource) -> Self {
        Self { masks: Some(masks) }
    }

    /// The encoder of a server.
    pub fn server() -> Self {
        Self { masks: None }
    }

    /// Appends a text message of one frame.
    pub fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.frame(Opcode::Text, text.as_bytes(), out);
    }

    /// Appends a binary message of one frame.
    pub fn binary(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.frame(Opcode::Binary, bytes, out);
    }

    /// Appends a ping.
    ///
    /// # Errors
    /// `payload` is over 125 bytes; nothing was written.
    pub fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ControlTooLong> {
        self.control(Opcode::Ping, payload, out)
    }

    /// Appends a pong. To answer a ping, give its payload.
    ///
    /// # Errors
    /// `payload` is over 125 bytes; nothing was written.
    pub fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ControlTooLong> {
        self.control(Opcode::Pong, payload, out)
    }

    /// Appends a close frame, as [`encode_close`] does.
    pub fn close(&mut self, code: Option<u16>, reason: &str, out: &mut Vec<u8>) {
        encode_close(code, reason, self.next_mask(), out);
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ControlTooLong> {
        if payload.len() > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(ControlTooLong { length: payload.len() });
        }
        self.frame(opcode, payload, out);
        Ok(())
    }

    #[inline]
    fn frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        let mask = self.next_mask();
        encode_frame(true, opcode, payload, mask, out);
    }

    #[inline]
    fn next_mask(&mut self) -> Option<[u8; 4]> {
        self.masks.as_mut().map(MaskSource::next_mask)
    }
}
