//! `cargo portal`: runs the whole system on one machine.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aws_config::BehaviorVersion;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use jiff::civil::Date;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use vestibule_domain::feed::sequence::Extent;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::settings::Bootstrap;
use vestibule_http::{App, Clock};
use vestibule_local::audit::{self, Wanted};
use vestibule_local::demo::{self, Journey};
use vestibule_local::first_staff::{self, FirstStaff, Made};
use vestibule_local::serve::{Settings, serve};
use vestibule_local::{
    Instance, Options, StartError, applications, control, folder, import, openapi, restore,
    rotate_key, routes, time_travel,
};
use vestibule_store::restore::Mode;
use vestibule_store::rotation::SPREAD;

/// Runs the whole accounts backend on this machine: the API of every portal, an inbox, printed letters,
/// sample records and sample people. Without a command, it serves.
#[derive(Parser)]
#[command(
    name = "cargo portal",
    bin_name = "cargo portal",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cargo portal                              serve on http://localhost:8600 with data in .vestibule
  cargo portal --port 0 --data /tmp/other   serve a second system on a free port
  cargo portal demo                         show the main journeys
  cargo portal tick --days 181              move the clock, also while the portal is running
  cargo portal reset                        remove the data and start over

The first page of the running portal lists people to sign in as and things to try."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
    /// Log level on stderr: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true, default_value = "warn")]
    log: LevelFilter,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the whole system on loopback until Ctrl-C
    #[command(after_help = "\
Examples:
  cargo portal serve --port 8700
  cargo portal serve --portals my-portals       use your own policies
  cargo portal serve --dynamodb-endpoint http://127.0.0.1:8000 --data /tmp/on-dynamodb-local
                                                use DynamoDB Local; emails, letters and the key stay in --data

The first start loads the sample plan records and registers sample people through the API. Links in
emails lead to the pages of this server.")]
    Serve(ServeArguments),
    /// Remove the data folder; other files in it stay
    #[command(after_help = "\
Examples:
  cargo portal reset
  cargo portal reset --data /tmp/other

Tables in another DynamoDB (--dynamodb-endpoint) stay. Delete the tables vestibule and vestibule-audit there.")]
    Reset {
        #[command(flatten)]
        data: DataArgument,
    },
    /// Show the main journeys with real requests, responses, emails and letters, on a system in memory
    #[command(after_help = "\
Examples:
  cargo portal demo
  cargo portal demo --only group
  cargo portal demo --only member --only provider | less

Exits with status 1 if a response isn't as expected.")]
    Demo {
        /// Show only this journey; repeat the option for several
        #[arg(long, value_name = "JOURNEY", value_enum)]
        only: Vec<Journey>,
        #[command(flatten)]
        portals: PortalsArgument,
    },
    /// Move the clock of the data folder by days and run the actions that are due on each
    #[command(after_help = "\
Examples:
  cargo portal tick --days 181        disable idle accounts
  cargo portal tick --days 1 --data /tmp/other

Prints the actions of each day: warnings, disabled and deleted accounts, reminders, emails and letters. It
works whether the portal is running or not; the emails are in the inbox when the command returns. The clock
can't go back: start over with `cargo portal reset`.")]
    Tick {
        /// Number of days, 1 to 3650
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Run the inactivity sweep once, or list with --dry-run what it would do
    #[command(after_help = "\
Examples:
  cargo portal sweep --dry-run                      list what is due today, and why
  cargo portal sweep --dry-run --as-of 2027-05-22   list what would be due on that day
  cargo portal sweep                                run the sweep

Stop the portal first.")]
    Sweep {
        /// List the accounts that would be warned, disabled or deleted, and why, without changing anything
        #[arg(long)]
        dry_run: bool,
        /// The day to list [default: today]
        #[arg(long, value_name = "YYYY-MM-DD", requires = "dry_run")]
        as_of: Option<Date>,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Create the help desk's first account, a supervisor who can invite the staff
    #[command(
        name = "first-staff",
        after_help = "\
Examples:
  cargo portal first-staff --name \"Olive Grant\" --email olive@plan.example
  cargo portal first-staff --name \"Olive Grant\" --email olive@plan.example --on-aws

The one-time password is printed only once and must be changed at the first sign-in. If the help desk
already has a supervisor, as it does with the sample people, the command fails and changes nothing.

With --on-aws, the command uses the deployed tables, your AWS credentials and the functions' settings: TABLE,
AUDIT_TABLE, KMS_KEY_ID, and PORTALS_DIR for policies other than those of the source tree."
    )]
    FirstStaff(FirstStaffArguments),
    /// Print the secret of an application that signs its users in with a portal
    #[command(
        name = "client-secret",
        after_help = "\
Examples:
  cargo portal client-secret --portal group --application enrollment-desk
  TABLE=... AUDIT_TABLE=... KMS_KEY_ID=... PORTALS_DIR=my-portals cargo portal client-secret --on-aws --portal group --application enrollment-desk

