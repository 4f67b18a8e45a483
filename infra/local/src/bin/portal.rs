//! `cargo portal`: the whole system on one machine.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use vestibule_local::demo::{self, Journey};
use vestibule_local::serve::{Settings, serve};
use vestibule_local::{Options, StartError, folder, openapi};

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
    /// Print the description of the API (OpenAPI 3.1, JSON)
    #[command(after_help = "\
Examples:
  cargo portal openapi
  cargo portal openapi > docs/openapi.json")]
    Openapi,
}

#[derive(Args)]
struct ServeArguments {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8600)]
    port: u16,
    #[command(flatten)]
    data: DataArgument,
    #[command(flatten)]
    portals: PortalsArgument,
    /// Another DynamoDB than the embedded one, such as DynamoDB Local
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint: Option<String>,
    /// Where DynamoDB, KMS, SES and S3 are for functions run beside it: this port on 127.0.0.1 and the next three
    #[arg(long, value_name = "PORT")]
    aws_port: Option<u16>,
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
            data,
            portals,
            dynamodb_endpoint,
            aws_port,
        }) => {
            let settings = Settings {
                port,
                data: data.folder(),
                portals: portals.folder(),
                dynamodb_endpoint,
                aws_port,
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
        Command::Openapi => Ok(writeln!(out, "{}", openapi::openapi().trim_end())?),
    }
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
