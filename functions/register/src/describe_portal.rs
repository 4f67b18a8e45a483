//! `GET /{portal}`: describes what a front end needs to build the portal's forms.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::{
    ChosenBy, LetterAddress, Offered, Onboarding, Policy, RecordedBy, Reissuer,
};
use vestibule_http::openapi::PortalParams;
use vestibule_http::problem::HelpDesk;
use vestibule_http::{App, Portal};

/// The public description of a portal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortalResponse {
    portal: String,
    title: String,
    plan: String,
    help_desk: HelpDesk,
    /// Who chooses usernames: `user` or `system`.
    username_chosen_by: UsernameChosenBy,
    username_min_length: u32,
    password_min_length: u32,
    /// The kinds of characters that a password must contain, such as `letter` and `digit`.
    password_required_characters: Vec<String>,
    /// The number of security questions required at registration; 0 if there are none.
    security_questions_required: u32,
    security_questions: Vec<String>,
    /// Whether a hint question is required at registration.
    hint_question: bool,
    /// Everything that a password reset requires: `email`, `security_answers`, `hint_question`.
    forgot_password: Vec<&'static str>,
    /// How a username can be recovered: `email` sends it by email, `security_answers` shows it after
    /// correct answers.
    forgot_username: Vec<&'static str>,
    /// The registration types that the portal offers.
    registration_types: Vec<RegistrationTypeDescription>,
    /// The number of digits in a PIN; absent if the portal sends no PIN letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pin_digits: Option<u32>,
    /// How an administrator adds users: `invitation`, `registration_code`, `initial_password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    staff_onboarding: Option<&'static str>,
    /// Whether an administrator has to approve users who joined by invitation or with an initial password.
    staff_requires_approval: bool,
    /// Whether users request a new PIN letter themselves.
    pin_reissued_by_user: bool,
    /// Whether administrators assign group codes.
    uses_group_codes: bool,
    /// Whether administrators review access periodically.
    reviews_access: bool,
    /// Whether users can send feedback.
    accepts_feedback: bool,
    /// The number of minutes without a request after which a session ends; absent if there is no such limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_minutes: Option<u32>,
    /// The second factors that users can set up; absent if the portal has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor: Option<SecondFactorDescription>,
    /// The IANA name of the time zone in which the portal's days begin and end.
    time_zone: String,
    /// The country of postal addresses within the country, as two letters (ISO 3166-1).
    home_country: String,
    /// The portal's brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<Brand>,
    /// The titles of the roles.
    roles: Vec<OfferedItem>,
    /// The portals that the staff of this help desk serve; empty if the portal is not a help desk.
    help_desk_for: Vec<OfferedItem>,
    agreements: Vec<PortalAgreement>,
    services: Vec<OfferedItem>,
    publications: Vec<OfferedItem>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsernameChosenBy {
    User,
    System,
}

/// A registration type.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RegistrationType)]
pub(crate) struct RegistrationTypeDescription {
    /// The value to send as `registration_type`.
    id: String,
    title: String,
    /// The fields that `verification` must contain.
    verification_fields: Vec<String>,
    /// Whether `attests_signing_authority` must be true.
    requires_signing_authority: bool,
    /// Whether `postal_address` is required.
    requires_postal_address: bool,
    /// Whether the user receives a PIN by letter.
    requires_pin: bool,
    /// The ids of the agreements that users of this registration type may need; `agreements` describes
    /// them.
    agreements: Vec<String>,
}

/// An agreement that the portal uses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortalAgreement {
    id: String,
    title: String,
    revision: String,
    /// The address at which the form can be downloaded.
    form_url: String,
    /// Whether users accept it online (`accepted_agreements`) instead of signing it on paper.
    is_accepted_on_portal: bool,
}

/// The second factors of a portal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecondFactor)]
pub(crate) struct SecondFactorDescription {
    /// The kinds that users can set up: `passkey` and `authenticator_app`.
    methods: Vec<&'static str>,
    /// For how many days a device can be trusted; 0 if none can be (MF-08).
    trusted_device_days: u32,
}

/// The plan's brand on the pages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Brand {
    /// The color of the header, such as `#0b5c6b`.
    color: String,
    /// The logo, as a data URL with a PNG or SVG image.
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<String>,
}

/// A service, publication, role or portal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferedItem {
    id: String,
    title: String,
}

/// Describe a portal
///
/// Returns what a front end needs to build the portal's forms: rules for usernames and passwords,
/// registration types, agreements, services and publications.
#[utoipa::path(
    get, path = "/{portal}", tag = "registration",
    operation_id = "describe_portal",
    params(PortalParams),
    responses(
        (status = 200, body = PortalResponse, description = "The portal"),
        (status = 404, description = "`not-found`: there is no such portal"),
    )
)]
pub(crate) async fn describe_portal(
    State(app): State<App>,
    Portal(policy): Portal,
) -> Json<PortalResponse> {
    Json(describe(&policy, served(&app, &policy)))
}

