//! The demonstration: the main journeys on a system of its own, each step told as it happens and
//! compared with what the portal promises.

mod journeys;
mod tell;

use std::fmt;
use std::io::Write;

use clap::ValueEnum;
use vestibule_http::Clock;

use crate::instance::{Options, serve_at_free_port};
use crate::{Instance, StartError};

use tell::Teller;

/// A journey that the demonstration tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Journey {
    /// An employer registers; a backup is invited, loses the mail, joins and is approved.
    Group,
    /// A member, a dependent, a lost letter, and the PIN that opens the account.
    Member,
    /// A practice, its PIN letter, and a colleague with a registration code.
    Provider,
    /// A dental practice with staff; a medical one that is referred to customer care.
    Practice,
    /// A provider whose PIN letter is lost, and the plan's help desk, which posts another.
    HelpDesk,
    /// One agent whose agreement is on file, and one whose agreement arrives with the feed.
    Agent,
    /// One login for several organizations: a provider's, and an office manager's.
    Organizations,
    /// A file of people, with a wrong row, is invited; the list of users is downloaded.
    Bulk,
    /// Who looked at what, and the proof that no entry was altered.
    Audit,
}

impl Journey {
    const fn title(self) -> &'static str {
        match self {
            Self::Group => "Group: an employer, its principal and a backup",
            Self::Member => "Member: the PIN letter, a dependent, and a letter that is lost",
            Self::Provider => "Provider: the primary user's PIN, a colleague's registration code",
            Self::Practice => {
                "Practice: a dental practice and its staff; who is referred to customer care"
            }
            Self::HelpDesk => "Help desk: a lost PIN letter is posted anew",
            Self::Agent => "Agent: with the current agreement, and without",
            Self::Organizations => "Organizations: one login, several of them",
            Self::Bulk => "Bulk: a file of people to invite, a file of users to download",
            Self::Audit => "Audit: who looked at whom, and the proof that nothing was altered",
        }
    }
}

/// An answer that is not what the portal promises.
#[derive(Debug)]
pub struct Differs {
    /// In which journey.
    pub journey: &'static str,
    /// What was done.
    pub what: String,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            journey,
            what,
            expected,
            got,
        } = self;
        write!(
            f,
            "the demonstration stops, because something is not as it should be.\n  journey:  {journey}\n  step:     {what}\n  expected: {expected}\n  got:      {got}"
        )
    }
}

impl std::error::Error for Differs {}

/// Tells the journeys on a fresh system in memory.
///
/// # Errors
/// When the system can't be started, [`Differs`] when it doesn't do what it should, and the error of
/// `out` when nobody listens any more.
pub async fn run(
    options: Options,
    journeys: &[Journey],
    out: &mut impl Write,
) -> Result<(), StartError> {
    let now = options.clock.now();
    let instance = Instance::start(Options {
        clock: Clock::at(now),
        ..options
    })
    .await?;
    instance.load_sample_records(|_| {}).await?;
    let base = serve_at_free_port(instance.router()).await?;
    let mut teller = Teller::new(&instance, &base, out);
    teller.opening()?;
    for journey in journeys {
        teller.begin(journey.title())?;
        match journey {
            Journey::Group => journeys::group(&mut teller).await?,
            Journey::Member => journeys::member(&mut teller).await?,
            Journey::Provider => journeys::provider(&mut teller).await?,
            Journey::Practice => journeys::practice(&mut teller).await?,
            Journey::HelpDesk => journeys::help_desk(&mut teller).await?,
            Journey::Agent => journeys::agent(&mut teller).await?,
            Journey::Organizations => journeys::organizations(&mut teller).await?,
            Journey::Bulk => journeys::bulk(&mut teller).await?,
            Journey::Audit => journeys::audit(&mut teller).await?,
        }
    }
    teller.closing(journeys.len())?;
    Ok(())
}
