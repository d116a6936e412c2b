//! Lets exactly our own cookies through, read from the raw header.
//!
//! Trap, reproduced: actix percent-decodes cookie *names* and trims Unicode blanks, so `__%48ost-keystead` would be read
//! as ours, and the first of two wins. A neighbour on a sibling domain could plant one. Here a name counts byte for byte,
//! and two cookies of one name are none.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderValue},
    middleware::Next,
    web,
};

use super::{device_cookie, session, theme};
use crate::app::Site;

/// Removes every cookie from the request that is not one of ours.
pub async fn keep_own_cookies<B: MessageBody>(
    site: web::Data<Site>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let (session, device) = (session::cookie_name(&site), device_cookie::name(&site));
    let names = [session.as_str(), device.as_str(), theme::COOKIE];
    let kept = own_cookies(request.headers(), &names);
    let headers = request.headers_mut();
    headers.remove(header::COOKIE);
    if let Some(kept) = kept {
        headers.insert(header::COOKIE, kept);
    }
    next.call(request).await
}

fn own_cookies(headers: &HeaderMap, names: &[&str]) -> Option<HeaderValue> {
    let all: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'))
        .map(<[u8]>::trim_ascii)
        .collect();
    let mut kept = Vec::new();
    for name in names {
        let of_name = |cookie: &&&[u8]| cookie.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        let mut ours = all.iter().filter(of_name);
        if let (Some(only), None) = (ours.next(), ours.next()) {
            kept.push(*only);
        }
    }
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::COOKIE, HeaderValue::from_str(value).unwrap());
        }
        own_cookies(&headers, &["__Host-keystead", "__Host-keystead-device", "theme"])
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn ours_pass_and_others_do_not() {
        assert_eq!(
            kept(&["a=1; __Host-keystead=x; theme=dark; b=2"]).as_deref(),
            Some("__Host-keystead=x; theme=dark")
        );
        assert_eq!(kept(&["a=1"]), None);
        assert_eq!(kept(&[]), None);
    }

    #[test]
    fn a_name_counts_byte_for_byte() {
        for planted in
            ["__%48ost-keystead=evil", "__Host-keystead\u{a0}=evil", "__host-keystead=evil", "__Host-keystead =evil"]
        {
            let both = format!("{planted}; __Host-keystead=x");
            assert_eq!(kept(&[&both]).as_deref(), Some("__Host-keystead=x"), "{planted}");
        }
    }

    #[test]
    fn a_name_that_begins_like_another_is_another() {
        let both = "__Host-keystead-device=d; __Host-keystead=x";
        assert_eq!(kept(&[both]).as_deref(), Some("__Host-keystead=x; __Host-keystead-device=d"));
        for planted in ["__Host-keystead-devic%65=d", "__Host-keystead-device =d", "__Host-keystead-devices=d"] {
            assert_eq!(kept(&[planted]), None, "{planted}");
        }
        assert_eq!(kept(&["__Host-keystead-device=d; __Host-keystead-device=e"]), None);
    }

    #[test]
    fn two_of_one_name_are_none() {
        assert_eq!(kept(&["__Host-keystead=x; __Host-keystead=y; theme=dark"]).as_deref(), Some("theme=dark"));
        assert_eq!(kept(&["__Host-keystead=x", "__Host-keystead=x"]), None);
    }
}
