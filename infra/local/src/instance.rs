//! One running system: the embedded DynamoDB, the stand-ins for SES, KMS and S3, and the API.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use dynoxide::Database;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempDir};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};
use vestibule_audit_trail::Sealer;
use vestibule_deliver_mail::{Event, Mailer};
use vestibule_domain::feed::sequence::FeedName;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::policy::{Policy, Slug};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::app::LEAST_TIME;
use vestibule_http::outbound::{Outbound, Reach};
use vestibule_http::router::OpenApi;
use vestibule_http::secret_check::Passwords;
use vestibule_http::settings::SIGNING_KEY_ALIAS;
use vestibule_http::{App, Clock, Problem, Routes, Source, portals};
use vestibule_import_records::{Importer, STATUS, Summary};
use vestibule_inactivity_sweep::{Run, Swept};
use vestibule_print_letters::{MAX_LETTERS, Printed, Printer, Summary as PrintSummary, file_name};
use vestibule_secrets::signing::Signer;
use vestibule_secrets::{HashParameters, Hasher, Keyring};
use vestibule_store::keyring::{Keys, OpenKeyring};
use vestibule_store::{Store, Tables, tables};

use crate::links::Changed;
use crate::standins::kms::{self, LocalKms, SigningKeys};
use crate::standins::s3;
use crate::standins::ses::{self, Inbox, ReceivedMail};
use crate::streams::Stream;
use crate::{StartError, aws, folder, links, sample_records};

/// The settings of an instance.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; without one, everything stays in memory.
    pub data: Option<PathBuf>,
    /// The folder of policy files.
    pub portals: PathBuf,
    /// The base address of `cargo portal`, if links in emails and letters should lead to its pages. Without
    /// one, they lead to each policy's `site`.
    pub links: Option<String>,
    /// Whether no role requires a second factor, whatever the policies say.
    pub optional_factors: bool,
    /// A DynamoDB other than the embedded one: DynamoDB Local or AWS.
    pub dynamodb_endpoint: Option<String>,
    pub clock: Clock,
    /// The cost of hashing passwords.
    pub hashing: HashParameters,
    /// The minimum duration of responses whose timing could reveal whether an account exists.
    pub least_time: Duration,
    /// Interceptors of calls to DynamoDB, which may observe or change them.
    pub interceptors: Vec<SharedInterceptor>,
    /// Interceptors of calls to S3.
    pub s3_interceptors: Vec<SharedInterceptor>,
    /// Interceptors of calls to every AWS service.
    pub observers: Vec<SharedInterceptor>,
    /// The address of the local DynamoDB; KMS, SES and S3 listen on the next three ports. Without one, they
    /// listen on free ports on loopback.
    pub aws: Option<SocketAddr>,
    /// The names of the tables. Different names keep systems in the same DynamoDB apart.
    pub tables: Tables,
}

impl Options {
    /// Returns options for a system in memory with the policies of this source tree.
    pub fn in_memory() -> Self {
        Self {
            data: None,
            portals: Path::new(env!("CARGO_MANIFEST_DIR")).join("../portals"),
            links: None,
            optional_factors: false,
            dynamodb_endpoint: None,
            clock: Clock::System,
            hashing: HashParameters::default(),
            least_time: LEAST_TIME,
            interceptors: Vec::new(),
            s3_interceptors: Vec::new(),
            observers: Vec::new(),
            aws: None,
            tables: Tables {
                main: "vestibule".into(),
                audit: "vestibule-audit".into(),
            },
        }
    }
}

/// The bucket that receives plan record feeds.
pub const FEEDS: &str = "feeds";

/// The bucket of printed letters.
pub const LETTERS: &str = "letters";

/// The bucket that keeps seals of the audit trail.
pub const SEALS: &str = "seals";