The secret is derived from the keyring and from secret_version of the policy, and is stored nowhere. To change it,
increase secret_version. docs/sso.md explains how to connect an application."
    )]
    ClientSecret {
        /// The portal
        #[arg(long)]
        portal: String,
        /// The id of the application in the portal's policy
        #[arg(long)]
        application: String,
        /// Use the tables on AWS that TABLE, AUDIT_TABLE and KMS_KEY_ID name
        #[arg(long, conflicts_with_all = ["data", "portals", "dynamodb_endpoint"])]
        on_aws: bool,
        // The portal is named above; the policies are in --portals.
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Create the keyring of newly deployed tables
    #[command(
        name = "create-keyring",
        after_help = "\
Examples:
  TABLE=... AUDIT_TABLE=... KMS_KEY_ID=... cargo portal create-keyring --on-aws

Run it once after the first deployment. Without a keyring, requests that need a key get a 503. If the tables contain
data, the command fails and changes nothing: restore the keyring from a backup. On this machine, the first start
creates the keyring."
    )]
    CreateKeyring {
        /// Use the tables on AWS that TABLE, AUDIT_TABLE and KMS_KEY_ID name
        #[arg(long, required = true)]
        on_aws: bool,
    },
    /// Rotate the data key, from which all keys derive
    #[command(
        name = "rotate-key",
        after_help = "\
Examples:
  cargo portal rotate-key                    stop the portal first
  TABLE=... AUDIT_TABLE=... KMS_KEY_ID=... cargo portal rotate-key --on-aws
                                             rotate the key of the deployed system while it runs

Adds a key, waits until every function uses it (20 minutes on AWS), and encrypts addresses and unsent messages
again. Nothing is lost or unavailable during this time. If the command is interrupted, run it again: it continues.
PINs, codes, answers and links stay valid, and those that were locked or used stay so."
    )]
    RotateKey {
        /// Use the tables on AWS that TABLE, AUDIT_TABLE and KMS_KEY_ID name
        #[arg(long, conflicts_with_all = ["data", "portals", "dynamodb_endpoint"])]
        on_aws: bool,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Copy items from tables that were restored to a point in time back into the deployed tables
    #[command(after_help = "\
Examples:
  cargo portal restore --on-aws --from vestibule-restored --from-audit vestibule-audit-restored
                                              report what is missing or differs, and change nothing
  cargo portal restore --on-aws --from vestibule-restored --from-audit vestibule-audit-restored --apply
                                              restore everything that is missing
  cargo portal restore --on-aws --from vestibule-restored --key 'A#group#0123' --overwrite --apply
                                              set the items of one partition back

Copies whole, unchanged items. The keyring is restored first if it is missing and never replaced. Entries of the audit
trail are only added. Sessions, links in emails and whatever has expired are left out. An interrupted run
continues with the same command. An item that a request writes at the same time stays as it is.
docs/operations.md describes every step.")]
    Restore(RestoreArguments),
    /// Verify the audit trail
    #[command(
        subcommand,
        after_help = "\
Examples:
  cargo portal audit verify
  cargo portal audit verify --help    show every option"
    )]
    Audit(AuditCommand),
    /// Import a CSV file of plan records, as the nightly import does
    #[command(after_help = "\
