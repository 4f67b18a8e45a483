//! The clients of the AWS SDK that the functions use, configured for this machine.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{
    Intercept, SharedInterceptor, dyn_dispatch_hint,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;

/// The access key of every local client.
pub const ACCESS_KEY: &str = "local";
/// The secret key of every local client.
pub const SECRET_KEY: &str = "local";

/// Returns the SDK's settings for a service at `endpoint`: credentials that work nowhere else, and short waits
/// between retries, because the service is local.
pub fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "vestibule-local");
    let mut config = SdkConfig::builder();
    // The SDK's own client reads the machine's root certificates, which plain HTTP has no use for.
    if endpoint.starts_with("http://") {
        config.set_http_client(Some(aws_smithy_http_client::Builder::new().build_http()));
    }
    config
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(10)))
        .build()
}

/// Creates a DynamoDB client. Tests observe and change its calls through `interceptors`.
pub fn dynamodb(endpoint: &str, interceptors: &[SharedInterceptor]) -> aws_sdk_dynamodb::Client {
    let mut config = aws_sdk_dynamodb::config::Builder::from(&config(endpoint));
    for interceptor in interceptors {
        config.push_interceptor(interceptor.clone());
    }
    vestibule_store::client(config)
}

/// Sends transactions without the token by which DynamoDB recognizes a repetition. The embedded database keeps each
/// token for ten minutes and goes through all of them at every transaction, which slows down a busy system. Within
/// one process no response is lost, so nothing is repeated. Tests of faults keep the tokens.
pub fn without_request_tokens() -> SharedInterceptor {
    SharedInterceptor::new(WithoutRequestTokens)
}

#[derive(Debug)]
struct WithoutRequestTokens;

#[dyn_dispatch_hint]
impl Intercept for WithoutRequestTokens {
    fn name(&self) -> &'static str {
        "WithoutRequestTokens"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if request.headers().get("x-amz-target") != Some("DynamoDB_20120810.TransactWriteItems") {
            return Ok(());
        }
        let body = request
            .body()
            .bytes()
            .map(std::str::from_utf8)
            .transpose()?;
        if let Some(body) = body.and_then(without_token) {
            request
                .headers_mut()
                .insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body);
        }
        Ok(())
    }
}

/// Returns the JSON text of a transaction without its token; `None` if it has none. Inside of a value, quotation
/// marks are escaped.
fn without_token(body: &str) -> Option<String> {
    let (before, rest) = body.rsplit_once(",\"ClientRequestToken\":\"")?;
    let (_, after) = rest.split_once('"')?;
    Some(format!("{before}{after}"))
}

/// Creates an S3 client. The local S3 expects the bucket in the path, not in the host name.
pub fn s3(endpoint: &str, interceptors: &[SharedInterceptor]) -> aws_sdk_s3::Client {
    let mut config = aws_sdk_s3::config::Builder::from(&config(endpoint)).force_path_style(true);
    for interceptor in interceptors {
        config.push_interceptor(interceptor.clone());
    }
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Creates a KMS client.
pub fn kms(endpoint: &str, observers: &[SharedInterceptor]) -> aws_sdk_kms::Client {
    let mut config = aws_sdk_kms::config::Builder::from(&config(endpoint));
    for observer in observers {
        config.push_interceptor(observer.clone());
    }
    aws_sdk_kms::Client::from_conf(config.build())
}

/// Creates an SES client.
pub fn ses(endpoint: &str, observers: &[SharedInterceptor]) -> aws_sdk_ses::Client {
    let mut config = aws_sdk_ses::config::Builder::from(&config(endpoint));
    for observer in observers {
        config.push_interceptor(observer.clone());
    }
    aws_sdk_ses::Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_removed_from_a_transaction() {
        let items =
            r#"{"TransactItems":[{"Put":{"Item":{"sk":{"S":",\"ClientRequestToken\":\"x\""}}}}]"#;
        let token = r#","ClientRequestToken":"6f9619ff-8b86-d011-b42d-00cf4fc964ff""#;
        for rest in ["}", r#","ReturnConsumedCapacity":"TOTAL"}"#] {
            let sent = format!("{items}{token}{rest}");
            assert_eq!(without_token(&sent), Some(format!("{items}{rest}")));
        }
        assert_eq!(without_token(&format!("{items}}}")), None);
    }
}
