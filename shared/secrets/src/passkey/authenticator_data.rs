//! Authenticator data: what the authenticator signs about itself and the ceremony (WebAuthn Level 3,
//! section 6.1).

use super::cbor::Reader;

/// The longest credential id in bytes (WebAuthn Level 3, section 5.1.3, and step 25 of section 7.1).
pub(super) const MAX_CREDENTIAL_ID_BYTES: usize = 1_023;

/// The flags in one byte.
mod flag {
    pub(super) const USER_PRESENT: u8 = 1;
    pub(super) const USER_VERIFIED: u8 = 1 << 2;
    pub(super) const BACKUP_ELIGIBLE: u8 = 1 << 3;
    pub(super) const BACKED_UP: u8 = 1 << 4;
    pub(super) const CREDENTIAL: u8 = 1 << 6;
    pub(super) const EXTENSIONS: u8 = 1 << 7;
}

/// Parsed authenticator data.
pub(super) struct AuthenticatorData<'a> {
    /// The SHA-256 of the relying party's id.
    pub(super) rp_id_hash: &'a [u8; 32],
    flags: u8,
    pub(super) sign_count: u32,
    /// The new credential, in a registration.
    pub(super) credential: Option<NewCredential<'a>>,
}

/// The id and the key of a new credential.
pub(super) struct NewCredential<'a> {
    pub(super) id: &'a [u8],
    /// A `COSE_Key`.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Parses authenticator data; `None` if it is incomplete or longer than its flags say.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_first_chunk()?;
        let (&[flags, a, b, c, d], rest) = rest.split_first_chunk()?;
        let mut rest = rest;
        let mut credential = None;
        if flags & flag::CREDENTIAL != 0 {
            // The AAGUID names the model of the authenticator. Without attestation it proves nothing.
            let (_aaguid, after) = rest.split_first_chunk::<16>()?;
            let (length, after) = after.split_first_chunk()?;
            let (id, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            let mut reader = Reader::new(after);
            let public_key = reader.item()?;
            rest = reader.rest();
            credential = Some(NewCredential { id, public_key });
        }
        if flags & flag::EXTENSIONS != 0 {
            let mut reader = Reader::new(rest);
            // Extensions are ignored, but they are a map.
            Reader::new(rest).map()?;
            reader.item()?;
            rest = reader.rest();
        }
        rest.is_empty().then_some(Self {
            rp_id_hash,
            flags,
            sign_count: u32::from_be_bytes([a, b, c, d]),
            credential,
        })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns whether the person touched the authenticator or did something equivalent.
    pub(super) const fn is_user_present(&self) -> bool {
        self.has(flag::USER_PRESENT)
    }

    /// Returns whether the authenticator verified the person, by PIN or biometrics.
    pub(super) const fn is_user_verified(&self) -> bool {
        self.has(flag::USER_VERIFIED)
    }

    pub(super) const fn is_backup_eligible(&self) -> bool {
        self.has(flag::BACKUP_ELIGIBLE)
    }

    pub(super) const fn is_backed_up(&self) -> bool {
        self.has(flag::BACKED_UP)
    }
}
