//! The scheduled event of EventBridge, for functions that accept no other event.

use serde::Deserialize;
use serde_json::Value;

/// A scheduled event of EventBridge.
#[derive(Debug, Deserialize)]
pub struct Scheduled {
    /// Always `Scheduled Event`.
    #[serde(rename = "detail-type")]
    pub detail_type: String,
}

impl Scheduled {
    /// Parses an event.
    ///
    /// # Errors
    /// [`Malformed`] for any other event.
    pub fn parse(event: Value) -> Result<Self, Malformed> {
        match serde_json::from_value(event) {
            Ok(Self { detail_type }) if detail_type == "Scheduled Event" => {
                Ok(Self { detail_type })
            }
            _ => Err(Malformed),
        }
    }
}

/// The event is not a scheduled event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this function accepts only EventBridge events whose detail-type is \"Scheduled Event\"")]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_schedules_event_is_one() {
        assert!(
            Scheduled::parse(
                json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} })
            )
            .is_ok()
        );
        for other in [
            json!(null),
            json!([]),
            json!({}),
            json!("x"),
            json!({ "detail-type": 7 }),
            json!({ "detail-type": "Object Created" }),
        ] {
            assert_eq!(Scheduled::parse(other).unwrap_err(), Malformed);
        }
    }
}