/// A running system.
#[derive(Debug)]
pub struct Instance {
    pub app: App,
    /// The emails that were sent.
    pub inbox: Inbox,
    /// Sends emails from the outbox through SES.
    pub mailer: Mailer,
    /// Prints letters into the bucket.
    pub printer: Printer,
    /// A DynamoDB client without interceptors.
    pub db: aws_sdk_dynamodb::Client,
    pub tables: Tables,
    /// An S3 client; the buckets are [`FEEDS`], [`LETTERS`] and [`SEALS`].
    pub s3: aws_sdk_s3::Client,
    /// Whether the tables were empty at the start.
    pub fresh: bool,
    letters: Letters,
    stream: Mutex<Stream>,
    portals: ReadPortals,
    keyring: Arc<OpenKeyring>,
    keys: Keys,
    kms_key: MasterKey,
    /// The embedded DynamoDB; none where the state is in another one.
    database: Option<Embedded>,
    /// Notified after each API request, which may have written something to deliver.
    written: Arc<Notify>,
    /// Held during deliveries, so that the clock moves only between them: a claim on an email must not expire
    /// while the email is being sent.
    delivery: Mutex<()>,
    /// Held as long as the instance lives, so that a second one can't use the same folder.
    _lock: Option<File>,
    /// The buckets of an instance without a data folder; removed with the instance.
    temporary_buckets: Option<TempDir>,
}

/// Printed letters as text, for display: in a folder or in memory.
#[derive(Debug, Clone)]
enum Letters {
    Folder(PathBuf),
    Memory(Arc<std::sync::Mutex<Vec<PrintedLetter>>>),
}

/// Where policies were read, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReadPortals {
    folder: PathBuf,
    changed: Changed,
}

/// The state of an [`Instance`] on the embedded DynamoDB at one moment. Instances can be started from it or
/// be set back to it.
#[derive(Debug)]
pub struct Saved {
    database: Vec<u8>,
    keyring: Arc<Keyring>,
    kms_key: MasterKey,
    portals: (ReadPortals, Arc<Portals>),
    tables: Tables,
    stream: Vec<Option<String>>,
    inbox: Vec<ReceivedMail>,
    letters: Vec<PrintedLetter>,
    buckets: Vec<(PathBuf, Stored)>,
    at: Timestamp,
}

/// An entry of the folder with the buckets.
#[derive(Debug)]
enum Stored {
    Folder,
    File(Vec<u8>),
}

/// Returns everything below a folder by its path relative to `root`, each folder before its content.
fn stored_below(folder: &Path, root: &Path) -> io::Result<Vec<(PathBuf, Stored)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
        if path.is_dir() {
            found.push((name, Stored::Folder));
            found.extend(stored_below(&path, root)?);
        } else {
            found.push((name, Stored::File(fs::read(&path)?)));
        }
    }
    Ok(found)
}

/// Replaces everything below a folder.
fn replace_stored(root: &Path, stored: &[(PathBuf, Stored)]) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    for (name, entry) in stored {
        match entry {
            Stored::Folder => fs::create_dir(root.join(name))?,
            Stored::File(content) => fs::write(root.join(name), content)?,
        }
    }
    Ok(())
}

/// The embedded DynamoDB.
#[derive(Clone)]
struct Embedded(Database);

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

/// The key of the stand-in for KMS.
#[derive(Clone, Copy)]
struct MasterKey([u8; 32]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl Saved {
    /// A copy of the database in a file, for as long as the file is held.
    fn file(&self) -> Result<NamedTempFile, StartError> {
        let mut file = NamedTempFile::new()?;
        file.write_all(&self.database)?;
        Ok(file)
    }
}

/// A printed letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedLetter {
    /// Day, portal and identifier.
    pub name: String,
    pub text: String,
    /// The key of the PDF in the bucket of letters.
    pub pdf: String,
    /// The page of the PDF, counted from 1.
    pub page: usize,
}

/// The name under which a function's startup calls are recorded.
pub const START: &str = "start";

const DELIVER_MAIL: &str = "deliver-mail";
const IMPORT_RECORDS: &str = "import-records";
const INACTIVITY_SWEEP: &str = "inactivity-sweep";
const PRINT_LETTERS: &str = "print-letters";
const SEAL_AUDIT_TRAIL: &str = "seal-audit-trail";

tokio::task_local! {
    static AT_WORK: &'static str;
}

/// Runs work in a function's name, so that observers can attribute its AWS calls to the function.
pub fn at_work<F: Future>(function: &'static str, work: F) -> impl Future<Output = F::Output> {
    AT_WORK.scope(function, work)
}

/// Returns the function that the current AWS call belongs to; none for calls of a test or a page.
pub fn function_at_work() -> Option<&'static str> {
    AT_WORK.try_with(|function| *function).ok()
}

/// A function behind API Gateway.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// The name of its folder.
    pub name: &'static str,
    pub routes: fn() -> Routes,
    pub openapi: fn() -> OpenApi,
}

