//! `cargo portal`: the whole system, served on loopback until it is told to stop.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::net::TcpListener;
use vestibule_domain::record::RecordKind;
use vestibule_http::{Clock, portals};

use crate::instance::Options;
use crate::pages::{self, Site};
use crate::people::People;
use crate::{Instance, StartError, folder, sample_records};

/// How often mails and letters are brought to where they go.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// How often what the stream has not brought is looked for.
const CATCH_UP_EVERY: Duration = Duration::from_secs(5);

/// How often the audit trail is sealed. What is done depends on the hours that are over, so that it
/// may be tried more often; the system's clock can be moved.
const SEAL_EVERY: Duration = Duration::from_secs(60);

/// How long requests may take to finish when the system stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// How the system is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port on loopback; 0 takes a free one.
    pub port: u16,
    /// The folder that keeps everything.
    pub data: PathBuf,
    /// The folder of policies.
    pub portals: PathBuf,
    /// Another DynamoDB than the embedded one.
    pub dynamodb_endpoint: Option<String>,
    /// Where what stands in for AWS listens: here and at the next three ports; none: at free ones.
    pub aws: Option<SocketAddr>,
}

/// Serves the system until Ctrl-C or SIGTERM.
///
/// # Errors
/// What keeps it from starting, and what to do about it.
pub async fn serve(settings: Settings, out: &mut impl Write) -> Result<(), StartError> {
    let Settings {
        port,
        data,
        portals,
        dynamodb_endpoint,
        aws,
    } = settings;
    let policies = portals::read(&portals)
        .map_err(|e| format!("a portal's policy can't be used: {e}. Correct it and start again; docs/portals.md explains every field"))?;
    pages::check_names(&policies)?;
    let listener = listen(port).await?;
    let base = format!("http://{}", listener.local_addr()?);
    if dynamodb_endpoint.is_none() && folder::is_unfinished(&data) {
        // A first start that broke off has left nothing that anybody relies on.
        let _held = folder::lock(&data)?;
        folder::clear(&data)?;
    }
    let options = Options {
        clock: Clock::ahead_by(folder::ahead(&data)?),
        data: Some(data.clone()),
        portals,
        dynamodb_endpoint,
        aws,
        ..Options::in_memory()
    };
    let instance = Arc::new(Instance::start(options).await?);
    let people = Arc::new(OnceLock::new());
    let site = Site {
        instance: Arc::clone(&instance),
        base: base.clone(),
        people: Arc::clone(&people),
    };
    let router = instance.router().merge(pages::router(site));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stopped());
    let served = tokio::spawn(async move { served.await });

    let ready = tokio::select! {
        ready = sample_people(&instance, &data, &base, out) => Some(ready?),
        () = stopped() => None,
    };
    if let Some(sample) = ready {
        let schedule = tokio::spawn(schedule(Arc::clone(&instance)));
        if let Some(first) = aws {
            let names = ["DynamoDB", "KMS", "SES", "S3"];
            let ports = names.iter().zip(first.port()..);
            let told: Vec<_> = ports
                .map(|(name, port)| format!("{name} http://{}", SocketAddr::new(first.ip(), port)))
                .collect();
            writeln!(out, "\nFor functions run beside it: {}", told.join("   "))?;
        }
        announce(&base, people.get_or_init(|| sample), out)?;
        tokio::select! {
            served = served => served??,
            // Whoever still waits for an answer then gets none.
            () = async { stopped().await; tokio::time::sleep(FINISH_WITHIN).await } => {}
        }
        schedule.abort();
    }
    writeln!(out, "Stopped. Everything is kept in {}", data.display())?;
    Ok(())
}

/// Takes the port.
async fn listen(port: u16) -> Result<TcpListener, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "is taken by another program, perhaps by another `cargo portal`".to_owned(),
            _ => format!("can't be used ({error})"),
        };
        let other = if port == u16::MAX { 8600 } else { port + 1 };
        format!("port {port} on this machine {why}. Stop that program, or choose another port: cargo portal --port {other}").into()
    })
}

/// Ends when the process is asked to stop.
async fn stopped() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! { () = interrupted => {}, () = terminated => {} }
}

