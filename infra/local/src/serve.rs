//! `cargo portal`: serves the whole system on loopback until it is stopped.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::net::TcpListener;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::{Clock, portals};

use crate::instance::{FEEDS, Options};
use crate::pages::{self, Site};
use crate::people::People;
use crate::{Instance, StartError, applications, aws, control, folder, sample_records};

/// How often the stream is polled for writes of other processes. Requests to this process need no polling.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// How often the bucket is checked for new feeds.
const CHECK_FEEDS_EVERY: Duration = Duration::from_secs(2);

/// How often emails are retried.
const RETRY_EVERY: Duration = Duration::from_secs(60);

/// How often the clock, which can be moved, is compared with the time of the last seal.
const SEAL_EVERY: Duration = Duration::from_secs(60);

/// The part of an hour, in seconds, after which there may be something to seal. An hour is sealed some minutes after
/// its end.
const SEAL_PERIOD: i64 = 15 * 60;

/// How long open requests may take when the server stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// The settings of the server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port on loopback; 0 selects a free port.
    pub port: u16,
    /// The data folder.
    pub data: PathBuf,
    /// The folder of policy files.
    pub portals: PathBuf,
    /// A folder from which the pages are read at every request, instead of the embedded ones.
    pub pages: Option<PathBuf>,
    /// A DynamoDB other than the embedded one.
    pub dynamodb_endpoint: Option<String>,
    /// Whether no role requires a second factor, whatever the policies say.
    pub optional_factors: bool,
    /// The address of the local DynamoDB; KMS, SES and S3 use the next three ports. By default, free ports.
    pub aws: Option<SocketAddr>,
}

/// Serves the system until Ctrl-C or SIGTERM.
///
/// # Errors
/// Says what prevents the start and how to fix it.
pub async fn serve(settings: Settings, out: &mut impl Write) -> Result<(), StartError> {
    let Settings {
        port,
        data,
        portals,
        pages: pages_folder,
        dynamodb_endpoint,
        optional_factors,
        aws,
    } = settings;
    let policies = portals::read(&portals)
        .map_err(|e| format!("a policy file is invalid: {e}. Correct it and start again; docs/portals.md explains every field"))?;
    pages::check_names(&policies)?;
    let listener = listen(port).await?;
    // Browsers allow passkeys on a domain and not on an IP address.
    let base = format!("http://localhost:{}", listener.local_addr()?.port());
    if dynamodb_endpoint.is_none() && folder::is_unfinished(&data) {
        // Nobody relies on the data of a first start that was interrupted.
        let _held = folder::lock(&data)?;
        folder::clear(&data)?;
    }
    let mut options = Options {
        clock: Clock::ahead_by(folder::ahead(&data)?),
        data: Some(data.clone()),
        portals,
        links: Some(base.clone()),
        optional_factors,
        dynamodb_endpoint,
        aws,
        ..Options::in_memory()
    };
    // Only this process sees its own requests; functions beside it write to the same tables.
    let shared = options.aws.is_some() || options.dynamodb_endpoint.is_some();
    if !shared {
        options.interceptors.push(aws::without_request_tokens());
    }
    let instance = Arc::new(Instance::start(options).await?);
    let people = Arc::new(OnceLock::new());
    let site = Site {
        instance: Arc::clone(&instance),
        base: base.clone(),
        people: Arc::clone(&people),
    };
    let router = instance
        .router()
        .merge(pages::router(site.clone()))
        .merge(applications::router(site))
        .merge(vestibule_pages::router(
            Arc::clone(&instance.app.portals),
            pages_folder.map_or(
                vestibule_pages::Source::Embedded,
                vestibule_pages::Source::Folder,
            ),
        ))
        .merge(control::router(Arc::clone(&instance), &data, &base)?);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stopped());
    let served = tokio::spawn(async move { served.await });

    let ready = tokio::select! {
        ready = sample_people(&instance, &data, &base, out) => Some(ready?),
        () = stopped() => None,
    };
    if let Some(sample) = ready {
        let feeds = data.join(folder::BUCKETS).join(FEEDS);
        let background = tokio::spawn(background(Arc::clone(&instance), feeds, shared));
        let sealing = tokio::spawn(seal(Arc::clone(&instance)));
        if let Some(first) = aws {
            let names = ["DynamoDB", "KMS", "SES", "S3"];
            let ports = names.iter().zip(first.port()..);
            let addresses: Vec<_> = ports
                .map(|(name, port)| format!("{name} http://{}", SocketAddr::new(first.ip(), port)))
                .collect();
            writeln!(
                out,
                "\nFor functions in other processes: {}",
                addresses.join("   ")
            )?;
        }
        announce(&base, people.get_or_init(|| sample), out)?;
        tokio::select! {
            served = served => served??,
            // Requests that are still open after this time are dropped.
            () = async { stopped().await; tokio::time::sleep(FINISH_WITHIN).await } => {}
        }
        background.abort();
        sealing.abort();
    }
    writeln!(out, "Stopped. The data is kept in {}", data.display())?;
    Ok(())
}

