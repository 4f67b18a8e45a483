//! `[[campaign]]`: campaigns with dates (AG-13, ME-10).

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;

use super::faults::Faults;
use super::fields::{Days, check_warnings};
use super::read::{Place, Read, Value, leaves, section};
use super::username::ChosenBy;

/// A campaign with dates (AG-13, ME-10).
#[derive(Debug, Clone, PartialEq)]
pub enum Campaign {
    /// All users register again.
    ReRegistration {
        start: Date,
        /// The last day on which registered users can register again.
        cutoff: Date,
        /// How long after the start they keep access without registering again.
        transition_days: Days,
        /// The days before the end of the transition and before the cutoff on which they are reminded, in
        /// descending order.
        warning_days: Vec<Days>,
        /// The day on which the cutoff was corrected to an earlier one. Everyone who still has to register
        /// again is notified of the new dates.
        corrected_on: Option<Date>,
    },
    /// Usernames created before a date become available to others.
    ReleaseUsernames {
        /// The day of the release.
        on: Date,
        /// Usernames created before this day are released.
        created_before: Date,
    },
}

section! {
    /// A campaign as it is written in the file.
    struct WrittenCampaign {
        kind: CampaignKind,
        start: Option<Date> = None,
        cutoff: Option<Date> = None,
        transition_days: Option<Days> = None,
        warning_days: Vec<Days> = Vec::new(),
        corrected_on: Option<Date> = None,
        on: Option<Date> = None,
        created_before: Option<Date> = None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CampaignKind {
    ReRegistration,
    ReleaseUsernames,
}

impl TryFrom<WrittenCampaign> for Campaign {
    type Error = &'static str;
    fn try_from(written: WrittenCampaign) -> Result<Self, Self::Error> {
        let WrittenCampaign {
            kind,
            start,
            cutoff,
            transition_days,
            warning_days,
            corrected_on,
            on,
            created_before,
        } = written;
        match (kind, start, cutoff, transition_days, on, created_before) {
            (
                CampaignKind::ReRegistration,
                Some(start),
                Some(cutoff),
                Some(transition_days),
                None,
                None,
            ) => Ok(Self::ReRegistration {
                start,
                cutoff,
                transition_days,
                warning_days,
                corrected_on,
            }),
            (CampaignKind::ReleaseUsernames, None, None, None, Some(on), Some(created_before))
                if warning_days.is_empty() && corrected_on.is_none() =>
            {
                Ok(Self::ReleaseUsernames { on, created_before })
            }
            (CampaignKind::ReRegistration, ..) => Err(
                "re_registration takes exactly start, cutoff and transition_days, and perhaps warning_days and corrected_on",
            ),
            (CampaignKind::ReleaseUsernames, ..) => {
                Err("release_usernames takes exactly on and created_before")
            }
        }
    }
}

leaves!(CampaignKind);

impl Read for Campaign {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        let start = value.span().start;
        let before = faults.count();
        let written = WrittenCampaign::read(value, place, faults)?;
        if faults.count() > before {
            // A misspelled field is not a missing one too.
            return None;
        }
        Self::try_from(written)
            .map_err(|reason| faults.add_at(start, place, reason))
            .ok()
    }
}

/// How long users have at least after a cutoff was corrected to an earlier day.
const MIN_NOTICE_DAYS: i64 = 14;

impl Campaign {
    /// Checks the order of its days, and that the portal has what the campaign changes.
    pub(super) fn check(
        &self,
        i: usize,
        is_help_desk: bool,
        chosen_by: Option<ChosenBy>,
        faults: &mut Faults,
    ) {
        let field = |name: &str| format!("campaign[{i}]{name}");
        match self {
            Self::ReRegistration {
                start,
                cutoff,
                transition_days,
                warning_days,
                corrected_on,
            } => {
                if is_help_desk {
                    faults.add(
                        field(""),
                        "goes without [help_desk_for]: a help desk's staff are in no plan records",
                    );
                }
                if cutoff < start {
                    faults.add(field(".cutoff"), "must not be before the start");
                }
                if let Some(corrected_on) = corrected_on {
                    if corrected_on < start {
                        faults.add(
                            field(".corrected_on"),
                            "must not be before the start: until then, nobody has been notified of a cutoff",
                        );
                    }
                    if *cutoff < corrected_on.saturating_add(MIN_NOTICE_DAYS.days()) {
                        faults.add(
                            field(".cutoff"),
                            "must be at least 14 days after corrected_on, so that users have time to register again",
                        );
                    }
                }
                check_warnings(
                    &field(".warning_days"),
                    warning_days,
                    *transition_days,
                    faults,
                );
            }
            Self::ReleaseUsernames { on, created_before } => {
                if chosen_by.is_some_and(|by| by != ChosenBy::User) {
                    faults.add(
                        field(""),
                        "goes with usernames that people choose: those made by the system stay",
                    );
                }
                if on < created_before {
                    faults.add(
                        field(".created_before"),
                        "must not be after the day of the release",
                    );
                }
            }
        }
    }
}
