//! What a verification can answer, in one table. Its words are the contract: programs decide by them, metrics and counts of use
//! are kept by them.

/// The answer to "is this key good?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Let the request through.
    Valid,
    /// The key was revoked; none of its secrets will ever work again.
    Revoked,
    /// The key lives, but this secret was replaced by a newer one.
    Rotated,
    /// The key's time is over.
    Expired,
    /// No such key.
    NotFound,
    /// The text cannot be a key: wrong shape or checksum.
    Malformed,
}

/// What is known of a code.
struct Row {
    code: Code,
    word: &'static str,
    /// For the person whose program was refused.
    detail: &'static str,
    /// Of the answer to a gateway.
    status: u16,
    /// Whether it is about a key that is known, and counted as a use of it.
    names_a_key: bool,
}

/// Those that name a key come first: they are counted in places of these numbers.
const TABLE: [Row; 6] = {
    const fn row(code: Code, word: &'static str, detail: &'static str, status: u16, names_a_key: bool) -> Row {
        Row { code, word, detail, status, names_a_key }
    }
    [
        row(Code::Valid, "VALID", "", 200, true),
        row(Code::Revoked, "REVOKED", "This API key was revoked.", 401, true),
        row(Code::Rotated, "ROTATED", "This API key was replaced by a newer one.", 401, true),
        row(Code::Expired, "EXPIRED", "This API key has expired.", 401, true),
        row(Code::NotFound, "NOT_FOUND", "This API key is not known.", 401, false),
        row(Code::Malformed, "MALFORMED", "This is not an API key.", 401, false),
    ]
};

impl Code {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();
    /// How many name a key.
    pub const NAMING: usize = {
        let (mut at, mut naming) = (0, 0);
        while at < TABLE.len() {
            assert!(TABLE[at].code as usize == at, "rows stand in the order of the codes");
            if TABLE[at].names_a_key {
                assert!(naming == at, "those that name a key come first");
                naming += 1;
            }
            at += 1;
        }
        naming
    };

    /// All of them.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.iter().map(|row| row.code)
    }

    /// The code of a word.
    pub fn of(word: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.word == word).map(|row| row.code)
    }

    /// Its place among all of them; below [`Code::NAMING`] if it names a key.
    pub const fn place(self) -> usize {
        self as usize
    }

    /// The stable word that programs decide by.
    pub const fn word(self) -> &'static str {
        TABLE[self.place()].word
    }

    /// A sentence for the person whose program was refused; empty for [`Code::Valid`].
    pub const fn detail(self) -> &'static str {
        TABLE[self.place()].detail
    }

    /// Status of the answer to a gateway.
    pub const fn status(self) -> u16 {
        TABLE[self.place()].status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_word_and_has_an_answer_for_gateways() {
        for (place, code) in Code::all().enumerate() {
            assert_eq!((code.place(), Code::of(code.word())), (place, Some(code)));
            assert_eq!(code.status() == 200, code == Code::Valid);
            assert_eq!(code.detail().is_empty(), code == Code::Valid);
        }
        assert_eq!(Code::of("valid"), None);
        let naming: Vec<_> = Code::all().take(Code::NAMING).map(Code::word).collect();
        assert_eq!(naming, ["VALID", "REVOKED", "ROTATED", "EXPIRED"]);
    }
}
