//! Retries of single writes that conflict with a transaction. DynamoDB rejects them with
//! `TransactionConflictException`, which the SDK does not retry by itself. It happens, for example, when one
//! sign-in counts its attempt while another clears the counter.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

/// Creates a client for a [`crate::Store`] that retries such writes.
pub fn client(config: Builder) -> Client {
    Client::from_conf(config.retry_classifier(Collisions).build())
}

#[derive(Debug)]
struct Collisions;

impl ClassifyRetry for Collisions {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err);
        let error = error.and_then(|e| e.as_operation_error()?.downcast_ref::<UpdateItemError>());
        if error.is_some_and(UpdateItemError::is_transaction_conflict_exception) {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "writes that run into a transaction"
    }
}
