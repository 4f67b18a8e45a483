//! `POST /{portal}/feedback`: sends feedback about the site to the help desk (AG-17).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::profile::{self, MAX_FEEDBACK_LENGTH as MAX_LENGTH};
use vestibule_domain::state::audit::Action;
use vestibule_http::idempotency::{self, Created, Once, RepeatableBody, once};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, IdempotencyParams, PortalParams};
use vestibule_http::rate_limit::Counter;
use vestibule_http::secret_check::Described;
use vestibule_http::{App, Entitled, Problem, request_limit};
use vestibule_store::attempts::{AttemptKind, Limit, MINUTES_PER_DAY};

/// The daily limit for each user.
const MESSAGES_A_DAY: Limit = Limit::daily(10);

/// Feedback about the site.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedbackRequest {
    /// The message, at most 4,000 characters.
    message: String,
}

/// Send feedback
///
/// Sends the caller's feedback about the site to the help desk.
#[utoipa::path(
    post, path = "/{portal}/feedback", tag = "profile",
    operation_id = "send_feedback",
    params(PortalParams, IdempotencyParams),
    request_body = FeedbackRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "The message is queued"),
        (status = 409, description = "`feedback-unavailable`: the help desk accepts feedback by phone only"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn send_feedback(
    State(app): State<App>,
    Entitled(caller): Entitled,
    RepeatableBody(request, key): RepeatableBody<FeedbackRequest>,
) -> Result<Created, Problem> {
    let policy = &caller.policy;
    let text = request.message.trim();
    if text.is_empty() || text.chars().count() > MAX_LENGTH {
        return Err(Problem::invalid_field(
            "message",
            &format!("must be between 1 and {MAX_LENGTH} characters long"),
        ));
    }
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t')
    {
        return Err(Problem::invalid_field(
            "message",
            "must not contain control characters other than line breaks and tabs",
        ));
    }
    // A repetition is not another message, so it is not counted.
    if let Some(earlier) =
        idempotency::earlier(&app, key.as_ref(), &caller.account, caller.origin.at).await?
    {
        return Ok(earlier);
    }
    let counter = Counter {
        kind: AttemptKind::Feedback,
        subject: caller.account.id.to_string(),
        limit: MESSAGES_A_DAY,
    };
    let described = Described::by(&caller, Action::SendFeedback);
    let scene = (&**policy, &caller.origin);
    if !request_limit::count(&app, &[counter], &described, scene).await? {
        return Err(Problem::too_many_attempts(
            "You have reached today's limit for feedback. Try again tomorrow, or call us.",
            MINUTES_PER_DAY,
            policy,
        ));
    }
    let send = Once {
        caller: &caller,
        key: key.as_ref(),
    };
    once(
        &app,
        send,
        |_| async { Ok(()) },
        |(), rng| {
            let organization = caller.session.organization.as_ref();
            let text = text.to_owned();
            profile::send_feedback(&caller.account, organization, text, caller.context(rng))
                .map(|decision| ((), decision))
                .ok_or_else(|| by_phone(policy))
        },
        |(), ()| Ok(Created::accepted()),
    )
    .await
}

fn by_phone(policy: &Policy) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "feedback-unavailable",
        "Online feedback not available",
        "This portal accepts feedback by phone only.",
    )
    .with_help(policy)
}
