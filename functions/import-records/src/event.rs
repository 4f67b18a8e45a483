//! The part of an S3 event that matters here: which objects are new.

use serde::Deserialize;

/// An event of S3.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Event {
    /// What happened.
    #[serde(rename = "Records")]
    pub records: Vec<S3Record>,
}

/// One thing that happened.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Record {
    /// To what.
    pub s3: S3Entity,
}

/// An object in a bucket.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Entity {
    /// The bucket.
    pub bucket: S3Bucket,
    /// The object.
    pub object: S3Object,
}

/// A bucket.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Bucket {
    /// Its name.
    pub name: String,
}

/// An object.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Object {
    /// Its key, encoded as in a form.
    pub key: String,
}

impl S3Object {
    /// Its key as it is.
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
