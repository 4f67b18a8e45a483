//! The description of the API, generated from the code.

/// The OpenAPI document as JSON.
///
/// # Panics
/// When the document can't be written as JSON, which its types rule out.
pub fn openapi() -> String {
    let (_, document) = crate::api().split_for_parts();
    document
        .to_pretty_json()
        .expect("an OpenAPI document is JSON")
}