/// The functions behind API Gateway.
pub const FUNCTIONS: [Function; 10] = {
    macro_rules! functions {
        ($($name:literal $function:ident,)+) => {
            [$(Function { name: $name, routes: $function::routes, openapi: $function::openapi }),+]
        };
    }
    functions! {
        "register" vestibule_register,
        "invite" vestibule_invite,
        "activate-pin" vestibule_activate_pin,
        "sign-in" vestibule_sign_in,
        "reset-password" vestibule_reset_password,
        "manage-users" vestibule_manage_users,
        "help-desk" vestibule_help_desk,
        "my-profile" vestibule_my_profile,
        "audit-trail" vestibule_audit_trail,
        "openid-connect" vestibule_openid_connect,
    }
};

/// Returns the routes of all functions, each of which runs in its function's name.
fn routes() -> Routes {
    let named = |Function { name, routes, .. }: Function| {
        routes().layer(middleware::from_fn(move |request: Request, next: Next| {
            at_work(name, next.run(request))
        }))
    };
    FUNCTIONS
        .into_iter()
        .map(named)
        .fold(Routes::new(), Routes::merge)
}

impl Instance {
    /// Starts the system; serve [`Instance::router`] to reach its API.
    ///
    /// # Errors
    /// Says what is wrong and how to fix it.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        Self::start_with(options, None).await
    }

    /// Starts another system in memory as a copy of a saved one, with the saved one's tables, records, keys and
    /// accounts. Policies, clock and whatever else the options say are the new one's own.
    ///
    /// # Errors
    /// As [`Instance::start`].
    pub async fn start_from(options: Options, saved: &Saved) -> Result<Self, StartError> {
        Self::start_with(options, Some(saved)).await
    }

    async fn start_with(mut options: Options, saved: Option<&Saved>) -> Result<Self, StartError> {
        let read = ReadPortals {
            folder: options.portals.clone(),
            changed: Changed {
                links: options.links.clone(),
                optional_factors: options.optional_factors,
            },
        };
        let portals = match saved {
            Some(Saved { portals, .. }) if portals.0 == read => Arc::clone(&portals.1),
            _ if read.changed == Changed::default() => Arc::new(portals::read(&read.folder)?),
            _ => Arc::new(links::portals(&read.folder, &read.changed)?),
        };
        let lock = options.data.as_deref().map(folder::lock).transpose()?;
        let at = |nth: u16| {
            options.aws.map_or(FREE, |first| {
                SocketAddr::new(first.ip(), first.port().saturating_add(nth))
            })
        };
        let database = match &options.dynamodb_endpoint {
            Some(_) => None,
            None => Some(open(options.data.as_deref(), saved)?),
        };
        let endpoint = match (&options.dynamodb_endpoint, &database) {
            (None, Some(database)) => serve_database(database.clone(), at(0)).await?,
            (endpoint, _) => endpoint.clone().unwrap_or_default(),
        };
        let plain = aws::dynamodb(&endpoint, &[]);
        if options.dynamodb_endpoint.is_some() {
            reach(&endpoint).await?;
        }
        let fresh = match (saved, &database) {
            (Some(saved), Some(database)) => {
                restore_database(database, saved)?;
                options.tables = saved.tables.clone();
                false
            }
            _ => {
                tables::create(&plain, &options.tables)
                    .await
                    .map_err(|e| format!("the DynamoDB at {endpoint} can't be used: {e}"))?;
                let first = plain
                    .scan()
                    .table_name(&options.tables.main)
                    .limit(1)
                    .send()
                    .await?;
                first.items().is_empty()
            }
        };
        let inbox = match &options.data {
            Some(folder) => Inbox::with_file(folder.join(folder::INBOX))?,
            None => Inbox::new(),
        };
        let kms_key = match saved {
            Some(saved) => saved.kms_key,
            None => MasterKey(master_key(options.data.as_deref())?),
        };
        let signing_keys = match &options.data {
            Some(folder) => SigningKeys::in_folder(folder.join(folder::SIGNING_KEYS)),
            None => SigningKeys::shared(),
        };
        let kms = LocalKms::new(kms_key.0, StdRng::try_from_rng(&mut SysRng)?, signing_keys);
        let kms = aws::kms(&listen(kms::router(kms), at(1)).await?, &options.observers);
        let ses = aws::ses(
            &listen(ses::router(inbox.clone()), at(2)).await?,
            &options.observers,
        );
        let (buckets, in_memory) = match &options.data {
            Some(data) => (data.join(folder::BUCKETS), None),
            None => {
                let temporary = TempDir::new()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let s3 = listen(s3::router(&buckets, &[FEEDS, LETTERS, SEALS])?, at(3)).await?;
        let s3 = aws::s3(
            &s3,
            &[options.s3_interceptors, options.observers.clone()].concat(),
        );
        let keys = Keys {
            db: plain.clone(),
            tables: options.tables.clone(),
            kms,
            key_id: "alias/vestibule".to_owned(),
        };
        let signer = Arc::new(Signer::new(keys.kms.clone(), SIGNING_KEY_ALIAS));
        let now = options.clock.now();
        if fresh {
            keys.create(now).await?;
        }
        let observed = Keys {
            db: aws::dynamodb(&endpoint, &options.observers),
            ..keys.clone()
        };
        let open = match saved {
            Some(saved) => OpenKeyring::new(observed, Arc::new(saved.keyring.separate()), now),
            None => {
                at_work(START, observed.open(now)).await.map_err(|e| {
                    format!(
                        "the keyring in table {} can't be opened: {e}. Its key is in the data folder: use the folder that the table was created with, or delete the tables {0} and {} and start again",
                        options.tables.main, options.tables.audit
                    )
                })?
            }
        };
        let keyring = Arc::clone(open.keyring());
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let app = App {
            portals: Arc::clone(&portals),
            store: Store::new(
                aws::dynamodb(
                    &endpoint,
                    &[options.interceptors, options.observers].concat(),
                ),
                options.tables.clone(),
                Arc::clone(&keyring),
            ),
            hasher: Passwords::new(Hasher::new(options.hashing, Arc::clone(&keyring), cores)),
            clock: options.clock,
            signer,
            least_time: options.least_time,
        };
        let mailer = Mailer {
            store: app.store.clone(),
            portals,
            ses,
            configuration_set: None,
            clock: app.clock.clone(),
            // On AWS it is another function, which reads the keys by itself.
            signer: Arc::new(Signer::new(keys.kms.clone(), SIGNING_KEY_ALIAS)),
            outbound: Outbound::new(Reach::ThisMachine),
        };
        let printer = Printer {
            store: app.store.clone(),
            portals: Arc::clone(&app.portals),
            s3: s3.clone(),
            bucket: LETTERS.to_owned(),
            clock: app.clock.clone(),
            most: MAX_LETTERS,
        };
        let streams = aws_sdk_dynamodbstreams::Client::new(&aws::config(&endpoint));
        let stream = match saved {
            Some(saved) => Stream::at(streams, saved.stream.clone()),
            None => Stream::at_end(streams, &plain, &options.tables.main).await?,
        };
        let letters = match &options.data {
            Some(folder) => Letters::Folder(folder.join(folder::LETTERS)),
            None => Letters::Memory(Arc::default()),
        };
        if let Some(saved) = saved {
            inbox.set(&saved.inbox);
            letters.set(&saved.letters)?;
            if let Some(folder) = &in_memory {
                replace_stored(folder.path(), &saved.buckets)?;
            }
        }
        Ok(Self {
            app,
            inbox,
            mailer,
            printer,
            db: plain,
            tables: options.tables,
            s3,
            fresh,
            letters,
            stream: Mutex::new(stream),
            portals: read,
            keyring: Arc::new(open),
            keys,
            kms_key,
            database,
            written: Arc::default(),
            delivery: Mutex::default(),
            _lock: lock,
            temporary_buckets: in_memory,
        })
    }

    /// Returns the current state; `None` if the DynamoDB is not the embedded one. It contains the objects in the
    /// buckets if the instance has no data folder.
    ///
    /// # Errors
    /// When it can't be copied.
    pub async fn save(&self) -> Result<Option<Saved>, StartError> {
        let Some(Embedded(database)) = &self.database else {
            return Ok(None);
        };
        let folder = TempDir::new()?;
        let file = folder.path().join(folder::DATABASE);
        database.vacuum_into(utf8(&file)?)?;
        Ok(Some(Saved {
            database: fs::read(file)?,
            keyring: Arc::new(self.keyring.keyring().separate()),
            kms_key: self.kms_key,
            portals: (self.portals.clone(), Arc::clone(&self.app.portals)),
            tables: self.tables.clone(),
            stream: self.stream.lock().await.position().to_vec(),
            inbox: self.inbox.all(),
            letters: self.letters.all(),
            buckets: match &self.temporary_buckets {
                Some(folder) => stored_below(folder.path(), folder.path())?,
                None => Vec::new(),
            },
            at: self.app.clock.now(),
        }))
    }

    /// Returns to a state that this instance saved, and to its time where the clock is set by hand. Nothing may
    /// be in progress at the same time.
    ///
    /// # Errors
    /// When the state can't be restored.
    pub async fn restore(&self, saved: &Saved) -> Result<(), StartError> {
        let database = self.database.as_ref().ok_or("nothing to restore into")?;
        restore_database(database, saved)?;
        self.keyring.keyring().replace(&saved.keyring);
        self.stream.lock().await.set_position(saved.stream.clone());
        self.inbox.set(&saved.inbox);
        self.letters.set(&saved.letters)?;
        if let Some(folder) = &self.temporary_buckets {
            replace_stored(folder.path(), &saved.buckets)?;
        }
        if let Clock::Manual(_) = self.app.clock {
            self.app
                .clock
                .advance(saved.at.duration_since(self.app.clock.now()));
        }
        Ok(())
    }

    /// Returns the API of all functions.
    pub fn router(&self) -> Router {
        self.serve(self.app.clone(), &self.keyring)
    }

    /// Returns the API as another process would serve it, which read the keyring now and refreshes it by itself, and
    /// that process's keyring (SE-11).
    pub fn other_process(&self, hashing: HashParameters) -> (Router, Arc<Keyring>) {
        let keyring = Arc::new(self.keyring.keyring().separate());
        let keys = self.keys.clone();
        let open = OpenKeyring::new(keys, Arc::clone(&keyring), self.app.clock.now());
        let tables = self.tables.clone();
        let app = App {
            store: Store::new(self.db.clone(), tables, Arc::clone(&keyring)),
            hasher: Passwords::new(Hasher::new(
                hashing,
                Arc::clone(&keyring),
                NonZeroUsize::MIN,
            )),
            ..self.app.clone()
        };
        (self.serve(app, &Arc::new(open)), keyring)
    }

    fn serve(&self, app: App, keyring: &Arc<OpenKeyring>) -> Router {
        let written = Arc::clone(&self.written);
        let notify = move |request: Request, next: Next| {
            let written = Arc::clone(&written);
            async move {
                let response = next.run(request).await;
                written.notify_one();
                response
            }
        };
        let (keyring, clock) = (Arc::clone(keyring), app.clock.clone());
        let refresh = move |request: Request, next: Next| {
            let (keyring, clock) = (Arc::clone(&keyring), clock.clone());
            async move {
                match at_work(START, keyring.refresh(clock.now())).await {
                    Ok(()) => next.run(request).await,
                    Err(error) => Problem::unavailable(&error).into_response(),
                }
            }
        };
        vestibule_http::serve(routes(), app)
            .layer(middleware::from_fn(refresh))
            .layer(middleware::from_fn(note_source))
            .layer(middleware::from_fn(notify))
    }

    /// Returns the tables and the KMS key of the keyring, as an operator has them.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Waits until an API request has been handled since the last call.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// Loads the sample plan records; `progress` receives the number of records saved so far.
    ///
    /// # Errors
    /// Fails if a record can't be saved.
    pub async fn load_sample_records(&self, progress: impl Fn(u64)) -> Result<Summary, StartError> {
        let plan = Slug::parse(sample_records::PLAN)?;
        let mut total = Summary::default();
        for &kind in RecordKind::ALL {
            let feed = sample_records::committed(kind);
            let before = total.saved;
            let imported =
                vestibule_import_records::import(&self.app, &plan, kind, feed.as_bytes(), |s| {
                    progress(before + s.saved)
                });
            let summary = at_work(IMPORT_RECORDS, imported).await?;
            total.saved += summary.saved;
            total.rejects.extend(summary.rejects);
        }
        Ok(total)
    }

    /// Imports a feed of the sample plan's records, as the nightly import does.
    ///
    /// # Errors
    /// Fails if the feed can't be read or a record can't be saved.
    pub async fn import(&self, kind: RecordKind, feed: &str) -> Result<Summary, StartError> {
        let plan = Slug::parse(sample_records::PLAN)?;
        let imported =
            vestibule_import_records::import(&self.app, &plan, kind, feed.as_bytes(), |_| {});
        Ok(at_work(IMPORT_RECORDS, imported).await?)
    }

    /// Returns the importer, which reads feeds from the bucket.
    pub fn importer(&self) -> Importer {
        Importer {
            app: self.app.clone(),
            s3: self.s3.clone(),
            bucket: FEEDS.into(),
        }
    }

    /// Imports the feeds in the bucket that have no status file yet. On AWS, S3 events start the import.
    ///
    /// # Errors
    /// Fails if the bucket can't be listed. A feed that fails is logged and retried at the next call.
    pub async fn import_new_feeds(&self) -> Result<(), StartError> {
        let listed = self.s3.list_objects_v2().bucket(FEEDS).send().await?;
        let mut keys: Vec<_> = listed.contents().iter().filter_map(|o| o.key()).collect();
        keys.sort_unstable();
        for key in &keys {
            let status = format!("{key}{STATUS}");
            if FeedName::parse(key).is_err() || keys.contains(&status.as_str()) {
                continue;
            }
            if let Err(error) =
                at_work(IMPORT_RECORDS, self.importer().import(key, None, |_| {})).await
            {
                tracing::warn!(%error, "a feed is delayed");
            }
        }
        Ok(())
    }

    /// Delivers what was written since the last call: sends emails, then prints the pending letters in one
    /// batch. What the deliveries themselves write waits for the next call.
    ///
    /// # Errors
    /// Fails if the stream or the outbox can't be read or a letter can't be written.
    pub async fn settle(&self) -> Result<(), StartError> {
        let event = self.stream.lock().await.next().await?;
        at_work(DELIVER_MAIL, self.mailer.handle(event)).await;
        self.bring_reports().await?;
        self.print_letters().await?;
        Ok(())
    }

    /// Delivers what the stream reports, until it reports no new messages.
    ///
    /// # Errors
    /// As [`Instance::settle`].
    pub async fn follow(&self) -> Result<(), StartError> {
        let _held = self.delivery.lock().await;
        self.drain_stream().await
    }

    /// Delivers everything that is due, whether the stream reports it or not.
    ///
    /// # Errors
    /// As [`Instance::settle`].
    pub async fn deliver_all(&self) -> Result<(), StartError> {
        let _held = self.delivery.lock().await;
        self.drain_outbox().await
    }

    /// Moves the clock between deliveries, runs what is then due and delivers everything that follows.
    ///
    /// # Errors
    /// As [`Instance::settle`].
    pub async fn advance(&self, by: SignedDuration) -> Result<Swept, StartError> {
        let _held = self.delivery.lock().await;
        self.app.clock.advance(by);
        let swept = self.schedule().await?;
        self.drain_outbox().await?;
        Ok(swept)
    }

    async fn drain_outbox(&self) -> Result<(), StartError> {
        loop {
            self.drain_stream().await?;
            if self.deliver_pending().await? == 0 {
                break;
            }
        }
        self.bring_reports().await?;
        self.print_letters().await?;
        Ok(())
    }

    async fn drain_stream(&self) -> Result<(), StartError> {
        loop {
            let event = self.stream.lock().await.next().await?;
            if !event.records.iter().any(|r| r.event_name == "INSERT") {
                return Ok(());
            }
            at_work(DELIVER_MAIL, self.mailer.handle(event)).await;
            self.bring_reports().await?;
            self.print_letters().await?;
        }
    }

    /// Runs the sweep and delivers the emails and letters that it causes, as the scheduler does on AWS.
    ///
    /// # Errors
    /// As [`Instance::settle`].
    pub async fn schedule(&self) -> Result<Swept, StartError> {
        let swept = self.sweep(&Run::now(self.app.clock.now())).await;
        self.settle().await?;
        self.deliver_pending().await?;
        Ok(swept)
    }

    /// Returns the policy of a portal, if the portal exists. All policies were checked at the start.
    pub fn policy(&self, portal: &str) -> Option<&Policy> {
        let policy = self.app.portals.get(portal).ok().flatten();
        policy.map(|p| &**p)
    }

    /// Runs the sweep once.
    pub async fn sweep(&self, run: &Run) -> Swept {
        at_work(
            INACTIVITY_SWEEP,
            vestibule_inactivity_sweep::sweep(&self.app, run),
        )
        .await
    }

    /// Sends emails that are due and were not reported by the stream, as the scheduler does on AWS. Returns how
    /// many were sent.
    ///
    /// # Errors
    /// Fails if the outbox can't be read.
    pub async fn deliver_pending(&self) -> Result<usize, StartError> {
        Ok(at_work(DELIVER_MAIL, self.mailer.deliver_pending(100)).await?)
    }

    /// Seals the audit trail up to the last full hour, as the scheduler does every hour on AWS.
    ///
    /// # Errors
    /// Fails if the trail can't be read or a seal can't be written or kept.
    pub async fn seal_audit_trail(&self) -> Result<u32, StartError> {
        let sealer = Sealer {
            app: self.app.clone(),
            s3: self.s3.clone(),
            bucket: SEALS.to_owned(),
        };
        Ok(at_work(SEAL_AUDIT_TRAIL, sealer.run()).await?.seals)
    }

    /// Passes bounce and complaint reports from SES to the mailer, as EventBridge does on AWS.
    ///
    /// # Errors
    /// Fails if an account can't be marked.
    pub async fn bring_reports(&self) -> Result<(), StartError> {
        for report in self.inbox.take_reports() {
            at_work(DELIVER_MAIL, self.mailer.take(Event::parse(report)?)).await?;
        }
        Ok(())
    }

    /// Prints the pending letters, as the daily batch does on AWS.
    ///
    /// # Errors
    /// Fails if the outbox or the bucket can't be reached.
    pub async fn print_letters(&self) -> Result<PrintSummary, StartError> {
        let show = |printed: &Printed<'_>| {
            if let Err(error) = self.letters.keep(printed) {
                tracing::error!(%error, "a letter can't be displayed; its PDF is in the bucket");
            }
        };
        Ok(at_work(PRINT_LETTERS, self.printer.run_and_show(&show)).await?)
    }

    /// Returns the printed letters in the order of printing.
    pub fn letters(&self) -> Vec<PrintedLetter> {
        self.letters.all()
    }

    /// Returns the folder that holds the bucket of letters; none if it is temporary.
    pub fn letters_folder(&self) -> Option<PathBuf> {
        match &self.letters {
            Letters::Folder(folder) => Some(folder.with_file_name(folder::BUCKETS).join(LETTERS)),
            Letters::Memory(_) => None,
        }
    }
}

