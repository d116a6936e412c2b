//! Bytes as hexadecimal digits, in small letters.

use std::fmt::Write;

/// Two digits a byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a text is what [`encode`] makes of so many bytes.
pub fn is_of(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The bytes that [`encode`] made a text of; `None` for any other text.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if !is_of(text, N) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_back_and_nothing_else_is() {
        assert_eq!(encode(&[0, 15, 255]), "000fff");
        assert_eq!(decode("000fff"), Some([0, 15, 255]));
        for text in ["", "000ff", "000fff0", "000FFF", "000ff+", "00 fff", "é00ff"] {
            assert_eq!(decode::<3>(text), None, "{text}");
        }
    }
}
