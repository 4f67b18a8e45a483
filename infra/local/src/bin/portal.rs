//! `cargo portal`: the whole system on one machine.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aws_config::BehaviorVersion;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use vestibule_domain::feeds::Extent;
use vestibule_domain::record::RecordKind;
use vestibule_http::settings::Bootstrap;
use vestibule_http::{App, Clock};
use vestibule_local::audit::{self, Wanted};
use vestibule_local::demo::{self, Journey};
use vestibule_local::first_staff::{self, FirstStaff, Made};
use vestibule_local::serve::{Settings, serve};
use vestibule_local::{
    Instance, Options, StartError, folder, import, openapi, routes, time_travel,
};

/// The whole accounts backend on one machine: the API of every portal, an inbox, printed letters,
/// sample records and sample people. Without a command, it serves.
#[derive(Parser)]
#[command(
    name = "cargo portal",
    bin_name = "cargo portal",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cargo portal                        serve on http://127.0.0.1:8600, data in .vestibule
  cargo portal --port 0               the same on a free port
  cargo portal --data /tmp/other      a second system beside the first
  cargo portal demo                   watch the main journeys
  cargo portal tick --days 181        let time pass (stop the portal first)
  cargo portal reset                  remove the data and start anew

The first page of the running system tells as whom to sign in and what to try."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
    /// How much is logged to stderr: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true, default_value = "warn")]
    log: LevelFilter,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the whole system on loopback until Ctrl-C
    #[command(after_help = "\
Examples:
  cargo portal serve --port 8700
  cargo portal serve --portals my-portals       with your own policies
  cargo portal serve --dynamodb-endpoint http://127.0.0.1:8000 --data /tmp/on-dynamodb-local
                                                on DynamoDB Local; mails, letters and the key stay in --data

The first start loads the sample plan records and registers sample people through the API.")]
    Serve(ServeArguments),
    /// Remove the data folder, and nothing that isn't a portal's
    #[command(after_help = "\
Examples:
  cargo portal reset
  cargo portal reset --data /tmp/other

Tables in another DynamoDB (--dynamodb-endpoint) stay; delete vestibule and vestibule-audit there.")]
    Reset {
        #[command(flatten)]
        data: DataArgument,
    },
    /// Tell the main journeys with real requests, answers, mails and letters, on a system in memory
    #[command(after_help = "\
Examples:
  cargo portal demo
  cargo portal demo --only group
  cargo portal demo --only member --only provider | less

Ends with 1 if an answer is not what the portal promises.")]
    Demo {
        /// Only this journey; can be given several times
        #[arg(long, value_name = "JOURNEY", value_enum)]
        only: Vec<Journey>,
        #[command(flatten)]
        portals: PortalsArgument,
    },
    /// Let days pass: moves the clock of the data folder and does, day by day, what is then due
    #[command(after_help = "\
Examples:
  cargo portal tick --days 181        until idle accounts are disabled
  cargo portal tick --days 1 --data /tmp/other

Tells of each day what it brought: warnings, accounts disabled and deleted, reminders, mails, letters. The
portal must not be running on the folder; the next start goes on at the new time. The clock never
goes back: cargo portal reset starts anew.")]
    Tick {
        /// How many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Run the inactivity sweep once, or tell with --dry-run what it would do
    #[command(after_help = "\
Examples:
  cargo portal sweep --dry-run                      what is due today, and why
  cargo portal sweep --dry-run --as-of 2027-05-22   what would be due on that day as things are now
  cargo portal sweep

The portal must not be running on the folder.")]
    Sweep {
        /// Change nothing; list who would be warned, disabled or deleted, and why
        #[arg(long)]
        dry_run: bool,
        /// Another day than today
        #[arg(long, value_name = "YYYY-MM-DD", requires = "dry_run")]
        as_of: Option<Date>,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Make the help desk's first account, a supervisor who then invites the staff
    #[command(
        name = "first-staff",
        after_help = "\
Examples:
  cargo portal first-staff --name \"Olive Grant\" --email olive@plan.example
  cargo portal first-staff --name \"Olive Grant\" --email olive@plan.example --on-aws

The one-time password is printed once, and has to be changed at the first sign-in. Where there is a
supervisor already, such as the one of the sample people, nothing is done.

With --on-aws it works on the deployed tables, with your AWS credentials and the settings of the functions:
TABLE, AUDIT_TABLE, KMS_KEY_ID, and PORTALS_DIR for other policies than those of the source tree."
    )]
    FirstStaff(FirstStaffArguments),
    /// The audit trail, for its operators
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Import a feed of plan records, as the nightly import does
    #[command(after_help = "\
Examples:
  cargo portal import members.csv               what has changed: rows are added or replaced
  cargo portal import agents.csv --full         all of them: who isn't in the file has ended
  cargo portal import new.csv --kind provider

