//! `cargo portal audit verify`: verifies the integrity of the audit trail (UX-11).

use std::io::Write;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use vestibule_http::App;

use crate::StartError;

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The portal; by default all.
    pub portal: Option<String>,
    /// The first day in UTC; by default 30 days before the last.
    pub from: Option<Date>,
    /// The last day in UTC; by default today.
    pub to: Option<Date>,
    /// The number and digest of a seal of the portal, as stored elsewhere.
    pub kept: Option<(u64, String)>,
}

/// Parses a seal that was stored elsewhere: `NUMBER:DIGEST`.
///
/// # Errors
/// Says which format is expected.
pub fn kept_seal(text: &str) -> Result<(u64, String), String> {
    let parts = text.split_once(':');
    parts
        .and_then(|(number, digest)| Some((number.parse().ok()?, digest.to_owned())))
        .ok_or_else(|| "must be NUMBER:DIGEST, as printed by an earlier verification".to_owned())
}

/// Verifies the trail and prints the result for each day.
///
/// # Errors
/// Fails if the trail has a fault or can't be read.
pub async fn verify(app: &App, wanted: &Wanted, out: &mut impl Write) -> Result<(), StartError> {
    let now = app.clock.now();
    let to = wanted
        .to
        .unwrap_or_else(|| now.to_zoned(TimeZone::UTC).date());
    let from = match wanted.from {
        Some(from) => from,
        None => to.checked_sub(30.days())?,
    };
    if to < from {
        return Err("--from is after --to".into());
    }
    if let Some(portal) = &wanted.portal
        && app.portals.get(portal)?.is_none()
    {
        let names: Vec<_> = app.portals.names().map(ToString::to_string).collect();
        return Err(format!(
            "there is no portal {portal}; the portals are {}",
            names.join(", ")
        )
        .into());
    }
    let mut faults = 0;
    for portal in app.portals.names() {
        if wanted.portal.as_ref().is_some_and(|p| p != portal.as_str()) {
            continue;
        }
        let kept = wanted
            .kept
            .as_ref()
            .map(|(n, digest)| (*n, digest.as_str()));
        let found = app
            .store
            .verify_audit(portal, (from, to), kept, now)
            .await?;
        writeln!(out, "{portal}")?;
        for day in found.days.iter().filter(|d| d.entries > 0 || d.expired) {
            write!(
                out,
                "  {}  {} entries: {} sealed and unaltered",
                day.day, day.entries, day.sealed
            )?;
            if day.unsealed > 0 {
                write!(out, ", {} unaltered but not sealed yet", day.unsealed)?;
            }
            writeln!(
                out,
                "{}",
                if day.expired {
                    ", older than the retention period"
                } else {
                    ""
                }
            )?;
        }
        match &found.last {
            Some(seal) => writeln!(
                out,
                "  sealed until {}; store this seal elsewhere: {}:{}",
                seal.until,
                seal.number,
                seal.digest()
            )?,
            None => writeln!(out, "  not sealed yet")?,
        }
        for fault in &found.faults {
            writeln!(out, "  FAULT {fault}")?;
        }
        faults += found.faults.len();
    }
    match faults {
        0 => Ok(writeln!(
            out,
            "From {from} to {to}, no entry is altered, missing or added."
        )?),
        1 => Err("the audit trail has a fault".into()),
        n => Err(format!("the audit trail has {n} faults").into()),
    }
}