impl Letters {
    fn set(&self, letters: &[PrintedLetter]) -> Result<(), StartError> {
        if let Self::Memory(list) = self {
            *list.lock().map_err(|_| "the letters are locked")? = letters.to_vec();
        }
        Ok(())
    }

    fn keep(&self, printed: &Printed<'_>) -> Result<(), StartError> {
        let letter = PrintedLetter {
            name: file_name(printed.letter),
            text: printed.page.text(),
            pdf: printed.pdf.to_owned(),
            page: printed.number,
        };
        match self {
            Self::Folder(folder) => {
                fs::create_dir_all(folder)?;
                let file = folder.join(format!("{}.json", letter.name));
                fs::write(file, serde_json::to_vec_pretty(&letter)?)?;
            }
            Self::Memory(list) => {
                let mut list = list
                    .lock()
                    .map_err(|_| "the list of letters can't be locked")?;
                list.retain(|l| l.name != letter.name);
                list.push(letter);
            }
        }
        Ok(())
    }

    fn all(&self) -> Vec<PrintedLetter> {
        match self {
            Self::Folder(folder) => {
                let files = fs::read_dir(folder).into_iter().flatten();
                let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).ok()?).ok();
                let mut printed: Vec<PrintedLetter> =
                    files.filter_map(|entry| read(entry.ok()?.path())).collect();
                printed.sort_by(|a, b| (&a.pdf, a.page).cmp(&(&b.pdf, b.page)));
                printed
            }
            Self::Memory(list) => list.lock().map(|l| l.clone()).unwrap_or_default(),
        }
    }
}

