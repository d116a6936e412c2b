//! E-mail addresses: what people sign in with.

/// An address as typed (trimmed); compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// The text cannot be an email address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an email address")]
pub struct EmailError;

impl Email {
    /// Accepts `something@something` of at most 254 bytes (RFC 5321, 4.5.3.1.3) without blanks or control
    /// characters. Whether mail arrives is not for us to say.
    ///
    /// # Errors
    /// [`EmailError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let fits = text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\u{FFFD}');
        match text.split_once('@') {
            Some((local, host)) if fits && !local.is_empty() && !host.is_empty() && !host.contains('@') => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(EmailError),
        }
    }

    /// The address as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What accounts are found by.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Email::parse(" Maya@Example.com ").map(|e| e.folded()), Ok("maya@example.com".to_owned()));
        for text in ["", "maya", "@example.com", "maya@", "a b@c", "a@b@c", "a\0@b", &format!("{}@b", "a".repeat(253))]
        {
            assert_eq!(Email::parse(text), Err(EmailError), "{text}");
        }
    }
}
