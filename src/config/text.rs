//! Text from files and pipes, as editors and shells write it.

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoText {
    /// As Windows' editors and PowerShell write it.
    #[error("is UTF-16, as some editors and PowerShell's > write it; save it as UTF-8")]
    Utf16,
    /// Anything else.
    #[error("is not UTF-8")]
    NotUtf8,
}

/// The text that these bytes are, without the mark that some editors put before UTF-8.
///
/// # Errors
/// See [`NoText`].
pub fn text(bytes: &[u8]) -> Result<&str, NoText> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") || bytes.contains(&0) {
        return Err(NoText::Utf16);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NoText::NotUtf8)?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_and_what_is_no_utf8_is_refused() {
        assert_eq!(text(b"secret\n"), Ok("secret\n"));
        assert_eq!(text(b"\xEF\xBB\xBFsecret"), Ok("secret"));
        assert_eq!(text("\u{FEFF}\u{FEFF}x".as_bytes()), Ok("\u{FEFF}x"), "one");
        assert_eq!(text(b""), Ok(""));
        let utf16 = |mark: &[u8], pair: fn(u16) -> [u8; 2]| {
            let bytes: Vec<u8> = mark.iter().copied().chain("säcret".encode_utf16().flat_map(pair)).collect();
            text(&bytes).map(str::to_owned)
        };
        assert_eq!(utf16(b"\xFF\xFE", u16::to_le_bytes), Err(NoText::Utf16));
        assert_eq!(utf16(b"\xFE\xFF", u16::to_be_bytes), Err(NoText::Utf16));
        assert_eq!(utf16(b"", u16::to_le_bytes), Err(NoText::Utf16));
        assert_eq!(text(b"caf\xE9"), Err(NoText::NotUtf8));
    }
}