/// Brings mails and letters to where they go and seals the audit trail, as on AWS the stream and the
/// clockwork do.
async fn schedule(instance: Arc<Instance>) {
    let mut follow = tokio::time::interval(FOLLOW_EVERY);
    let mut catch_up = tokio::time::interval(CATCH_UP_EVERY);
    let mut seal = tokio::time::interval(SEAL_EVERY);
    for interval in [&mut follow, &mut catch_up, &mut seal] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let done = tokio::select! {
            _ = follow.tick() => instance.follow().await,
            _ = catch_up.tick() => match instance.deliver_pending().await {
                Ok(_) => match instance.import_new_feeds().await {
                    Ok(()) => instance.settle().await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            },
            _ = seal.tick() => instance.seal_audit_trail().await.map(drop),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "mails, letters or seals are delayed");
        }
    }
}

/// The sample people: those of an earlier start, or, at the first, new ones with the sample records.
async fn sample_people(
    instance: &Instance,
    data: &std::path::Path,
    base: &str,
    out: &mut impl Write,
) -> Result<People, StartError> {
    let file = data.join(folder::PEOPLE);
    // A DynamoDB that forgets, such as DynamoDB Local in memory, has to be told of everybody again.
    let made = People::read(&file)?.filter(|_| !instance.fresh);
    if let Some(people) = made {
        return Ok(people);
    }
    let rows = RecordKind::ALL
        .into_iter()
        .map(|kind| sample_records::committed(kind).lines().count() as u64 - 1);
    let total = rows.sum();
    if io::stderr().is_terminal() {
        let style =
            ProgressStyle::with_template("Loading sample plan records {bar:32} {pos}/{len}")?;
        let bar = ProgressBar::new(total).with_style(style);
        instance
            .load_sample_records(|saved| bar.set_position(saved))
            .await?;
        bar.finish_and_clear();
    } else {
        writeln!(out, "Loading {total} sample plan records")?;
        instance.load_sample_records(|_| {}).await?;
    }
    writeln!(
        out,
        "Loaded {total} sample plan records; now registering sample people"
    )?;
    let people = People::make(instance, base).await;
    // So that all their mails and letters are there when the people are announced.
    instance.settle().await?;
    people.write(&file)?;
    Ok(people)
}

/// Tells where the system is, and as whom to sign in.
fn announce(base: &str, people: &People, out: &mut impl Write) -> io::Result<()> {
    const STRONG: Style = Style::new().bold();
    const ADDRESS: Style = AnsiColor::Cyan.on_default().bold();
    let shown =
        |p: &crate::people::Person| p.password.clone().unwrap_or_else(|| "(none yet)".into());
    let width = |heading: &str, of: &dyn Fn(&crate::people::Person) -> usize| {
        people
            .people
            .iter()
            .map(of)
            .max()
            .unwrap_or(0)
            .max(heading.len())
    };
    let portal = width("Portal", &|p| p.portal.len());
    let name = width("Username", &|p| p.username.len());
    let password = width("Password", &|p| shown(p).len());
    writeln!(
        out,
        "\n{STRONG}{:portal$}  {:name$}  {:password$}  What to try{STRONG:#}",
        "Portal", "Username", "Password"
    )?;
    for person in &people.people {
        let mut lines = wrapped(&format!("{}. {}", person.who, to_try(person)), 76).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(
            out,
            "{:portal$}  {:name$}  {:password$}  {first}",
            person.portal,
            person.username,
            shown(person)
        )?;
        for line in lines {
            writeln!(
                out,
                "{:indent$}{line}",
                "",
                indent = portal + name + password + 6
            )?;
        }
    }
    for missing in &people.missing {
        writeln!(
            out,
            "\nSome sample people could not be made, perhaps because this portal's policy asks for something else: {missing}"
        )?;
    }
    writeln!(
        out,
        "\n{STRONG}Vestibule runs at{STRONG:#} {ADDRESS}{base}/{ADDRESS:#}   inbox {base}/inbox   letters {base}/letters   API {base}/api"
    )?;
    writeln!(out, "Ctrl-C stops it.")?;
    out.flush()
}

fn to_try(person: &crate::people::Person) -> String {
    let mut text = person.to_try.replace('`', "");
    if let Some(letter) = &person.letter {
        text.push_str(&format!(" Letter: /letters/{letter}"));
    }
    if let Some(mail) = person.mail {
        text.push_str(&format!(" Mail: /inbox/{mail}"));
    }
    text
}

/// Text in lines of at most `width` characters, where its words allow it.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