/// Checks that something listens at an endpoint, so that a wrong address fails before the SDK's retries.
async fn reach(endpoint: &str) -> Result<(), StartError> {
    let ask = "give --dynamodb-endpoint a URL such as http://127.0.0.1:8000";
    let uri: http::Uri = endpoint
        .parse()
        .map_err(|e| format!("{endpoint} is not a valid URL ({e}); {ask}"))?;
    let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(format!(
            "{endpoint} is not a valid URL because it doesn't start with http:// or https://; {ask}"
        )
        .into());
    };
    let port = uri
        .port_u16()
        .unwrap_or(if scheme == "https" { 443 } else { 80 });
    let reached = tokio::time::timeout(
        REACH_WITHIN,
        TcpStream::connect((host.trim_matches(['[', ']']), port)),
    )
    .await;
    match reached.unwrap_or_else(|late| Err(late.into())) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "DynamoDB can't be reached at {endpoint} ({error}). Start it, correct --dynamodb-endpoint, or leave out that option to use the embedded DynamoDB"
        )
        .into()),
    }
}

const REACH_WITHIN: Duration = Duration::from_secs(5);

/// Returns the KMS stand-in's key. It is stored beside the data that it protects, which is acceptable only on a
/// developer's machine.
fn master_key(folder: Option<&Path>) -> Result<[u8; 32], StartError> {
    let fresh: [u8; 32] = StdRng::try_from_rng(&mut SysRng)?.random();
    let Some(path) = folder.map(|f| f.join(folder::KMS_KEY)) else {
        return Ok(fresh);
    };
    if path.exists() {
        let bytes = fs::read(&path)?;
        return bytes.try_into().map_err(|_| {
            format!(
                "{} is damaged; start over with `cargo portal reset`",
                path.display()
            )
            .into()
        });
    }
    let mut file = File::create_new(&path)?;
    file.write_all(&fresh)?;
    file.sync_all()?;
    Ok(fresh)
}

