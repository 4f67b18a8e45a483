//! Days and moments on a portal.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::document::Policy;

pub(crate) fn days_later(day: Date, days: u32) -> Date {
    day.saturating_add(i64::from(days).days())
}

pub(crate) fn days_earlier(day: Date, days: u32) -> Date {
    day.saturating_sub(i64::from(days).days())
}

/// Returns the moment that is a number of 24-hour days later.
pub fn days_after(moment: Timestamp, days: u32) -> Timestamp {
    moment + SignedDuration::from_hours(24 * i64::from(days))
}

impl Policy {
    /// Returns the current day in the portal's time zone.
    pub fn today(&self, now: Timestamp) -> Date {
        self.date_of(now)
    }

    /// Returns the day of a moment in the portal's time zone.
    pub fn date_of(&self, moment: Timestamp) -> Date {
        moment.to_zoned(self.time_zone.0.clone()).date()
    }

    /// Returns noon of a day in the portal's time zone.
    pub fn noon_of(&self, day: Date) -> Option<Timestamp> {
        let noon = day.at(12, 0, 0, 0).to_zoned(self.time_zone.0.clone());
        noon.ok().map(|z| z.timestamp())
    }

    /// Formats a moment in the portal's time zone for a person.
    pub fn clock_time(&self, moment: Timestamp) -> String {
        let moment = moment.to_zoned(self.time_zone.0.clone());
        moment.strftime("%A, %B %-d, %Y, %-I:%M %p %Z").to_string()
    }

    /// Returns when a day begins in the portal's time zone.
    pub fn begin_of(&self, day: Date) -> Option<Timestamp> {
        let midnight = day.to_zoned(self.time_zone.0.clone()).ok()?;
        Some(midnight.timestamp())
    }

    /// Returns when a password set at `changed_at` expires (AG-02).
    pub fn password_expires_at(&self, changed_at: Timestamp) -> Option<Timestamp> {
        self.password
            .max_age_days
            .map(|d| days_after(changed_at, d.get()))
    }

    /// Returns the last day on which something issued now can be used for `days` days, and the moment at
    /// which that day ends.
    pub fn valid_until(&self, now: Timestamp, days: u32) -> (Date, Timestamp) {
        let last = self.today(now).saturating_add(i64::from(days).days());
        (last, self.end_of(last))
    }

    /// Returns the same, but no later than `end_date` (UX-07).
    pub fn valid_until_at_most(
        &self,
        now: Timestamp,
        days: u32,
        end_date: Option<Date>,
    ) -> (Date, Timestamp) {
        let (last, over) = self.valid_until(now, days);
        match end_date {
            Some(day) if day < last => (day, self.end_of(day)),
            _ => (last, over),
        }
    }

    /// Returns the moment at which a day ends in the portal's time zone, also when clocks change.
    fn end_of(&self, day: Date) -> Timestamp {
        let over = day
            .tomorrow()
            .and_then(|d| d.to_zoned(self.time_zone.0.clone()));
        over.map_or(Timestamp::MAX, |z| z.timestamp())
    }

    /// Returns the day that ends at a moment.
    pub fn last_day(&self, over: Timestamp) -> Date {
        self.date_of(over - SignedDuration::from_secs(1))
    }

    /// Returns the absolute expiration of a session started at `now` (AG-14).
    pub fn session_expires_at(&self, now: Timestamp) -> Timestamp {
        now + SignedDuration::from_hours(self.session.max_hours.get().into())
    }

    /// Returns the business day that is `count` business days after `day` (ME-08).
    pub fn business_day_after(&self, day: Date, count: u8) -> Date {
        let no_holidays = BTreeSet::new();
        let holidays = self.pin.as_ref().map_or(&no_holidays, |p| &p.holidays);
        let mut day = day;
        let mut left = count;
        while left > 0 {
            day = day.saturating_add(1.day());
            let weekend = matches!(
                day.weekday(),
                jiff::civil::Weekday::Saturday | jiff::civil::Weekday::Sunday
            );
            if !weekend && !holidays.contains(&day) {
                left -= 1;
            }
        }
        day
    }
}
