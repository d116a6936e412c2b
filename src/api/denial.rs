//! Denials for gateways: RFC 6750 says which status and challenge, RFC 9457 which body.
//!
//! The bodies are made once: a refused key must not cost more than a good one.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web::Bytes,
};

use super::problem::{self, PROBLEM_JSON};
use crate::{actions::verify_key::RETRY_AFTER, app::Site, domain::code::Code, middleware::envelope};

const X_AUTH_CODE: HeaderName = HeaderName::from_static("x-auth-code");

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Two keys, or one header twice.
    Ambiguous,
    /// The request carries no key.
    Missing,
    /// A key that may not pass, and why.
    Refused(Code),
    /// This node cannot tell.
    NoLease,
}

struct Kind {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    challenge: Option<&'static str>,
}

impl Denial {
    fn kind(self) -> Kind {
        const INVALID: Option<&str> = Some("Bearer realm=\"api\", error=\"invalid_token\"");
        let unauthorized = StatusCode::UNAUTHORIZED;
        match self {
            Self::Ambiguous => Kind {
                status: StatusCode::BAD_REQUEST,
                code: "INVALID_REQUEST",
                detail: "Send one API key, in Authorization: Bearer or in X-API-Key.",
                challenge: Some("Bearer realm=\"api\", error=\"invalid_request\""),
            },
            // No error code: nothing was presented that could be wrong (RFC 6750, 3.1).
            Self::Missing => Kind {
                status: unauthorized,
                code: "MISSING",
                detail: "Send your API key in Authorization: Bearer or in X-API-Key.",
                challenge: Some("Bearer realm=\"api\""),
            },
            Self::Refused(code) => Kind {
                status: StatusCode::from_u16(code.status())
                    .ok()
                    .filter(|status| !status.is_success())
                    .unwrap_or(unauthorized),
                code: code.word(),
                detail: code.detail(),
                challenge: INVALID,
            },
            Self::NoLease => Kind {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "NO_LEASE",
                detail: "Keys cannot be checked right now. Try again.",
                challenge: None,
            },
        }
    }

    fn body(self) -> Bytes {
        static BODIES: LazyLock<Vec<(Denial, Bytes)>> = LazyLock::new(|| {
            let refused = Code::all().filter(|code| *code != Code::Valid).map(Denial::Refused);
            let all = [Denial::Ambiguous, Denial::Missing, Denial::NoLease].into_iter().chain(refused);
            let body = |denial: Denial| {
                let kind = denial.kind();
                Bytes::from(problem::document(kind.status, kind.code, kind.detail, None))
            };
            all.map(|denial| (denial, body(denial))).collect()
        });
        BODIES.iter().find(|(denial, _)| *denial == self).map(|(_, body)| body.clone()).unwrap_or_default()
    }

    /// The answer for every gateway but nginx.
    pub fn into_response(self, site: &Site) -> HttpResponse {
        let kind = self.kind();
        self.answer(site, kind.status, &kind)
    }

    /// The answer for nginx, which makes a 500 of anything but 401 and 403: those say why in `X-Auth-Code`.
    pub fn into_response_for_nginx(self, site: &Site) -> HttpResponse {
        let kind = self.kind();
        let mut response = self.answer(site, status_for_nginx(kind.status), &kind);
        response.headers_mut().insert(X_AUTH_CODE, HeaderValue::from_static(kind.code));
        response
    }

    fn answer(self, site: &Site, status: StatusCode, kind: &Kind) -> HttpResponse {
        let mut response = HttpResponse::new(status).set_body(self.body()).map_into_boxed_body();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(challenge) = kind.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if kind.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
        }
        envelope::finish_for_gateway(&mut response, site);
        response
    }
}

fn status_for_nginx(status: StatusCode) -> StatusCode {
    if status == StatusCode::UNAUTHORIZED { status } else { StatusCode::FORBIDDEN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_body_with_its_code() {
        for code in Code::all().filter(|code| *code != Code::Valid) {
            let body = Denial::Refused(code).body();
            let word = code.word();
            assert!(String::from_utf8_lossy(&body).contains(&format!("\"code\":\"{word}\"")), "{body:?}");
        }
    }

    #[test]
    fn nginx_gets_nothing_that_it_makes_a_500_of() {
        for status in [400, 401, 403, 429, 503] {
            let seen = status_for_nginx(StatusCode::from_u16(status).unwrap()).as_u16();
            assert_eq!(seen, if status == 401 { 401 } else { 403 });
        }
    }
}
