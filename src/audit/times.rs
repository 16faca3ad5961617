//! Times as people write and read them: stored in UTC, shown with the offset of a zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{RoundMode, Span, Timestamp, ToSpan as _, Unit, Zoned, ZonedRound};
use portcullis_core::time::Millis;
use serde::Deserialize;

/// Most spans that something is counted in.
const MOST_SPANS: usize = 1000;

/// Why a time, a zone or a division into spans is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither milliseconds nor a date, with or without a time and an offset.
    #[error(
        "`{0}` is no time: milliseconds since the UNIX epoch, or such as `2026-11-22`, `2026-11-22T09:30` or `2026-11-22T09:30+01:00`"
    )]
    Time(String),
    /// Nobody knows it.
    #[error("`{0}` is no time zone, such as `UTC` or `Europe/Berlin`")]
    Zone(String),
    /// The times are too far apart, or the wrong way round.
    #[error("between these times there are not 1 to 1000 such spans")]
    Spans,
}

/// What something is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of the zone, which may have 23 or 25 hours.
    Day,
    /// A month of the zone.
    Month,
}

/// A time zone by its name.
///
/// # Errors
///
/// [`TimeError::Zone`].
pub fn zone(name: &str) -> Result<TimeZone, TimeError> {
    TimeZone::get(name).map_err(|_| TimeError::Zone(name.to_owned()))
}

/// Reads a time; one without an offset is of `zone`.
///
/// # Errors
///
/// [`TimeError::Time`].
pub fn read(text: &str, zone: &TimeZone) -> Result<Millis, TimeError> {
    let wrong = || TimeError::Time(text.to_owned());
    if let Ok(millis) = text.parse::<u64>() {
        return Ok(Millis(millis));
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let civil: DateTime = text.parse().map_err(|_| wrong())?;
            civil.to_zoned(zone.clone()).map_err(|_| wrong())?.timestamp()
        }
    };
    at.as_millisecond().try_into().map(Millis).map_err(|_| wrong())
}

/// The time as it is shown: RFC 3339 with the offset that the zone had then.
pub fn shown(at: Millis, zone: &TimeZone) -> String {
    match zoned(at, zone) {
        Some(at) => at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        None => at.0.to_string(),
    }
}

fn zoned(at: Millis, zone: &TimeZone) -> Option<Zoned> {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()))
}

/// Where the spans from one time to another begin, the first perhaps before it.
///
/// # Errors
///
/// [`TimeError::Spans`] for none of them, or too many.
pub fn spans(since: Millis, until: Millis, by: By, zone: &TimeZone) -> Result<Vec<Millis>, TimeError> {
    let first = zoned(since, zone).ok_or(TimeError::Spans)?;
    let (unit, step): (Unit, Span) = match by {
        By::Minute => (Unit::Minute, 1.minute()),
        By::Hour => (Unit::Hour, 1.hour()),
        By::Day => (Unit::Day, 1.day()),
        By::Month => (Unit::Day, 1.month()),
    };
    let first = match by {
        By::Month => first.first_of_month().map_err(|_| TimeError::Spans)?,
        By::Minute | By::Hour | By::Day => first,
    };
    let mut at = first.round(ZonedRound::new().smallest(unit).mode(RoundMode::Floor)).map_err(|_| TimeError::Spans)?;
    let mut starts = Vec::new();
    loop {
        let start = u64::try_from(at.timestamp().as_millisecond()).map(Millis).map_err(|_| TimeError::Spans)?;
        if start >= until {
            break;
        }
        starts.push(start);
        at = at.checked_add(step).map_err(|_| TimeError::Spans)?;
        if starts.len() > MOST_SPANS {
            return Err(TimeError::Spans);
        }
    }
    if starts.is_empty() { Err(TimeError::Spans) } else { Ok(starts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        zone("Europe/Berlin").unwrap()
    }

    #[test]
    fn a_time_is_read_in_its_offset_or_in_the_zone_and_shown_with_the_offset() {
        let summer = read("2026-07-01T12:00", &berlin()).unwrap();
        assert_eq!(read("2026-07-01T10:00:00Z", &TimeZone::UTC), Ok(summer));
        assert_eq!(read("2026-07-01T12:00:00+02:00", &TimeZone::UTC), Ok(summer));
        assert_eq!(read(&summer.0.to_string(), &berlin()), Ok(summer));
        assert_eq!(shown(summer, &berlin()), "2026-07-01T12:00:00.000+02:00");
        assert_eq!(shown(summer, &TimeZone::UTC), "2026-07-01T10:00:00.000+00:00");
        assert_eq!(shown(read("2026-01-01", &berlin()).unwrap(), &berlin()), "2026-01-01T00:00:00.000+01:00");
    }

    #[test]
    fn a_day_has_the_hours_that_it_has_in_its_zone() {
        let between = |since: &str, until: &str, by| {
            let read = |text| read(text, &berlin()).unwrap();
            spans(read(since), read(until), by, &berlin())
        };
        let days = between("2026-03-28T17:00", "2026-03-31", By::Day).unwrap();
        let hours: Vec<u64> = days.windows(2).map(|days| (days[1].0 - days[0].0) / 3_600_000).collect();
        assert_eq!(hours, [24, 23]);
        assert_eq!(shown(days[0], &berlin()), "2026-03-28T00:00:00.000+01:00");
        assert_eq!(between("2026-03-29", "2026-03-30", By::Hour).unwrap().len(), 23);
        assert_eq!(between("2026-01-15", "2026-03-15", By::Month).unwrap().len(), 3);
        assert_eq!(between("2026-03-30", "2026-03-29", By::Day), Err(TimeError::Spans));
        assert_eq!(between("2026-01-01", "2027-01-01", By::Hour), Err(TimeError::Spans));
    }

    #[test]
    fn what_is_no_time_and_no_zone_is_refused() {
        for text in ["", "yesterday", "2026-13-01", "-1", "1969-01-01"] {
            assert_eq!(read(text, &TimeZone::UTC), Err(TimeError::Time(text.to_owned())));
        }
        assert_eq!(zone("Mars/Olympus").unwrap_err(), TimeError::Zone("Mars/Olympus".to_owned()));
    }
}
