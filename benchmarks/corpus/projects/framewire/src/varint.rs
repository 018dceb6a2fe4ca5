//! Numbers in seven-bit groups, the low ones first; a set high bit says that more follow.

/// Most bytes of a number.
pub const MOST_BYTES: usize = 10;

#[derive(Debug, PartialEq, Eq)]
pub enum VarintError {
    /// More bytes are needed.
    Short,
    /// It does not fit in 64 bits.
    Overflow,
}

pub fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Returns the number and how many bytes it took.
pub fn read(data: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0u64;
    for (place, byte) in data.iter().enumerate() {
        if place >= MOST_BYTES || (place == MOST_BYTES - 1 && *byte > 1) {
            return Err(VarintError::Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((value, place + 1));
        }
    }
    Err(VarintError::Short)
}
