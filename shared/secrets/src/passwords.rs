//! Password hashing with Argon2id.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64_NOPAD;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use vestibule_domain::state::account::PasswordHash;
use vestibule_domain::state::record::Mac;
use vestibule_domain::values::text::Sensitive;
use zeroize::Zeroizing;

use crate::keyring::{KEY_BYTES, Keyring, Purpose, canonical_number};

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

type Output = Zeroizing<[u8; OUTPUT_BYTES]>;

/// The cost parameters of a password hash.
///
/// The default follows OWASP (Password Storage Cheat Sheet, Argon2id): 19 MiB, two passes, one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashParameters {
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes, computed one after another.
    pub lanes: u32,
}

impl Default for HashParameters {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

impl HashParameters {
    /// The upper bound: the memory and lanes of RFC 9106's second recommended option, and ten passes. A
    /// damaged item can therefore cost at most 64 MiB and about a second.
    pub const MAX_RESULTS: Self = Self {
        memory_kib: 65_536,
        passes: 10,
        lanes: 4,
    };

    /// The minimum that Argon2id accepts with one lane.
    const LEAST: Self = Self {
        memory_kib: Params::MIN_M_COST,
        passes: 1,
        lanes: 1,
    };

    /// Clamps the parameters to what Argon2id accepts and [`Self::MAX_RESULTS`] allows.
    fn bounded(self) -> Self {
        let lanes = self.lanes.clamp(Self::LEAST.lanes, Self::MAX_RESULTS.lanes);
        Self {
            memory_kib: self
                .memory_kib
                .clamp(Self::LEAST.memory_kib * lanes, Self::MAX_RESULTS.memory_kib),
            passes: self
                .passes
                .clamp(Self::LEAST.passes, Self::MAX_RESULTS.passes),
            lanes,
        }
    }

    fn params(self) -> Params {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(OUTPUT_BYTES))
            .expect("bounded parameters are valid")
    }
}

/// The result of a password verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The password is incorrect, or there is no hash to compare with.
    Wrong,
    /// The password is correct.
    Right {
        /// Whether the hash uses old parameters or an old pepper, so that the password should be hashed
        /// again.
        outdated: bool,
    },
}

/// The inputs of a hash other than password and pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recipe {
    parameters: HashParameters,
    /// The version of the data key that the pepper is derived from.
    key: u32,
    salt: [u8; SALT_BYTES],
}

/// A parsed stored hash.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    recipe: Recipe,
    output: [u8; OUTPUT_BYTES],
}

/// Why a stored hash can't have been written by this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("it does not have the format that this system writes")]
    Malformed,
    #[error("its parameters are above the maximum or below what Argon2id accepts")]
    OutOfBounds,
    #[error("its data key is not in the keyring")]
    UnknownKey,
}

impl Stored {
    /// Parses exactly the format that [`fmt::Display`] writes.
    fn parse(phc: &str) -> Result<Self, Unusable> {
        let read = || -> Option<Self> {
            let mut fields = phc.strip_prefix("$argon2id$v=19$")?.split('$');
            let (numbers, salt, output) = (fields.next()?, fields.next()?, fields.next()?);
            let mut numbers = numbers.split(',');
            let mut value = |name| numbers.next()?.strip_prefix(name)?.strip_prefix('=');
            let parameters = HashParameters {
                memory_kib: canonical_number(value("m")?)?,
                passes: canonical_number(value("t")?)?,
                lanes: canonical_number(value("p")?)?,
            };
            let key = u32::from_be_bytes(bytes(value("keyid")?)?);
            let recipe = Recipe {
                parameters,
                key,
                salt: bytes(salt)?,
            };
            let all_read = fields.next().is_none() && numbers.next().is_none();
            all_read.then_some(Self {
                recipe,
                output: bytes(output)?,
            })
        };
        let stored = read().ok_or(Unusable::Malformed)?;
        if stored.recipe.parameters != stored.recipe.parameters.bounded() {
            return Err(Unusable::OutOfBounds);
        }
        Ok(stored)
    }
}

impl fmt::Display for Stored {
    /// Writes a PHC string. `keyid` is the version of the data key, four bytes, big endian.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recipe {
            parameters:
                HashParameters {
                    memory_kib,
                    passes,
                    lanes,
                },
            key,
            salt,
        } = &self.recipe;
        let key = BASE64_NOPAD.encode(&key.to_be_bytes());
        let (salt, output) = (BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(&self.output));
        write!(
            f,
            "$argon2id$v=19$m={memory_kib},t={passes},p={lanes},keyid={key}${salt}${output}"
        )
    }
}