Examples:
  cargo portal import members.csv               add or replace the records in the file
  cargo portal import agents.csv --full         also end all agent records that the file doesn't list
  cargo portal import new.csv --kind provider

The file becomes the next feed of the day in the local bucket. A running portal imports it within a few
seconds; otherwise, this command does. infra/sample-records/README.md lists the columns; docs/feeds.md
describes the effects.")]
    Import {
        /// The CSV file
        file: PathBuf,
        /// The kind of records: member, agent, group or provider [default: from the file's name]
        #[arg(long, value_name = "KIND", value_parser = kind)]
        kind: Option<RecordKind>,
        /// The file lists all records of its kind; records that it doesn't list end
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        on: SystemArguments,
    },
    /// Print the OpenAPI 3.1 description of the API as JSON
    #[command(after_help = "\
Examples:
  cargo portal openapi
  cargo portal openapi > docs/openapi.json")]
    Openapi,
    /// Print the routes of the API (Markdown): method, path, operation and source file
    #[command(after_help = "\
Examples:
  cargo portal routes
  cargo portal routes --write     after a change of routes: update docs/routes.md and infra/api.yaml")]
    Routes {
        /// Write docs/routes.md and the paths of infra/api.yaml instead
        #[arg(long)]
        write: bool,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Verify that no entry was altered, removed or added after it was written and sealed
    #[command(after_help = "\
Examples:
  cargo portal audit verify                           verify all portals for the last 30 days
  cargo portal audit verify --portal group --from 2026-11-01 --to 2026-11-30
  cargo portal audit verify --portal group --kept 25:pq3v...
                                                      also compare seal 25 with the one printed earlier
  TABLE=... AUDIT_TABLE=... KMS_KEY_ID=... PORTALS_DIR=infra/portals cargo portal audit verify --on-aws
                                                      verify the deployed tables with your AWS credentials

Exits with status 1 if an entry is altered, missing or added. docs/security.md explains what this proves. Stop
the portal first.")]
    Verify {
        /// Verify only this portal
        #[arg(long, value_name = "PORTAL")]
        portal: Option<String>,
        /// The first day in UTC [default: 30 days before the last]
        #[arg(long, value_name = "DAY")]
        from: Option<jiff::civil::Date>,
        /// The last day in UTC [default: today]
        #[arg(long, value_name = "DAY")]
        to: Option<jiff::civil::Date>,
        /// A seal that you stored elsewhere; requires --portal
        #[arg(long, value_name = "NUMBER:DIGEST", value_parser = audit::kept_seal, requires = "portal")]
        kept: Option<(u64, String)>,
        /// Use the tables on AWS that TABLE, AUDIT_TABLE and KMS_KEY_ID name
        #[arg(long, conflicts_with_all = ["data", "dynamodb_endpoint"])]
        on_aws: bool,
        #[command(flatten)]
        on: SystemArguments,
    },
}

#[derive(Args)]
struct RestoreArguments {
    /// Use the tables on AWS that TABLE, AUDIT_TABLE and KMS_KEY_ID name
    #[arg(long, required = true)]
    on_aws: bool,
    /// The restored main table
    #[arg(long, value_name = "TABLE", required_unless_present = "from_audit")]
    from: Option<String>,
    /// The restored table of the audit trail
    #[arg(long, value_name = "TABLE")]
    from_audit: Option<String>,
    /// Restore only this partition key of the main table; repeat the option for several
    #[arg(
        long = "key",
        value_name = "KEY",
        requires = "from",
        conflicts_with = "from_audit"
    )]
    keys: Vec<String>,
    /// Also set back items that differ
    #[arg(long)]
    overwrite: bool,
    /// Write; without this option, the command only reports
    #[arg(long)]
    apply: bool,
    /// The file that records how far an interrupted run got
    #[arg(long, value_name = "FILE", default_value = "restore-progress.json")]
    progress: PathBuf,
}

