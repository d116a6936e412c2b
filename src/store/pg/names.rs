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
    use std::process::Command;

    use super::*;

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

    /// One that is its own root; `names` as openssl writes them, or none.
    fn certificate(subject: &str, names: &str) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-keyout", "/dev/null", "-days", "9", "-outform", "DER", "-subj", subject]);
        if !names.is_empty() {
            openssl.args(["-addext", &format!("subjectAltName={names}")]);
        }
        let made = openssl.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        made.stdout
    }

    #[test]
    fn a_certificate_is_for_its_names_and_where_it_has_none_of_that_kind_for_its_common_name() {
        for (names, good, bad) in [
            ("DNS:db.example,DNS:*.keys.example", ["db.example", "a.keys.example"], ["common.example", "x.example"]),
            // An address is no name.
            ("DNS:127.0.0.1,DNS:db.example", ["db.example", "DB.example."], ["127.0.0.1", "common.example"]),
            ("IP:127.0.0.1,IP:::1", ["127.0.0.1", "::1"], ["127.0.0.2", "::2"]),
            ("IP:127.0.0.1,DNS:db.example", ["127.0.0.1", "db.example"], ["::1", "common.example"]),
            ("IP:127.0.0.1", ["127.0.0.1", "common.example"], ["127.0.0.2", "db.example"]),
            ("email:maya@acme.example", ["common.example", "COMMON.example"], ["acme.example", "127.0.0.1"]),
            ("", ["common.example", "common.example."], ["db.example", "::1"]),
        ] {
            let der = certificate("/CN=common.example", names);
            good.iter().for_each(|host| assert!(is_for(&der, host), "{names} is for {host}"));
            bad.iter().for_each(|host| assert!(!is_for(&der, host), "{names} is not for {host}"));
        }
        let of_an_address = certificate("/CN=127.0.0.2", "IP:127.0.0.1");
        assert!(!is_for(&of_an_address, "127.0.0.2"), "it has addresses, and this is none of them");
        assert!(is_for(&certificate("/CN=127.0.0.2", ""), "127.0.0.2"));
        let two = certificate("/CN=first.example/CN=last.example", "");
        assert!(is_for(&two, "last.example") && !is_for(&two, "first.example"));
        assert!(!is_for(&certificate("/O=common.example", ""), "common.example"));
        assert!(!is_for(b"no certificate", "common.example"));
    }

    #[test]
    fn a_certificate_is_current_from_its_first_second_to_its_last() {
        let der = certificate("/CN=db.example", "");
        let validity = Certificate::from_der(&der).unwrap().tbs_certificate.validity;
        let at = |time: Duration| is_current(&der, UnixTime::since_unix_epoch(time));
        let (first, last) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        let second = Duration::from_secs(1);
        assert!(at(first) && at(last) && at(first + second));
        assert!(!at(first - second) && !at(last + second));
        assert!(!is_current(b"no certificate", UnixTime::since_unix_epoch(first)));
    }

    #[test]
    fn the_public_key_is_what_the_certificate_says_whole() {
        let der = certificate("/CN=db.example", "");
        let key = public_key(&der).unwrap();
        // P-256: a sequence of 91 bytes with the point at its end.
        assert_eq!((key[0], key.len()), (0x30, 91));
        assert!(der.windows(key.len()).any(|window| window == key));
        assert_eq!(public_key(b"no certificate"), None);
    }
}