/// Decodes Base64 of exactly `N` bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Hashes and verifies passwords with Argon2id (RFC 9106) on blocking threads, with a limit on concurrent
/// hashes, and compares PINs, codes, answers and facts. The only type that compares what a person enters
/// (SE-04), so its owner decides how often that happens. Cheap to clone; use one per process.
///
/// The pepper is Argon2's secret input, so that passwords in a stolen table can't be guessed offline. It is
/// derived from the data key whose version the hash stores as `keyid`.
#[derive(Clone)]
pub struct Hasher(Arc<Inner>);

struct Inner {
    current: HashParameters,
    keyring: Arc<Keyring>,
    turns: Arc<Semaphore>,
    /// Memory to reuse for the next hash, so that only the first hashes map new pages. It is not wiped:
    /// without the pepper, its contents are worth no more than the hash.
    idle: Mutex<Vec<Vec<Block>>>,
    runs: AtomicU64,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.0.current).finish()
    }
}

impl Hasher {
    /// Creates a hasher with these parameters, clamped to the allowed range (at most
    /// [`HashParameters::MAX_RESULTS`]), and the keyring's current pepper. `at_once` limits concurrent hashes: use
    /// one per core, and one in a Lambda function, which processes one event at a time.
    pub fn new(parameters: HashParameters, keyring: Arc<Keyring>, at_once: NonZero<usize>) -> Self {
        let current = parameters.bounded();
        if current != parameters {
            tracing::warn!(asked = ?parameters, used = ?current, "password hash parameters out of bounds");
        }
        Self(Arc::new(Inner {
            current,
            keyring,
            turns: Arc::new(Semaphore::new(at_once.get())),
            idle: Mutex::default(),
            runs: AtomicU64::new(0),
        }))
    }

    /// Returns the number of hashes computed so far; tests use it to compare the work of two requests.
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::Relaxed)
    }

    /// Hashes a password for storage. `salt` must be random and unique.
    pub async fn hash(&self, password: &Sensitive, salt: [u8; 16]) -> PasswordHash {
        let recipe = self.current_recipe(salt);
        let output = self.run(recipe, password).await;
        PasswordHash::new(
            Stored {
                recipe,
                output: *output,
            }
            .to_string(),
        )
    }

    /// Compares a password with a stored hash, in constant time.
    ///
    /// Without a hash (the account does not exist), or with one that this system can't have written, it does
    /// the same work and returns [`Verified::Wrong`], so that the timing does not reveal which usernames
    /// exist (OWASP Authentication Cheat Sheet, Authentication Responses). A hash with older parameters has
    /// its own timing until its owner signs in and it is replaced.
    pub async fn verify(&self, password: &Sensitive, hash: Option<&PasswordHash>) -> Verified {
        let stored = hash.and_then(|hash| {
            self.read(hash)
                .inspect_err(|why| tracing::warn!(%why, "a stored password hash cannot be used"))
                .ok()
        });
        let recipe = stored.as_ref().map_or_else(
            || self.current_recipe([0; SALT_BYTES]),
            |stored| stored.recipe,
        );
        let output = self.run(recipe, password).await;
        match stored {
            Some(stored) if bool::from(output.ct_eq(&stored.output)) => Verified::Right {
                outdated: recipe != self.current_recipe(recipe.salt),
            },
            _ => Verified::Wrong,
        }
    }

    /// Compares an entered PIN, code, answer or fact with its stored MAC, in constant time.
    pub fn is_code(&self, mac: &Mac, purpose: Purpose, context: &str, entered: &Sensitive) -> bool {
        self.0.keyring.verify(mac, purpose, context, entered)
    }

    fn current_recipe(&self, salt: [u8; SALT_BYTES]) -> Recipe {
        Recipe {
            parameters: self.0.current,
            key: self.0.keyring.current(),
            salt,
        }
    }

    fn read(&self, hash: &PasswordHash) -> Result<Stored, Unusable> {
        let stored = Stored::parse(hash.as_str())?;
        match self.0.keyring.pepper(stored.recipe.key) {
            Some(_) => Ok(stored),
            None => Err(Unusable::UnknownKey),
        }
    }

    /// Waits for a permit and computes the hash. The permit is held until the hash is done, even if the
    /// caller gives up, so that abandoned requests can't pile up work.
    async fn run(&self, recipe: Recipe, password: &Sensitive) -> Output {
        self.0.runs.fetch_add(1, Ordering::Relaxed);
        let turn = Arc::clone(&self.0.turns)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (inner, password) = (Arc::clone(&self.0), password.clone());
        let work = tokio::task::spawn_blocking(move || {
            let pepper = inner
                .keyring
                .pepper(recipe.key)
                .expect("recipes refer to keys in the keyring");
            let output = inner.with_memory(recipe.parameters.params().block_count(), |memory| {
                argon2id(&recipe, &pepper, &password, memory)
            });
            drop(turn);
            output
        });
        match work.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(output) => output,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and the caller with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends memory for one hash. Memory beyond the usual size, for a hash with other parameters, is freed.
    fn with_memory<T>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let usual = self.current.params().block_count();
        let mut memory = self.idle().pop().unwrap_or_default();
        if memory.len() < blocks {
            memory = vec![Block::new(); blocks.max(usual)];
        }
        let result = work(&mut memory[..blocks]);
        memory.truncate(usual);
        memory.shrink_to_fit();
        self.idle().push(memory);
        result
    }
}

