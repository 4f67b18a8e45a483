//! Generates and unwraps data keys with KMS.
//!
//! Data keys are generated without their plaintext, stored wrapped, and unwrapped once per process. The
//! encryption context names their use, so that a role's policy can allow only that use
//! (`kms:EncryptionContext:vestibule`) and CloudTrail shows it.

use std::error::Error;

use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use futures::future::try_join_all;
use zeroize::Zeroizing;

use crate::keyring::{KEY_BYTES, Keyring, WrappedKey};

/// The encryption context of every data key.
const CONTEXT: (&str, &str) = ("vestibule", "keyring");

/// Why the keyring is not available. The message says what to check and contains no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// KMS did not generate a data key.
    #[error("KMS key {key_id} did not generate a data key: {reason}")]
    NotGenerated {
        key_id: String,
        /// The error of KMS and what to check.
        reason: String,
    },
    /// KMS did not unwrap a data key.
    #[error("KMS did not unwrap version {version} of the keyring: {reason}")]
    NotUnwrapped {
        version: u32,
        /// The error of KMS and what to check.
        reason: String,
    },
    /// KMS unwrapped something that is not an AES-256 key.
    #[error(
        "version {version} of the keyring unwraps to {bytes} bytes instead of 32: it was not made by this system"
    )]
    NotAKey { version: u32, bytes: usize },
    /// There is no key to unwrap.
    #[error("the keyring contains no wrapped key: generate one first")]
    Empty,
}

/// Generates a data key that KMS wraps with the KMS key `key_id` (an id, ARN or alias). Its plaintext stays
/// in KMS.
///
/// # Errors
/// [`KmsError::NotGenerated`] with what to check.
pub async fn generate(client: &Client, key_id: &str, version: u32) -> Result<WrappedKey, KmsError> {
    let not_generated = |reason| KmsError::NotGenerated {
        key_id: key_id.to_owned(),
        reason,
    };
    let made = client
        .generate_data_key_without_plaintext()
        .key_id(key_id)
        .key_spec(DataKeySpec::Aes256)
        .encryption_context(CONTEXT.0, CONTEXT.1)
        .send()
        .await
        .map_err(|error| not_generated(explain(&error, "kms:GenerateDataKeyWithoutPlaintext")))?;
    let blob = made.ciphertext_blob.ok_or_else(|| {
        not_generated("the response contains no wrapped key: check the endpoint".to_owned())
    })?;
    Ok(WrappedKey {
        version,
        blob: blob.into_inner(),
    })
}

/// Unwraps data keys concurrently into a keyring.
///
/// # Errors
/// [`KmsError`] for the first key that can't be unwrapped, or when there is none.
pub async fn unwrap(client: &Client, keys: &[WrappedKey]) -> Result<Keyring, KmsError> {
    let unwrapped = try_join_all(keys.iter().map(|key| unwrap_one(client, key))).await?;
    Keyring::new(unwrapped.iter().map(|(version, key)| (*version, **key))).ok_or(KmsError::Empty)
}

async fn unwrap_one(
    client: &Client,
    key: &WrappedKey,
) -> Result<(u32, Zeroizing<[u8; KEY_BYTES]>), KmsError> {
    let version = key.version;
    let answer = client
        .decrypt()
        .ciphertext_blob(Blob::new(key.blob.as_slice()))
        .encryption_context(CONTEXT.0, CONTEXT.1)
        .send()
        .await
        .map_err(|error| KmsError::NotUnwrapped {
            version,
            reason: explain(&error, "kms:Decrypt"),
        })?;
    let plain = Zeroizing::new(answer.plaintext.map(Blob::into_inner).unwrap_or_default());
    match <[u8; KEY_BYTES]>::try_from(plain.as_slice()) {
        Ok(key) => Ok((version, Zeroizing::new(key))),
        Err(_) => Err(KmsError::NotAKey {
            version,
            bytes: plain.len(),
        }),
    }
}

