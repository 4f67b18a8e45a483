//! What each mail says, one file a mail, and how it is laid out.

mod access_changed;
mod access_ended;
mod access_review;
mod access_review_open;
mod account_made;
mod approved;
mod backup_wanted;
mod confirm_email;
mod email_change;
mod feedback;
mod further_organisation;
mod help_desk_acted;
mod idle;
mod invitation;
mod invited_person_registered;
mod letter_overdue;
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
mod shared_use;
mod user_name_released;
mod user_name_reminder;
mod users_changed;

use std::fmt;

use askama::Template;
use jiff::civil::Date;
use vestibule_domain::message::{Mail, MailText};
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, one_line, wrapped};

/// A mail as it is sent. Its parts may hold a code or a link that lets somebody in: they are to be
/// sent, and neither logged nor stored.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// Its subject: one line, without a secret.
    pub subject: String,
    /// The part for who reads text.
    pub text: String,
    /// The part for who reads HTML.
    pub html: String,
}

impl fmt::Debug for RenderedMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenderedMail(***)")
    }
}

/// Writes a mail in the name of its portal.
///
/// Text and HTML say the same. Both name the portal and the plan, and end with the help desk
/// (AG-18) and with why the reader gets the mail.
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
            &format!("You get this e-mail because {}.", content.because),
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
    match &mail.says {
        MailText::Registered {
            user_name,
            pin_letter_by,
            agreement,
        } => registered::content(user_name, *pin_letter_by, agreement.as_ref(), policy),
        MailText::FurtherOrganisation {
            organisation,
            awaits_approval,
            pin_letter_by,
            agreement,
        } => further_organisation::content(
            organisation,
            *awaits_approval,
            *pin_letter_by,
            agreement.as_ref(),
            policy,
        ),
        MailText::BackupWanted { organisation } => backup_wanted::content(organisation, policy),
        MailText::Invitation {
            organisation,
            inviter,
            role,
            token,
            usable_until,
        } => {
            let invited = invitation::Invited {
                organisation,
                inviter,
                role,
                to: &mail.to,
            };
            invitation::content(&invited, token, *usable_until, policy)
        }
        MailText::InvitedPersonRegistered {
            organisation,
            person,
            user_name,
            awaits_approval,
        } => invited_person_registered::content(
            organisation,
            person,
            user_name,
            *awaits_approval,
            policy,
        ),
        MailText::Approved {
            organisation,
            services,
            ends_on,
        } => approved::content(organisation, services, *ends_on, policy),
        MailText::RegistrationCode {
            organisation,
            user_name,
            code,
            usable_until,
        } => registration_code::content(organisation, user_name, code, *usable_until, policy),
        MailText::AccountMade {
            organisation,
            user_name,
        } => account_made::content(organisation, user_name, policy),
        MailText::PinReissued { arrives_by } => pin_reissued::content(*arrives_by, policy),
        MailText::AccessChanged {
            organisation,
            change,
        } => access_changed::content(organisation, *change, policy),
        MailText::AccessReview {
            organisation,
            answer_by,
        } => access_review::content(organisation, *answer_by, policy),
        MailText::RecordEnded {
            organisation,
            returned,
        } => record_ended::content(organisation.as_deref(), *returned, policy),
        MailText::AccessReviewOpen {
            organisation,
            answer_by,
            overdue,
            unanswered,
            others,
        } => access_review_open::content(
            organisation,
            *answer_by,
            *overdue,
            (unanswered, *others),
            policy,
        ),
        MailText::RegisterAgain { call } => {
            register_again::content(*call, policy.date_of(mail.at), policy)
        }
        MailText::RegisteredAgain => register_again::done(policy.date_of(mail.at), policy),
        MailText::UserNameReleased { user_name } => user_name_released::released(user_name, policy),
        MailText::UserNameGone { user_name, instead } => {
            user_name_released::gone(user_name, instead, policy)
        }
        MailText::UserNameChosen { user_name } => user_name_released::chosen(user_name, policy),
        MailText::ConfirmEmail {
            token,
            usable_until,
        } => confirm_email::content(token, *usable_until, policy),
        MailText::EmailChange { confirmed } => email_change::content(*confirmed, policy),
        MailText::Feedback {
            user_name,
            reply_to,
            text,
        } => feedback::content(user_name, reply_to, text, policy),
        MailText::PasswordReset {
            token,
            minutes,
            asked,
        } => password_reset::content(token, *minutes, asked, policy),
        MailText::HelpDeskActed { act } => help_desk_acted::content(act, policy),
        MailText::UserNameReminder { user_name } => user_name_reminder::content(user_name, policy),
        MailText::Idle {
            since,
            signed_in,
            then,
            on,
        } => idle::content((*since, *signed_in), *then, *on, policy),
        MailText::AccessEnded { last, whole } => access_ended::content(*last, *whole, policy),
        MailText::PasswordExpires { on, over } => password_expires::content(*on, *over, policy),
        MailText::LetterOverdue { arrives_by } => letter_overdue::content(*arrives_by, policy),
        MailText::UsersChanged {
            organisation,
            users,
        } => users_changed::content(organisation, users, policy),
        MailText::NewDevice { source, program } => {
            new_device::content(mail.at, source.as_deref(), program, policy)
        }
        MailText::SharedUse { sources } => shared_use::content(mail.at, sources, policy),
        MailText::PasswordChanged => password_changed::content(policy.date_of(mail.at), policy),
        MailText::QuestionsChanged => questions_changed::content(policy.date_of(mail.at), policy),
    }
}

/// Until when somebody has access (UX-07).
fn last_day(ends_on: Date) -> Block {
    Block::text(format!("Your access ends after {}.", day(ends_on)))
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
