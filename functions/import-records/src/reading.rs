//! Reads a feed as it arrives from S3, in constant memory. The parser is synchronous, so it runs on
//! its own thread, connected by bounded channels.

use std::io::{self, Read};

use aws_sdk_s3::primitives::ByteStream;
use tokio::sync::mpsc;
use vestibule_domain::feed::sequence::FeedName;
use vestibule_domain::feed::{Feed, Reject};
use vestibule_domain::state::record::{NewRecord, RecordKey};

use crate::ImportError;
use crate::apply::AT_A_TIME;

/// The capacity of both channels.
const WAITING: usize = 4;

/// A row of a feed.
#[derive(Debug)]
pub(crate) struct Row {
    /// The record that the row is about, if that can be read.
    pub key: Option<RecordKey>,
    pub record: Result<NewRecord, Reject>,
}

type Chunk = io::Result<Vec<u8>>;

/// Reads a feed in batches, in its order. Nothing follows an error.
pub(crate) fn rows(
    name: &FeedName,
    mut body: ByteStream,
) -> mpsc::Receiver<Result<Vec<Row>, ImportError>> {
    let (chunks, arriving) = mpsc::channel::<Chunk>(WAITING);
    let (batches, rows) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map(|b| b.to_vec()).map_err(io::Error::other);
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
    });
    let name = name.clone();
    tokio::task::spawn_blocking(move || {
        let chunks = Chunks {
            arriving,
            current: Vec::new(),
            read: 0,
        };
        let mut feed = match Feed::open(name.kind, &name.plan, chunks) {
            Ok(feed) => feed,
            Err(error) => {
                let _ = batches.blocking_send(Err(error.into()));
                return;
            }
        };
        let mut batch = Vec::with_capacity(AT_A_TIME);
        while let Some(record) = feed.next() {
            let key = match &record {
                Ok(record) => Some(record.key.clone()),
                Err(_) => feed.last_key(),
            };
            batch.push(Row { key, record });
            if batch.len() == AT_A_TIME {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(AT_A_TIME));
                if batches.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        let last = match feed.broken_off() {
            Some(error) => Err(ImportError::BrokenOff(error.to_string())),
            None => Ok(batch),
        };
        let _ = batches.blocking_send(last);
    });
    rows
}

/// Reads the chunks that have arrived.
struct Chunks {
    arriving: mpsc::Receiver<Chunk>,
    current: Vec<u8>,
    read: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.current.len() {
            match self.arriving.blocking_recv() {
                Some(chunk) => (self.current, self.read) = (chunk?, 0),
                None => return Ok(0),
            }
        }
        let left = self.current.get(self.read..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.read += count;
        Ok(count)
    }
}