The file becomes the next feed of the day in the local bucket. If the portal is running, it imports
the feed in a few seconds; if not, it is imported here. infra/sample-records/README.md lists the
columns, docs/feeds.md tells what follows.")]
    Import {
        /// The CSV file
        file: PathBuf,
        /// What it holds [default: from its name, such as members.csv]
        #[arg(long, value_name = "KIND", value_parser = kind)]
        kind: Option<RecordKind>,
        /// The file holds all records of its kind: those that it doesn't name end
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Print the description of the API (OpenAPI 3.1, JSON)
    #[command(after_help = "\
Examples:
  cargo portal openapi
  cargo portal openapi > docs/openapi.json")]
    Openapi,
    /// Print the routes of the API (Markdown): method, path, operation and source file
    #[command(after_help = "\
Examples:
  cargo portal routes
  cargo portal routes --write     after a change of routes: update docs/routes.md and template.yaml")]
    Routes {
        /// Write docs/routes.md and the route events in template.yaml instead
        #[arg(long)]
        write: bool,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Prove that no entry was altered, removed or added since it was written and sealed
    #[command(after_help = "\
Examples:
  cargo portal audit verify                           all portals, the last 30 days
  cargo portal audit verify --portal group --from 2026-11-01 --to 2026-11-30
  cargo portal audit verify --portal group --kept 25:pq3v...
                                                      besides, that seal 25 is the one printed earlier
  TABLE=... AUDIT_TABLE=... KMS_KEY_ID=... PORTALS_DIR=infra/portals cargo portal audit verify --on-aws
                                                      on AWS, with the credentials of the environment

Ends with 1 if anything is altered, missing or added. docs/security.md tells what this proves, and what not.
A system that is being served from the same folder has to be stopped first.")]
    Verify {
        /// Only this portal
        #[arg(long, value_name = "PORTAL")]
        portal: Option<String>,
        /// The first day, in UTC [default: 30 days before the last]
        #[arg(long, value_name = "DAY")]
        from: Option<jiff::civil::Date>,
        /// The last day, in UTC [default: today]
        #[arg(long, value_name = "DAY")]
        to: Option<jiff::civil::Date>,
        /// A seal as it was kept elsewhere; takes --portal
        #[arg(long, value_name = "NUMBER:DIGEST", value_parser = audit::kept_seal, requires = "portal")]
        kept: Option<(u64, String)>,
        /// The tables on AWS that TABLE, AUDIT_TABLE and KMS_KEY_ID name
        #[arg(long, conflicts_with_all = ["data", "dynamodb_endpoint"])]
        on_aws: bool,
        #[command(flatten)]
        on: SystemArguments,
    },
}

#[derive(Args)]
struct ServeArguments {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8600)]
    port: u16,
    #[command(flatten)]
    on: SystemArguments,
    /// Where DynamoDB, KMS, SES and S3 are for functions run beside it: this port and the next three
    #[arg(long, value_name = "PORT")]
    aws_port: Option<u16>,
    /// The address that they are at, such as 172.17.0.1 for functions in Docker on Linux
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), requires = "aws_port")]
    aws_host: IpAddr,
}

/// A system on this machine.
#[derive(Args)]
struct SystemArguments {
    #[command(flatten)]
    data: DataArgument,
    #[command(flatten)]
    portals: PortalsArgument,
    /// Another DynamoDB than the embedded one, such as DynamoDB Local
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint: Option<String>,
}

impl SystemArguments {
    fn options(self) -> Result<Options, StartError> {
        let data = self.data.folder();
        Ok(Options {
            clock: Clock::ahead_by(folder::ahead(&data)?),
            data: Some(data),
            portals: self.portals.folder(),
            dynamodb_endpoint: self.dynamodb_endpoint,
            ..Options::in_memory()
        })
    }

    /// The same, where there is a folder already.
    fn started_before(self) -> Result<Options, StartError> {
        let options = self.options()?;
        match &options.data {
            Some(data) if !data.exists() => Err(format!(
                "there is no data folder {}. Start `cargo portal` there once, or name another with --data DIR",
                data.display()
            )
            .into()),
            _ => Ok(options),
        }
    }
}

#[derive(Args)]
struct FirstStaffArguments {
    /// Given and family name
    #[arg(long)]
    name: String,
    /// Where mail goes
    #[arg(long)]
    email: String,
    /// The username [default: the name in lower case, with dots]
    #[arg(long)]
    username: Option<String>,
    /// The help desk's portal, where there are several
    #[arg(long)]
    portal: Option<String>,
    /// On the deployed system instead of this machine's
    #[arg(long, conflicts_with_all = ["data", "portals", "dynamodb_endpoint"])]
    on_aws: bool,
    #[command(flatten)]
    on: SystemArguments,
}

#[derive(Args)]
struct DataArgument {
    /// The folder that keeps everything [default: .vestibule in the source tree]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgument {
    fn folder(self) -> PathBuf {
        self.data.unwrap_or_else(|| in_source_tree(".vestibule"))
    }
}

#[derive(Args)]
struct PortalsArgument {
    /// The folder of policies, one NAME.toml a portal [default: infra/portals in the source tree]
    #[arg(long, value_name = "DIR")]
    portals: Option<PathBuf>,
}

impl PortalsArgument {
    fn folder(self) -> PathBuf {
        self.portals
            .unwrap_or_else(|| in_source_tree("infra/portals"))
    }
}

