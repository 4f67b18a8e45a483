//! The order of feeds: which of them may be imported now, whatever arrives late, twice or at once.
//!
//! Each kind of record of a plan has a [`FeedState`]. A feed is begun, noted as far as it has come,
//! and done; a later one waits until then, and an earlier one is refused.

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::policy::Slug;
use crate::values::record_kind::RecordKind;

/// How long a feed that was begun keeps others out after its last sign of life. A run that hears
/// nothing for so long has to stop.
pub const LEASE: SignedDuration = SignedDuration::from_mins(5);

/// What a feed holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All records of its kind: what isn't in it has ended.
    Full,
    /// What has changed since the feed before.
    Changes,
}

/// A feed's name, which is its key in S3: `feeds/PLAN/KIND/2026-11-23.full.csv`, or
/// `….changes.csv`, with `-2` and so on behind the day for further ones of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedName {
    /// Whose records.
    pub plan: Slug,
    /// Which of them.
    pub kind: RecordKind,
    /// Where it stands among the feeds of its kind: its day, and its number within the day.
    pub order: (Date, u16),
    /// What it holds.
    pub extent: Extent,
}

/// Why a key names no feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a feed is called feeds/PLAN/KIND/YYYY-MM-DD.full.csv or .changes.csv, with -2 and so on behind the day for further ones; KIND is member, agent, group or provider"
)]
pub struct NoFeed;

impl FeedName {
    /// Reads a key.
    ///
    /// # Errors
    /// [`NoFeed`].
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
                .into_iter()
                .find(|k| k.as_str() == kind)
                .ok_or(NoFeed)?,
            order: (day.parse().map_err(|_| NoFeed)?, number),
            extent,
        })
    }

    /// Its order as text that sorts as it does.
    pub fn sorted(&self) -> String {
        format!("{}#{:04}", self.order.0, self.order.1)
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, number) = self.order;
        write!(f, "feeds/{}/{}/{day}", self.plan, self.kind.as_str())?;
        if number > 1 {
            write!(f, "-{number}")?;
        }
        f.write_str(match self.extent {
            Extent::Full => ".full.csv",
            Extent::Changes => ".changes.csv",
        })
    }
}

/// How far the feeds of one kind of a plan's records are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// Counts its changes; every write is conditional on it.
    pub version: u64,
    /// The last feed that was done.
    pub done: Option<DoneFeed>,
    /// The feed that is under way.
    pub current: Option<CurrentFeed>,
}

/// A feed that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneFeed {
    /// Its name.
    pub name: String,
    /// Its order, as [`FeedName::sorted`].
    pub order: String,
    /// Tells its content from another under the same name: the object's ETag.
    pub content: String,
    /// When it was done.
    pub at: Timestamp,
}

/// A feed that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentFeed {
    /// Its name.
    pub name: String,
    /// Its order, as [`FeedName::sorted`].
    pub order: String,
    /// Tells its content from another under the same name.
    pub content: String,
    /// How many rows have been dealt with.
    pub rows: u64,
    /// Whether what it would end has been looked at and found right.
    pub checked: bool,
    /// Until when it keeps other feeds out.
    pub until: Timestamp,
}

impl CurrentFeed {
    /// Whether it is this feed with this content.
    pub fn is(&self, name: &FeedName, content: &str) -> bool {
        self.order == name.sorted() && self.name == name.to_string() && self.content == content
    }
}

/// Why a feed isn't imported now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// It is done already.
    #[error("it was imported before")]
    Done,
    /// A later one came first.
    #[error("a later one was imported before it: {0}")]
    Late(String),
    /// Another one is under way.
    #[error("another one is under way: {0}")]
    Busy(String),
    /// One before it was begun and not done, and without that one its changes say too little.
    #[error("one before it was not imported to its end; import that one again first: {0}")]
    Gap(String),
}

impl FeedState {
    /// Begins a feed, or goes on with it where it was left. A feed of the same name with another
    /// content is a correction, and is imported again.
    ///
    /// # Errors
    /// [`NotNow`].
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
        let begun = CurrentFeed {
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
            Some(current) if current.order > begun.order => Err(NotNow::Late(current.name.clone())),
            Some(current) if current.until > now => Err(NotNow::Busy(current.name.clone())),
            Some(current) if current.order < begun.order && name.extent == Extent::Changes => {
                Err(NotNow::Gap(current.name.clone()))
            }
            _ => Ok(begun),
        }
    }
}

/// So few records may always end.
const ALWAYS_FEW: u64 = 10;

/// Whether a full feed that would end `ending` of `all` records is more likely broken than true:
/// all of them, or more than so many percent.
pub const fn is_suspicious(ending: u64, all: u64, most_percent: u32) -> bool {
    ending > 0
        && (ending == all || (ending > ALWAYS_FEW && ending * 100 > all * most_percent as u64))
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
    fn names_read_back_and_sort_as_their_days_and_numbers() {
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
    fn a_feed_begins_goes_on_and_gives_way() {
        let now = at("2026-11-23T02:00:00Z");
        let late = now + LEASE;
        let monday = name("feeds/harbor/agent/2026-11-23.changes.csv");
        let tuesday = name("feeds/harbor/agent/2026-11-24.changes.csv");
        let all = name("feeds/harbor/agent/2026-11-24.full.csv");
        let mut state = FeedState::default();
        let mut begun = state.begin(&monday, "a", now).unwrap();
        begun.rows = 300;
        state.current = Some(begun.clone());
        // The same goes on where it was; others wait, until nothing is heard of it.
        assert_eq!(state.begin(&monday, "a", now).unwrap().rows, 300);
        let busy = NotNow::Busy(monday.to_string());
        assert_eq!(state.begin(&monday, "b", now), Err(busy.clone()));
        assert_eq!(state.begin(&tuesday, "a", now), Err(busy.clone()));
        assert_eq!(state.begin(&all, "a", now), Err(busy));
        // Then changes don't pass over what was left undone; the whole does, and a correction.
        let gap = NotNow::Gap(monday.to_string());
        assert_eq!(state.begin(&tuesday, "a", late), Err(gap));
        assert_eq!(state.begin(&all, "a", late).unwrap().rows, 0);
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
    fn a_feed_that_ends_too_much_is_suspicious() {
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
