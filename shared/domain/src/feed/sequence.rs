//! The order of feeds: decides which feed may be imported now, even if feeds arrive late, twice or
//! at the same time.
//!
//! Each record kind of a plan has a [`FeedState`]. It records the feed being imported, its progress
//! and the last completed feed. A later feed waits for the current one, and an earlier one is
//! rejected.

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::policy::Slug;
use crate::values::record_kind::RecordKind;

/// How long an import excludes other feeds after it last recorded its progress. A run that can't
/// renew the lease in this time has to stop.
pub const LEASE: SignedDuration = SignedDuration::from_mins(5);

/// What a feed contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All records of its kind. Records that are missing have ended.
    Full,
    /// Changes since the previous feed.
    Changes,
}

/// A feed's name, which is its S3 key: `feeds/PLAN/KIND/2026-11-23.full.csv` or `….changes.csv`.
/// Further feeds of the same day have `-2`, `-3` and so on after the date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedName {
    pub plan: Slug,
    pub kind: RecordKind,
    /// The position among the feeds of its kind: the date and the number within the day.
    pub order: (Date, u16),
    pub extent: Extent,
}

/// A key that is not the name of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a feed must be named feeds/PLAN/KIND/YYYY-MM-DD.full.csv or .changes.csv, with -2, -3 and so on after the date for further feeds of the day; KIND is member, agent, group or provider"
)]
pub struct NoFeed;

impl FeedName {
    /// Parses an S3 key.
    ///
    /// # Errors
    /// [`NoFeed`] if the key is not the name of a feed.
    pub fn parse(key: &str) -> Result<Self, NoFeed> {
        let mut parts = key.split('/');
        let (Some("feeds"), Some(plan), Some(kind), Some(file), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(NoFeed);
        };
        let (stem, extent) = match (
            file.strip_suffix(".full.csv"),
            file.strip_suffix(".changes.csv"),
        ) {
            (Some(stem), _) => (stem, Extent::Full),
            (_, Some(stem)) => (stem, Extent::Changes),
            _ => return Err(NoFeed),
        };
        let (day, number) = stem.split_at_checked(10).ok_or(NoFeed)?;
        let number = match number.strip_prefix('-') {
            Some(n) if (1..=4).contains(&n.len()) && !n.starts_with('0') => {
                n.parse().map_err(|_| NoFeed)?
            }
            None if number.is_empty() => 1,
            _ => return Err(NoFeed),
        };
        Ok(Self {
            plan: Slug::parse(plan).map_err(|_| NoFeed)?,
            kind: RecordKind::ALL
                .iter()
                .copied()
                .find(|k| k.into_str() == kind)
                .ok_or(NoFeed)?,
            order: (day.parse().map_err(|_| NoFeed)?, number),
            extent,
        })
    }

    /// Returns the order as text that sorts in the same way.
    pub fn sorted(&self) -> String {
        format!("{}#{:04}", self.order.0, self.order.1)
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, number) = self.order;
        write!(f, "feeds/{}/{}/{day}", self.plan, self.kind.into_str())?;
        if number > 1 {
            write!(f, "-{number}")?;
        }
        f.write_str(match self.extent {
            Extent::Full => ".full.csv",
            Extent::Changes => ".changes.csv",
        })
    }
}

/// The import state of one kind of a plan's records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// Incremented by every change. Every write is conditional on it.
    pub version: u64,
    /// The last completed feed.
    pub done: Option<DoneFeed>,
    /// The feed being imported.
    pub current: Option<CurrentFeed>,
}

/// A completed feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneFeed {
    pub name: String,
    /// The order, as [`FeedName::sorted`].
    pub order: String,
    /// The S3 object's ETag, which identifies the content.
    pub content: String,
    pub at: Timestamp,
}

/// A feed that is being imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentFeed {
    pub name: String,
    /// The order, as [`FeedName::sorted`].
    pub order: String,
    /// The S3 object's ETag, which identifies the content.
    pub content: String,
    /// The number of rows processed.
    pub rows: u64,
    /// Whether the number of records that the feed would end was checked and accepted.
    pub checked: bool,
    /// When the lease ends. Other feeds are excluded until then.
    pub until: Timestamp,
}

impl CurrentFeed {
    /// Returns whether this is the named feed with the same content.
    pub fn is(&self, name: &FeedName, content: &str) -> bool {
        self.order == name.sorted() && self.name == name.to_string() && self.content == content
    }
}

/// Why a feed can't be imported now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    #[error("it was already imported")]
    Done,
    /// A later feed was imported or started first.
    #[error("a later feed was already imported: {0}")]
    Late(String),
    #[error("another feed is being imported: {0}")]
    Busy(String),
    /// An earlier feed was started and not completed, so the changes in this one are not
    /// sufficient.
    #[error("an earlier feed was not completed; import it again first: {0}")]
    Gap(String),
}

