//! What went wrong, for programs: one word for each error of an action, wherever it is told.

use super::{
    command_authority::CommandAuthorityError, create_admin::CreateAdminError, create_key::CreateKeyError,
    find_key::ReadError, limits::LimitReached, reset_password::ResetPasswordError, revoke_key::RevokeKeyError,
    rotate_key::RotateKeyError, set_up::SetUpError, sign_in::SignInError,
};
use crate::{
    domain::{authority::NotPermitted, secret::EntropyError},
    passwords::PasswordFault,
    store::StoreError,
};

/// Nothing was changed, and the same may work later.
pub const UNAVAILABLE: &str = "unavailable";
/// A change may be made or not.
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";
/// Nothing is there, or nothing that whoever asks may see.
pub const NOT_FOUND: &str = "not_found";
/// Too often; it says when to try again.
pub const TOO_MANY_REQUESTS: &str = "too_many_requests";

/// An error that programs know by a word. A word that was given out keeps its meaning: programs decide by it.
pub trait ErrorCode {
    /// The word, in `snake_case`.
    fn code(&self) -> &'static str;
}

impl ErrorCode for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => OUTCOME_UNKNOWN,
            _ => UNAVAILABLE,
        }
    }
}

impl ErrorCode for PasswordFault {
    fn code(&self) -> &'static str {
        match self {
            Self::Busy => TOO_MANY_REQUESTS,
            Self::Failed(_) => UNAVAILABLE,
        }
    }
}

impl ErrorCode for EntropyError {
    fn code(&self) -> &'static str {
        UNAVAILABLE
    }
}

impl ErrorCode for NotPermitted {
    fn code(&self) -> &'static str {
        "permission_missing"
    }
}

impl ErrorCode for ReadError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotPermitted(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for LimitReached {
    fn code(&self) -> &'static str {
        match self {
            Self::Keys(_) => "too_many_keys",
            Self::KeysToday(..) => "too_many_keys_today",
            Self::RotationsToday(..) => "too_many_rotations_today",
            Self::TooFast(_) => TOO_MANY_REQUESTS,
        }
    }
}

impl ErrorCode for CreateKeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Limit(error) => error.code(),
            Self::NameTaken => "name_taken",
            Self::Repeated => "already_done",
            Self::Entropy(error) => error.code(),
            Self::NotPermitted(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for RotateKeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Limit(error) => error.code(),
            Self::NotFound => NOT_FOUND,
            Self::Changed(_) => "changed",
            Self::Repeated => "already_done",
            Self::Entropy(error) => error.code(),
            Self::NotPermitted(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for RevokeKeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => NOT_FOUND,
            Self::UnknownVersion(_) => "changed",
            Self::NotPermitted(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for CommandAuthorityError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchOrganization(_) => NOT_FOUND,
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for SignInError {
    fn code(&self) -> &'static str {
        match self {
            Self::Wrong => "wrong_password",
            Self::Throttled(_) => TOO_MANY_REQUESTS,
            Self::Password(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for CreateAdminError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoOrganization(_) => NOT_FOUND,
            Self::EmailTaken => "email_taken",
            Self::Password(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for ResetPasswordError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoAccount => NOT_FOUND,
            Self::Password(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl ErrorCode for SetUpError {
    fn code(&self) -> &'static str {
        match self {
            Self::BadLink => "set_up_closed",
            Self::Password(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    use crate::{
        domain::{
            actor::Actor,
            api_key::ApiKey,
            ids::{KeyId, OrgId},
            name::Name,
            permission::Permission,
            secret::{KeyHint, KeyPrefix},
        },
        store::Fault,
    };

    /// Programs decide by these: a line that has to be changed here is a promise that is broken.
    #[test]
    fn the_words_are_those_that_were_given_out() {
        let store = || StoreError::Fault(Fault::Other, String::new());
        let unknown = || StoreError::Unknown(String::new());
        let refused = NotPermitted(Permission::ChangeKeys);
        assert_eq!(store().code(), "unavailable");
        assert_eq!(unknown().code(), "outcome_unknown");
        assert_eq!(ReadError::from(store()).code(), "unavailable");
        assert_eq!(ReadError::from(refused).code(), "permission_missing");
        let limits = [
            (LimitReached::Keys(1), "too_many_keys"),
            (LimitReached::KeysToday(1, 1), "too_many_keys_today"),
            (LimitReached::RotationsToday(1, 1), "too_many_rotations_today"),
            (LimitReached::TooFast(1), "too_many_requests"),
        ];
        for (limit, word) in limits {
            assert_eq!(limit.code(), word);
            assert_eq!(CreateKeyError::from(limit.clone()).code(), word);
            assert_eq!(RotateKeyError::from(limit).code(), word);
        }
        assert_eq!(CreateKeyError::NameTaken.code(), "name_taken");
        assert_eq!(
            (CreateKeyError::Repeated.code(), RotateKeyError::Repeated.code()),
            ("already_done", "already_done")
        );
        assert_eq!((RotateKeyError::NotFound.code(), RevokeKeyError::NotFound.code()), ("not_found", "not_found"));
        assert_eq!(CreateKeyError::from(refused).code(), "permission_missing");
        assert_eq!(RotateKeyError::from(refused).code(), "permission_missing");
        assert_eq!(RevokeKeyError::from(refused).code(), "permission_missing");
        assert_eq!(CreateKeyError::from(unknown()).code(), "outcome_unknown");
        assert_eq!(RotateKeyError::from(unknown()).code(), "outcome_unknown");
        assert_eq!(RevokeKeyError::from(unknown()).code(), "outcome_unknown");
        let key = || {
            Box::new(ApiKey {
                id: KeyId::generate(DateTime::UNIX_EPOCH),
                organization_id: OrgId::generate(DateTime::UNIX_EPOCH),
                name: Name::parse("CI").unwrap(),
                prefix: KeyPrefix::parse("talvin_live").unwrap(),
                hint: KeyHint::parse("x9Kq").unwrap(),
                created_by: (&Actor::CommandLine).into(),
                created_at: DateTime::UNIX_EPOCH,
                revoked_at: None,
                version: 1,
            })
        };
        assert_eq!(RotateKeyError::Changed(key()).code(), "changed");
        assert_eq!(RevokeKeyError::UnknownVersion(key()).code(), "changed");
        let organization = || OrgId::generate(DateTime::UNIX_EPOCH);
        assert_eq!(CommandAuthorityError::NoSuchOrganization(organization()).code(), "not_found");
        assert_eq!(CreateAdminError::NoOrganization(organization()).code(), "not_found");
        assert_eq!(CreateAdminError::EmailTaken.code(), "email_taken");
        assert_eq!(ResetPasswordError::NoAccount.code(), "not_found");
        assert_eq!(ResetPasswordError::from(unknown()).code(), "outcome_unknown");
        assert_eq!(CommandAuthorityError::from(store()).code(), "unavailable");
        assert_eq!(
            (SignInError::Wrong.code(), SignInError::Throttled(1).code()),
            ("wrong_password", "too_many_requests")
        );
        assert_eq!(SignInError::from(PasswordFault::Busy).code(), "too_many_requests");
        assert_eq!(SetUpError::BadLink.code(), "set_up_closed");
        assert_eq!(SetUpError::from(store()).code(), "unavailable");
    }
}
