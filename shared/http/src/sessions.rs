//! Ends a session, in the same way wherever it is requested.

use vestibule_domain::policy::Policy;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::sign_in;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::state::session::Session;

use crate::{App, Problem, transact};

/// Ends a session that was loaded, if it is still there. If an application was opened in it in the meantime, the
/// session is loaded again, so that this application is notified too (SO-03).
///
/// # Errors
/// A problem when the store is unavailable, or when other changes conflict again and again.
pub async fn end(
    app: &App,
    session: &Session,
    (policy, origin): (&Policy, &Origin),
) -> Result<(), Problem> {
    let Session {
        portal,
        account,
        id,
        ..
    } = session;
    transact(
        app,
        async |attempt| match attempt.is_first {
            true => Ok(Some(session.clone())),
            false => Ok(app.store.session_by_id(portal, account, id).await?),
        },
        |session, rng| {
            let context = Context::new(policy, origin, rng);
            let session = session.as_ref();
            Ok(((), session.map(|s| sign_in::sign_out(s, context))))
        },
    )
    .await?;
    Ok(())
}
