//! What a session with a pending step can reach: the operations that the step lists, and nothing else
//! (SE-03; OWASP ASVS 5.0, 8.3.1).

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use vestibule_domain::rules::next_step::NextStep;

/// The method and route of a request.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    method: String,
    route: Option<MatchedPath>,
}

impl Operation {
    pub(crate) fn of(parts: &Parts) -> Self {
        Self {
            method: parts.method.to_string(),
            route: parts.extensions.get().cloned(),
        }
    }

    /// Returns whether a session with this pending step can reach the operation.
    pub(crate) fn is_allowed_at(&self, step: NextStep) -> bool {
        let own = (
            self.method.as_str(),
            self.route.as_ref().map(MatchedPath::as_str),
        );
        let lists = allowed_at(step).into_iter().flatten();
        lists
            .copied()
            .any(|(method, route)| own == (method, Some(route)))
    }
}

/// Operations as in the OpenAPI document: method and path.
type Operations = &'static [(&'static str, &'static str)];

/// Every session can be viewed and ended. The profile shows whose it is, and whom to ask (EX-14).
const SESSION: Operations = &[
    ("GET", "/{portal}/sessions/current"),
    ("DELETE", "/{portal}/sessions/current"),
    ("GET", "/{portal}/me"),
];

/// What a session can reach before its second factor is given: nothing about the person (MF-04).
const ENTER_SECOND_FACTOR: Operations = &[
    ("GET", "/{portal}/sessions/current"),
    ("DELETE", "/{portal}/sessions/current"),
    ("POST", "/{portal}/sessions/current/passkey-challenge"),
    ("PUT", "/{portal}/sessions/current/second-factor"),
    ("POST", "/{portal}/sessions/current/second-factor-reset"),
];

/// What sets up a second factor (MF-02).
const SET_UP_SECOND_FACTOR: Operations = &[
    ("PUT", "/{portal}/sessions/current/password-confirmation"),
    ("GET", "/{portal}/me/second-factors"),
    ("POST", "/{portal}/me/passkeys/challenge"),
    ("POST", "/{portal}/me/passkeys"),
    ("POST", "/{portal}/me/authenticator-apps/enrollment"),
    ("POST", "/{portal}/me/authenticator-apps"),
];

/// What users view and secure of their own account while an organization or a plan record keeps them waiting.
/// It includes the email address, because the rest of the step is announced there.
const OWN_ACCOUNT: Operations = &[
    ("GET", "/{portal}/me/activity"),
    ("PUT", "/{portal}/me/email"),
    ("DELETE", "/{portal}/me/email"),
    ("GET", "/{portal}/sessions"),
    ("DELETE", "/{portal}/sessions/{id}"),
    ("PUT", "/{portal}/sessions/current/password"),
];

/// The ways to another organization, where the step isn't pending (BL-01).
const OTHER_ORGANIZATIONS: Operations = &[
    ("PUT", "/{portal}/sessions/current/organization"),
    ("POST", "/{portal}/me/organizations"),
    ("POST", "/{portal}/me/invitations"),
];

/// The steps that come before those of an organization or a plan record. A user whose response was lost repeats
/// the request.
const CHOOSE_USERNAME: Operations = &[("PUT", "/{portal}/me/username")];
const CHOOSE_USERNAME_AND_REGISTER_AGAIN: Operations = &[
    ("PUT", "/{portal}/me/username"),
    ("PUT", "/{portal}/me/registration"),
];

/// Entering a PIN and accepting an agreement each lead to the other, if both are pending.
const ENTER_PIN_AND_SIGN_AGREEMENT: Operations = &[
    ("GET", "/{portal}/pin/letter"),
    ("POST", "/{portal}/pin/letter"),
    ("POST", "/{portal}/pin/activation"),
    ("GET", "/{portal}/me/agreements"),
    ("POST", "/{portal}/me/agreements/{id}/acceptance"),
];

/// Returns everything that a session can reach while the step is pending. A step that concerns the login
/// itself allows nothing else.
fn allowed_at(step: NextStep) -> Vec<Operations> {
    let after_login =
        |steps: &[Operations]| [&[SESSION, OWN_ACCOUNT, OTHER_ORGANIZATIONS], steps].concat();
    match step {
        NextStep::ChangePassword => {
            vec![SESSION, &[("PUT", "/{portal}/sessions/current/password")]]
        }
        NextStep::EnterSecondFactor => vec![ENTER_SECOND_FACTOR],
        NextStep::SetUpSecondFactor => vec![SESSION, SET_UP_SECOND_FACTOR],
        NextStep::ChooseUsername => vec![SESSION, CHOOSE_USERNAME],
        NextStep::ChooseOrganization | NextStep::RecordEnded => after_login(&[CHOOSE_USERNAME]),
        // After the cutoff, registering again reports the date on which it passed.
        NextStep::RegisterAgain
        | NextStep::CampaignOver
        | NextStep::EnterRegistrationCode
        | NextStep::AwaitApproval => after_login(&[CHOOSE_USERNAME_AND_REGISTER_AGAIN]),
        NextStep::EnterPin | NextStep::SignAgreement => after_login(&[
            CHOOSE_USERNAME_AND_REGISTER_AGAIN,
            ENTER_PIN_AND_SIGN_AGREEMENT,
        ]),
    }
}
