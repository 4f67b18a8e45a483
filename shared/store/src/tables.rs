//! Creates the two tables locally and in tests. On AWS the template creates them; a test compares the two
//! definitions.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
};

use crate::StoreError;

/// The sparse index of messages that have not been sent.
pub const PENDING_INDEX: &str = "pending";

/// The sparse index of scheduled actions, by day.
pub const DUE_INDEX: &str = "due";

/// The TTL attribute of the main table. Only the template enables TTL; locally and in tests nothing expires,
/// because their clocks are moved manually.
pub const EXPIRES: &str = "expires";

/// The sparse indexes for searching the audit trail, each with its partition key. They use the sort key of the
/// table, so that entries are in chronological order.
///
/// They contain whole entries. An entry is smaller than a write unit, so indexing only the keys would cost
/// the same to write and add a read for every entry found; the price is storage.
pub const AUDIT_INDEXES: [(&str, &str); 4] = [
    ("by_organization", "of_organization"),
    ("by_action", "of_action"),
    ("by_actor", "of_actor"),
    ("by_object", "of_object"),
];

/// The TTL attribute of the audit table (UX-11).
pub const AUDIT_TTL: &str = "expires_at";

/// The sparse index of active plan records, by plan and kind.
pub const RECORDS_INDEX: &str = "records";

/// The names of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Everything except the audit trail.
    pub main: String,
    /// The audit trail, in a separate table so that roles need only the right to add entries.
    pub audit: String,
}

/// Creates the tables if they don't exist.
///
/// # Errors
/// [`StoreError`] when DynamoDB rejects a table for a reason other than that it exists.
pub async fn create(db: &Client, tables: &Tables) -> Result<(), StoreError> {
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .map_err(StoreError::unavailable)
    };
    let text = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(StoreError::unavailable)
    };
    let index = |name: &str, hash: &str, range: &str| {
        GlobalSecondaryIndex::builder()
            .index_name(name)
            .key_schema(key(hash, KeyType::Hash)?)
            .key_schema(key(range, KeyType::Range)?)
            .projection(
                Projection::builder()
                    .projection_type(ProjectionType::KeysOnly)
                    .build(),
            )
            .build()
            .map_err(StoreError::unavailable)
    };
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::KeysOnly)
        .build()
        .map_err(StoreError::unavailable)?;
    let main = db
        .create_table()
        .table_name(&tables.main)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text("pk")?)
        .attribute_definitions(text("sk")?)
        .attribute_definitions(text("pending")?)
        .attribute_definitions(text("due_at")?)
        .attribute_definitions(text("due")?)
        .attribute_definitions(text("due_on")?)
        .attribute_definitions(text("listed")?)
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?)
        .global_secondary_indexes(index(PENDING_INDEX, "pending", "due_at")?)
        .global_secondary_indexes(index(DUE_INDEX, "due", "due_on")?)
        .global_secondary_indexes(index(RECORDS_INDEX, "listed", "pk")?)
        .stream_specification(stream);
    let mut audit = db
        .create_table()
        .table_name(&tables.audit)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text("pk")?)
        .attribute_definitions(text("sk")?)
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?);
    for (index, of) in AUDIT_INDEXES {
        let index = GlobalSecondaryIndex::builder()
            .index_name(index)
            .key_schema(key(of, KeyType::Hash)?)
            .key_schema(key("sk", KeyType::Range)?)
            .projection(
                Projection::builder()
                    .projection_type(ProjectionType::All)
                    .build(),
            )
            .build()
            .map_err(StoreError::unavailable)?;
        audit = audit
            .attribute_definitions(text(of)?)
            .global_secondary_indexes(index);
    }
    for table in [main, audit] {
        match table.send().await {
            Ok(_) => {}
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_resource_in_use_exception()) => {}
            Err(e) => return Err(StoreError::call(e)),
        }
    }
    Ok(())
}
