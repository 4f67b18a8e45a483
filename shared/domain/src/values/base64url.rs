//! Stores bytes as base64url without padding (RFC 4648, section 5): `#[serde(with = "base64url")]`.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

pub(crate) fn serialize<S: serde::Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&BASE64URL_NOPAD.encode(bytes))
}

pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    BASE64URL_NOPAD
        .decode(String::deserialize(d)?.as_bytes())
        .map_err(serde::de::Error::custom)
}
