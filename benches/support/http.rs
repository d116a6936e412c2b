//! Requests written once and patched, answers read without a parser's cost.

use super::keys::{KEY_BYTES, Key};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `GET /v1/forward-auth`
    ForwardAuth,
    /// `POST /v1/keys/verify` with `key`
    Verify,
    /// `POST /v1/keys/verify` with this many `keys`
    Batch(usize),
}

/// Where in the body of [`Question::Verify`] the key stands; the bare handler relies on it.
pub const KEY_IN_BODY: usize = br#"{"key":""#.len();

/// A whole request with room for its keys.
pub struct Request {
    pub bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Request {
    pub fn new(question: Question) -> Self {
        let blank = "_".repeat(KEY_BYTES);
        let post = |body: String| {
            let head = "POST /v1/keys/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let text = match question {
            Question::ForwardAuth => {
                format!("GET /v1/forward-auth HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {blank}\r\n\r\n")
            }
            Question::Verify => post(format!(r#"{{"key":"{blank}"}}"#)),
            Question::Batch(size) => {
                let keys = vec![format!("\"{blank}\""); size];
                post(format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
            }
        };
        let places = text.match_indices(&blank).map(|(at, _)| at).collect();
        Self { bytes: text.into_bytes(), places }
    }

    /// Puts keys where the keys stand.
    pub fn fill(&mut self, mut next: impl FnMut() -> Key) {
        for &at in &self.places {
            self.bytes[at..at + KEY_BYTES].copy_from_slice(&next());
        }
    }
}

/// An answer that has arrived whole.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

/// Where the last answer had its parts: the next one nearly always has them there too.
#[derive(Clone, Copy, Default)]
pub struct Shape {
    head: usize,
    length: usize,
}

const LENGTH: &[u8] = b"\r\ncontent-length: ";
const END: &[u8] = b"\r\n\r\n";

impl Shape {
    /// The answer at the beginning of these bytes; `None` while it is not whole.
    ///
    /// # Panics
    /// When it has no `Content-Length`: everything we ask is answered with one.
    pub fn read<'a>(&mut self, bytes: &'a [u8]) -> Option<Answer<'a>> {
        if !self.fits(bytes) {
            let head = find(bytes, END)? + END.len();
            let Some(at) = find(&bytes[..head], LENGTH) else {
                panic!("an answer without Content-Length:\n{}", String::from_utf8_lossy(&bytes[..head]));
            };
            *self = Self { head, length: at + LENGTH.len() };
        }
        let digits = bytes[self.length..].iter().take_while(|byte| byte.is_ascii_digit());
        let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        let status = bytes[9..12].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let body = bytes.get(self.head..self.head + length)?;
        assert_eq!(bytes.len(), self.head + length, "more came than one answer");
        Some(Answer { status, body })
    }

    fn fits(self, bytes: &[u8]) -> bool {
        let begins = |from: usize, what: &[u8]| {
            let found = bytes.get(from..from + what.len());
            found.is_some_and(|found| found.eq_ignore_ascii_case(what))
        };
        self.head > 0 && begins(self.head - END.len(), END) && begins(self.length - LENGTH.len(), LENGTH)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window.eq_ignore_ascii_case(what))
}
