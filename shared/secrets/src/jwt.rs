//! JSON Web Tokens (RFC 7519) in the compact form: what the system signs with KMS, and what applications sign.
//!
//! The algorithm follows from the key and is only compared with the header, so that a token cannot choose it (RFC
//! 8725, 3.1). `jsonwebtoken` would link the default features of aws-lc-rs, and so another build of it.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use vestibule_domain::policy::{ApplicationKey, KeyType};

/// The maximum length of a token that is parsed.
pub const MAX_LENGTH: usize = 16 * 1024;

/// The header of a token (RFC 7515, 4).
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    pub alg: String,
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default)]
    pub typ: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    crit: Option<Value>,
}

/// A token whose signature was not verified yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    pub header: Header,
    /// What is signed: header and claims, encoded.
    message: &'a str,
    claims: Value,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Parses a token; `None` for any other text.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
        (header.crit.is_none() && claims.is_object()).then_some(Self {
            header,
            message,
            claims,
            signature: decode(signature)?,
        })
    }

    /// Returns a text claim that nobody has vouched for yet, to find the key.
    pub fn unverified_text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Returns the claims if the signature is that of the key.
    pub fn verify(self, key: &VerifyingKey) -> Option<Value> {
        let signature = (self.message.as_bytes(), self.signature.as_slice());
        let is_right = self.header.alg == key.algorithm
            && key.key.verify_sig(signature.0, signature.1).is_ok();
        is_right.then_some(self.claims)
    }
}

/// A public key with the one algorithm that it is for.
#[derive(Debug)]
pub struct VerifyingKey {
    algorithm: &'static str,
    key: ParsedPublicKey,
}

impl VerifyingKey {
    /// Returns an RSA key for RS256; `None` if it is none.
    pub fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let key = RsaPublicKeyComponents { n, e };
        let key = key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
        Some(Self {
            algorithm: "RS256",
            key,
        })
    }

    /// Returns a key of an application; `None` if it is not on its curve.
    pub fn of_application(key: &ApplicationKey) -> Option<Self> {
        match key.kty {
            KeyType::Rsa => Self::rsa(key.n.as_ref()?.bytes(), key.e.as_ref()?.bytes()),
            KeyType::Ec => {
                // An uncompressed point (SEC 1, section 2.3.3).
                let point = [&[4], key.x.as_ref()?.bytes(), key.y.as_ref()?.bytes()].concat();
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
                Some(Self {
                    algorithm: "ES256",
                    key,
                })
            }
        }
    }
}

/// Returns header and claims as they are signed.
pub(crate) fn signing_input(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    format!("{}.{}", encode(header), encode(claims))
}

/// Returns the thumbprint of an RSA key (RFC 7638), which is its id.
pub(crate) fn thumbprint(n: &[u8], e: &[u8]) -> String {
    let encode = |part: &[u8]| BASE64URL_NOPAD.encode(part);
    // The members in this order and without spaces.
    let members = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n));
    BASE64URL_NOPAD.encode(&Sha256::digest(members))
}

/// Reads modulus and exponent from a `SubjectPublicKeyInfo` (RFC 8017, A.1; RFC 5280, 4.1).
pub(crate) fn rsa_parts(spki: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    const INTEGER: u8 = 0x02;
    let (info, rest) = element(SEQUENCE, spki)?;
    let (_algorithm, info) = element(SEQUENCE, info)?;
    let (bits, end) = element(BIT_STRING, info)?;
    let (key, after) = element(SEQUENCE, bits.strip_prefix(&[0])?)?;
    let (n, key) = element(INTEGER, key)?;
    let (e, last) = element(INTEGER, key)?;
    let is_whole = [rest, end, after, last].iter().all(|rest| rest.is_empty());
    let positive = |number: &[u8]| number.strip_prefix(&[0]).unwrap_or(number).to_vec();
    is_whole.then(|| (positive(n), positive(e)))
}

/// Splits the content of a DER element with this tag from what follows.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (length, rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7515, A.2: a token that RS256 signs.
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

    fn key() -> VerifyingKey {
        let n = BASE64URL_NOPAD.decode(N.as_bytes()).unwrap();
        VerifyingKey::rsa(&n, &[1, 0, 1]).unwrap()
    }

    #[test]
    fn so_01_a_token_counts_only_with_the_signature_and_algorithm_of_its_key() {
        let claims = Unverified::parse(TOKEN).unwrap().verify(&key()).unwrap();
        assert_eq!(claims["iss"], "joe");
        let (message, signature) = TOKEN.rsplit_once('.').unwrap();
        let (_, claims) = message.split_once('.').unwrap();
        let with_header = |header: &str| {
            let header = BASE64URL_NOPAD.encode(header.as_bytes());
            format!("{header}.{claims}.{signature}")
        };
        for forged in [
            with_header(r#"{"alg":"none"}"#),
            with_header(r#"{"alg":"HS256"}"#),
            with_header(r#"{"alg":"PS256"}"#),
            with_header(r#"{"alg":"RS256","typ":"JWT"}"#),
            format!("{message}."),
            format!("{message}.{}", &signature[..signature.len() - 4]),
        ] {
            let parsed = Unverified::parse(&forged);
            assert!(
                parsed.is_none_or(|token| token.verify(&key()).is_none()),
                "{forged}"
            );
        }
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            message,
            &with_header(r#"{"alg":"RS256","crit":["exp"]}"#),
            &with_header(r#"{"kid":"1"}"#),
            &"a".repeat(MAX_LENGTH + 1),
        ] {
            assert!(Unverified::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_key_are_read_from_der_and_nothing_else() {
        use aws_lc_rs::encoding::AsDer;
        use aws_lc_rs::rsa::{KeyPair, KeySize};
        use aws_lc_rs::signature::KeyPair as _;
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.public_key().as_der().unwrap();
        let (n, e) = rsa_parts(der.as_ref()).unwrap();
        assert_eq!((n.len(), e.as_slice()), (256, &[1, 0, 1][..]));
        assert_eq!(thumbprint(&n, &e).len(), 43);
        for length in 0..der.as_ref().len() {
            assert_eq!(rsa_parts(&der.as_ref()[..length]), None);
        }
        assert_eq!(rsa_parts(&[der.as_ref(), &[0]].concat()), None);
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let n = BASE64URL_NOPAD.decode(n.as_bytes()).unwrap();
        assert_eq!(
            thumbprint(&n, &[1, 0, 1]),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }
}
