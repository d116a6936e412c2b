//! What may be allowed to somebody.

/// One thing that somebody may do to an organization's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// See keys, how much they are used, and how far a change has come.
    ReadKeys,
    /// Make a key.
    CreateKeys,
    /// Rotate or revoke a key.
    ChangeKeys,
}

/// A set of [`Permission`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// Those of a list.
    pub const fn of(permissions: &[Permission]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < permissions.len() {
            set |= Self::bit(permissions[at]);
            at += 1;
        }
        Self(set)
    }

    /// Whether one of them is that.
    pub const fn contain(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    const fn bit(permission: Permission) -> u8 {
        1 << permission as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it_and_nothing_else() {
        use Permission::{ChangeKeys, CreateKeys, ReadKeys};
        let all = [ReadKeys, CreateKeys, ChangeKeys];
        for one in all {
            for other in all {
                assert_eq!(Permissions::of(&[one]).contain(other), one == other, "{one:?} {other:?}");
            }
            assert!(!Permissions::default().contain(one));
            assert!(Permissions::of(&all).contain(one));
        }
    }
}
