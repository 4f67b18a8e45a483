//! The least that a function can be that has its keys from KMS and its state in DynamoDB: the hello, which fetches
//! the keyring and then reads one item. `measure_cold_start` (in `tests/examples`) measures it beside the functions:
//! what of theirs is AWS's SDK, whatever they do with it.

use lambda_http::{Error, Request, Response, service_fn};
use tokio::sync::OnceCell;
use vestibule_http::settings::{aws, setting};
use vestibule_store::{Tables, keyring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = aws()?;
    let tables = Tables {
        main: setting("TABLE", "the name of the main table")?,
        audit: setting("AUDIT_TABLE", "the name of the audit table")?,
    };
    let key_id = setting("KMS_KEY_ID", "the KMS key that wraps the keyring")?;
    let made = OnceCell::new();
    let make = || async {
        let db = aws_sdk_dynamodb::Client::new(&aws);
        let kms = aws_sdk_kms::Client::new(&aws);
        let keyring = keyring::load(&db, &tables, &kms, &key_id).await?;
        Ok::<_, Error>((db, keyring))
    };
    lambda_http::run(service_fn(async |_: Request| {
        let (db, _) = made.get_or_try_init(make).await?;
        let read = db.get_item().table_name(&tables.main);
        let key = |name: &str| aws_sdk_dynamodb::types::AttributeValue::S(name.to_owned());
        read.key("pk", key("hello"))
            .key("sk", key("hello"))
            .send()
            .await?;
        Ok::<_, Error>(Response::new(String::from("hello")))
    }))
    .await
}
