//! The public keys of passkeys and the verification of their signatures.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};

use super::cbor::Reader;

/// The algorithms that are offered, in order of preference, by their COSE numbers (RFC 9053 and RFC 8812).
///
/// Nearly all authenticators have ES256, Windows Hello on older computers only RS256.
pub(super) const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// The length of a coordinate of P-256 and of an Ed25519 key, in bytes.
const COORDINATE_BYTES: usize = 32;

/// The lengths of an RSA modulus, in bytes: 2,048 to 4,096 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The exponent 65,537. All authenticators use it; with 1, a signature would mean nothing.
const RSA_EXPONENT: &[u8] = &[1, 0, 1];

/// A key that verifies what a passkey signs.
pub(super) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Parses a `COSE_Key` (RFC 9052, section 7) of one of the [`ALGORITHMS`], with nothing but its required
    /// parameters (WebAuthn Level 3, section 6.5.1.1). `None` for anything else, including a point that is not
    /// on its curve.
    pub(super) fn parse(cose: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(cose);
        // The labels 1 (key type), 3 (algorithm), -1, -2 and -3 (parameters of the key type).
        let (mut kind, mut algorithm) = (None, None);
        let mut parameters: [Option<Parameter<'_>>; 3] = [None; 3];
        for _ in 0..reader.map()? {
            let label = reader.integer()?;
            let is_new = match label {
                1 => kind.replace(reader.integer()?).is_none(),
                3 => algorithm.replace(reader.integer()?).is_none(),
                -3..=-1 => {
                    let slot = &mut parameters[usize::try_from(-1 - label).ok()?];
                    slot.replace(Parameter::read(&mut reader)?).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        if !reader.rest().is_empty() {
            return None;
        }
        use Parameter::{Bytes, Integer};
        // Key types and curves are those of RFC 9053 (sections 7.1 and 7.2) and RFC 8230 (section 4).
        let key = match (kind?, algorithm?, parameters) {
            (2, ES256, [Some(Integer(1)), Some(Bytes(x)), Some(Bytes(y))])
                if [x.len(), y.len()] == [COORDINATE_BYTES; 2] =>
            {
                // An uncompressed point (SEC 1, section 2.3.3).
                let point = [&[4], x, y].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            }
            (1, EDDSA, [Some(Integer(6)), Some(Bytes(x)), None]) if x.len() == COORDINATE_BYTES => {
                ParsedPublicKey::new(&ED25519, x)
            }
            (3, RS256, [Some(Bytes(n)), Some(Bytes(e)), None])
                if RSA_MODULUS_BYTES.contains(&n.len()) && e == RSA_EXPONENT =>
            {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
            _ => return None,
        };
        key.ok().map(Self)
    }

    /// Returns whether the signature over the message is this key's.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

/// A parameter of a key: a curve, or the bytes of a number.
#[derive(Clone, Copy)]
enum Parameter<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> Parameter<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        if reader.is_integer() {
            reader.integer().map(Self::Integer)
        } else {
            reader.bytes().map(Self::Bytes)
        }
    }
}
