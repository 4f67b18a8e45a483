//! Follow-ups of organizations.

use vestibule_domain::policy::Policy;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::{access_review, schedule};
use vestibule_domain::state::audit::Action;
use vestibule_domain::state::follow_up::FollowUpKind;
use vestibule_domain::values::ids::OrganizationId;
use vestibule_http::App;
use vestibule_store::{CommitError, StoreError};

use crate::{MAX_ROUNDS, Run, Summary};

/// Performs the follow-up of an organization. A failure is counted and doesn't stop the others.
pub(crate) async fn process_follow_up(
    app: &App,
    run: &Run,
    policy: &Policy,
    organization: OrganizationId,
    kind: FollowUpKind,
) -> Summary {
    let mut summary = Summary::default();
    if let Err(error) = resolve(app, run, policy, &organization, kind, &mut summary).await {
        tracing::error!(portal = %policy.portal, organization = %organization, %error, "failed to process a follow-up");
        summary.failed = 1;
    }
    summary
}

async fn resolve(
    app: &App,
    run: &Run,
    policy: &Policy,
    organization: &OrganizationId,
    kind: FollowUpKind,
    summary: &mut Summary,
) -> Result<(), StoreError> {
    let mut rng = app.rng();
    let origin = run.origin(policy);
    let today = policy.today(origin.at);
    for _ in 0..MAX_ROUNDS {
        summary.follow_ups_read += 1;
        let state = app
            .store
            .follow_up_state(&policy.portal, organization, kind)
            .await?;
        let (Some(follow_up), Some(organization)) = (state.follow_up, state.organization) else {
            return Ok(());
        };
        if follow_up.on > today {
            return Ok(());
        }
        let decision = match kind {
            FollowUpKind::AdminNotice => schedule::notify_administrators(
                &follow_up,
                &organization,
                &state.managers,
                &state.notices_due,
                Context::new(policy, &origin, &mut rng),
            ),
            FollowUpKind::Backup => schedule::remind_of_backup(
                &follow_up,
                &organization,
                &state.managers,
                Context::new(policy, &origin, &mut rng),
            ),
            FollowUpKind::Review => {
                let users = state.users.iter();
                let people: Vec<_> = users.map(|u| (u.reviewed(), u.name.full())).collect();
                access_review::apply_follow_up(
                    &follow_up,
                    &organization,
                    &state.managers,
                    &people,
                    Context::new(policy, &origin, &mut rng),
                )
            }
        };
        let sends = !decision.messages.is_empty();
        let starts = decision.audit.action == Action::StartAccessReview;
        // There may be more notices than one email holds.
        let told_all = state.notices_due.len() <= schedule::MAX_NOTIFIED;
        match app.commit(decision, &mut rng).await {
            Ok(()) if kind == FollowUpKind::Backup => {
                summary.backups_wanted += u64::from(sends);
                return Ok(());
            }
            Ok(()) if kind == FollowUpKind::Review => {
                summary.reviews_started += u64::from(starts);
                summary.reviews_chased += u64::from(sends && !starts);
                return Ok(());
            }
            Ok(()) => {
                summary.notices_sent += u64::from(sends);
                if told_all {
                    return Ok(());
                }
            }
            Err(CommitError::Stale | CommitError::Taken(_)) => summary.overtaken += 1,
            Err(CommitError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}
