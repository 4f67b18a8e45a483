//! The policy of one portal: all sections of its file.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::access_review::AccessReviewPolicy;
use super::agreement::{Agreement, Blocks, RecordedBy};
use super::application::{Application, SingleSignOnPolicy};
use super::brand::BrandPolicy;
use super::campaign::Campaign;
use super::email::EmailPolicy;
use super::faults::{Faults, PolicyError, line_at};
use super::fields::{Line, Slug, WebAddress, Zone};
use super::inactivity::InactivityPolicy;
use super::messages::Messages;
use super::offers::{GroupCodePolicy, Offered, check_unique};
use super::password::PasswordPolicy;
use super::pin::PinPolicy;
use super::plan::{HelpDesk, HelpDeskFor, Plan};
use super::rate_limits::RateLimits;
use super::read::{List, SectionReader};
use super::records::RecordsPolicy;
use super::recovery::RecoveryPolicy;
use super::registration::{RegistrationType, check_presence};
use super::registration_code::RegistrationCodePolicy;
use super::roles::{Permission, ReadRoles, Role, RolePolicy};
use super::second_factor::{FactorMethod, SecondFactorPolicy};
use super::security_questions::SecurityQuestionPolicy;
use super::session::{ConcurrentUsePolicy, SessionPolicy};
use super::staff::StaffPolicy;
use super::username::{ChosenBy, UsernamePolicy};
use crate::values::ids::PortalId;
use crate::values::text::{Username, eight_characters};

/// The policy of one portal.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The portal, from the name of the file.
    pub portal: PortalId,
    /// The portal's title.
    pub title: Line,
    /// The address of its pages; links in emails begin with it.
    pub site: WebAddress,
    /// The web origins whose pages may call the API (CORS, CSRF).
    pub origins: Vec<WebAddress>,
    /// The time zone in which its days begin and end.
    pub time_zone: Zone,
    /// The plan's brand on the pages; absent: neutral colors.
    pub brand: Option<BrandPolicy>,
    /// The insurer that runs it.
    pub plan: Plan,
    /// The help desk that its users can contact.
    pub help_desk: HelpDesk,
    /// The portals that its staff serve, if the portal is the plan's help desk.
    pub help_desk_for: Option<HelpDeskFor>,
    pub username: UsernamePolicy,
    pub email: EmailPolicy,
    pub password: PasswordPolicy,
    pub security_questions: Option<SecurityQuestionPolicy>,
    /// Whether users set their own hint question (BL-14).
    pub hint_question: bool,
    /// Second factors; absent: none.
    pub second_factor: Option<SecondFactorPolicy>,
    pub session: SessionPolicy,
    /// Detection of concurrent use; absent: none.
    pub concurrent_use: Option<ConcurrentUsePolicy>,
    /// How often anything may be guessed.
    pub rate_limits: RateLimits,
    /// The registration types.
    pub registration_types: Vec<RegistrationType>,
    /// PIN letters; required if a registration type uses a PIN.
    pub pin: Option<PinPolicy>,
    /// Registration codes; required if staff join by one.
    pub registration_code: Option<RegistrationCodePolicy>,
    /// How administrators add users; absent: they don't.
    pub staff: Option<StaffPolicy>,
    pub agreements: Vec<Agreement>,
    /// Account recovery.
    pub recovery: RecoveryPolicy,
    /// Idle accounts; absent: they are neither disabled nor deleted.
    pub inactivity: Option<InactivityPolicy>,
    /// Access reviews; absent: none.
    pub access_review: Option<AccessReviewPolicy>,
    pub campaigns: Vec<Campaign>,
    /// What follows from the plan's records.
    pub records: RecordsPolicy,
    /// What the portal says in its own words.
    pub messages: Messages,
    /// The services that the portal offers.
    pub services: Vec<Offered>,
    /// The group codes that the portal offers.
    pub group_codes: GroupCodePolicy,
    /// E-news that can be subscribed to (BL-13).
    pub publications: Vec<Offered>,
    /// The title and permissions of each role.
    pub roles: BTreeMap<Role, RolePolicy>,
    /// Where applications find the portal; absent: at the origin of its pages.
    pub single_sign_on: Option<SingleSignOnPolicy>,
    /// The applications that trust the portal's sign-in (SO-01).
    pub applications: Vec<Application>,
}