fn kind(text: &str) -> Result<RecordKind, String> {
    RecordKind::ALL
        .into_iter()
        .find(|k| k.as_str() == text)
        .ok_or_else(|| "must be member, agent, group or provider".to_owned())
}

/// A path in the source tree that this was built from; where that is gone, in the folder one is in.
fn in_source_tree(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .map_or_else(|_| PathBuf::from(path), |root| root.join(path))
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli {
        command,
        serve,
        log,
    } = Cli::parse();
    log_to_stderr(log);
    match run(command.unwrap_or(Command::Serve(serve))).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has heard enough.
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let text = error.to_string();
            let dot = if text.ends_with(['.', '\n']) || text.contains('\n') {
                ""
            } else {
                "."
            };
            let _ = writeln!(io::stderr(), "error: {text}{dot}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to stderr. The embedded DynamoDB warns of every condition that an item doesn't meet, which is
/// how races are lost cleanly, so only its errors are of interest.
fn log_to_stderr(level: LevelFilter) {
    let embedded = if level > LevelFilter::INFO {
        level
    } else {
        level.min(LevelFilter::ERROR)
    };
    let filter = Targets::new()
        .with_default(level)
        .with_target("dynoxide", embedded);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}

async fn run(command: Command) -> Result<(), StartError> {
    let mut out = anstream::stdout();
    match command {
        Command::Serve(ServeArguments {
            port,
            on,
            aws_port,
            aws_host,
        }) => {
            let settings = Settings {
                port,
                data: on.data.folder(),
                portals: on.portals.folder(),
                dynamodb_endpoint: on.dynamodb_endpoint,
                aws: aws_port.map(|port| SocketAddr::new(aws_host, port)),
            };
            serve(settings, &mut out).await
        }
        Command::Reset { data } => reset(&data.folder(), &mut out),
        Command::Demo { only, portals } => {
            let journeys = if only.is_empty() {
                Journey::value_variants()
            } else {
                &only
            };
            demo::run(
                Options {
                    portals: portals.folder(),
                    ..Options::in_memory()
                },
                journeys,
                &mut out,
            )
            .await
        }
        Command::Tick { days, on } => time_travel::tick(on.options()?, days, &mut out).await,
        Command::Sweep { dry_run, as_of, on } => {
            time_travel::sweep(on.options()?, dry_run, as_of, &mut out).await
        }
        Command::FirstStaff(arguments) => Ok(writeln!(out, "{}", first_staff(arguments).await?)?),
        Command::Audit(AuditCommand::Verify {
            portal,
            from,
            to,
            kept,
            on_aws,
            on,
        }) => {
            let wanted = Wanted {
                portal,
                from,
                to,
                kept,
            };
            if on_aws {
                let app = app_on_aws().await?;
                return audit::verify(&app, &wanted, &mut out).await;
            }
            let instance = Instance::start(on.started_before()?).await?;
            audit::verify(&instance.app, &wanted, &mut out).await
        }
        Command::Import {
            file,
            kind,
            full,
            on,
        } => {
            let extent = if full { Extent::Full } else { Extent::Changes };
            import::run(&file, kind, extent, on.started_before()?, &mut out).await
        }
        Command::Openapi => Ok(writeln!(out, "{}", openapi::openapi().trim_end())?),
        Command::Routes { write: true } => routes::write(&in_source_tree("")),
        Command::Routes { write: false } => {
            Ok(write!(out, "{}", routes::table(&in_source_tree(""))?)?)
        }
    }
}

/// The state of a function on AWS, with the operator's own credentials, wherever the SDK finds them.
async fn app_on_aws() -> Result<App, StartError> {
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    Bootstrap::read(aws, in_source_tree("infra/portals"))?
        .app()
        .await
}

async fn first_staff(arguments: FirstStaffArguments) -> Result<Made, StartError> {
    let FirstStaffArguments {
        name,
        email,
        username,
        portal,
        on_aws,
        on,
    } = arguments;
    let person = FirstStaff {
        portal,
        name,
        email,
        username,
    };
    if on_aws {
        let app = app_on_aws().await?;
        return first_staff::make(&app, person).await;
    }
    let options = on.options()?;
    let data = options.data.clone();
    let instance = Instance::start(options).await?;
    let made = first_staff::make(&instance.app, person).await?;
    if let Some(data) = data {
        std::fs::write(data.join(folder::FIRST_STAFF), "")?;
    }
    Ok(made)
}

fn reset(data: &Path, out: &mut impl Write) -> Result<(), StartError> {
    let shown = data.display();
    match folder::reset(data)? {
        None => writeln!(
            out,
            "There is no data folder {shown}; the next start makes one."
        )?,
        Some(removed) => {
            let names = removed.names.join(", ");
            writeln!(
                out,
                "Removed from {shown}: {}.",
                if names.is_empty() {
                    "nothing but its lock"
                } else {
                    &names
                }
            )?;
            if removed.whole {
                writeln!(
                    out,
                    "Removed the folder itself. The next start makes everything anew."
                )?;
            } else {
                writeln!(
                    out,
                    "The folder itself stays, because it holds something that isn't a portal's."
                )?;
            }
        }
    }
    Ok(())
}
