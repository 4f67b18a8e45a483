//! `cargo portal demo`: runs the main journeys on a system in memory, prints each step and checks its result.

mod journeys;
mod steps;

use std::io::Write;

use clap::ValueEnum;
use vestibule_http::Clock;

use crate::instance::{Options, serve_at_free_port};
use crate::{Instance, StartError};

use self::steps::Demo;

pub use self::steps::Differs;

/// A journey of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Journey {
    /// An employer registers, invites a backup, sends the invitation again and approves the backup.
    Group,
    /// A member and a dependent register; a PIN letter is lost, and a new PIN activates the account.
    Member,
    /// A practice activates its account with a PIN and adds a colleague with a registration code.
    Provider,
    /// A dental practice adds staff; a medical practice is referred to Customer Care.
    Practice,
    /// The plan's help desk sends a provider a new PIN letter.
    HelpDesk,
    /// An agent whose agreement is on file, and an agent whose agreement arrives with a feed.
    Agent,
    /// One account for several organizations: an office manager's and a provider's.
    Organizations,
    /// A user sets up an authenticator app, signs in with it and loses it; an administrator starts a reset.
    SecondFactor,
    /// A user signs in to an application of the plan through the portal, and signing out ends both.
    SingleSignOn,
    /// A CSV file invites several people; the list of users is downloaded.
    Bulk,
    /// The audit trail and the proof that no entry was altered.
    Audit,
}

impl Journey {
    const fn title(self) -> &'static str {
        match self {
            Self::Group => "Group: an employer's principal invites a backup",
            Self::Member => "Member: a PIN letter, a dependent and a lost letter",
            Self::Provider => {
                "Provider: the primary user's PIN and a colleague's registration code"
            }
            Self::Practice => {
                "Practice: a dental practice, its staff and a referral to Customer Care"
            }
            Self::HelpDesk => "Help desk: a new PIN letter for a provider",
            Self::Agent => "Agent: with and without a current agreement",
            Self::Organizations => "Organizations: one account for several organizations",
            Self::SecondFactor => {
                "Second factor: an authenticator app is set up, used, lost and reset"
            }
            Self::SingleSignOn => {
                "Single sign-on: an application trusts the portal's sign-in, until it ends"
            }
            Self::Bulk => "Bulk: invite people from a file and download the list of users",
            Self::Audit => "Audit: who viewed what, and the proof that nothing was altered",
        }
    }
}

/// Runs the journeys on a new system in memory and prints them.
///
/// # Errors
/// Fails if the system can't start, with [`Differs`] if a result isn't as expected, and if `out` can't be written
/// to.
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
    let mut demo = Demo::new(&instance, &base, out);
    demo.opening()?;
    for journey in journeys {
        demo.begin(journey.title())?;
        match journey {
            Journey::Group => journeys::group(&mut demo).await?,
            Journey::Member => journeys::member(&mut demo).await?,
            Journey::Provider => journeys::provider(&mut demo).await?,
            Journey::Practice => journeys::practice(&mut demo).await?,
            Journey::HelpDesk => journeys::help_desk(&mut demo).await?,
            Journey::Agent => journeys::agent(&mut demo).await?,
            Journey::Organizations => journeys::organizations(&mut demo).await?,
            Journey::SecondFactor => journeys::second_factor(&mut demo).await?,
            Journey::SingleSignOn => journeys::single_sign_on(&mut demo).await?,
            Journey::Bulk => journeys::bulk(&mut demo).await?,
            Journey::Audit => journeys::audit(&mut demo).await?,
        }
    }
    demo.closing(journeys.len())?;
    Ok(())
}
