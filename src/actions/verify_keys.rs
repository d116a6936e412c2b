//! Verify many keys: as one by one, but their waits for memory overlap.

use super::verify_key::{NoLease, ask_lease, digest, judge};
use crate::{
    app::Keys,
    domain::verdict::Verdict,
    key_index::{Caller, Reading},
};

/// Keys that are waited for together: more do not overlap any better.
const TOGETHER: usize = 16;

/// Whether each of these texts is a key that may pass, in their order.
///
/// # Errors
/// [`NoLease`], also when the lease ends in between: then no verdict is given on any.
pub fn verify_keys<'a>(
    keys: &Keys,
    index: &'a Reading,
    texts: &[impl AsRef<str>],
    caller: Caller<'_>,
) -> Result<Vec<Verdict<'a>>, NoLease> {
    let mut verdicts = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TOGETHER) {
        let begun = ask_lease(keys)?;
        let mut digests = [None; TOGETHER];
        let digests = &mut digests[..texts.len()];
        for (own, text) in digests.iter_mut().zip(texts) {
            *own = digest(keys, text.as_ref());
        }
        index.fetch(digests);
        verdicts.extend(digests.iter().map(|digest| judge(keys, index, digest.as_ref(), caller, begun)));
    }
    Ok(verdicts)
}
