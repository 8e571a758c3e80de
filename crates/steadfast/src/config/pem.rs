//! Certificates and keys as PEM has them: which is which, and until when a certificate is in force.

use chrono::{DateTime, NaiveDateTime, Utc};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use steadfast_kafka::security::Secret;
use zeroize::Zeroizing;

/// What a store is that is no PEM file, and how to make one of it; none for what may be PEM.
pub(super) fn other_format(content: &[u8]) -> Option<(&'static str, &'static str)> {
    match content {
        [0xfe, 0xed, 0xfe, 0xed, ..] => Some(("a JKS store", FROM_JKS)),
        [0x30, 0x80..=0x84, ..] => Some(("a PKCS12 store, or a certificate as DER", FROM_PKCS12)),
        _ => None,
    }
}

/// How Java's own store becomes PEM.
pub(super) const FROM_JKS: &str = "convert it: keytool -importkeystore -srckeystore OLD.jks -destkeystore OLD.p12 \
     -deststoretype PKCS12, then as for PKCS12: openssl pkcs12 -in OLD.p12 -nodes -out NEW.pem";
/// How a PKCS12 store becomes PEM.
pub(super) const FROM_PKCS12: &str = "convert it: openssl pkcs12 -in OLD.p12 -nodes -out NEW.pem (with -nokeys for a \
     truststore); a single certificate: openssl x509 -inform der -in OLD.der -out NEW.pem";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a file that holds the key too, and the rest of it.
pub(super) fn split(content: &str) -> (String, Secret) {
    let (mut certificates, mut others) = (String::new(), Zeroizing::new(String::new()));
    let mut rest = content;
    while let Some((before, from)) = rest.split_once(BEGIN) {
        let Some((body, after)) = from.split_once(END) else { break };
        others.push_str(before);
        certificates.extend([BEGIN, body, END, "\n"]);
        rest = after;
    }
    others.push_str(rest);
    (certificates, Secret::new(others.as_str()))
}

/// When the first certificate of the chain ends, if that can be read.
pub(super) fn ends_at(chain: &[u8]) -> Option<DateTime<Utc>> {
    let certificate = CertificateDer::pem_slice_iter(chain).next()?.ok()?;
    not_after(&certificate)
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// RFC 5280, 4.1: the end of a certificate's validity.
fn not_after(certificate: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature's algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_, _, after_begin) = element(validity)?;
    let (kind, text, _) = element(after_begin)?;
    let text = std::str::from_utf8(text).ok()?;
    let full = match kind {
        GENERALIZED_TIME => text.to_owned(),
        // Two digits: from 1950 to 2049.
        UTC_TIME => format!("{}{text}", if *text.as_bytes().first()? >= b'5' { "19" } else { "20" }),
        _ => return None,
    };
    NaiveDateTime::parse_from_str(&full, "%Y%m%d%H%M%SZ").ok().map(|time| time.and_utc())
}

/// The first element's tag and content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80).filter(|(bytes, _)| bytes.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        rcgen::CertifiedKey { cert, signing_key }
    }

    #[test]
    fn a_certificate_tells_its_end() {
        for year in [2002, 2049, 2050, 2200] {
            let pem = certificate(year).cert.pem();
            assert_eq!(ends_at(pem.as_bytes()).unwrap().to_rfc3339(), format!("{year}-03-04T00:00:00+00:00"));
        }
    }

    #[test]
    fn broken_certificates_tell_nothing() {
        let pem = certificate(2030);
        let der = pem.cert.der();
        for end in 0..der.len() {
            not_after(&der[..end]);
        }
        for at in 0..der.len() {
            let mut broken = der.to_vec();
            broken[at] ^= 0xff;
            not_after(&broken);
        }
        assert_eq!(element(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(element(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]), None);
        assert_eq!(ends_at(b"no PEM"), None);
    }

    #[test]
    fn the_key_is_told_from_the_certificates() {
        let made = certificate(2030);
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let (chain, rest) = split(&format!("{key}{cert}Bag Attributes\n{cert}"));
        assert_eq!(chain.matches(BEGIN).count(), 2);
        assert!(!chain.contains("PRIVATE") && rest.expose().contains(key.trim()));
        assert!(!rest.expose().contains("CERTIFICATE"));
    }

    #[test]
    fn other_stores_are_known_by_their_first_bytes() {
        assert!(other_format(&[0xfe, 0xed, 0xfe, 0xed, 0]).unwrap().0.contains("JKS"));
        assert!(other_format(&[0x30, 0x82, 1, 2]).unwrap().0.contains("PKCS12"));
        assert_eq!(other_format(b"-----BEGIN"), None);
    }
}
