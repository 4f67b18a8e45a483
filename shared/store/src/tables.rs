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

/// The sparse index of what will be due, by day.
pub const DUE_INDEX: &str = "due";

/// The attribute by which items of the main table vanish (TTL). On AWS the template switches it on;
/// on one machine and in tests nothing vanishes, as their clocks are moved by hand.
pub const EXPIRES: &str = "expires";

/// The sparse indexes by which the audit trail is searched, each with its partition key; their sort
/// key is the table's, so that they are in the order of time.
///
/// They hold whole entries. An entry is smaller than a write unit, so that keys alone would cost as
/// much to write and a second read for every entry found; storage is the price.
pub const AUDIT_INDEXES: [(&str, &str); 4] = [
    ("by_organization", "of_organization"),
    ("by_action", "of_action"),
    ("by_actor", "of_actor"),
    ("by_object", "of_object"),
];

/// The attribute of the audit table that tells DynamoDB when an entry may go (UX-11).
pub const AUDIT_TTL: &str = "expires_at";

/// The sparse index of the plan records that have not ended, by plan and kind.
pub const RECORDS_INDEX: &str = "records";

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
            .map_err(Unavailable::new)
    };
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
            .map_err(Unavailable::new)?;
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
            Err(e) => return Err(Unavailable::call(e)),
        }
    }
    Ok(())
}