/// Describes an error and what to check. It quotes only the code and message of KMS, because a response
/// that can't be parsed might contain a key.
fn explain<E: ProvideErrorMetadata>(error: &SdkError<E>, action: &str) -> String {
    let (key, value) = CONTEXT;
    let unread = |reported: &str| format!("{reported}: check the custom endpoint for KMS");
    let error = match error {
        SdkError::ServiceError(error) => error.err(),
        SdkError::TimeoutError(_) => {
            return "no response in time: check the region and the function's network access to KMS"
                .to_owned();
        }
        SdkError::DispatchFailure(failure) => {
            let detail = failure
                .as_connector_error()
                .map(|error| root_cause(error))
                .unwrap_or_default();
            return format!(
                "not reached ({detail}): check the region, the credentials and the function's network access to KMS"
            );
        }
        SdkError::ConstructionFailure(_) => {
            return "the request could not be made: check the region and the credentials"
                .to_owned();
        }
        _ => return unread("the response could not be read"),
    };
    let Some(code) = error.code() else {
        return unread("it failed without a code");
    };
    let check = match code {
        "AccessDeniedException" => &format!(
            "check that the function's role and the KMS key's policy allow {action} with encryption context {key}={value}"
        ),
        "NotFoundException" | "InvalidKeyUsageException" => {
            "check the region, and that KMS_KEY_ID names a symmetric encryption key"
        }
        "DisabledException" | "KMSInvalidStateException" => {
            "check that the KMS key is enabled and not pending deletion"
        }
        "InvalidCiphertextException" | "IncorrectKeyException" => {
            "check that the wrapped key was made for this system with its KMS key and is not damaged"
        }
        "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
            "check the credentials"
        }
        _ => "check the KMS key and its settings",
    };
    let message = error
        .message()
        .map(|message| format!(" ({message})"))
        .unwrap_or_default();
    format!("{code}{message}: {check}")
}

/// Describes an error of a call for signing and what to check.
pub(crate) fn explain_signing<E: ProvideErrorMetadata>(
    error: &SdkError<E>,
    action: &str,
) -> String {
    let Some(code) = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
    else {
        return explain(error, action);
    };
    let check = match code {
        "AccessDeniedException" => &format!(
            "check that the function's role and the KMS key's policy allow {action} on the keys of the two aliases"
        ),
        "NotFoundException" | "InvalidKeyUsageException" => {
            "check the region, and that both aliases of SIGNING_KEY_ALIAS name an RSA_2048 key for signing"
        }
        _ => return explain(error, action),
    };
    format!("{code}: {check}")
}

