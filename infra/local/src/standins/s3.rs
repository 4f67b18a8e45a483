//! A local S3. `s3s-fs` stores each bucket as a folder and each object as a file, so that you can inspect them and
//! add feeds by hand.

use std::fs;
use std::io;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;

use crate::aws;

/// Serves buckets from a folder and creates those that don't exist. It accepts the credentials of the local
/// clients, because `s3s` without credentials rejects every signed request.
///
/// # Errors
/// Fails if the folder can't be created or used.
pub fn router(folder: &Path, buckets: &[&str]) -> io::Result<Router> {
    for bucket in buckets {
        fs::create_dir_all(folder.join(bucket))?;
    }
    let files = FileSystem::new(folder).map_err(|e| {
        io::Error::other(format!(
            "the folder {} can't be used: {e:?}",
            folder.display()
        ))
    })?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(aws::ACCESS_KEY, aws::SECRET_KEY));
    Ok(Router::new().fallback(answer).with_state(service.build()))
}

async fn answer(State(service): State<S3Service>, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "the local S3 failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
