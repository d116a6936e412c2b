//! E-mail addresses: what people sign in with.
//!
//! One address has several spellings: Chromium turns the domain typed into an email field into ASCII (`xn--…`), Firefox does
//! not; input methods write `＠` and wide letters; what is pasted brings marks that cannot be seen. All of them are one
//! account.

use unicode_normalization::UnicodeNormalization;

use super::text::is_ignorable;

/// An address as typed (trimmed), and what it is compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    typed: String,
    folded: String,
}

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
        let typed = text.trim_matches(|c: char| c.is_whitespace() || is_ignorable(c));
        let one_spelling: String = typed.nfkc().filter(|&c| !is_ignorable(c)).collect();
        let is_blank = |c: char| c.is_whitespace() || c.is_control() || c == '\u{FFFD}';
        let fits = typed.len() <= 254 && !one_spelling.chars().any(is_blank);
        match one_spelling.split_once('@') {
            Some((local, host)) if fits && !local.is_empty() && !host.is_empty() && !host.contains('@') => {
                let folded = format!("{}@{}", fold_local(local), fold_host(host));
                Ok(Self { typed: typed.to_owned(), folded })
            }
            _ => Err(EmailError),
        }
    }

    /// The address as typed.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// What accounts are found by: NFKC (UAX #15), in lower case, the domain in ASCII (UTS #46) and without a dot at its end.
    pub fn folded(&self) -> String {
        self.folded.clone()
    }

    /// Everything an account of this address may be stored under: first what stood there when addresses were only put into
    /// lower case, as typed and with the domain in Unicode, composed or not; last [`Self::folded`]. How many there are depends
    /// on what was typed alone.
    pub fn spellings(&self) -> Vec<String> {
        let lower = self.typed.to_lowercase();
        let (local, host) = self.folded.split_once('@').unwrap_or_default();
        let in_unicode = format!("{local}@{}", idna::domain_to_unicode(host).0);
        let all = [lower.clone(), lower.nfc().collect(), lower.nfd().collect(), in_unicode.nfd().collect(), in_unicode];
        let mut spellings = Vec::new();
        for spelling in all.into_iter().chain([self.folded()]) {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
        spellings
    }
}

/// Both small sigmas are one letter: which of them `Σ` becomes depends on where it stands.
fn fold_local(local: &str) -> String {
    local.to_lowercase().replace('ς', "σ").nfkc().collect()
}

fn fold_host(host: &str) -> String {
    // Wide and ideographic full stops became dots, or are left to UTS #46.
    let host = host.strip_suffix(['.', '。']).filter(|rest| !rest.is_empty()).unwrap_or(host);
    match idna::domain_to_ascii(host) {
        Ok(ascii) if !ascii.is_empty() => ascii,
        // No name of a host, but it was allowed, and it is the same one each time.
        _ => host.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Result<String, EmailError> {
        Email::parse(text).map(|email| email.folded())
    }

    #[test]
    fn addresses() {
        assert_eq!(folded(" Maya@Example.com "), Ok("maya@example.com".to_owned()));
        for text in [
            "",
            "maya",
            "@example.com",
            "maya@",
            "a b@c",
            "a@b@c",
            "a\0@b",
            "＠@b",
            "a\u{3000}b@c",
            &format!("{}@b", "a".repeat(253)),
        ] {
            assert_eq!(Email::parse(text), Err(EmailError), "{text}");
        }
    }

    #[test]
    fn however_a_system_spells_it_an_address_is_one() {
        for (spelled, expected) in [
            ("maya@münchen.example", "maya@xn--mnchen-3ya.example"),
            ("maya@MÜNCHEN.example", "maya@xn--mnchen-3ya.example"),
            ("maya@mu\u{308}nchen.example", "maya@xn--mnchen-3ya.example"),
            ("maya@XN--MNCHEN-3YA.example", "maya@xn--mnchen-3ya.example"),
            ("ｍａｙａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "maya@example.com"),
            ("maya@example。com", "maya@example.com"),
            ("maya@example.com.", "maya@example.com"),
            ("maya@example.com。", "maya@example.com"),
            ("\u{FEFF}maya@example.com\u{200B}", "maya@example.com"),
            ("\u{202A}maya@example.com\u{202C}", "maya@example.com"),
            ("ma\u{200B}ya@exam\u{AD}ple.com", "maya@example.com"),
            ("\u{3000}maya@example.com\u{a0}", "maya@example.com"),
            ("JOSÉ@example.com", "josé@example.com"),
            ("jose\u{301}@example.com", "josé@example.com"),
            ("ΟΔΟΣ@example.com", "οδοσ@example.com"),
            ("οδος@example.com", "οδοσ@example.com"),
            ("maya@straße.example", "maya@xn--strae-oqa.example"),
            ("maya@under_score.example", "maya@under_score.example"),
            ("maya@[192.0.2.1]", "maya@[192.0.2.1]"),
            ("maya@.", "maya@."),
        ] {
            assert_eq!(folded(spelled).as_deref(), Ok(expected), "{spelled}");
        }
        assert_ne!(folded("maya@example.com"), folded("maya@example.org"));
        assert_ne!(folded("strasse@example.com"), folded("straße@example.com"));
    }

    #[test]
    fn folding_an_address_again_changes_nothing() {
        for text in ["Maya@MÜNCHEN.example.", "ΟΔΟΣ@ß.example", "ﬁ@x", "İ@İ.example", "a@xn--zz", "ǅ@ﬀ.example"]
        {
            let once = folded(text).unwrap();
            assert_eq!(folded(&once), Ok(once.clone()), "{text}");
        }
    }

    #[test]
    fn an_account_stored_before_is_among_the_spellings() {
        let stored = |text: &str| text.trim().to_lowercase();
        for (stored, typed) in [
            (stored("Maya@münchen.example"), "maya@xn--mnchen-3ya.example"),
            (stored("Maya@münchen.example"), "maya@mu\u{308}nchen.example"),
            (stored("maya@mu\u{308}nchen.example"), "maya@münchen.example"),
            (stored("jose\u{301}@example.com"), "José@example.com"),
            (stored("maya@example.com."), "maya@example.com."),
            (stored("ΟΔΟΣ@example.com"), "ΟΔΟΣ@example.com"),
        ] {
            assert!(Email::parse(typed).unwrap().spellings().contains(&stored), "{stored} typed as {typed}");
        }
        assert_eq!(Email::parse("Maya@Example.com").unwrap().spellings(), ["maya@example.com"], "one look is enough");
    }
}