/// Returns the innermost cause, which describes the network error.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::config::retry::RetryConfig;
    use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
    use data_encoding::BASE64;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use vestibule_domain::values::text::Sensitive;

    use crate::Purpose;

    fn client(port: u16) -> Client {
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .build();
        Client::from_conf(config)
    }

    /// A KMS stand-in that always returns the same response, and the requests that it received.
    async fn kms_that_says(
        status: u16,
        body: String,
    ) -> (Client, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap().port());
        let (asked, asks) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let complete = |request: &[u8]| {
                    let text = String::from_utf8_lossy(request).into_owned();
                    text.split_once("\r\n\r\n")
                        .is_some_and(|(_, body)| body.ends_with('}'))
                };
                while !complete(&request) && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                let _ = asked.send(String::from_utf8_lossy(&request).into_owned());
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (client, asks)
    }

    fn wrapped(version: u32) -> WrappedKey {
        WrappedKey {
            version,
            blob: vec![1, 2, 3],
        }
    }

    #[tokio::test]
    async fn a_data_key_is_made_without_its_plaintext_and_for_this_use_only() {
        let (client, mut asked) =
            kms_that_says(200, r#"{"CiphertextBlob":"AQID","KeyId":"k"}"#.into()).await;
        let made = generate(&client, "alias/keyring", 3).await.unwrap();
        assert_eq!(made, wrapped(3));
        let request = asked.recv().await.unwrap();
        assert!(
            request
                .to_lowercase()
                .contains("x-amz-target: trentservice.generatedatakeywithoutplaintext\r\n")
        );
        for part in [
            r#""EncryptionContext":{"vestibule":"keyring"}"#,
            r#""KeySpec":"AES_256""#,
            r#""KeyId":"alias/keyring""#,
        ] {
            assert!(request.contains(part), "{request}");
        }
    }

    #[tokio::test]
    async fn wrapped_keys_become_a_keyring_whose_current_key_is_the_highest() {
        let key = BASE64.encode(&[7; 32]);
        let (client, mut asked) = kms_that_says(200, format!(r#"{{"Plaintext":"{key}"}}"#)).await;
        let keyring = unwrap(&client, &[wrapped(2), wrapped(1)]).await.unwrap();
        let same = Keyring::new([(1, [7; 32]), (2, [7; 32])]).unwrap();
        let value = Sensitive::new("1234");
        let mac = keyring.mac(Purpose::Pin, "", &value);
        assert_eq!(mac.key, 2);
        assert_eq!(mac, same.mac(Purpose::Pin, "", &value));
        assert!(
            asked
                .recv()
                .await
                .unwrap()
                .contains(r#""EncryptionContext":{"vestibule":"keyring"}"#)
        );
        assert_eq!(unwrap(&client, &[]).await.unwrap_err(), KmsError::Empty);
    }

    #[tokio::test]
    async fn an_error_says_what_to_check() {
        for (code, check) in [
            (
                "AccessDeniedException",
                "allow kms:Decrypt with encryption context vestibule=keyring",
            ),
            ("NotFoundException", "check the region, and that KMS_KEY_ID"),
            ("DisabledException", "check that the KMS key is enabled"),
            (
                "KMSInvalidStateException",
                "check that the KMS key is enabled",
            ),
            (
                "InvalidCiphertextException",
                "check that the wrapped key was made for this system",
            ),
            ("UnrecognizedClientException", "check the credentials"),
            ("ThrottlingException", "check the KMS key and its settings"),
        ] {
            let body = format!(r#"{{"__type":"{code}","message":"as KMS puts it"}}"#);
            let (client, _asked) = kms_that_says(400, body).await;
            let error = unwrap(&client, &[wrapped(4)])
                .await
                .unwrap_err()
                .to_string();
            let start =
                format!("KMS did not unwrap version 4 of the keyring: {code} (as KMS puts it): ");
            assert!(
                error.starts_with(&start) && error.contains(check),
                "{error}"
            );
            let error = generate(&client, "alias/keyring", 4)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!(
                    "KMS key alias/keyring did not generate a data key: {code}"
                )),
                "{error}"
            );
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = client(listener.local_addr().unwrap().port());
        drop(listener);
        let error = unwrap(&nobody, &[wrapped(1)])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("not reached (") && error.contains("check the region"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn no_error_holds_key_bytes() {
        let key = BASE64.encode(&[7; 31]);
        for body in [
            format!(r#"{{"Plaintext":"{key}""#),
            format!(r#"{{"Plaintext":"{key}!"}}"#),
            format!(r#"{{"Plaintext":"{key}"}}"#),
        ] {
            let (client, _asked) = kms_that_says(200, body).await;
            let error = unwrap(&client, &[wrapped(1)]).await.unwrap_err();
            assert!(
                !format!("{error:?} {error}").contains(&key[..8]),
                "{error:?}"
            );
            assert!(!format!("{error:?}").contains("7, 7"), "{error:?}");
        }
        let (client, _asked) = kms_that_says(200, format!(r#"{{"Plaintext":"{key}"}}"#)).await;
        let error = unwrap(&client, &[wrapped(1)]).await.unwrap_err();
        assert_eq!(
            error,
            KmsError::NotAKey {
                version: 1,
                bytes: 31
            }
        );
    }
}
