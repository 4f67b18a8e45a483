//! Short forms for the values and names of expressions.

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::builders::{
    ConditionCheckBuilder, DeleteBuilder, PutBuilder, UpdateBuilder,
};

/// Returns a string attribute.
pub(crate) fn s(text: impl ToString) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

/// Returns a number attribute.
pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A request with expressions.
pub(crate) trait Expression: Sized {
    /// Adds values, such as `(":version", n(3))`.
    fn values<const N: usize>(self, values: [(&str, AttributeValue); N]) -> Self;

    /// Adds names, such as `("#state", "state")`.
    fn names<const N: usize>(self, names: [(&str, impl Into<String>); N]) -> Self;
}

macro_rules! expression {
    ($($builder:ty),+ $(,)?) => {$(
        impl Expression for $builder {
            fn values<const N: usize>(self, values: [(&str, AttributeValue); N]) -> Self {
                values.into_iter().fold(self, |request, (name, value)| {
                    request.expression_attribute_values(name, value)
                })
            }

            fn names<const N: usize>(self, names: [(&str, impl Into<String>); N]) -> Self {
                names.into_iter().fold(self, |request, (name, attribute)| {
                    request.expression_attribute_names(name, attribute)
                })
            }
        }
    )+};
}

expression!(
    ConditionCheckBuilder,
    DeleteBuilder,
    PutBuilder,
    PutItemFluentBuilder,
    QueryFluentBuilder,
    ScanFluentBuilder,
    UpdateBuilder,
    UpdateItemFluentBuilder,
);
