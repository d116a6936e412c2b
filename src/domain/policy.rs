//! What a key is limited to. There is no policy yet; what stands here is how one comes: a member of [`Policy`], and the question
//! whether it lets somebody pass in `key_index/facts.rs`.

use serde::Deserialize;

/// The policy of a key, as it stands in the database: a JSON object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {}

/// It limits the key in a way that this version does not know, or cannot be read. Whoever cannot check a limit must not let anybody
/// pass: a newer version may run beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key has a policy that this version of keystead does not know")]
pub struct UnknownPolicy;

impl Policy {
    /// Reads what is stored; nothing limits nothing.
    ///
    /// # Errors
    /// [`UnknownPolicy`]: the key is to be refused.
    pub fn parse(stored: Option<&str>) -> Result<Self, UnknownPolicy> {
        let Some(text) = stored else { return Ok(Self::default()) };
        // An object and nothing else: serde takes a list for a struct too.
        let members: serde_json::Map<_, _> = serde_json::from_str(text).map_err(|_| UnknownPolicy)?;
        serde_json::from_value(members.into()).map_err(|_| UnknownPolicy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_policy() {
        for stored in [None, Some("{}")] {
            assert_eq!(Policy::parse(stored), Ok(Policy::default()), "{stored:?}");
        }
        for stored in ["", "null", "[]", "{", r#"{"scopes": []}"#, r#"{"disabled": false}"#] {
            assert_eq!(Policy::parse(Some(stored)), Err(UnknownPolicy), "{stored}");
        }
    }
}
