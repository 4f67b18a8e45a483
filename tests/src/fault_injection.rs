//! Injects faults into calls to DynamoDB and S3 with an interceptor of the SDK's client.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
    BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, SharedInterceptor};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use futures::future::join;
use tokio::sync::watch;

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call is not sent.
    Unsent,
    /// The call succeeds, but its response is lost and the SDK gives up.
    ResponseLost,
    /// The call succeeds, but its response is lost and the SDK sends it again.
    Repeated,
    /// The call fails because another transaction is in progress on its items. The retry succeeds.
    Collides,
}

impl Fault {
    pub const ALL: [Self; 4] = [
        Self::Unsent,
        Self::ResponseLost,
        Self::Repeated,
        Self::Collides,
    ];

    /// Returns whether the fault can affect an operation. A read can only fail.
    fn affects(self, operation: &str) -> bool {
        match operation {
            "UpdateItem" | "TransactWriteItems" => true,
            // A single put is always of a new item, and S3 has no transactions to collide with.
            "PutItem" | "PutObject" => self != Self::Collides,
            _ => self == Self::Unsent,
        }
    }
}

/// A fault that was armed, and what it affected.
#[derive(Debug, Clone, Copy)]
pub struct Injected {
    pub fault: Fault,
    /// The number of the call, counted from 0 among those that the fault can affect.
    pub call: usize,
    /// The operation of the call; `None` if there were not that many calls.
    pub operation: Option<&'static str>,
}

impl Injected {
    /// Returns whether a call failed and was not repeated.
    pub fn failed(self) -> bool {
        self.operation.is_some() && matches!(self.fault, Fault::Unsent | Fault::ResponseLost)
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.unwrap_or("none");
        write!(f, "{:?} of call {} ({operation})", self.fault, self.call)
    }
}

/// Injects a fault into one call, chosen with [`FaultInjector::arm`].
#[derive(Debug, Clone, Default)]
pub struct FaultInjector(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    armed: Option<(usize, Fault)>,
    calls: usize,
    fired: Option<&'static str>,
}

/// The number of the call and how often it was sent, stored with the call.
#[derive(Debug, Clone)]
struct PendingFault {
    fault: Fault,
    operation: &'static str,
    sent: usize,
}

impl Storable for PendingFault {
    type Storer = StoreReplace<Self>;
}

impl FaultInjector {
    /// Returns the interceptor for a system's options.
    pub fn interceptor(&self) -> SharedInterceptor {
        SharedInterceptor::new(self.clone())
    }

    /// Injects the fault into the `n`-th call from now on that it can affect, counted from 0.
    pub fn arm(&self, n: usize, fault: Fault) {
        *self.lock() = State {
            armed: Some((n, fault)),
            ..State::default()
        };
    }

    /// Stops injecting. Returns how many calls could have been affected since arming, and the
    /// operation of the affected one, if any.
    pub fn disarm(&self) -> (usize, Option<&'static str>) {
        let mut state = self.lock();
        state.armed = None;
        (state.calls, state.fired.take())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for FaultInjector {
    fn name(&self) -> &'static str {
        "FaultInjector"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut state = self.lock();
        let Some((n, fault)) = state.armed else {
            return Ok(());
        };
        let operation = operation(context);
        if !fault.affects(operation) {
            return Ok(());
        }
        let call = state.calls;
        state.calls += 1;
        if n == call {
            state.fired = Some(operation);
            cfg.interceptor_state().store_put(PendingFault {
                fault,
                operation,
                sent: 0,
            });
        }
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(pending) = cfg.load::<PendingFault>().cloned() else {
            return Ok(());
        };
        if pending.fault == Fault::Unsent {
            return Err("the network is unavailable".into());
        }
        if pending.fault == Fault::Collides && pending.sent == 0 {
            // DynamoDB rejects the unknown operation without doing anything.
            context
                .request_mut()
                .headers_mut()
                .insert("x-amz-target", "DynamoDB_20120810.Nothing");
        }
        cfg.interceptor_state().store_put(PendingFault {
            sent: pending.sent + 1,
            ..pending
        });
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(pending) = cfg.load::<PendingFault>() else {
            return Ok(());
        };
        let (status, body) = match (pending.fault, pending.sent) {
            (Fault::ResponseLost, _) => return Err("the response is lost".into()),
            (Fault::Repeated, 1) => (
                500,
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":""}"#,
            ),
            (Fault::Collides, 1) if pending.operation == "TransactWriteItems" => (
                400,
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"","CancellationReasons":[{"Code":"TransactionConflict"}]}"#,
            ),
            (Fault::Collides, 1) => (
                400,
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":""}"#,
            ),
            _ => return Ok(()),
        };
        let response = context.response_mut();
        *response.status_mut() = status.try_into()?;
        *response.body_mut() = SdkBody::from(body);
        response.headers_mut().remove("content-length");
        response.headers_mut().remove("x-amz-crc32");
        Ok(())
    }
}

/// Lets one flow begin at a certain call of another. Queries are not counted: they are how a sweep looks for what
/// is due, and many.
#[derive(Debug, Clone, Default)]
pub struct Starter(Arc<watch::Sender<usize>>);

impl Starter {
    /// For the options of a system.
    pub fn interceptor(&self) -> SharedInterceptor {
        SharedInterceptor::new(self.clone())
    }

    /// Does both; the second begins when the first has begun so many calls, or is over.
    pub async fn start_after<A: Future, B: Future>(
        &self,
        calls: usize,
        first: A,
        second: B,
    ) -> (A::Output, B::Output) {
        self.0.send_replace(0);
        let mut begun = self.0.subscribe();
        let first = async {
            let output = first.await;
            self.0.send_replace(usize::MAX);
            output
        };
        let second = async {
            drop(begun.wait_for(|n| *n >= calls).await);
            second.await
        };
        join(first, second).await
    }
}

impl Intercept for Starter {
    fn name(&self) -> &'static str {
        "Starter"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if operation(context) != "Query" {
            self.0.send_modify(|n| *n = n.saturating_add(1));
        }
        Ok(())
    }
}

/// Returns the name of the operation of an input.
pub fn operation(context: &BeforeSerializationInterceptorContextRef<'_>) -> &'static str {
    use aws_sdk_dynamodb::operation as op;
    let input = context.input();
    if input.downcast_ref::<op::get_item::GetItemInput>().is_some() {
        "GetItem"
    } else if input
        .downcast_ref::<op::batch_get_item::BatchGetItemInput>()
        .is_some()
    {
        "BatchGetItem"
    } else if input.downcast_ref::<op::query::QueryInput>().is_some() {
        "Query"
    } else if input
        .downcast_ref::<op::update_item::UpdateItemInput>()
        .is_some()
    {
        "UpdateItem"
    } else if input
        .downcast_ref::<op::transact_write_items::TransactWriteItemsInput>()
        .is_some()
    {
        "TransactWriteItems"
    } else if input.downcast_ref::<op::put_item::PutItemInput>().is_some() {
        "PutItem"
    } else if input
        .downcast_ref::<aws_sdk_s3::operation::put_object::PutObjectInput>()
        .is_some()
    {
        "PutObject"
    } else {
        "another"
    }
}