fn argon2id(
    recipe: &Recipe,
    pepper: &[u8; KEY_BYTES],
    password: &Sensitive,
    memory: &mut [Block],
) -> Output {
    let mut output = Output::default();
    Argon2::new_with_secret(
        pepper,
        Algorithm::Argon2id,
        Version::V0x13,
        recipe.parameters.params(),
    )
    .and_then(|argon2| {
        let password = password.expose().as_bytes();
        argon2.hash_password_into_with_memory(password, &recipe.salt, output.as_mut_slice(), memory)
    })
    .expect("pepper, parameters, salt and memory have valid sizes");
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: HashParameters = HashParameters {
        memory_kib: 64,
        passes: 3,
        lanes: 2,
    };
    const SALT: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn data_key() -> [u8; 32] {
        std::array::from_fn(|i| i as u8)
    }

    fn hasher(parameters: HashParameters) -> Hasher {
        with_keys(parameters, [(1, data_key())])
    }

    fn with_keys(
        parameters: HashParameters,
        keys: impl IntoIterator<Item = (u32, [u8; 32])>,
    ) -> Hasher {
        let keyring = Arc::new(Keyring::new(keys).unwrap());
        Hasher::new(parameters, keyring, NonZero::new(2).unwrap())
    }

    fn password() -> Sensitive {
        Sensitive::new("correct horse – batterie")
    }

    const RIGHT: Verified = Verified::Right { outdated: false };
    const OUTDATED: Verified = Verified::Right { outdated: true };

    /// Both values were computed with the reference implementation (argon2-cffi 25.1), and the pepper with
    /// the HKDF of Python's cryptography.
    #[tokio::test]
    async fn hashes_are_those_of_the_reference_implementation() {
        for (parameters, expected) in [
            (
                HashParameters::default(),
                "$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAAAQ$AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ",
            ),
            (
                SMALL,
                "$argon2id$v=19$m=64,t=3,p=2,keyid=AAAAAQ$AAECAwQFBgcICQoLDA0ODw$VoeRR++OLG4o4KAXkl1hJcm648nP/LYqVfV1CeX22wo",
            ),
        ] {
            let hasher = hasher(parameters);
            let hash = hasher.hash(&password(), SALT).await;
            assert_eq!(hash.as_str(), expected);
            assert_eq!(hasher.verify(&password(), Some(&hash)).await, RIGHT);
            assert_eq!(
                hasher
                    .verify(&Sensitive::new("correct horse - batterie"), Some(&hash))
                    .await,
                Verified::Wrong
            );
        }
    }

    #[tokio::test]
    async fn a_correct_password_reports_an_outdated_hash() {
        let old = hasher(SMALL).hash(&password(), SALT).await;
        let more = HashParameters { passes: 4, ..SMALL };
        assert_eq!(hasher(more).verify(&password(), Some(&old)).await, OUTDATED);

        let rotated = with_keys(SMALL, [(1, data_key()), (2, [9; 32])]);
        assert_eq!(rotated.verify(&password(), Some(&old)).await, OUTDATED);
        let new = rotated.hash(&password(), SALT).await;
        assert_eq!(rotated.verify(&password(), Some(&new)).await, RIGHT);
        assert_eq!(
            rotated.verify(&Sensitive::new("another"), Some(&old)).await,
            Verified::Wrong
        );
    }

    #[tokio::test]
    async fn without_the_pepper_no_password_is_right() {
        let hash = hasher(SMALL).hash(&password(), SALT).await;
        let other_pepper = with_keys(SMALL, [(1, [9; 32])]);
        assert_eq!(
            other_pepper.verify(&password(), Some(&hash)).await,
            Verified::Wrong
        );
        let other_version = with_keys(SMALL, [(2, data_key())]);
        assert_eq!(
            other_version.verify(&password(), Some(&hash)).await,
            Verified::Wrong
        );
        let unpeppered = PasswordHash::new(hash.as_str().replace(",keyid=AAAAAQ", ""));
        assert_eq!(
            hasher(SMALL).verify(&password(), Some(&unpeppered)).await,
            Verified::Wrong
        );
    }

    /// Compares the memory that the hashes leave behind, which shows what was computed.
    #[tokio::test]
    async fn an_unknown_account_costs_the_work_of_a_known_one() {
        let done = async |hash: Option<&PasswordHash>| {
            let hasher = hasher(SMALL);
            assert_eq!(hasher.verify(&password(), hash).await, Verified::Wrong);
            let idle = hasher.0.idle();
            assert_eq!(idle.len(), 1);
            let words: Vec<u64> = idle[0]
                .iter()
                .flat_map(|block| block.as_ref().to_vec())
                .collect();
            words
        };
        let dummy = done(None).await;
        assert_eq!(dummy.len(), 64 * 1024 / 8);
        // The dummy hash uses the current recipe with an empty salt.
        let mut memory = vec![Block::new(); 64];
        let recipe = Recipe {
            parameters: SMALL,
            key: 1,
            salt: [0; 16],
        };
        let keyring = Keyring::new([(1, data_key())]).unwrap();
        argon2id(
            &recipe,
            &keyring.pepper(1).unwrap(),
            &password(),
            &mut memory,
        );
        let by_hand: Vec<u64> = memory
            .iter()
            .flat_map(|block| block.as_ref().to_vec())
            .collect();
        assert!(dummy == by_hand);
        for unusable in [
            "",
            "$argon2id$",
            "$argon2id$v=19$m=4194304,t=2,p=1,keyid=AAAAAQ$AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ",
        ] {
            assert!(
                done(Some(&PasswordHash::new(unusable.to_owned()))).await == by_hand,
                "{unusable}"
            );
        }
    }

    #[test]
    fn only_what_this_system_writes_is_read() {
        let salt_and_output = "AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ";
        let with = |head: &str| Stored::parse(&format!("{head}${salt_and_output}"));
        let read = with("$argon2id$v=19$m=65536,t=10,p=4,keyid=AAAAAQ").unwrap();
        assert_eq!(
            read.recipe,
            Recipe {
                parameters: HashParameters::MAX_RESULTS,
                key: 1,
                salt: SALT
            }
        );
        assert_eq!(
            read.to_string(),
            format!("$argon2id$v=19$m=65536,t=10,p=4,keyid=AAAAAQ${salt_and_output}")
        );

        for malformed in [
            "",
            "$argon2i$v=19$m=64,t=2,p=1,keyid=AAAAAQ",
            "$argon2d$v=19$m=64,t=2,p=1,keyid=AAAAAQ",
            "$scrypt$ln=16,r=8,p=1",
            "$argon2id$m=64,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=16$m=64,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=64,t=2,p=1",
            "$argon2id$v=19$t=2,m=64,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=64,m=64,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=64,t=2,p=1,keyid=AAAAAQ,data=AAAA",
            "$argon2id$v=19$m=064,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=+64,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=-64,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=4294967296,t=2,p=1,keyid=AAAAAQ",
            "$argon2id$v=19$m=64,t=2,p=1,keyid=AAAAAR",
            "$argon2id$v=19$m=64,t=2,p=1,keyid=AAAA",
            "$argon2id$v=19$m=64,t=2,p=1,keyid=",
        ] {
            assert_eq!(with(malformed), Err(Unusable::Malformed), "{malformed}");
        }
        for out_of_bounds in [
            "m=65537,t=1,p=1",
            "m=4294967295,t=1,p=1",
            "m=64,t=11,p=1",
            "m=64,t=0,p=1",
            "m=64,t=1,p=5",
            "m=64,t=1,p=0",
            "m=7,t=1,p=1",
            "m=31,t=1,p=4",
        ] {
            let head = format!("$argon2id$v=19${out_of_bounds},keyid=AAAAAQ");
            assert_eq!(with(&head), Err(Unusable::OutOfBounds), "{out_of_bounds}");
        }
        let head = "$argon2id$v=19$m=64,t=2,p=1,keyid=AAAAAQ";
        for tail in [
            "",
            "$AAECAwQFBgcICQoLDA0ODw",
            "$AAECAwQFBgcICQoLDA0ODw$",
            "$AAECAwQFBgcICQoLDA0OD$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ",
            "$AAECAwQFBgcICQoLDA0ODxA$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ",
            "$AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0d",
            "$AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ$",
            "$AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN+5Qod3+W0dPzQ=",
            "$AAECAwQFBgcICQoLDA0ODw$ICZeybVGX4s0DexJqNrT0L1SFphoFN-5Qod3-W0dPzQ",
        ] {
            assert_eq!(
                Stored::parse(&format!("{head}{tail}")),
                Err(Unusable::Malformed),
                "{tail}"
            );
        }
    }

    #[test]
    fn parameters_stay_within_bounds() {
        let huge = HashParameters {
            memory_kib: u32::MAX,
            passes: u32::MAX,
            lanes: u32::MAX,
        };
        assert_eq!(huge.bounded(), HashParameters::MAX_RESULTS);
        let none = HashParameters {
            memory_kib: 0,
            passes: 0,
            lanes: 0,
        };
        assert_eq!(
            none.bounded(),
            HashParameters {
                memory_kib: 8,
                passes: 1,
                lanes: 1
            }
        );
        assert_eq!(
            HashParameters::default().bounded(),
            HashParameters::default()
        );
        assert_eq!(hasher(huge).0.current, HashParameters::MAX_RESULTS);
    }

    #[tokio::test]
    async fn memory_is_used_again_and_more_than_usual_is_given_back() {
        let large = HashParameters {
            memory_kib: 1024,
            ..SMALL
        };
        let hash = hasher(large).hash(&password(), SALT).await;
        let hasher = hasher(SMALL);
        hasher.hash(&password(), SALT).await;
        let first = hasher.0.idle()[0].as_ptr();
        hasher.hash(&password(), SALT).await;
        assert_eq!(hasher.0.idle()[0].as_ptr(), first);
        assert_eq!(hasher.verify(&password(), Some(&hash)).await, OUTDATED);
        assert_eq!(
            hasher.0.idle().iter().map(Vec::len).collect::<Vec<_>>(),
            [64]
        );
        // The memory of an earlier hash does not affect a later one.
        let again = hasher.hash(&password(), SALT).await;
        assert!(
            again
                .as_str()
                .ends_with("$VoeRR++OLG4o4KAXkl1hJcm648nP/LYqVfV1CeX22wo")
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_hashes_run_at_once_than_there_are_cores() {
        let hasher = hasher(SMALL);
        let cores = hasher.0.turns.available_permits();
        let hashes: Vec<_> = (0..50)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.hash(&password(), SALT).await })
            })
            .collect();
        for hash in hashes {
            assert_eq!(
                hasher.verify(&password(), Some(&hash.await.unwrap())).await,
                RIGHT
            );
        }
        assert!((1..=cores).contains(&hasher.0.idle().len()));
        assert_eq!(hasher.0.turns.available_permits(), cores);
    }

    #[tokio::test]
    async fn nothing_secret_is_printed() {
        let hasher = hasher(SMALL);
        let hash = hasher.hash(&password(), SALT).await;
        assert_eq!(
            format!("{hasher:?}"),
            "Hasher(HashParameters { memory_kib: 64, passes: 3, lanes: 2 })"
        );
        assert_eq!(format!("{hash:?}"), "PasswordHash(***)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_and_a_changed_character_never_passes(
            entered in "\\PC{1,40}", key in any::<u32>(), salt in any::<[u8; 16]>(), at in any::<prop::sample::Index>(), put in any::<char>()
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let tiny = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };
                let hasher = with_keys(tiny, [(key, data_key())]);
                let entered = Sensitive::new(entered);
                let hash = hasher.hash(&entered, salt).await;
                assert_eq!(Stored::parse(hash.as_str()).unwrap().to_string(), hash.as_str());
                assert_eq!(hasher.verify(&entered, Some(&hash)).await, RIGHT);
                let mut chars: Vec<char> = hash.as_str().chars().collect();
                let at = at.index(chars.len());
                if chars[at] != put {
                    chars[at] = put;
                    let changed = PasswordHash::new(chars.into_iter().collect());
                    assert_eq!(hasher.verify(&entered, Some(&changed)).await, Verified::Wrong);
                }
            });
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,120}|\\$argon2id\\$v=19\\$m=[0-9]{0,12},t=[0-9]{0,4},p=[0-9]{0,4},keyid=[A-Za-z]{0,8}\\$[A-Za-z]{0,30}\\$[A-Za-z]{0,50}") {
            if let Ok(stored) = Stored::parse(&text) {
                prop_assert_eq!(stored.to_string(), text);
            }
        }
    }
}