impl Policy {
    /// Returns whether pages of an origin, as a browser sends it (RFC 6454, 6.1), may call the API.
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        let mut origins = self.origins.iter();
        origins.any(|allowed| allowed.as_str().as_bytes() == origin)
    }

    /// Returns whether the portal mails letters: PINs or notifications.
    pub fn sends_letters(&self) -> bool {
        self.pin.is_some()
            || self
                .registration_types
                .iter()
                .any(|t| t.notification_letter)
    }

    /// Reads the policy of `portal` from the text of its file.
    ///
    /// # Errors
    /// [`PolicyError`] with every fault of the file. What depends on a section that can't be read is not
    /// checked.
    pub fn parse(portal: PortalId, file: &str, text: &str) -> Result<Self, PolicyError> {
        let mut faults = Faults::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut last = None;
        for e in &errors {
            let at = e.span().map_or(0, |s| s.start);
            let line = line_at(text, at);
            // What follows on the same line is mostly a consequence.
            if last.replace(line) != Some(line) {
                faults.add_at(at, "(file)", e.message());
            }
        }
        // What is missing from a file that is no TOML is unknown.
        let policy = errors
            .is_empty()
            .then(|| Self::read(portal, table.into_inner(), &mut faults));
        match policy.flatten() {
            Some(policy) if faults.count() == 0 => Ok(policy),
            _ => Err(faults.into_error(file, text)),
        }
    }

    /// Reads every field of the file, then checks that the parts of the policy fit together.
    fn read(portal: PortalId, table: DeTable<'_>, faults: &mut Faults) -> Option<Self> {
        let mut fields = SectionReader::of_file(table, faults);
        let has = [
            "help_desk_for",
            "staff",
            "pin",
            "registration_code",
            "security_questions",
        ]
        .map(|name| fields.has(name));
        let [is_help_desk, has_staff, has_pin, has_code, has_questions] = has;
        let title = fields.required("title");
        let site = fields.required("site");
        let origins: Option<Vec<WebAddress>> = fields.optional("origins", Vec::new);
        let time_zone = fields.required("time_zone");
        let brand = fields.optional("brand", || None);
        let plan = fields.required("plan");
        let help_desk = fields.required("help_desk");
        let help_desk_for = fields.optional("help_desk_for", || None);
        let username: Option<UsernamePolicy> = fields.required("username");
        let email = fields.required("email");
        let password: Option<PasswordPolicy> = fields.required("password");
        let security_questions: Option<Option<SecurityQuestionPolicy>> =
            fields.optional("security_questions", || None);
        let hint_question = fields.optional("hint_question", || false);
        let second_factor: Option<Option<SecondFactorPolicy>> =
            fields.optional("second_factor", || None);
        let session = fields.required("session");
        let concurrent_use = fields.optional("concurrent_use", || None);
        let rate_limits = fields.required("rate_limits");
        let registration_types: List<RegistrationType> = fields.list("registration_type");
        let pin = fields.optional("pin", || None);
        let registration_code = fields.optional("registration_code", || None);
        let staff: Option<Option<StaffPolicy>> = fields.optional("staff", || None);
        let agreements: List<Agreement> = fields.list("agreement");
        let recovery: Option<RecoveryPolicy> = fields.required("recovery");
        let inactivity: Option<Option<InactivityPolicy>> = fields.optional("inactivity", || None);
        let access_review: Option<Option<AccessReviewPolicy>> =
            fields.optional("access_review", || None);
        let campaigns: List<Campaign> = fields.list("campaign");
        let records = fields.optional("records", Default::default);
        let messages = fields.optional("messages", Default::default);
        let services: List<Offered> = fields.list("service");
        let group_codes: Option<GroupCodePolicy> = fields.optional("group_codes", Default::default);
        let publications: List<Offered> = fields.list("publication");
        let roles: Option<ReadRoles> = fields.required("roles");
        let single_sign_on: Option<Option<SingleSignOnPolicy>> =
            fields.optional("single_sign_on", || None);
        let applications: List<Application> = fields.list("application");
        fields.reject_unknown();

        for (i, origin) in origins.iter().flatten().enumerate() {
            if origin.as_str().matches('/').count() != 2 {
                faults.add(
                    format!("origins[{i}]"),
                    "must be an origin such as https://agents.example.com, without a path",
                );
            }
        }
        let chosen_by = username.as_ref().map(|u| u.chosen_by);
        if let Some(username) = &username {
            username.check(faults);
        }
        if let Some(password) = &password {
            password.check(faults);
        }
        if let Some(Some(questions)) = &security_questions {
            questions.check(faults);
        }
        check_presence(!registration_types.lacks(|_| true), is_help_desk, faults);
        for (i, registration_type) in registration_types.iter() {
            registration_type.check(i, has_pin, roles.as_ref(), &services, faults);
        }
        if let Some(Some(staff)) = &staff {
            staff.check(has_code, chosen_by, faults);
        }
        if let Some(roles) = &roles {
            roles.check(is_help_desk, has_staff, faults);
            if has_staff && !is_help_desk && roles.lacks(Role::User) {
                faults.add("staff", "needs a [roles.user] section");
            }
        }
        for (i, agreement) in agreements.iter() {
            agreement.check(i, &registration_types, faults);
        }
        if let Some(recovery) = &recovery {
            recovery.check(has_questions, hint_question, faults);
        }
        if let Some(Some(second_factor)) = &second_factor {
            second_factor.check(roles.as_ref(), has_pin, faults);
        }
        if let Some(Some(inactivity)) = &inactivity {
            inactivity.check(faults);
        }
        if let Some(Some(review)) = &access_review {
            review.check(faults);
        }
        for (i, campaign) in campaigns.iter() {
            campaign.check(i, is_help_desk, chosen_by, faults);
        }
        if let Some(group_codes) = &group_codes {
            group_codes.check(faults);
        }
        if let Some(Some(single_sign_on)) = &single_sign_on {
            single_sign_on.check(&portal, faults);
        }
        // A section that can't be read is not missing.
        let has_second_factor = !matches!(second_factor, Some(None));
        for (i, application) in applications.iter() {
            application.check(i, &services, has_second_factor, faults);
        }
        let ids = applications.iter().map(|(i, a)| (i, &a.id));
        check_unique("application", ids, faults);
        check_unique("service", services.iter().map(|(i, s)| (i, &s.id)), faults);
        let ids = publications.iter().map(|(i, p)| (i, &p.id));
        check_unique("publication", ids, faults);
        check_unique(
            "agreement",
            agreements.iter().map(|(i, a)| (i, &a.id)),
            faults,
        );
        check_unique(
            "registration_type",
            registration_types.iter().map(|(i, w)| (i, &w.id)),
            faults,
        );

        Some(Self {
            portal,
            title: title?,
            site: site?,
            origins: origins?,
            time_zone: time_zone?,
            plan: plan?,
            help_desk: help_desk?,
            help_desk_for: help_desk_for?,
            username: username?,
            email: email?,
            password: password?,
            security_questions: security_questions?,
            brand: brand?,
            hint_question: hint_question?,
            second_factor: second_factor?,
            session: session?,
            concurrent_use: concurrent_use?,
            rate_limits: rate_limits?,
            registration_types: registration_types.into_whole()?,
            pin: pin?,
            registration_code: registration_code?,
            staff: staff?,
            agreements: agreements.into_whole()?,
            recovery: recovery?,
            inactivity: inactivity?,
            access_review: access_review?,
            campaigns: campaigns.into_whole()?,
            records: records?,
            messages: messages?,
            services: services.into_whole()?,
            group_codes: group_codes?,
            publications: publications.into_whole()?,
            roles: roles?.into_whole()?,
            single_sign_on: single_sign_on?,
            applications: applications.into_whole()?,
        })
    }

    /// Returns whether users can set up a kind of second factor.
    pub fn has_method(&self, method: FactorMethod) -> bool {
        let section = self.second_factor.as_ref();
        section.is_some_and(|s| s.methods.contains(&method))
    }

    /// Returns the domain to which passkeys are bound: that of the policy, or the host of its pages.
    pub fn relying_party_id(&self) -> &str {
        let own = self.second_factor.as_ref();
        let own = own.and_then(|s| s.relying_party_id.as_ref());
        own.map_or_else(|| self.site.host(), Line::as_str)
    }

    /// Returns the issuer of ID tokens: the address of the portal's API (OpenID Connect Core 1.0, 1.2).
    pub fn issuer(&self) -> String {
        let own = self.single_sign_on.as_ref();
        match own.and_then(|s| s.issuer.as_ref()) {
            Some(issuer) => issuer.to_string(),
            None => format!("{}/{}", self.site.origin(), self.portal),
        }
    }

    /// Returns an application by its client id.
    pub fn application(&self, id: &str) -> Option<&Application> {
        self.applications.iter().find(|a| a.id.as_str() == id)
    }

    /// Returns whether an origin, as a browser sends it, is that of an application.
    pub fn is_application_origin(&self, origin: &[u8]) -> bool {
        let mut uris = self.applications.iter().flat_map(|a| &a.redirect_uris);
        uris.any(|uri| uri.origin().as_bytes() == origin)
    }

    /// Returns a registration type by its identifier.
    pub fn registration_type(&self, id: &str) -> Option<&RegistrationType> {
        self.registration_types.iter().find(|w| w.id.as_str() == id)
    }

    /// Returns whether a role has a permission on this portal.
    pub fn allows(&self, role: Role, permission: Permission) -> bool {
        self.roles
            .get(&role)
            .is_some_and(|r| r.permissions.contains(&permission))
    }

    /// Returns whether an administrator other than the one who added a user, or chose their role, has to
    /// approve it (UX-12).
    pub fn approval_by_another(&self) -> bool {
        self.staff.as_ref().is_some_and(|s| s.approval_by_another)
    }

    /// Returns whether a role allows something that another doesn't.
    pub fn raises(&self, from: Role, to: Role) -> bool {
        let (Some(from), Some(to)) = (self.roles.get(&from), self.roles.get(&to)) else {
            return true;
        };
        !to.permissions.is_subset(&from.permissions) || !to.can_grant.is_subset(&from.can_grant)
    }

    /// Returns whether a role can grant another role.
    pub fn grants(&self, giver: Role, given: Role) -> bool {
        self.roles
            .get(&giver)
            .is_some_and(|r| r.can_grant.contains(&given))
    }

    /// Returns whether its staff serve the users of another portal: one of the same insurer, and never a help
    /// desk, so that help desk staff can't raise each other's permissions (UX-12).
    pub fn serves(&self, other: &Self) -> bool {
        self.plan.id == other.plan.id
            && other.help_desk_for.is_none()
            && self
                .help_desk_for
                .as_ref()
                .is_some_and(|s| s.portals.is_empty() || s.portals.contains(&other.portal))
    }

    /// Returns the title of a role on this portal.
    pub fn role_title(&self, role: Role) -> &str {
        self.roles
            .get(&role)
            .map_or(role.into_str(), |r| r.title.as_str())
    }

    /// The services that the portal offers.
    pub fn service_ids(&self) -> BTreeSet<Slug> {
        self.services.iter().map(|s| s.id.clone()).collect()
    }

    /// Returns whether an agreement that isn't on file blocks the PIN letter (BL-10).
    pub fn withholds_letter(
        &self,
        registration_type: &RegistrationType,
        category: Option<&str>,
        on_file: &BTreeMap<String, String>,
    ) -> bool {
        self.agreements.iter().any(|a| {
            a.blocks == Blocks::PinLetter
                && a.recorded_by == RecordedBy::Plan
                && a.applies_to(Some(registration_type.id.as_str()), category)
                && !a.is_current(on_file)
        })
    }

    /// Returns a username made by the system: the prefix and eight characters (BL-16).
    pub fn make_username(&self, rng: &mut (impl rand::Rng + ?Sized)) -> Option<Username> {
        if self.username.chosen_by != ChosenBy::System {
            return None;
        }
        let tail = eight_characters(rng);
        let prefix = self.username.prefix.as_ref()?;
        Username::parse(&format!("{prefix}{tail}"), 1).ok()
    }
}
