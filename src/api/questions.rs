//! What `POST /v1/keys/verify` is asked: one key or many, read without a copy and without room for junk.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// The most keys of one question.
pub const MAX_KEYS: usize = 1_000;

/// The body of a question; other members are ignored.
#[derive(Debug)]
pub enum Question<'a> {
    /// `{"key": "…"}`
    One(Cow<'a, str>),
    /// `{"keys": ["…", …]}`
    Many(Vec<Cow<'a, str>>),
}

/// By hand, because a derived one would take arrays for objects, copy every text, and read a million keys before it counted
/// them.
impl<'de> Deserialize<'de> for Question<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Question<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the member `key` or `keys`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Question<'de>, A::Error> {
        let mut question = None;
        while let Some(Text(name)) = members.next_key()? {
            let asked = match &*name {
                "key" => Question::One(members.next_value::<Text<'de>>()?.0),
                "keys" => Question::Many(members.next_value_seed(Keys)?),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if question.replace(asked).is_some() {
                return Err(Error::custom("`key` or `keys` once, and not both"));
            }
        }
        question.ok_or_else(|| Error::missing_field("key"))
    }
}

struct Keys;

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Vec<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX_KEYS} texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(Text(key)) = elements.next_element()? {
            if keys.len() == MAX_KEYS {
                return Err(Error::custom(format!("more than {MAX_KEYS} keys")));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

/// A text, lent where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl<'de> Visitor<'de> for Words {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Question<'_>> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn one_key_or_many_and_nothing_else() {
        assert!(matches!(read(r#"{"key": "a"}"#), Some(Question::One(Cow::Borrowed("a")))));
        assert!(matches!(read(r#"{"x": [{}], "key": "\u0061"}"#), Some(Question::One(Cow::Owned(_)))));
        assert!(matches!(read(r#"{"keys": []}"#), Some(Question::Many(keys)) if keys.is_empty()));
        assert!(matches!(read(r#"{"keys": ["a", "b"]}"#), Some(Question::Many(keys)) if keys == ["a", "b"]));
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"["a"]"#,
            r#"{"key": 1}"#,
            r#"{"key": null}"#,
            r#"{"key": ["a"]}"#,
            r#"{"keys": "a"}"#,
            r#"{"keys": [1]}"#,
            r#"{"keys": [["a"]]}"#,
            r#"{"key": "a", "key": "a"}"#,
            r#"{"key": "a", "keys": ["a"]}"#,
            r#"{"keys": [], "keys": []}"#,
            r#"{"key": "a"} x"#,
            r#"{"key": "a""#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_thousand_keys_and_no_more() {
        let keys = |n: usize| format!(r#"{{"keys": [{}]}}"#, vec![r#""a""#; n].join(","));
        assert!(read(&keys(MAX_KEYS)).is_some());
        assert!(read(&keys(MAX_KEYS + 1)).is_none());
    }
}
