//! Moving the clock of a system on one machine: days pass in seconds, and on each of them the clockwork
//! does what is due.

use std::io::Write;

use jiff::SignedDuration;
use jiff::civil::Date;
use vestibule_domain::schedule::ScheduledAction;
use vestibule_inactivity_sweep::{Run, Summary, Swept};

use crate::instance::Options;
use crate::{Instance, StartError, folder};

/// What a day brought.
#[derive(Debug)]
pub struct Day {
    /// Which day after the start it is.
    pub number: u32,
    /// The day, in Greenwich.
    pub date: Date,
    /// What the clockwork did.
    pub summary: Summary,
    /// How many mails were sent.
    pub mails: usize,
    /// How many letters were printed.
    pub letters: usize,
}

impl Instance {
    /// Lets days pass, and has the clockwork do on each what is due. Days on which nothing is due are
    /// skipped: the index says which they are. The clock must be one that can be moved.
    ///
    /// # Errors
    /// When the store doesn't answer.
    pub async fn pass_days(
        &self,
        days: u32,
        mut tell: impl FnMut(&Day) -> Result<(), StartError>,
    ) -> Result<(), StartError> {
        let mut passed = 0;
        while passed < days {
            let step = self.days_until_due(days - passed).await?;
            self.app
                .clock
                .advance(SignedDuration::from_hours(24 * i64::from(step)));
            passed += step;
            let (mails, letters) = (self.inbox.len(), self.letters().len());
            let Swept { summary, .. } = self.schedule().await?;
            let day = Day {
                number: passed,
                date: self
                    .app
                    .clock
                    .now()
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .date(),
                summary,
                mails: self.inbox.len() - mails,
                letters: self.letters().len() - letters,
            };
            tell(&day)?;
        }
        Ok(())
    }

    /// In how many days from now, at least one and at most so many, something is due on a portal.
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

/// Moves the clock of a data folder by so many days and tells what each brought.
///
/// # Errors
/// What keeps the system from starting; in particular that one is running on the folder.
pub async fn tick(options: Options, days: u32, out: &mut impl Write) -> Result<(), StartError> {
    let data = options.data.clone();
    let instance = start(options).await?;
    instance
        .pass_days(days, |day| {
            let what = line(day);
            if !what.is_empty() {
                writeln!(out, "{}  day {:>4}  {what}", day.date, day.number)?;
            }
            Ok(())
        })
        .await?;
    if let Some(data) = data {
        folder::set_ahead(&data, instance.app.clock.ahead())?;
    }
    let now = instance.app.clock.now().strftime("%Y-%m-%d %H:%M UTC");
    writeln!(
        out,
        "Days that are not listed brought nothing. For this system it is now {now}."
    )?;
    Ok(())
}

/// What a day brought, in a line; empty where it brought nothing.
fn line(day: &Day) -> String {
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
        count(s.backups_wanted, "backup wanted", "backups wanted"),
        count(s.reviews_started, "review begun", "reviews begun"),
        count(s.reviews_chased, "review chased", "reviews chased"),
        count(s.told, "organization told", "organizations told"),
        count(s.failed, "FAILED", "FAILED"),
        count(day.mails as u64, "mail", "mails"),
        count(day.letters as u64, "letter", "letters"),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.join(", ")
}

/// Makes one run of the sweep on a data folder, or a dry run, and tells what it did or would do.
///
/// # Errors
/// As [`tick`].
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
            date: instance
                .app
                .clock
                .now()
                .to_zoned(jiff::tz::TimeZone::UTC)
                .date(),
            summary: swept.summary,
            mails: 0,
            letters: 0,
        };
        let what = line(&day);
        let what = if what.is_empty() {
            "nothing was due"
        } else {
            &what
        };
        writeln!(out, "{what}")?;
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
            p.action.as_str(),
            p.about,
            p.because
        )?;
    }
    writeln!(
        out,
        "{} accounts would be acted on. Nothing was changed.",
        swept.summary.done.values().sum::<u64>()
    )?;
    Ok(())
}

async fn start(options: Options) -> Result<Instance, StartError> {
    if let Some(data) = options.data.as_deref()
        && !folder::holds_data(data)
    {
        return Err(format!(
            "the folder {} holds no data yet. Start the portal once: cargo portal",
            data.display()
        )
        .into());
    }
    Instance::start(options).await
}
