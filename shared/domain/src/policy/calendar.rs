//! Counting in days.

use jiff::ToSpan;
use jiff::civil::Date;

pub(crate) fn days_later(day: Date, days: u32) -> Date {
    day.saturating_add(i64::from(days).days())
}

pub(crate) fn days_earlier(day: Date, days: u32) -> Date {
    day.saturating_sub(i64::from(days).days())
}
