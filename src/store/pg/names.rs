//! Whose certificate it is, as libpq decides it: by the alternative names, and only where there are none by the common
//! name, which rustls would not look at.

use std::{net::IpAddr, time::Duration};

use rustls::pki_types::UnixTime;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// Whether a certificate was made for this host.
pub fn is_for(der: &[u8], host: &str) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let Ok(names) = certificate.tbs_certificate.get::<SubjectAltName>() else { return false };
    let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
    let address: Option<IpAddr> = host.parse().ok();
    let mut has_names = false;
    for name in &names {
        match name {
            GeneralName::DnsName(name) => {
                has_names = true;
                if address.is_none() && is_match(name.as_str(), host) {
                    return true;
                }
            }
            GeneralName::IpAddress(bytes) => {
                has_names |= address.is_some();
                let is_same = |address| match address {
                    IpAddr::V4(address) => bytes.as_bytes() == address.octets(),
                    IpAddr::V6(address) => bytes.as_bytes() == address.octets(),
                };
                if address.is_some_and(is_same) {
                    return true;
                }
            }
            _ => {}
        }
    }
    !has_names && common_name(&certificate).is_some_and(|name| is_match(&name, host))
}

/// `*.` stands for one label.
fn is_match(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(rest) => {
            host.split_once('.').is_some_and(|(label, domain)| !label.is_empty() && domain.eq_ignore_ascii_case(rest))
        }
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let id = x509_cert::der::oid::db::rfc4519::COMMON_NAME;
    let mut names = certificate.tbs_certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let name = names.rfind(|name| name.oid == id)?;
    String::from_utf8(name.value.value().to_vec()).ok()
}

/// Whether a certificate is valid at this time.
pub fn is_current(der: &[u8], now: UnixTime) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let validity = certificate.tbs_certificate.validity;
    let now = Duration::from_secs(now.as_secs());
    validity.not_before.to_unix_duration() <= now && now <= validity.not_after.to_unix_duration()
}

/// The public key of a certificate, also of versions that webpki does not read.
pub fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(der).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn a_wildcard_is_one_label() {
        assert!(is_match("DB.example.com", "db.EXAMPLE.com."));
        assert!(is_match("*.example.com", "db.example.com"));
        for (pattern, host) in
            [("*.example.com", "a.b.example.com"), ("*.example.com", "example.com"), ("*.", "a."), ("*", "db")]
        {
            assert!(!is_match(pattern, host), "{pattern} {host}");
        }
    }
}
