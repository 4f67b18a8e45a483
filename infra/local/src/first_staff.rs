//! The first account of a help desk. Nobody can invite the first supervisor, so an operator with access to the
//! tables creates the account with a command.

use std::fmt;

use rand::{Rng, RngExt};
use vestibule_domain::policy::{ChosenBy, Policy};
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::register::{Applicant, Registered};
use vestibule_domain::rules::{help_desk, password};
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::text::{Email, Invalid, NamePart, PersonName, Sensitive, Username};
use vestibule_http::{App, credentials};
use vestibule_store::{CommitError, Unique};

use crate::StartError;

/// The first supervisor.
#[derive(Debug, Clone)]
pub struct FirstStaff {
    /// The help desk's portal; required if there are several.
    pub portal: Option<String>,
    /// First and last name.
    pub name: String,
    pub email: String,
    /// By default, the name in lowercase with dots.
    pub username: Option<String>,
}

/// The new account. Its password is shown once, to the person who ran the command.
#[derive(Debug)]
pub struct Made {
    /// The title of the help desk.
    pub title: String,
    pub portal: String,
    pub username: String,
    /// The password of the first sign-in, which must then be changed.
    pub password: Sensitive,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Created a supervisor of {}.\n\n  username           {}\n  one-time password  {}\n\n\
             The password is shown only once. Sign in with it (POST /{}/sessions) and change it; until then, \
             the account has no access. There must be two supervisors, because one approves the staff whom the other invites \
             (first-staff --second).",
            self.title,
            self.username,
            self.password.expose(),
            self.portal
        )
    }
}

/// Creates the first supervisor of a help desk.
///
/// # Errors
/// Fails if the help desk has a supervisor or the input is invalid.
pub async fn make(app: &App, person: FirstStaff) -> Result<Made, StartError> {
    create(app, person, Which::First).await
}

/// Creates the second supervisor of a help desk, who approves the staff whom the first one invites.
///
/// # Errors
/// Fails if the help desk has no supervisor or two, or the input is invalid.
pub async fn make_second(app: &App, person: FirstStaff) -> Result<Made, StartError> {
    create(app, person, Which::Second).await
}

/// Which of the supervisors that an operator creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    Second,
}

async fn create(app: &App, person: FirstStaff, which: Which) -> Result<Made, StartError> {
    let policy = help_desk_of(app, person.portal.as_deref())?;
    let mut rng = app.rng();
    let (name, email, username) = read(&person, &policy, &mut rng)?;
    let password = one_time_password(&username, &policy, &mut rng);
    let hash = credentials::hash(&password, app, &mut rng).await;
    let applicant = Applicant {
        id: app.store.account_id(&policy.portal, &username.key()),
        username: username.clone(),
        name,
        email,
        password: Some(hash),
        must_change_password: true,
        security_answers: Vec::new(),
        hint: None,
        accepted_agreements: Default::default(),
    };
    let origin = Origin {
        portal: policy.portal.clone(),
        at: app.clock.now(),
        source: None,
    };
    let id = app.store.help_desk_organization_id(&policy.portal);
    let registered = match which {
        Which::First => {
            let context = Context::new(&policy, &origin, &mut rng);
            help_desk::first_staff(applicant, id, context).ok_or("the portal isn't a help desk")?
        }
        Which::Second => {
            let organization = app.store.organization(&policy.portal, &id).await;
            let organization = organization.map_err(|cause| cause.to_string())?;
            let organization = organization
                .ok_or("there is no first supervisor yet; create one without --second")?;
            let context = Context::new(&policy, &origin, &mut rng);
            help_desk::second_supervisor(applicant, &organization, context)
                .ok_or("there are two supervisors already, who can invite and approve staff")?
        }
    };
    let Registered { decision, .. } = registered;
    match app.commit(decision, &mut rng).await {
        Ok(()) => Ok(Made {
            title: policy.title.to_string(),
            portal: policy.portal.to_string(),
            username: username.to_string(),
            password,
        }),
        Err(CommitError::Stale) => Err(format!(
            "{} already has a supervisor, who can invite staff (POST /{}/invitations). A forgotten password can be reset by email",
            policy.title, policy.portal
        )
        .into()),
        Err(CommitError::Taken(unique)) => Err(match unique {
            Unique::Email => "another account already uses the email address",
            _ => "the username is already taken; choose another with --username",
        }
        .into()),
        Err(CommitError::Store(cause)) => Err(cause.to_string().into()),
    }
}

fn help_desk_of(app: &App, named: Option<&str>) -> Result<std::sync::Arc<Policy>, StartError> {
    let mut desks: Vec<_> = app
        .portals
        .all()?
        .into_iter()
        .filter(|p| p.help_desk_for.is_some() && named.is_none_or(|n| p.portal.as_str() == n))
        .cloned()
        .collect();
    match (desks.pop(), desks.is_empty(), named) {
        (Some(desk), true, _) => Ok(desk),
        (Some(_), false, _) => {
            Err("there are several help desks; choose one with --portal NAME".into())
        }
        (None, _, Some(name)) => Err(format!(
            "{name} isn't a help desk: the portal doesn't exist, or its policy has no [help_desk_for] section"
        )
        .into()),
        (None, _, None) => Err(
            "no portal is a help desk: no policy has a [help_desk_for] section (docs/portals.md)"
                .into(),
        ),
    }
}

fn read(
    person: &FirstStaff,
    policy: &Policy,
    rng: &mut impl Rng,
) -> Result<(PersonName, Email, Username), StartError> {
    let wrong = |option: &str| {
        let option = option.to_owned();
        move |fault: Invalid| StartError::from(format!("{option} {fault}"))
    };
    let (first, last) = person
        .name
        .trim()
        .rsplit_once(' ')
        .ok_or("--name must be a first and a last name, such as \"Olive Grant\"")?;
    let name = PersonName {
        first: NamePart::parse(first).map_err(wrong("--name"))?,
        last: NamePart::parse(last).map_err(wrong("--name"))?,
    };
    let email = Email::parse(&person.email).map_err(wrong("--email"))?;
    if policy.username.chosen_by == ChosenBy::System {
        let made = policy
            .make_username(rng)
            .ok_or("the policy can't generate a username")?;
        return Ok((name, email, made));
    }
    let dotted = || person.name.trim().to_lowercase().replace(' ', ".");
    let chosen = person.username.clone().unwrap_or_else(dotted);
    let shortest = policy.username.min_length.get() as usize;
    let username = Username::parse(&chosen, shortest).map_err(wrong("--username"))?;
    Ok((name, email, username))
}

/// Generates a password of about 100 bits that satisfies the portal's rules.
fn one_time_password(username: &Username, policy: &Policy, rng: &mut impl Rng) -> Sensitive {
    const GROUPS: [&[u8]; 3] = [
        b"abcdefghjkmnpqrstuvwxyz",
        b"ABCDEFGHJKLMNPQRSTUVWXYZ",
        b"23456789",
    ];
    let length = (policy.password.min_length.get() as usize).max(20);
    loop {
        let made: String = (0..length)
            .map(|i| match i % 6 {
                5 => '-',
                _ => {
                    let group = GROUPS[rng.random_range(0..GROUPS.len())];
                    char::from(group[rng.random_range(0..group.len())])
                }
            })
            .collect();
        // Rarely rejected: it contains digits, letters of both cases and a symbol.
        if let Ok(password) = password::check(&made, Some(username.as_str()), &policy.password) {
            return password;
        }
    }
}