#[derive(Args)]
struct ServeArguments {
    /// The port on 127.0.0.1; 0 selects a free port
    #[arg(long, default_value_t = 8600)]
    port: u16,
    #[command(flatten)]
    on: SystemArguments,
    /// Require no second factor, whatever the policies say; sample people are then created without one
    #[arg(long)]
    optional_factors: bool,
    /// Read the pages from this folder at every request, to work on them without compiling: infra/pages
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
    /// Port of the local DynamoDB, for functions in other processes; KMS, SES and S3 use the next three ports
    #[arg(long, value_name = "PORT")]
    aws_port: Option<u16>,
    /// Address of the local DynamoDB, KMS, SES and S3, such as 172.17.0.1 for functions in Docker on Linux
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), requires = "aws_port")]
    aws_host: IpAddr,
}

/// The data and settings of a system on this machine.
#[derive(Args)]
struct SystemArguments {
    #[command(flatten)]
    data: DataArgument,
    #[command(flatten)]
    portals: PortalsArgument,
    /// A DynamoDB other than the embedded one, such as DynamoDB Local
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint: Option<String>,
}

impl SystemArguments {
    fn options(self) -> Result<Options, StartError> {
        let data = self.data.folder();
        Ok(Options {
            clock: Clock::ahead_by(folder::ahead(&data)?),
            links: Some(control::last_base(&data)),
            data: Some(data),
            portals: self.portals.folder(),
            dynamodb_endpoint: self.dynamodb_endpoint,
            ..Options::in_memory()
        })
    }

    /// Returns the options if the data folder exists.
    fn started_before(self) -> Result<Options, StartError> {
        let options = self.options()?;
        match &options.data {
            Some(data) if !data.exists() => Err(format!(
                "there is no data folder {}. Start the portal first with `cargo portal`, or choose another folder with --data DIR",
                data.display()
            )
            .into()),
            _ => Ok(options),
        }
    }
}

#[derive(Args)]
struct FirstStaffArguments {
    /// First and last name
    #[arg(long)]
    name: String,
    /// Email address
    #[arg(long)]
    email: String,
    /// Username [default: the name in lowercase with dots]
    #[arg(long)]
    username: Option<String>,
    /// The help desk's portal; required if there are several
    #[arg(long)]
    portal: Option<String>,
    /// Create the second supervisor, who approves the staff whom the first one invites
    #[arg(long)]
    second: bool,
    /// Use the deployed system instead of this machine
    #[arg(long, conflicts_with_all = ["data", "portals", "dynamodb_endpoint"])]
    on_aws: bool,
    #[command(flatten)]
    on: SystemArguments,
}

#[derive(Args)]
struct DataArgument {
    /// The data folder [default: .vestibule in the source tree]
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
    /// The folder of policy files, one NAME.toml per portal [default: infra/portals in the source tree]
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
        .iter()
        .copied()
        .find(|k| k.into_str() == text)
        .ok_or_else(|| "must be member, agent, group or provider".to_owned())
}

/// Returns a path in the source tree of this build; if that was removed, in the current folder.
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
        // The reader of the output, such as `less`, was closed.
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

