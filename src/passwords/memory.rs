//! The memory of one hashing thread: taken once, used for every hash, wiped after each.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use rand::{TryRng, rngs::SysRng};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// argon2's blocks of 1 KiB.
#[derive(Default)]
pub struct Memory(Vec<Block>);

/// The longest hash that PHC strings have.
const MAX_OUTPUT: usize = Output::MAX_LENGTH;

impl Memory {
    /// A new hash of the password, in PHC string format.
    ///
    /// # Errors
    /// When there is no memory, or no random bytes for the salt.
    pub fn hash(&mut self, password: &[u8], params: &Params) -> Result<String, String> {
        let mut salt = [0_u8; Salt::RECOMMENDED_LENGTH];
        SysRng.try_fill_bytes(&mut salt).map_err(|error| error.to_string())?;
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        let hash = self.compute(algorithm, version, params, (password, &salt, length))?;
        let written = PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(params).map_err(|error| error.to_string())?,
            salt: Some(Salt::new(&salt).map_err(|error| error.to_string())?),
            hash: Some(Output::new(&hash[..length]).map_err(|error| error.to_string())?),
        };
        Ok(written.to_string())
    }

    /// Whether one of these spellings is the password of a stored hash. Every spelling is tried, also after the right one:
    /// the time tells how many there are, which whoever typed them knows, and nothing else.
    ///
    /// # Errors
    /// When there is no memory, or the stored text is no hash. Neither is a wrong password.
    pub fn verify<T: AsRef<str>>(&mut self, spellings: &[T], stored: &str) -> Result<bool, String> {
        let unreadable = |error: &dyn std::fmt::Display| format!("the stored hash cannot be read: {error}");
        let stored = PasswordHash::new(stored).map_err(|error| unreadable(&error))?;
        let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
            return Err(unreadable(&"its salt or its hash is missing"));
        };
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(|error| unreadable(&error))?;
        let version = stored.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(|e| unreadable(&e))?;
        let params = Params::try_from(&stored).map_err(|error| unreadable(&error))?;
        let mut right = false;
        for spelling in spellings {
            let input = (spelling.as_ref().as_bytes(), salt.as_ref(), expected.len());
            let hash = self.compute(algorithm, version, &params, input)?;
            right |= bool::from(hash[..expected.len()].ct_eq(expected.as_bytes()));
        }
        Ok(right)
    }

    fn compute(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: &Params,
        (password, salt, length): (&[u8], &[u8], usize),
    ) -> Result<[u8; MAX_OUTPUT], String> {
        self.reserve(params.block_count())?;
        let mut hash = [0; MAX_OUTPUT];
        let argon2 = Argon2::new(algorithm, version, params.clone());
        let done = argon2.hash_password_into_with_memory(password, salt, &mut hash[..length], &mut self.0[..]);
        // Whoever reads this memory afterwards could test guesses against it for nothing.
        self.0.iter_mut().for_each(Block::zeroize);
        done.map(|()| hash).map_err(|error| error.to_string())
    }

    /// Grows to so many blocks; a vector that grows by itself would end the process when there is no memory.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn reserve(&mut self, blocks: usize) -> Result<(), String> {
        let more = blocks.saturating_sub(self.0.len());
        self.0.try_reserve_exact(more).map_err(|error| error.to_string())?;
        self.0.resize(self.0.len() + more, Block::new());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    fn small() -> Params {
        Params::new(64, 1, 1, None).unwrap()
    }

    #[test]
    fn the_library_reads_what_is_written_here() {
        let hash = Memory::default().hash(b"correct horse", &small()).unwrap();
        let read = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &read).is_ok());
        assert!(Argon2::default().verify_password(b"correct house", &read).is_err());
    }

    #[test]
    fn memory_is_taken_once_and_holds_nothing_afterwards() {
        let mut memory = Memory::default();
        let hash = memory.hash(b"correct horse", &small()).unwrap();
        let first = memory.0.as_ptr();
        for _ in 0..3 {
            assert!(memory.verify(&["correct horse"], &hash).unwrap());
            assert_eq!((memory.0.as_ptr(), memory.0.len()), (first, 64));
            assert!(memory.0.iter().all(|block| block.as_ref().iter().all(|&word| word == 0)), "not wiped");
        }
    }

    #[test]
    fn any_of_the_spellings_may_be_the_right_one() {
        let mut memory = Memory::default();
        let hash = memory.hash(b"second", &small()).unwrap();
        for (spellings, right) in [(&["first", "second"][..], true), (&["second", "third"], true), (&["third"], false)]
        {
            assert_eq!(memory.verify(spellings, &hash), Ok(right), "{spellings:?}");
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_a_fault_and_no_verdict() {
        let mut memory = Memory::default();
        let small_hash = memory.hash(b"x", &small()).unwrap();
        // Four TiB.
        let huge = small_hash.replace("m=64", "m=4294967295");
        assert!(memory.verify(&["x"], &huge).is_err());
        assert!(memory.verify(&["x"], &small_hash).unwrap(), "and the next hash is computed as ever");
    }

    #[test]
    fn what_is_no_hash_is_a_fault_and_no_verdict() {
        for stored in
            ["", "x", "$argon2id$v=19$m=64,t=1,p=1$a2V5c3RlYWQtbm9ib2R5", "$scrypt$ln=1$aaaaaaaaaaaa$bbbbbbbbbbbbbbbb"]
        {
            assert!(Memory::default().verify(&["x"], stored).is_err(), "{stored}");
        }
    }
}
