//! The content of each email, one per file, and its layout as text and HTML.

mod access_changed;
mod access_ended;
mod access_review;
mod access_review_open;
mod account_made;
mod additional_organization;
mod approved;
mod backup_wanted;
mod concurrent_use;
mod confirm_email;
mod email_change;
mod feedback;
mod help_desk_acted;
mod idle;
mod invitation;
mod invited_person_registered;
mod letter_not_printed;
mod letter_overdue;
mod managed_user_changed;
mod new_device;
mod password_changed;
mod password_expires;
mod password_reset;
mod pin_reissued;
mod questions_changed;
mod record_ended;
mod register_again;
mod registered;
mod registration_code;
mod second_factor_changed;
mod second_factor_reset;
mod username_released;
mod username_reminder;
mod users_changed;

use std::fmt;

use askama::Template;
use jiff::civil::Date;
use vestibule_domain::outbox::mail::{Mail, MailText};
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, one_line, wrapped};

/// An email, ready to be sent.
///
/// Its parts may contain a code or a link that gives access, so they must not be logged or stored.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// One line, without a secret.
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl fmt::Debug for RenderedMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenderedMail(***)")
    }
}

/// Renders an email for its portal.
///
/// Text and HTML have the same content. Both name the portal and the plan, and end with the help
/// desk (AG-18) and the reason why the reader receives the email.
pub fn render(mail: &Mail, policy: &Policy) -> RenderedMail {
    let content = content(mail, policy);
    let greeting = match one_line(&mail.greeting) {
        name if name.is_empty() => "Hello,".to_owned(),
        name => format!("Hello {name},"),
    };
    let html = Html {
        greeting: &greeting,
        content: &content,
        policy,
    }
    .to_string();
    let text = Text {
        greeting: wrapped("", &greeting),
        blocks: content.blocks.iter().map(Block::as_text).collect(),
        because: wrapped(
            "",
            &format!("You are receiving this email because {}.", content.because),
        ),
        policy,
    }
    .to_string();
    RenderedMail {
        subject: content.subject,
        text,
        html,
    }
}

fn content(mail: &Mail, policy: &Policy) -> Content {
    match &mail.text {
        MailText::Registered {
            username,
            pin_letter_by,
            agreement,
        } => registered::content(username, *pin_letter_by, agreement.as_ref(), policy),
        MailText::AdditionalOrganization {
            organization,
            awaits_approval,
            pin_letter_by,
            agreement,
        } => additional_organization::content(
            organization,
            *awaits_approval,
            *pin_letter_by,
            agreement.as_ref(),
            policy,
        ),
        MailText::BackupWanted { organization } => backup_wanted::content(organization, policy),
        MailText::Invitation {
            organization,
            inviter,
            role,
            token,
            expires_on,
        } => {
            let invited = invitation::Invited {
                organization,
                inviter,
                role,
                to: &mail.to,
            };
            invitation::content(&invited, token, *expires_on, policy)
        }
        MailText::InvitedPersonRegistered {
            organization,
            inviter,
            person,
            username,
            awaits_approval,
        } => {
            let registered = invited_person_registered::Registered {
                organization,
                inviter: inviter.as_deref(),
                person,
                username,
            };
            invited_person_registered::content(&registered, *awaits_approval, policy)
        }
        MailText::ManagedUserChanged {
            organization,
            person,
            username,
            role,
            event,
        } => {
            let user = managed_user_changed::ManagedUser {
                organization,
                person,
                username,
                role,
            };
            managed_user_changed::content(&user, event, policy)
        }
        MailText::Approved {
            organization,
            services,
            end_date,
        } => approved::content(organization, services, *end_date, policy),
        MailText::RegistrationCode {
            organization,
            username,
            code,
            expires_on,
        } => registration_code::content(organization, username, code, *expires_on, policy),
        MailText::AccountMade {
            organization,
            username,
        } => account_made::content(organization, username, policy),
        MailText::PinReissued { arrives_by } => pin_reissued::content(*arrives_by, policy),
        MailText::AccessChanged {
            organization,
            change,
        } => access_changed::content(organization, *change, policy),
        MailText::AccessReview {
            organization,
            due_date,
        } => access_review::content(organization, *due_date, policy),
        MailText::RecordEnded {
            organization,
            returned,
        } => record_ended::content(organization.as_deref(), *returned, policy),
        MailText::AccessReviewOpen {
            organization,
            due_date,
            overdue,
            unanswered,
            others,
        } => access_review_open::content(
            organization,
            *due_date,
            *overdue,
            (unanswered, *others),
            policy,
        ),
        MailText::RegisterAgain { call } => {
            register_again::content(*call, policy.date_of(mail.at), policy)
        }
        MailText::RegisteredAgain => register_again::done(policy.date_of(mail.at), policy),
        MailText::UsernameReleased { username } => username_released::released(username, policy),
        MailText::UsernameGone { username, instead } => {
            username_released::gone(username, instead, policy)
        }
        MailText::UsernameChosen { username } => username_released::chosen(username, policy),
        MailText::ConfirmEmail { token, expires_on } => {
            confirm_email::content(token, *expires_on, policy)
        }
        MailText::EmailChangeRequested { cancellation } => {
            email_change::requested(cancellation, policy)
        }
        MailText::EmailChanged => email_change::changed(policy),
        MailText::Feedback {
            username,
            reply_to,
            text,
        } => feedback::content(username, reply_to, text, policy),
        MailText::PasswordReset {
            token,
            minutes,
            initiator,
        } => password_reset::content(token, *minutes, initiator, policy),
        MailText::HelpDeskActed { act } => help_desk_acted::content(act, policy),
        MailText::UsernameReminder { username, .. } => username_reminder::content(username, policy),
        MailText::Idle {
            since,
            signed_in,
            then,
            on,
        } => idle::content((*since, *signed_in), *then, *on, policy),
        MailText::AccessEnded { last, whole } => access_ended::content(*last, *whole, policy),
        MailText::PasswordExpires { on, over } => password_expires::content(*on, *over, policy),
        MailText::LetterNotPrinted => letter_not_printed::content(policy),
        MailText::LetterOverdue { arrives_by } => letter_overdue::content(*arrives_by, policy),
        MailText::UsersChanged {
            organization,
            users,
        } => users_changed::content(organization, users, policy),
        MailText::NewDevice { source, program } => {
            new_device::content(mail.at, source.as_deref(), program, policy)
        }
        MailText::ConcurrentUse { sources } => concurrent_use::content(mail.at, sources, policy),
        MailText::PasswordChanged => password_changed::content(policy.date_of(mail.at), policy),
        MailText::SecondFactorChanged { event } => {
            second_factor_changed::content(event, policy.date_of(mail.at), policy)
        }
        MailText::SecondFactorReset {
            initiator,
            evidence,
            cancellation,
        } => second_factor_reset::content(initiator, evidence, cancellation, policy),
        MailText::QuestionsChanged => questions_changed::content(policy.date_of(mail.at), policy),
    }
}

/// Says when a user's access ends (UX-07).
fn last_day(end_date: Date) -> Block {
    Block::text(format!("Your access ends after {}.", day(end_date)))
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    greeting: &'a str,
    content: &'a Content,
    policy: &'a Policy,
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct Text<'a> {
    greeting: String,
    blocks: Vec<String>,
    because: String,
    policy: &'a Policy,
}