impl FeedState {
    /// Starts a feed, or resumes it where the last run ended. A feed with the same name but other
    /// content is a correction and is imported from the beginning.
    ///
    /// # Errors
    /// [`NotNow`] if another feed comes first or the feed was completed.
    pub fn begin(
        &self,
        name: &FeedName,
        content: &str,
        now: Timestamp,
    ) -> Result<CurrentFeed, NotNow> {
        let order = name.sorted();
        if let Some(done) = &self.done {
            if done.order > order {
                return Err(NotNow::Late(done.name.clone()));
            }
            if done.name == name.to_string() && done.content == content {
                return Err(NotNow::Done);
            }
        }
        let started = CurrentFeed {
            name: name.to_string(),
            content: content.to_owned(),
            rows: 0,
            checked: false,
            until: now + LEASE,
            order,
        };
        match &self.current {
            Some(current) if current.is(name, content) => Ok(CurrentFeed {
                until: now + LEASE,
                ..current.clone()
            }),
            Some(current) if current.order > started.order => {
                Err(NotNow::Late(current.name.clone()))
            }
            Some(current) if current.until > now => Err(NotNow::Busy(current.name.clone())),
            Some(current) if current.order < started.order && name.extent == Extent::Changes => {
                Err(NotNow::Gap(current.name.clone()))
            }
            _ => Ok(started),
        }
    }
}

/// The number of records that a feed may always end.
const ALWAYS_FEW: u64 = 10;

/// Returns whether a full feed that would end `ending` of `all` records is probably incomplete: it
/// would end all of them, or more than `max_percent` percent.
pub const fn is_suspicious(ending: u64, all: u64, max_percent: u32) -> bool {
    ending > 0
        && (ending == all || (ending > ALWAYS_FEW && ending * 100 > all * max_percent as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> FeedName {
        FeedName::parse(key).unwrap()
    }

    fn at(moment: &str) -> Timestamp {
        moment.parse().unwrap()
    }

    #[test]
    fn names_round_trip_and_sort_by_date_and_number() {
        let keys = [
            "feeds/harbor/member/2026-11-22.full.csv",
            "feeds/harbor/member/2026-11-23.changes.csv",
            "feeds/harbor/member/2026-11-23-2.changes.csv",
            "feeds/harbor/member/2026-11-23-10.full.csv",
            "feeds/harbor/member/2026-12-01.full.csv",
        ];
        let orders: Vec<_> = keys.map(|k| name(k).sorted()).into();
        assert!(orders.is_sorted());
        for key in keys {
            assert_eq!(name(key).to_string(), key);
        }
        for wrong in [
            "",
            "feeds/harbor/member/2026-11-22.csv",
            "feeds/harbor/member/2026-11-22.full.csv.rejects.csv",
            "feeds/harbor/member/2026-11-31.full.csv",
            "feeds/harbor/member/2026-11-22-0.full.csv",
            "feeds/harbor/member/2026-11-22-.full.csv",
            "feeds/harbor/member/2026-11-22-70000.full.csv",
            "feeds/harbor/person/2026-11-22.full.csv",
            "feeds/Harbor/member/2026-11-22.full.csv",
            "feeds/harbor/member/more/2026-11-22.full.csv",
            "feeds/harbor/member/é2026-11-22.full.csv",
            "harbor/member/2026-11-22.full.csv",
        ] {
            assert_eq!(FeedName::parse(wrong), Err(NoFeed), "{wrong}");
        }
    }

    #[test]
    fn a_feed_starts_resumes_and_excludes_others() {
        let now = at("2026-11-23T02:00:00Z");
        let late = now + LEASE;
        let monday = name("feeds/harbor/agent/2026-11-23.changes.csv");
        let tuesday = name("feeds/harbor/agent/2026-11-24.changes.csv");
        let full = name("feeds/harbor/agent/2026-11-24.full.csv");
        let mut state = FeedState::default();
        let mut started = state.begin(&monday, "a", now).unwrap();
        started.rows = 300;
        state.current = Some(started.clone());
        // The same feed resumes; others wait until the lease expires.
        assert_eq!(state.begin(&monday, "a", now).unwrap().rows, 300);
        let busy = NotNow::Busy(monday.to_string());
        assert_eq!(state.begin(&monday, "b", now), Err(busy.clone()));
        assert_eq!(state.begin(&tuesday, "a", now), Err(busy.clone()));
        assert_eq!(state.begin(&full, "a", now), Err(busy));
        // After that, changes don't skip the incomplete feed; a full feed or a correction does.
        let gap = NotNow::Gap(monday.to_string());
        assert_eq!(state.begin(&tuesday, "a", late), Err(gap));
        assert_eq!(state.begin(&full, "a", late).unwrap().rows, 0);
        assert_eq!(state.begin(&monday, "b", late).unwrap().rows, 0);

        state.current = None;
        state.done = Some(DoneFeed {
            name: tuesday.to_string(),
            order: tuesday.sorted(),
            content: "a".into(),
            at: now,
        });
        assert_eq!(state.begin(&tuesday, "a", now), Err(NotNow::Done));
        assert!(state.begin(&tuesday, "b", now).is_ok());
        let passed = NotNow::Late(tuesday.to_string());
        assert_eq!(state.begin(&monday, "a", now), Err(passed));
    }

    #[test]
    fn a_feed_that_ends_too_many_records_is_suspicious() {
        for (ending, all, suspicious) in [
            (0, 0, false),
            (0, 100, false),
            (1, 1, true),
            (10, 10, true),
            (10, 11, false),
            (11, 100, true),
            (50, 1000, false),
            (51, 1000, true),
        ] {
            assert_eq!(is_suspicious(ending, all, 5), suspicious, "{ending}/{all}");
        }
        assert!(!is_suspicious(99, 100, 100));
    }
}
