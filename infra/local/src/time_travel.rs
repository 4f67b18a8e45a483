//! Moves the clock of a system on one machine and runs, for each day, the scheduled actions that are due.

use std::io::Write;

use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use vestibule_domain::rules::schedule::ScheduledAction;
use vestibule_inactivity_sweep::{Run, Summary, Swept};

use crate::instance::Options;
use crate::{Instance, StartError, folder};

/// The actions of one day.
#[derive(Debug)]
pub struct Day {
    /// How many days after the start it is.
    pub number: u32,
    /// The date in UTC.
    pub date: Date,
    pub summary: Summary,
    /// How many emails were sent.
    pub mails: usize,
    /// How many letters were printed.
    pub letters: usize,
}

impl Instance {
    /// Moves the clock by a number of days and runs, for each, the scheduled actions that are due. Days on
    /// which nothing is due are skipped; the index of due dates finds the others. The clock must be movable.
    ///
    /// # Errors
    /// Fails if the store is unavailable.
    pub async fn pass_days(
        &self,
        days: u32,
        mut report: impl FnMut(&Day) -> Result<(), StartError>,
    ) -> Result<(), StartError> {
        let mut passed = 0;
        while passed < days {
            let day = self.pass_to_due(days - passed).await?;
            passed += day.number;
            report(&Day {
                number: passed,
                ..day
            })?;
        }
        Ok(())
    }

    /// Moves the clock to the next day on which something is due, by at most `days`, and runs what is due.
    /// All emails and letters that follow are delivered when this returns.
    ///
    /// # Errors
    /// As [`Instance::pass_days`].
    pub async fn pass_to_due(&self, days: u32) -> Result<Day, StartError> {
        let number = self.days_until_due(days).await?;
        let (mails, letters) = (self.inbox.len(), self.letters().len());
        let hours = SignedDuration::from_hours(24 * i64::from(number));
        let Swept { summary, .. } = self.advance(hours).await?;
        Ok(Day {
            number,
            date: self.app.clock.now().to_zoned(TimeZone::UTC).date(),
            summary,
            mails: self.inbox.len() - mails,
            letters: self.letters().len() - letters,
        })
    }

    /// Returns the number of days, from 1 to `most`, until something is due on a portal.
    async fn days_until_due(&self, most: u32) -> Result<u32, StartError> {
        let now = self.app.clock.now();
        let mut least = most;
        for policy in self.app.portals.all()? {
            let Some(first) = self.app.store.first_due(&policy.portal).await? else {
                continue;
            };
            let due = |days: &u32| {
                let later = SignedDuration::from_hours(24 * i64::from(*days));
                policy.today(now + later) >= first
            };
            least = (1..least).find(due).unwrap_or(least);
        }
        Ok(least)
    }
}

/// Moves the clock of a data folder by a number of days and prints the actions of each day.
///
/// # Errors
/// Says what is wrong and how to fix it; in particular that a portal is running on the folder.
pub async fn tick(options: Options, days: u32, out: &mut impl Write) -> Result<(), StartError> {
    let data = options.data.clone();
    let instance = start(options).await?;
    let mut passed = 0;
    while passed < days {
        let day = instance.pass_to_due(days - passed).await?;
        if let Some(data) = &data {
            folder::set_ahead(data, instance.app.clock.ahead())?;
        }
        passed += day.number;
        print_day(day.date, passed, &line(&day), out)?;
    }
    print_now(&now_in(&instance), out)
}

/// Prints the actions of a day, if there were any.
pub(crate) fn print_day(
    date: Date,
    number: u32,
    line: &str,
    out: &mut impl Write,
) -> Result<(), StartError> {
    if !line.is_empty() {
        writeln!(out, "{date}  day {number:>4}  {line}")?;
        out.flush()?;
    }
    Ok(())
}

/// Prints the new time at the end of a tick.
pub(crate) fn print_now(now: &str, out: &mut impl Write) -> Result<(), StartError> {
    writeln!(
        out,
        "Nothing was due on days that are not listed. The system's time is now {now}."
    )?;
    Ok(())
}

/// Returns the system's time for display.
pub(crate) fn now_in(instance: &Instance) -> String {
    let now = instance.app.clock.now();
    now.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Returns the actions of a day as one line; empty if there were none.
pub(crate) fn line(day: &Day) -> String {
    let s = &day.summary;
    let count = |n: u64, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let of = |what| s.count(what);
    let parts: Vec<_> = [
        count(
            of(ScheduledAction::WarnOfDisabling),
            "warned of disabling",
            "warned of disabling",
        ),
        count(of(ScheduledAction::Disable), "disabled", "disabled"),
        count(
            of(ScheduledAction::WarnOfDeletion),
            "warned of deletion",
            "warned of deletion",
        ),
        count(of(ScheduledAction::Delete), "deleted", "deleted"),
        count(
            of(ScheduledAction::EndAccess),
            "access ended",
            "accesses ended",
        ),
        count(
            of(ScheduledAction::PasswordNotice),
            "password notice",
            "password notices",
        ),
        count(
            of(ScheduledAction::LetterNotice),
            "letter overdue",
            "letters overdue",
        ),
        count(
            of(ScheduledAction::CampaignNotice) + of(ScheduledAction::UsernameNotice),
            "campaign notice",
            "campaign notices",
        ),
        count(s.backups_wanted, "backup requested", "backups requested"),
        count(s.reviews_started, "review started", "reviews started"),
        count(s.reviews_chased, "review reminder", "review reminders"),
        count(
            s.notices_sent,
            "organization notified",
            "organizations notified",
        ),
        count(s.failed, "FAILED", "FAILED"),
        count(day.mails as u64, "email", "emails"),
        count(day.letters as u64, "letter", "letters"),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.join(", ")
}

/// Runs the sweep on a data folder once and prints what it did, or, in a dry run, what it would do.
///
/// # Errors
/// Says what is wrong and how to fix it; in particular that a portal is running on the folder.
pub async fn sweep(
    options: Options,
    dry_run: bool,
    as_of: Option<Date>,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let instance = start(options).await?;
    if !dry_run {
        let swept = instance.schedule().await?;
        let day = Day {
            number: 0,
            date: instance.app.clock.now().to_zoned(TimeZone::UTC).date(),
            summary: swept.summary,
            mails: 0,
            letters: 0,
        };
        let done = line(&day);
        let done = if done.is_empty() {
            "Nothing was due."
        } else {
            &done
        };
        writeln!(out, "{done}")?;
        return Ok(());
    }
    let run = Run {
        dry_run,
        as_of,
        ..Run::now(instance.app.clock.now())
    };
    let swept = instance.sweep(&run).await;
    for p in &swept.previews {
        writeln!(
            out,
            "{:10}  {:20}  {:18}  {}  {}",
            p.portal,
            p.username,
            p.action.into_str(),
            p.about,
            p.because
        )?;
    }
    writeln!(
        out,
        "{} accounts would change. Nothing was changed.",
        swept.summary.done.values().sum::<u64>()
    )?;
    Ok(())
}

async fn start(options: Options) -> Result<Instance, StartError> {
    if let Some(data) = options.data.as_deref()
        && !folder::holds_data(data)
    {
        return Err(format!(
            "the folder {} holds no data yet. Start the portal first with `cargo portal`",
            data.display()
        )
        .into());
    }
    Instance::start(options).await
}
