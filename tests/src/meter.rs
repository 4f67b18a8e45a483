//! Measures the DynamoDB cost of a flow: an interceptor of the SDK's client that counts calls,
//! round trips and consumed units.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::operation as op;
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
    FinalizerInterceptorContextRef, Output,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, SharedInterceptor};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

use crate::fault_injection::operation;

/// The cost of a flow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cost {
    /// The number of calls by operation.
    pub calls: BTreeMap<&'static str, usize>,
    /// The number of items that transactions wrote.
    pub items: usize,
    /// The number of conditional writes that failed.
    pub refused: usize,
    /// The number of sequential calls.
    pub trips: usize,
    /// Consumed read units.
    pub reads: f64,
    /// Consumed write units. DynamoDB doesn't report those of a failed write.
    pub writes: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut calls: Vec<_> = self
            .calls
            .iter()
            .map(|(operation, n)| {
                let times = if *n > 1 {
                    format!("{n} ")
                } else {
                    String::new()
                };
                let items = if *operation == "TransactWriteItems" {
                    format!("({})", self.items)
                } else {
                    String::new()
                };
                format!("{times}{operation}{items}")
            })
            .collect();
        if self.refused > 0 {
            calls.push(format!("{} of them refused", self.refused));
        }
        write!(
            f,
            "{} | {} | {} | {}",
            calls.join(", "),
            self.trips,
            self.reads,
            self.writes
        )
    }
}

/// Counts the cost of calls.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    cost: Cost,
    /// The longest chain of sequential calls.
    chain: usize,
}

/// The position of a call in its chain.
#[derive(Debug)]
struct Place(usize);

impl Storable for Place {
    type Storer = StoreReplace<Self>;
}

impl Meter {
    /// Returns the interceptor for a system's options.
    pub fn interceptor(&self) -> SharedInterceptor {
        SharedInterceptor::new(self.clone())
    }

    /// Returns the cost since the last read.
    pub fn read(&self) -> Cost {
        std::mem::take(&mut *self.lock()).cost
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut state = self.lock();
        *state.cost.calls.entry(operation(context)).or_default() += 1;
        if let Some(input) = context
            .input()
            .downcast_ref::<op::transact_write_items::TransactWriteItemsInput>()
        {
            state.cost.items += input.transact_items().len();
        }
        // A call starts after those that have ended, in parallel to those in progress.
        let place = state.chain + 1;
        state.cost.trips = state.cost.trips.max(place);
        cfg.interceptor_state().store_put(Place(place));
        Ok(())
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        let wanted = Some(ReturnConsumedCapacity::Total);
        if let Some(input) = input.downcast_mut::<op::get_item::GetItemInput>() {
            input.return_consumed_capacity = wanted;
        } else if let Some(input) = input.downcast_mut::<op::batch_get_item::BatchGetItemInput>() {
            input.return_consumed_capacity = wanted;
        } else if let Some(input) = input.downcast_mut::<op::query::QueryInput>() {
            input.return_consumed_capacity = wanted;
        } else if let Some(input) = input.downcast_mut::<op::update_item::UpdateItemInput>() {
            input.return_consumed_capacity = wanted;
        } else if let Some(input) = input.downcast_mut::<op::put_item::PutItemInput>() {
            input.return_consumed_capacity = wanted;
        } else if let Some(input) =
            input.downcast_mut::<op::transact_write_items::TransactWriteItemsInput>()
        {
            input.return_consumed_capacity = wanted;
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut state = self.lock();
        let place = cfg.load::<Place>().map_or(0, |p| p.0);
        state.chain = state.chain.max(place);
        match context.output_or_error() {
            Some(Ok(output)) => {
                let (reads, writes) = consumed(output);
                state.cost.reads += reads;
                state.cost.writes += writes;
            }
            _ => state.cost.refused += 1,
        }
        Ok(())
    }
}

/// Returns the read and write units of a response.
fn consumed(output: &Output) -> (f64, f64) {
    let units = |c: &ConsumedCapacity| c.capacity_units().unwrap_or_default();
    let all = |list: &[ConsumedCapacity]| list.iter().map(units).sum::<f64>();
    if let Some(output) = output.downcast_ref::<op::get_item::GetItemOutput>() {
        (output.consumed_capacity().map_or(0.0, units), 0.0)
    } else if let Some(output) = output.downcast_ref::<op::batch_get_item::BatchGetItemOutput>() {
        (all(output.consumed_capacity()), 0.0)
    } else if let Some(output) = output.downcast_ref::<op::query::QueryOutput>() {
        (output.consumed_capacity().map_or(0.0, units), 0.0)
    } else if let Some(output) = output.downcast_ref::<op::update_item::UpdateItemOutput>() {
        (0.0, output.consumed_capacity().map_or(0.0, units))
    } else if let Some(output) = output.downcast_ref::<op::put_item::PutItemOutput>() {
        (0.0, output.consumed_capacity().map_or(0.0, units))
    } else if let Some(output) =
        output.downcast_ref::<op::transact_write_items::TransactWriteItemsOutput>()
    {
        (0.0, all(output.consumed_capacity()))
    } else {
        (0.0, 0.0)
    }
}
