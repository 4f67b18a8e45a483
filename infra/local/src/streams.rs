//! Reads the table's stream and turns its records into the events that Lambda delivers on AWS.

use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{OperationType, ShardIteratorType};
use vestibule_deliver_mail::{StreamChange, StreamEvent, StreamKeys, StreamRecord, StreamText};

use crate::StartError;

/// A position in the stream.
#[derive(Debug)]
pub struct Stream {
    client: Client,
    iterators: Vec<Option<String>>,
}

impl Stream {
    /// Starts reading at the end of the stream of `table`.
    ///
    /// # Errors
    /// Fails if the table has no stream or the stream can't be read.
    pub async fn at_end(client: Client, db: &DynamoDb, table: &str) -> Result<Self, StartError> {
        let described = db.describe_table().table_name(table).send().await?;
        let arn = described
            .table
            .and_then(|t| t.latest_stream_arn)
            .ok_or_else(|| format!("the table {table} has no stream"))?;
        let stream = client.describe_stream().stream_arn(&arn).send().await?;
        let shards = stream
            .stream_description
            .and_then(|d| d.shards)
            .unwrap_or_default();
        let mut iterators = Vec::new();
        for id in shards.into_iter().filter_map(|s| s.shard_id) {
            let iterator = client
                .get_shard_iterator()
                .stream_arn(&arn)
                .shard_id(id)
                .shard_iterator_type(ShardIteratorType::Latest)
                .send()
                .await?;
            iterators.push(iterator.shard_iterator);
        }
        Ok(Self { client, iterators })
    }

    /// Starts reading at the position of another reader of the same stream.
    pub fn at(client: Client, position: Vec<Option<String>>) -> Self {
        Self {
            client,
            iterators: position,
        }
    }

    /// Returns the current position: an iterator per shard.
    pub fn position(&self) -> &[Option<String>] {
        &self.iterators
    }

    /// Continues at another position.
    pub fn set_position(&mut self, position: Vec<Option<String>>) {
        self.iterators = position;
    }

    /// Returns what was written since the last call.
    ///
    /// # Errors
    /// Fails if the stream can't be read.
    pub async fn next(&mut self) -> Result<StreamEvent, StartError> {
        let mut records = Vec::new();
        for slot in &mut self.iterators {
            while let Some(iterator) = slot.take() {
                let got = self
                    .client
                    .get_records()
                    .shard_iterator(&iterator)
                    .send()
                    .await?;
                let batch = got.records.unwrap_or_default();
                let more = !batch.is_empty();
                records.extend(batch.into_iter().filter_map(translate));
                *slot = got.next_shard_iterator;
                if !more {
                    break;
                }
            }
        }
        Ok(StreamEvent { records })
    }
}

fn translate(record: aws_sdk_dynamodbstreams::types::Record) -> Option<StreamRecord> {
    let change = record.dynamodb?;
    let pk = change.keys?.remove("pk")?;
    Some(StreamRecord {
        event_name: match record.event_name? {
            OperationType::Insert => "INSERT",
            OperationType::Modify => "MODIFY",
            _ => "REMOVE",
        }
        .to_owned(),
        dynamodb: StreamChange {
            keys: StreamKeys {
                pk: StreamText {
                    s: pk.as_s().ok()?.clone(),
                },
            },
            sequence_number: change.sequence_number.unwrap_or_default(),
        },
    })
}
