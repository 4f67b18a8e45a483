//! A minimal function that loads its keyring with KMS and reads one item from DynamoDB.
//! `measure_cold_start` (in `tests/examples`) uses it to measure the cost of the AWS SDK alone.

use std::path::PathBuf;

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Error, Request, Response, service_fn};
use tokio::sync::OnceCell;
use vestibule_http::settings::{Bootstrap, aws, setting};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let start = Bootstrap::read(aws()?, PathBuf::new())?;
    let table = setting("TABLE", "the name of the main table")?;
    let made = OnceCell::new();
    lambda_http::run(service_fn(async |_: Request| {
        let (db, _) = made.get_or_try_init(|| start.keyring()).await?;
        let key = || AttributeValue::S("hello".to_owned());
        let read = db.get_item().table_name(&table);
        read.key("pk", key()).key("sk", key()).send().await?;
        Ok::<_, Error>(Response::new(String::from("hello")))
    }))
    .await
}
