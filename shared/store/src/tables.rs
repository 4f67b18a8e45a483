//! The two tables, as they are made on one machine and in tests. On AWS the template makes them;
//! a test compares the two.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
};

use crate::Unavailable;

/// The sparse index of what is still to be sent.
pub const PENDING_INDEX: &str = "pending";

/// The attribute of the main table that says when DynamoDB may drop an item, in seconds since the epoch.
pub const EXPIRES: &str = "expires";

/// The names of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Everything but the audit trail.
    pub main: String,
    /// The audit trail: a table of its own, so that no role needs more than to add to it.
    pub audit: String,
}

/// Makes the tables where they don't exist yet.
///
/// # Errors
/// [`Unavailable`] when DynamoDB refuses for another reason than that they exist.
pub async fn create(db: &Client, tables: &Tables) -> Result<(), Unavailable> {
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .map_err(Unavailable::new)
    };
    let text = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(Unavailable::new)
    };
    let pending = GlobalSecondaryIndex::builder()
        .index_name(PENDING_INDEX)
        .key_schema(key("pending", KeyType::Hash)?)
        .key_schema(key("created_at", KeyType::Range)?)
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::KeysOnly)
                .build(),
        )
        .build()
        .map_err(Unavailable::new)?;
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::KeysOnly)
        .build()
        .map_err(Unavailable::new)?;
    let main = db
        .create_table()
        .table_name(&tables.main)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text("pk")?)
        .attribute_definitions(text("sk")?)
        .attribute_definitions(text("pending")?)
        .attribute_definitions(text("created_at")?)
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?)
        .global_secondary_indexes(pending)
        .stream_specification(stream);
    let audit = db
        .create_table()
        .table_name(&tables.audit)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text("pk")?)
        .attribute_definitions(text("sk")?)
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?);
    for table in [main, audit] {
        match table.send().await {
            Ok(_) => {}
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_resource_in_use_exception()) => {}
            Err(e) => return Err(Unavailable::call(e)),
        }
    }
    Ok(())
}