/// Lists the portals that the staff of a help desk serve. A portal whose policy is invalid is left out.
fn served(app: &App, policy: &Policy) -> Vec<OfferedItem> {
    if policy.help_desk_for.is_none() {
        return Vec::new();
    }
    let names = app.portals.names();
    let policies = names.filter_map(|name| app.portals.get(name.as_str()).ok().flatten());
    policies
        .filter(|other| policy.serves(other))
        .map(|other| OfferedItem {
            id: other.portal.to_string(),
            title: other.title.to_string(),
        })
        .collect()
}

fn describe(policy: &Policy, help_desk_for: Vec<OfferedItem>) -> PortalResponse {
    let designated = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.address == LetterAddress::Designated);
    let offered = |list: &[Offered]| {
        list.iter()
            .map(|o| OfferedItem {
                id: o.id.to_string(),
                title: o.title.to_string(),
            })
            .collect()
    };
    PortalResponse {
        portal: policy.portal.to_string(),
        title: policy.title.to_string(),
        plan: policy.plan.name.to_string(),
        help_desk: HelpDesk {
            name: policy.help_desk.name.to_string(),
            phone: policy.help_desk.phone.to_string(),
            hours: policy.help_desk.hours.to_string(),
        },
        username_chosen_by: match policy.username.chosen_by {
            ChosenBy::User => UsernameChosenBy::User,
            ChosenBy::System => UsernameChosenBy::System,
        },
        username_min_length: policy.username.min_length.get(),
        password_min_length: policy.password.min_length.get(),
        password_required_characters: policy
            .password
            .required_characters
            .iter()
            .map(|k| k.into_str().to_owned())
            .collect(),
        security_questions_required: policy
            .security_questions
            .as_ref()
            .map_or(0, |q| q.required.get()),
        security_questions: policy
            .security_questions
            .iter()
            .flat_map(|q| &q.questions)
            .map(ToString::to_string)
            .collect(),
        hint_question: policy.hint_question,
        forgot_password: policy
            .recovery
            .forgot_password
            .iter()
            .map(|m| m.into_str())
            .collect(),
        forgot_username: policy
            .recovery
            .forgot_username
            .iter()
            .map(|m| m.into_str())
            .collect(),
        registration_types: policy
            .registration_types
            .iter()
            .map(|w| RegistrationTypeDescription {
                id: w.id.to_string(),
                title: w.title.to_string(),
                verification_fields: std::iter::once(w.record_type.number_field())
                    .chain(w.verify.iter().map(|f| f.into_str()))
                    .map(str::to_owned)
                    .collect(),
                requires_signing_authority: w.requires_signing_authority,
                requires_postal_address: w.pin && designated,
                requires_pin: w.pin,
                agreements: policy
                    .agreements
                    .iter()
                    .filter(|a| {
                        a.registration_types.is_empty() || a.registration_types.contains(&w.id)
                    })
                    .map(|a| a.id.to_string())
                    .collect(),
            })
            .collect(),
        pin_digits: policy.pin.as_ref().map(|p| p.digits.get()),
        staff_onboarding: policy.staff.as_ref().map(|s| match s.onboarding {
            Onboarding::Invitation => "invitation",
            Onboarding::RegistrationCode => "registration_code",
            Onboarding::InitialPassword => "initial_password",
        }),
        staff_requires_approval: policy.staff.as_ref().is_some_and(|s| s.approval),
        pin_reissued_by_user: policy
            .pin
            .as_ref()
            .is_some_and(|p| p.reissued_by.contains(&Reissuer::User)),
        uses_group_codes: policy.group_codes.from_records || !policy.group_codes.offered.is_empty(),
        reviews_access: policy.access_review.is_some(),
        accepts_feedback: policy.help_desk.email.is_some(),
        idle_minutes: policy.session.idle_minutes.map(|m| m.get()),
        second_factor: policy
            .second_factor
            .as_ref()
            .map(|s| SecondFactorDescription {
                methods: s.methods.iter().map(|m| m.into_str()).collect(),
                trusted_device_days: s.trusted_device_days.get(),
            }),
        time_zone: policy.time_zone.name().to_owned(),
        home_country: policy.plan.home_country.0.as_str().to_owned(),
        brand: policy.brand.as_ref().map(|b| Brand {
            color: b.color.as_str().to_owned(),
            logo: b.logo.as_ref().map(|logo| logo.as_str().to_owned()),
        }),
        roles: policy
            .roles
            .iter()
            .map(|(role, described)| OfferedItem {
                id: role.into_str().to_owned(),
                title: described.title.to_string(),
            })
            .collect(),
        help_desk_for,
        agreements: policy
            .agreements
            .iter()
            .map(|a| PortalAgreement {
                id: a.id.to_string(),
                title: a.title.to_string(),
                revision: a.revision.to_string(),
                form_url: a.form_url.to_string(),
                is_accepted_on_portal: a.recorded_by == RecordedBy::User,
            })
            .collect(),
        services: offered(&policy.services),
        publications: offered(&policy.publications),
    }
}
