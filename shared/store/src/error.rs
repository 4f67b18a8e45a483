//! The errors of calls.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use vestibule_domain::policy::PolicyError;

/// Why the store returned nothing. The cause is for the log and contains no attribute values.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB or KMS didn't respond, or the request could not be built.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// An item that this system did not write.
    #[error("an item can't be read: {0}")]
    Corrupt(String),
    /// A cursor that does not belong to the list.
    #[error("the cursor belongs to another list")]
    ForeignCursor,
}

impl StoreError {
    /// Creates the error for a failed call, with the kind of failure, DynamoDB's error code and the request
    /// id for AWS support. It omits the request and the response, which may contain user input.
    pub(crate) fn call<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> Self {
        let kind = match &error {
            SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
            SdkError::TimeoutError(_) => "the request timed out".to_owned(),
            SdkError::DispatchFailure(f) if f.is_timeout() => "the connection timed out".to_owned(),
            SdkError::DispatchFailure(_) => "the connection failed".to_owned(),
            SdkError::ResponseError(_) => "the response could not be read".to_owned(),
            _ => format!("rejected with {}", error.code().unwrap_or("unknown")),
        };
        Self::Unavailable(match error.meta().extra("aws_request_id") {
            Some(id) => format!("{kind} (request {id})"),
            None => kind,
        })
    }

    /// Creates the error for a failure on this side, such as a value that can't be written as an item.
    pub(crate) fn unavailable(cause: impl std::error::Error) -> Self {
        Self::Unavailable(cause.to_string())
    }

    pub(crate) fn corrupt(what: &str) -> Self {
        Self::Corrupt(what.to_owned())
    }
}

impl From<PolicyError> for StoreError {
    fn from(cause: PolicyError) -> Self {
        Self::unavailable(cause)
    }
}

/// Returns whether a write failed only because its condition did not hold.
pub(crate) fn is_conditional<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

/// Returns whether a conditional write took effect.
pub(crate) fn took_effect<T, E: ProvideErrorMetadata, R>(
    result: Result<T, SdkError<E, R>>,
) -> Result<bool, StoreError> {
    match result {
        Ok(_) => Ok(true),
        Err(e) if is_conditional(&e) => Ok(false),
        Err(e) => Err(StoreError::call(e)),
    }
}
