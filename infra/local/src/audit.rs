//! `cargo portal audit verify`: whether the audit trail is what was written (UX-11).

use std::io::Write;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use vestibule_http::App;

use crate::StartError;

/// What is to be verified.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only this portal.
    pub portal: Option<String>,
    /// The first day (UTC); by default 30 days before the last.
    pub from: Option<Date>,
    /// The last day (UTC); by default today.
    pub to: Option<Date>,
    /// A seal of the portal, as its number and digest were kept elsewhere.
    pub kept: Option<(u64, String)>,
}

/// Reads a kept seal: `NUMBER:DIGEST`.
///
/// # Errors
/// What it must look like.
pub fn kept_seal(text: &str) -> Result<(u64, String), String> {
    let parts = text.split_once(':');
    parts
        .and_then(|(number, digest)| Some((number.parse().ok()?, digest.to_owned())))
        .ok_or_else(|| "must be NUMBER:DIGEST, as an earlier verification printed it".to_owned())
}

/// Verifies the trail and prints, day by day, what was proved, and what is wrong.
///
/// # Errors
/// When something is wrong with the trail, or it can't be read.
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
            "there is no portal {portal}; there are {}",
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
                "  {}  {} entries: {} as written and sealed",
                day.day, day.entries, day.sealed
            )?;
            if day.unsealed > 0 {
                write!(out, ", {} as written, not sealed", day.unsealed)?;
            }
            writeln!(
                out,
                "{}",
                if day.expired {
                    ", older than is kept"
                } else {
                    ""
                }
            )?;
        }
        match &found.last {
            Some(seal) => writeln!(
                out,
                "  sealed until {}; keep this elsewhere: {}:{}",
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
            "From {from} to {to}, nothing is altered, missing or added."
        )?),
        1 => Err("the audit trail has a fault".into()),
        n => Err(format!("the audit trail has {n} faults").into()),
    }
}
