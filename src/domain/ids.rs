//! Identifiers: a prefix that says what is named and a KSUID, so that ids sort by the second they were made.
//!
//! KSUID: 4 bytes of seconds since 2014-05-13 and 16 random bytes, as 27 base62 digits
//! (<https://github.com/segmentio/ksuid>).

use std::fmt;

use chrono::{DateTime, Utc};
use svix_ksuid::{Ksuid, KsuidLike};

const KSUID_DIGITS: usize = 27;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// A new id; `now` gives its first 4 bytes, the operating system the other 16.
            pub fn generate(now: DateTime<Utc>) -> Self {
                Self(format!(concat!($prefix, "{}"), Ksuid::new(Some(now), None).to_base62()))
            }

            /// Reads an id; `None` when the text cannot be one.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($prefix)?;
                let fits = digits.len() == KSUID_DIGITS && digits.bytes().all(|b| b.is_ascii_alphanumeric());
                fits.then(|| Self(text.to_owned()))
            }

            /// The id as it is shown, stored and sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One installation of Keystead: what its set-up link is derived from.
    InstallationId,
    "ins_"
);
id!(
    /// An organization, such as `org_2wfr1fypcw3QC6quBxj2XRcuRGq`.
    OrgId,
    "org_"
);
id!(
    /// A person with an account.
    UserId,
    "usr_"
);
id!(
    /// An API key. It stays the same when the key is rotated.
    KeyId,
    "key_"
);
id!(
    /// One row of the audit log.
    EventId,
    "evt_"
);
id!(
    /// A signed-in session: its public name, never the secret in the cookie.
    SessionId,
    "ses_"
);
id!(
    /// One run of the server on Postgres.
    NodeId,
    "nod_"
);

impl NodeId {
    /// What this run is called when it makes itself known for the nth time: a row of an earlier time must not be taken for this.
    #[must_use]
    pub fn registered(&self, times: u32) -> Self {
        Self(format!("{}-{times}", self.0))
    }

    /// The run that is called so, and how often it had made itself known then; 0 where a program called it so that does not count.
    pub fn run_of(id: &str) -> (&str, u32) {
        let counted = id.rsplit_once('-').and_then(|(run, times)| Some((run, times.parse().ok()?)));
        counted.unwrap_or((id, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_by_each_of_its_names() {
        let run = NodeId::generate(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000));
        assert_eq!(NodeId::run_of(run.registered(12).as_str()), (run.as_str(), 12));
        assert_eq!(NodeId::run_of(run.as_str()), (run.as_str(), 0));
        assert_eq!(NodeId::run_of("nod_a-b"), ("nod_a-b", 0));
    }

    #[test]
    fn a_generated_id_can_be_read_back() {
        let id = OrgId::generate(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000));
        assert_eq!(OrgId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn ids_sort_by_time() {
        let day = |n| KeyId::generate(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(n));
        assert!(day(20_000) < day(20_001));
    }

    #[test]
    fn the_example_of_the_page_is_an_organization_id() {
        assert!(OrgId::parse("org_2wfr1fypcw3QC6quBxj2XRcuRGq").is_some());
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "org_",
            "key_2wfr1fypcw3QC6quBxj2XRcuRGq",
            "org_2wfr1fypcw3QC6quBxj2XRcuRG",
            "org_2wfr1fypcw3QC6quBxj2XRcuRGqq",
            "org_2wfr1fypcw3QC6quBxj2XRcuRG'",
            "org_2wfr1fypcw3QC6quBxj2XRcuRé",
        ] {
            assert_eq!(OrgId::parse(text), None, "{text}");
        }
    }
}