/// Logs to stderr. Of the embedded DynamoDB, only errors are logged: it warns about every failed condition, which
/// is expected in races.
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
            pages,
            optional_factors,
            aws_port,
            aws_host,
        }) => {
            let settings = Settings {
                port,
                data: on.data.folder(),
                portals: on.portals.folder(),
                pages,
                optional_factors,
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
        Command::Tick { days, on } => {
            let options = on.options()?;
            match options.data.as_deref() {
                Some(data) if folder::holds_data(data) && folder::in_use(data)? => {
                    control::tick(data, days, &mut out).await
                }
                _ => time_travel::tick(options, days, &mut out).await,
            }
        }
        Command::Sweep { dry_run, as_of, on } => {
            time_travel::sweep(on.options()?, dry_run, as_of, &mut out).await
        }
        Command::FirstStaff(arguments) => Ok(writeln!(out, "{}", first_staff(arguments).await?)?),
        Command::ClientSecret {
            portal,
            application,
            on_aws: true,
            on: _,
        } => {
            let app = app_on_aws().await?;
            let secret = applications::secret(&app, &portal, &application)?;
            Ok(writeln!(out, "{secret}")?)
        }
        Command::ClientSecret {
            portal,
            application,
            on_aws: false,
            on,
        } => {
            let options = on.started_before()?;
            let secret = match options.data.as_deref() {
                Some(data) if folder::in_use(data)? => {
                    control::client_secret(data, &portal, &application).await?
                }
                _ => {
                    let instance = Instance::start(options).await?;
                    applications::secret(&instance.app, &portal, &application)?
                }
            };
            Ok(writeln!(out, "{secret}")?)
        }
        Command::CreateKeyring { on_aws: _ } => {
            let created = on_aws().await?.keys().create(Clock::System.now()).await?;
            let result = match created {
                true => "Created the keyring.",
                false => "The tables already have a keyring. Nothing was changed.",
            };
            Ok(writeln!(out, "{result}")?)
        }
        Command::RotateKey { on_aws: true, .. } => {
            let keys = on_aws().await?.keys();
            rotate_key::rotate(&keys, &Clock::System, SPREAD, &mut out).await
        }
        Command::RotateKey { on_aws: false, on } => {
            let instance = Instance::start(on.started_before()?).await?;
            let (keys, clock) = (instance.keys(), &instance.app.clock);
            rotate_key::rotate(keys, clock, SignedDuration::ZERO, &mut out).await
        }
        Command::Restore(RestoreArguments {
            on_aws: _,
            from,
            from_audit,
            keys,
            overwrite,
            apply,
            progress,
        }) => {
            let wanted = restore::Wanted {
                from,
                from_audit,
                keys,
                mode: Mode { apply, overwrite },
                progress,
            };
            let keys = on_aws().await?.keys();
            restore::restore(&keys, &wanted, Clock::System.now(), &mut out).await
        }
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

/// Returns the state of a function on AWS, with the operator's own credentials.
async fn app_on_aws() -> Result<App, StartError> {
    on_aws().await?.app().await
}

/// Reads the settings of a function on AWS.
async fn on_aws() -> Result<Bootstrap, StartError> {
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    Ok(Bootstrap::read(aws, in_source_tree("infra/portals"))?)
}

async fn first_staff(arguments: FirstStaffArguments) -> Result<Made, StartError> {
    let FirstStaffArguments {
        name,
        email,
        username,
        portal,
        second,
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
        return make_staff(&app, person, second).await;
    }
    let options = on.options()?;
    let data = options.data.clone();
    let instance = Instance::start(options).await?;
    let made = make_staff(&instance.app, person, second).await?;
    if let Some(data) = data {
        std::fs::write(data.join(folder::FIRST_STAFF), "")?;
    }
    Ok(made)
}

async fn make_staff(app: &App, person: FirstStaff, second: bool) -> Result<Made, StartError> {
    if second {
        first_staff::make_second(app, person).await
    } else {
        first_staff::make(app, person).await
    }
}

fn reset(data: &Path, out: &mut impl Write) -> Result<(), StartError> {
    let shown = data.display();
    match folder::reset(data)? {
        None => writeln!(
            out,
            "There is no data folder {shown}. The next start creates it."
        )?,
        Some(removed) => {
            let names = removed.names.join(", ");
            writeln!(
                out,
                "Removed from {shown}: {}.",
                if names.is_empty() {
                    "only its lock"
                } else {
                    &names
                }
            )?;
            if removed.whole {
                writeln!(
                    out,
                    "Removed the folder. The next start creates everything again."
                )?;
            } else {
                writeln!(out, "The folder stays because it contains other files.")?;
            }
        }
    }
    Ok(())
}