async fn listen(port: u16) -> Result<TcpListener, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => "is already in use, perhaps by another `cargo portal`".to_owned(),
            _ => format!("can't be used ({error})"),
        };
        let other = if port == u16::MAX { 8600 } else { port + 1 };
        format!("port {port} on this machine {reason}. Stop that program, or choose another port: cargo portal --port {other}").into()
    })
}

/// Waits for Ctrl-C or SIGTERM.
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

/// Delivers emails and letters and imports feeds, which AWS does by streams, events and schedules. It waits for
/// requests; only writes of other processes and feeds in the bucket are polled for.
async fn background(instance: Arc<Instance>, feeds: PathBuf, shared: bool) {
    let mut poll = tokio::time::interval(POLL_EVERY);
    let mut check_feeds = tokio::time::interval(CHECK_FEEDS_EVERY);
    let mut retry = tokio::time::interval(RETRY_EVERY);
    for interval in [&mut poll, &mut check_feeds, &mut retry] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let done = tokio::select! {
            () = instance.written() => instance.follow().await,
            _ = poll.tick(), if shared => instance.follow().await,
            _ = check_feeds.tick() => import_feeds(&instance, &feeds).await,
            _ = retry.tick() => instance.deliver_all().await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "emails, letters or imports are delayed");
        }
    }
}

async fn import_feeds(instance: &Instance, bucket: &Path) -> Result<(), StartError> {
    if folder::has_new_feed(bucket) {
        instance.import_new_feeds().await?;
        instance.deliver_all().await?;
    }
    Ok(())
}

/// Seals the audit trail. This has a task of its own, because it can take minutes after the clock was moved by
/// months, and emails must not wait for it.
async fn seal(instance: Arc<Instance>) {
    let mut interval = tokio::time::interval(SEAL_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut done = None;
    loop {
        interval.tick().await;
        let period = instance.app.clock.now().as_second() / SEAL_PERIOD;
        if done == Some(period) {
            continue;
        }
        match instance.seal_audit_trail().await {
            // One run makes a limited number of seals.
            Ok(seals) => done = (seals == 0).then_some(period),
            Err(error) => tracing::warn!(%error, "seals of the audit trail are delayed"),
        }
    }
}

/// Returns the sample people. The first start loads the sample records and creates the people.
async fn sample_people(
    instance: &Instance,
    data: &Path,
    base: &str,
    out: &mut impl Write,
) -> Result<People, StartError> {
    let file = data.join(folder::PEOPLE);
    // The tables are empty again if the DynamoDB keeps them in memory, as DynamoDB Local can.
    let made = People::read(&file)?.filter(|_| !instance.fresh);
    if let Some(people) = made {
        return Ok(people);
    }
    let rows = RecordKind::ALL
        .iter()
        .copied()
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
        "Loaded {total} sample plan records. Registering sample people"
    )?;
    let people = People::make(instance, base).await;
    // Their emails and letters are there when the people are announced.
    instance.deliver_all().await?;
    people.write(&file)?;
    Ok(people)
}

/// Prints the sample people and the addresses of the pages.
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
            "\nSome sample people could not be created, perhaps because the portal's policy was changed: {missing}"
        )?;
    }
    writeln!(
        out,
        "\n{STRONG}Vestibule runs at{STRONG:#} {ADDRESS}{base}/{ADDRESS:#}   inbox {base}/inbox   letters {base}/letters   API {base}/api"
    )?;
    writeln!(out, "Press Ctrl-C to stop.")?;
    out.flush()
}

fn to_try(person: &crate::people::Person) -> String {
    let mut text = person.to_try.replace('`', "");
    if let Some(secret) = &person.authenticator_secret {
        text.push_str(&format!(
            " Second factor: the code on the first page, or an authenticator app with the secret {secret}"
        ));
    }
    if let Some(letter) = &person.letter {
        text.push_str(&format!(" Letter: /letters/{letter}"));
    }
    if let Some(mail) = person.mail {
        text.push_str(&format!(" Email: /inbox/{mail}"));
    }
    text
}

/// Wraps text at `width` characters; longer words stay whole.
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