/// A free port on loopback.
pub const FREE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Serves the embedded DynamoDB and returns its address.
///
/// # Errors
/// Fails if the database file can't be opened or no port is free.
pub async fn embedded(folder: Option<&Path>, at: SocketAddr) -> Result<String, StartError> {
    serve_database(open(folder, None)?, at).await
}

/// Opens the database, which has the index of its stream already where it is restored from a copy.
fn open(folder: Option<&Path>, saved: Option<&Saved>) -> Result<Embedded, StartError> {
    let database = match (folder, saved) {
        (Some(folder), _) => indexed(&folder.join(folder::DATABASE)),
        (None, Some(_)) => Ok(Database::memory()?),
        (None, None) => indexed_in_memory(),
    };
    let database = database.map_err(|e| format!("the embedded DynamoDB can't be opened: {e}"))?;
    Ok(Embedded(database))
}

/// Opens a database file and adds an index to the stream, of which the engine otherwise reads every record for
/// each write.
fn indexed(path: &Path) -> Result<Database, StartError> {
    let database = Database::new(utf8(path)?)?;
    rusqlite::Connection::open(path)?.execute_batch(
        "CREATE INDEX IF NOT EXISTS stream_by_sequence_number
         ON _stream_records (table_name, CAST(sequence_number AS INTEGER))",
    )?;
    Ok(database)
}

