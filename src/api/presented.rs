//! Which key a gateway's request carries: `Authorization: Bearer` or `X-API-Key`, never the query.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::denial::Denial;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The key as text; whether it is one is for the verification to say.
///
/// # Errors
/// [`Denial::Missing`] when there is none, [`Denial::Ambiguous`] when there are two, or a header comes twice.
pub fn key_of(headers: &HeaderMap) -> Result<&str, Denial> {
    let bearer = only(headers, &header::AUTHORIZATION)?.and_then(bearer_token);
    let api_key = only(headers, &X_API_KEY)?.map(|value| value.as_bytes().trim_ascii());
    let key = match (bearer, api_key) {
        (Some(bearer), Some(api_key)) if bearer != api_key => return Err(Denial::Ambiguous),
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => return Err(Denial::Missing),
    };
    // What is not even text is as malformed as any other text that is no key.
    Ok(std::str::from_utf8(key).unwrap_or("\u{fffd}"))
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Denial> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        // Which of two a gateway believes is anybody's guess.
        _ => Err(Denial::Ambiguous),
    }
}

/// What follows `Bearer` in any case (RFC 9110, 11.1); `None` for another scheme, which is somebody else's.
fn bearer_token(value: &HeaderValue) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len())?;
    let blank = matches!(token.first(), None | Some(b' ' | b'\t'));
    (scheme.eq_ignore_ascii_case(SCHEME) && blank).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lines: &[(&'static str, &'static str)]) -> Result<String, Denial> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        key_of(&headers).map(str::to_owned)
    }

    #[test]
    fn either_header_carries_the_key() {
        for value in ["Bearer k", "bearer k", "BEARER   k ", "bEaReR\tk"] {
            assert_eq!(key(&[("authorization", value)]), Ok("k".to_owned()), "{value}");
        }
        assert_eq!(key(&[("x-api-key", "k")]), Ok("k".to_owned()));
        assert_eq!(key(&[("authorization", "Bearer k"), ("x-api-key", "k")]), Ok("k".to_owned()));
        assert_eq!(key(&[("authorization", "Basic dTpw"), ("x-api-key", "k")]), Ok("k".to_owned()));
        assert_eq!(key(&[("authorization", "Bearer")]), Ok(String::new()));
    }

    #[test]
    fn none_is_missing_and_two_are_refused() {
        assert_eq!(key(&[]), Err(Denial::Missing));
        assert_eq!(key(&[("authorization", "Basic dTpw")]), Err(Denial::Missing));
        assert_eq!(key(&[("authorization", "Bearerk")]), Err(Denial::Missing));
        for two in [
            [("authorization", "Bearer k"), ("x-api-key", "l")],
            [("authorization", "Bearer k"), ("authorization", "Bearer k")],
            [("x-api-key", "k"), ("x-api-key", "k")],
        ] {
            assert_eq!(key(&two), Err(Denial::Ambiguous), "{two:?}");
        }
    }
}
