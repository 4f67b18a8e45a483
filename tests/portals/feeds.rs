//! The nightly feed of plan records, from S3 to what people see.

use vestibule_local::instance::{FEEDS, LETTERS};
use vestibule_tests::World;

#[tokio::test]
async fn both_buckets_keep_what_is_put_into_them() {
    let world = World::empty(vestibule_tests::options()).await;
    let s3 = &world.instance.s3;
    for bucket in [FEEDS, LETTERS] {
        let key = "harbor/2026-11-23 with spaces.csv";
        let put = s3.put_object().bucket(bucket).key(key);
        let body = "x".repeat(100_000);
        put.body(body.clone().into_bytes().into())
            .if_none_match("*")
            .send()
            .await
            .unwrap();
        let got = s3
            .get_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .unwrap();
        let bytes = got.body.collect().await.unwrap().into_bytes();
        assert_eq!(bytes, body.as_bytes());
        let again = s3.put_object().bucket(bucket).key(key).if_none_match("*");
        let refused = again.send().await.unwrap_err().into_service_error();
        assert_eq!(refused.meta().code(), Some("PreconditionFailed"));
    }
}