/// Creates such a database in memory, which only a copy of a file can give the index.
fn indexed_in_memory() -> Result<Database, StartError> {
    let file = NamedTempFile::new()?;
    indexed(file.path())?;
    let database = Database::memory()?;
    database.restore_from(utf8(file.path())?)?;
    Ok(database)
}

fn utf8(path: &Path) -> Result<&str, StartError> {
    Ok(path
        .to_str()
        .ok_or("the data folder's name is not valid UTF-8")?)
}

fn restore_database(Embedded(database): &Embedded, saved: &Saved) -> Result<(), StartError> {
    let file = saved.file()?;
    Ok(database.restore_from(utf8(file.path())?)?)
}

async fn serve_database(
    Embedded(database): Embedded,
    at: SocketAddr,
) -> Result<String, StartError> {
    let listener = bind(at).await?;
    let address = listener.local_addr()?;
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(format!("http://{address}"))
}

/// Listens on an address; port 0 selects a free port.
async fn bind(at: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(at).await;
    bound.map_err(|e| format!("the local AWS services can't listen on {at} ({e}); choose another --aws-port or --aws-host").into())
}

/// Serves a stand-in and returns its address.
async fn listen(router: Router, at: SocketAddr) -> Result<String, StartError> {
    let listener = bind(at).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

/// Serves a router at a free port on loopback as long as the runtime lives, for tests and the demo.
///
/// # Errors
/// Fails if no port is free.
pub async fn serve_at_free_port(router: Router) -> Result<String, StartError> {
    let listener = TcpListener::bind(FREE).await?;
    let address = listener.local_addr()?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(format!("http://{address}"))
}

/// Records the address that a request comes from: the `x-forwarded-for` header, so that requests from several
/// places can be simulated, or else the peer's address. On AWS, API Gateway provides it.
async fn note_source(mut request: Request, next: Next) -> Response {
    let reported = request
        .headers()
        .get("x-forwarded-for")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|c| c.0.ip().to_string());
    if let Some(source) = reported.or(peer) {
        request.extensions_mut().insert(Source(source));
    }
    next.run(request).await
}
