//! What is changed in the head of a request before the HTTP library reads it.
//!
//! Two things the library does that clients cannot know: an offer to upgrade (`Upgrade: h2c`, which Java sends with every
//! request; `websocket`) is answered with `Connection: upgrade` and a closed connection, and more than 96 header lines are
//! refused, where a gateway hands on whatever its client sent. So the offer is taken out (a server may ignore it, RFC 9110,
//! 7.8), and of very many lines those that nobody here reads.
//!
//! Nothing is repaired: a head with a line that is no header stays as it is, to be refused. Whoever is in between may have
//! read something in it.

use std::ops::Range;

use memchr::memchr;

/// The most header lines that the HTTP library reads.
const MOST_LINES: usize = 96;

/// Every header that is read anywhere in here, in small letters; `tests/it/architecture.rs` looks whether one is missing.
pub const READ: [&str; 31] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "hx-boosted",
    "hx-current-url",
    "hx-request",
    "hx-target",
    "if-modified-since",
    "if-none-match",
    "keystead-asker",
    "origin",
    "range",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-forwarded-for",
    "x-request-id",
];

/// How far a head was looked at that comes in pieces.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where the line begins that is not whole yet.
    at: usize,
    /// Whole lines, with the first.
    lines: usize,
    offers_upgrade: bool,
    is_odd: bool,
}

impl Scan {
    /// Looks at a head from where the last look ended; `bytes` begin with the head. Returns where it ends.
    pub fn look(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(length) = memchr(b'\n', &bytes[self.at..]) {
            let line = trimmed(&bytes[self.at..self.at + length]);
            self.at += length + 1;
            match (line, self.lines) {
                // Blank lines before the first line count for nothing (RFC 9112, 2.2).
                ([], 0) => {}
                ([], _) => return Some(self.at),
                (_, 0) => self.lines = 1,
                (line, _) => {
                    self.lines += 1;
                    self.look_at_line(line);
                }
            }
        }
        None
    }

    fn look_at_line(&mut self, line: &[u8]) {
        match line[0] {
            b'u' | b'U' => self.offers_upgrade |= value_of(line, "upgrade").is_some(),
            b'c' | b'C' => self.offers_upgrade |= value_of(line, "connection").is_some_and(names_upgrade),
            // A folded line (RFC 9112, 5.2), which belongs to the one before it.
            b' ' | b'\t' => self.is_odd = true,
            _ => {}
        }
    }

    /// Whether the head that was found must be changed.
    pub fn must_change(&self) -> bool {
        !self.is_odd && (self.offers_upgrade || self.lines > MOST_LINES + 1)
    }

    /// The head without what the library must not see.
    pub fn change(&self, head: &[u8]) -> Vec<u8> {
        let has_too_many = self.lines > MOST_LINES + 1;
        let mut changed = Vec::with_capacity(head.len());
        let mut at = 0;
        let mut is_first = true;
        while let Some(length) = memchr(b'\n', &head[at..]) {
            let whole: Range<usize> = at..at + length + 1;
            at = whole.end;
            let line = trimmed(&head[whole.clone()][..length]);
            if line.is_empty() || is_first {
                is_first &= line.is_empty();
                changed.extend_from_slice(&head[whole]);
                continue;
            }
            let Some(name) = name_of(line) else { return head.to_vec() };
            if name.eq_ignore_ascii_case(b"upgrade") || has_too_many && !is_read(name) {
                continue;
            }
            match value_of(line, "connection").filter(|value| names_upgrade(value)) {
                Some(value) => push_without_upgrade(&mut changed, value),
                None => changed.extend_from_slice(&head[whole]),
            }
        }
        changed
    }
}

/// A line without the carriage return at its end.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The name of a header line; `None` when it is none (RFC 9110, 5.1 and 5.5).
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let (name, value) = line.split_at(memchr(b':', line)?);
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_in_value = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    (!name.is_empty() && name.iter().all(is_in_name) && value.iter().all(is_in_value)).then_some(name)
}

/// The value of a header line, if it has this name.
fn value_of<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if found.eq_ignore_ascii_case(name.as_bytes()) { rest.strip_prefix(b":") } else { None }
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn names_upgrade(value: &[u8]) -> bool {
    options(value).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

fn push_without_upgrade(head: &mut Vec<u8>, value: &[u8]) {
    let kept: Vec<&[u8]> = options(value).filter(|option| !option.eq_ignore_ascii_case(b"upgrade")).collect();
    if !kept.is_empty() {
        head.extend_from_slice(b"Connection: ");
        head.extend_from_slice(&kept.join(&b", "[..]));
        head.extend_from_slice(b"\r\n");
    }
}

fn is_read(name: &[u8]) -> bool {
    READ.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library sees of a head that comes in pieces of this size.
    fn seen(head: &str, piece: usize) -> String {
        let bytes = head.as_bytes();
        let mut scan = Scan::default();
        let mut length = 0;
        loop {
            length = (length + piece).min(bytes.len());
            if let Some(end) = scan.look(&bytes[..length]) {
                assert_eq!(end, bytes.len(), "{head:?}");
                let seen = if scan.must_change() { scan.change(bytes) } else { bytes.to_vec() };
                return String::from_utf8(seen).unwrap();
            }
            assert!(length < bytes.len(), "{head:?} has no end");
        }
    }

    #[track_caller]
    fn becomes(head: &str, expected: &str) {
        for piece in [1, 7, 10_000] {
            assert_eq!(seen(head, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_offer_to_upgrade_is_taken_out() {
        becomes(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n",
        );
        becomes(
            "GET / HTTP/1.1\r\nUPGRADE:websocket\r\nCONNECTION:upgrade\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        );
        becomes(
            "GET / HTTP/1.1\nConnection: keep-alive, Upgrade, close\n\n",
            "GET / HTTP/1.1\nConnection: keep-alive, close\r\n\n",
        );
    }

    #[test]
    fn everything_else_is_left_alone() {
        for head in [
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "\r\n\nGET /upgrade: HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\nConnection: keep-alive\r\n\r\n",
            "nonsense\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n Upgrade: h2c\r\nUpgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nno header\r\nUpgrade: h2c\r\n\r\n",
        ] {
            becomes(head, head);
        }
    }

    #[test]
    fn of_very_many_lines_those_stay_that_are_read() {
        let lines = |n: usize| (0..n).map(|i| format!("X-{i}: v\r\n")).collect::<String>();
        let head = |more: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{more}x-api-key: a\r\nX-API-Key: b\r\n\r\n");
        becomes(&head(&lines(93)), &head(&lines(93)));
        becomes(&head(&lines(94)), &head(""));
        becomes(&head(&lines(2_000)), &head(""));
        // Lines that are read are never left out: too many of them stay too many.
        becomes(&head(&"Cookie: a\r\n".repeat(200)), &head(&"Cookie: a\r\n".repeat(200)));
        // What is no header is refused by the library, and not made good by leaving it out.
        for odd in ["Transfer-Encoding : chunked", "X\u{b}: a", ": a", "X: a\rTransfer-Encoding: chunked", "X: \0"] {
            let head = head(&format!("{}{odd}\r\n", lines(200)));
            becomes(&head, &head);
        }
        // A folded line would come to belong to another header.
        let folded = head(&format!("{} Authorization: Bearer x\r\n", lines(200)));
        becomes(&folded, &folded);
    }
}
