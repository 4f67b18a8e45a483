//! The part of an S3 event that is used here: which objects are new.

use serde::Deserialize;

/// An S3 event notification.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Event {
    #[serde(rename = "Records")]
    pub records: Vec<S3Record>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct S3Record {
    pub s3: S3Entity,
}

/// An object in a bucket.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Entity {
    pub bucket: S3Bucket,
    pub object: S3Object,
}

#[derive(Debug, Clone, Deserialize)]
pub struct S3Bucket {
    pub name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct S3Object {
    /// The key, URL-encoded as in a form.
    pub key: String,
}

impl S3Object {
    /// Decodes the key.
    pub fn decoded(&self) -> String {
        form_urlencoded::parse(self.key.replace('=', "%3D").replace('&', "%26").as_bytes())
            .next()
            .map(|(key, _)| key.into_owned())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        for (encoded, key) in [
            (
                "feeds/harbor/member/2026-11-23.full.csv",
                "feeds/harbor/member/2026-11-23.full.csv",
            ),
            ("a+b%2Bc%C3%A9=d&e", "a b+cé=d&e"),
            ("", ""),
        ] {
            let object = S3Object {
                key: encoded.into(),
            };
            assert_eq!(object.decoded(), key);
        }
    }
}
