//! Who may call what outside: classes of numbers, and rights that name them. Behind them stand the host's own ceilings (`[tolls]`).

use crate::{
    numbers::Numbers,
    reader::{Pattern, Reader},
};
use holdfast_policy::{Refusal, clock, directory, trunks};

/// The rights of a site; none: whoever is registered may call everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rights {
    classes: Vec<Class>,
    rights: Vec<Right>,
    users: Vec<User>,
    /// Where in `rights` the one of everybody else stands.
    default: usize,
    /// How far from UTC the clock is that `hours` mean; `None`: as far as the site's own, summer time included.
    utc_offset_minutes: Option<i64>,
}

/// Numbers of a kind.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Class {
    name: String,
    numbers: Vec<Pattern>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Right {
    name: String,
    /// `None`: all.
    classes: Option<Vec<String>>,
    /// Country codes; `None`: all.
    countries: Option<Vec<String>>,
    /// Always when empty.
    hours: Vec<Hours>,
    calls: Option<u32>,
    calls_per_hour: Option<u32>,
    minutes_per_day: Option<u32>,
    minutes_per_outage: Option<u32>,
    /// The right that counts instead while phones are here without their cloud…
    outage: Option<String>,
    /// …for so long.
    outage_after_minutes: u32,
}

/// Whose right it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct User {
    right: usize,
    /// Any when both are empty.
    extensions: Vec<Pattern>,
    location: Option<String>,
}

/// A time of the week.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hours {
    /// Days on which it begins, Monday first.
    days: [bool; 7],
    /// Minutes of the day; an end that is not after the beginning is on the next day.
    from: u32,
    to: u32,
}

pub(crate) const KEYS: [&str; 17] = [
    "default_right",
    "utc_offset",
    "class.#.name",
    "class.#.numbers",
    "right.#.name",
    "right.#.classes",
    "right.#.countries",
    "right.#.hours",
    "right.#.calls",
    "right.#.calls_per_hour",
    "right.#.minutes_per_day",
    "right.#.minutes_per_outage",
    "right.#.outage",
    "right.#.outage_after_minutes",
    "user.#.right",
    "user.#.extensions",
    "user.#.location",
];

/// What is known of a number without a class of the operator's.
const BUILT_IN: [&str; 3] = ["national", "international", "service"];

const MINUTES_MAX: u32 = 1_000_000;
const DAY_MINUTES: u32 = 24 * 60;
const DAYS: [&str; 7] = ["mo", "tu", "we", "th", "fr", "sa", "su"];

impl Rights {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let classes = (0..reader.tables("class")).map(|index| Class::read(reader, index)).collect::<Vec<_>>();
        let rights = (0..reader.tables("right")).map(|index| Right::read(reader, index, &classes)).collect::<Vec<_>>();
        for (index, right) in rights.iter().enumerate() {
            if let Some(outage) = right.outage.as_ref().filter(|outage| !rights.iter().any(|right| right.name == **outage)) {
                reader.wrong(&format!("right.{index}.outage"), &format!("is `{outage}`, and there is no such right"));
            }
        }
        let place = |reader: &mut Reader<'_>, key: &str| {
            let name = reader.name(key);
            let found = rights.iter().position(|right| name == Some(&right.name));
            if found.is_none() && (name.is_some() || !rights.is_empty()) {
                reader.wrong(key, "should name one of the [[settings.right]]");
            }
            found.unwrap_or(0)
        };
        let default = place(reader, "default_right");
        let users = (0..reader.tables("user")).map(|index| User {
            right: place(reader, &format!("user.{index}.right")),
            extensions: reader.patterns(&format!("user.{index}.extensions")),
            location: reader.name(&format!("user.{index}.location")).map(str::to_owned),
        });
        let users = users.collect();
        let written = reader.text("utc_offset");
        let utc_offset_minutes = written.and_then(offset);
        if written.is_some() && utc_offset_minutes.is_none() {
            reader.wrong("utc_offset", "should be written like `+01:00`; without it `time_zone` of [policy] in holdfast.toml counts");
        }
        Self { classes, rights, users, default, utc_offset_minutes }
    }

    /// Why this caller may not call this number (without the outside prefix) now.
    pub(crate) fn forbid(&self, caller: &str, location: Option<&str>, number: &str, numbers: &Numbers) -> Option<Refusal> {
        if self.rights.is_empty() {
            return None;
        }
        let right = self.in_force(self.rights.get(self.of(caller, location))?);
        let e164 = numbers.e164(number);
        let class = self.class(number, e164.as_deref(), numbers);
        let refuse = |phrase: &str, why: String| {
            Some(Refusal::new(403, phrase, format!("{caller} may not call {number} with the right `{}`: {why}", right.name)))
        };
        if right.classes.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| name == class)) {
            return refuse("Not Allowed To Call There", format!("it is of the class `{class}`"));
        }
        if let (Some(countries), Some(e164)) = (&right.countries, &e164)
            && !numbers.at_home(e164)
            && !countries.iter().any(|country| e164.strip_prefix('+').is_some_and(|digits| digits.starts_with(country.as_str())))
        {
            return refuse("Not Allowed To Call That Country", "none of its `countries`".to_owned());
        }
        if !right.hours.is_empty() {
            let now = self.minute_of_week();
            if !right.hours.iter().any(|hours| hours.contain(now)) {
                return refuse("Not Allowed At This Hour", "outside of its `hours`".to_owned());
            }
        }
        if !right.counts() {
            return None;
        }
        let usage = trunks::usage_of(caller);
        let minutes = |seconds: u32, most: u32| seconds >= most.saturating_mul(60);
        if right.calls.is_some_and(|most| usage.calls >= most) {
            return refuse("Too Many Outside Calls", format!("{} at a time, which is its `calls`", usage.calls));
        }
        if right.calls_per_hour.is_some_and(|most| usage.calls_in_hour >= most) {
            return refuse(
                "Too Many Outside Calls This Hour",
                format!("{} within the hour, which is its `calls_per_hour`", usage.calls_in_hour),
            );
        }
        if right.minutes_per_day.is_some_and(|most| minutes(usage.seconds_in_day, most)) {
            return refuse(
                "Outside Minutes Of The Day Used Up",
                format!("{} s of talk, which is its `minutes_per_day`", usage.seconds_in_day),
            );
        }
        if right.minutes_per_outage.is_some_and(|most| minutes(usage.seconds_in_outage, most)) {
            let why = format!("{} s of talk since the cloud was lost, which is its `minutes_per_outage`", usage.seconds_in_outage);
            return refuse("Outside Minutes Used Up", why);
        }
        None
    }

    /// Where the right of a caller stands: the one that the directory names for the user (its dial class), else the first of `user` that fits.
    fn of(&self, caller: &str, location: Option<&str>) -> usize {
        let named = directory::dial_class_of(caller).and_then(|class| self.rights.iter().position(|right| right.name == class));
        if let Some(right) = named {
            return right;
        }
        if self.users.is_empty() {
            return self.default;
        }
        let extension = directory::endpoint_by_id(caller).map(|endpoint| endpoint.extension).unwrap_or_default();
        let is = |user: &&User| {
            let named = user.extensions.is_empty() || user.extensions.iter().any(|pattern| pattern.matches(&extension));
            named && user.location.as_deref().is_none_or(|wanted| location == Some(wanted))
        };
        self.users.iter().find(is).map_or(self.default, |user| user.right)
    }

    /// The right itself, or the one that takes its place in an outage.
    fn in_force<'a>(&'a self, right: &'a Right) -> &'a Right {
        let Some(outage) = &right.outage else { return right };
        let lasts = directory::outage_seconds().is_some_and(|seconds| seconds >= right.outage_after_minutes.saturating_mul(60));
        self.rights.iter().find(|other| lasts && other.name == *outage).unwrap_or(right)
    }

    fn class(&self, number: &str, e164: Option<&str>, numbers: &Numbers) -> &str {
        let is =
            |class: &&Class| class.numbers.iter().any(|pattern| pattern.matches(number) || e164.is_some_and(|e164| pattern.matches(e164)));
        match (self.classes.iter().find(is), e164) {
            (Some(class), _) => &class.name,
            (None, Some(e164)) if numbers.at_home(e164) => "national",
            (None, Some(_)) => "international",
            (None, None) => "service",
        }
    }

    /// Minutes since Monday, 0:00 of the clock that `hours` mean.
    fn minute_of_week(&self) -> u32 {
        let offset = self.utc_offset_minutes.unwrap_or_else(|| i64::from(clock::utc_offset_minutes()));
        // 1970-01-01 was a Thursday.
        let minutes = i64::try_from(clock::now_ms() / 60_000).unwrap_or(0) + offset + 3 * i64::from(DAY_MINUTES);
        u32::try_from(minutes.rem_euclid(7 * i64::from(DAY_MINUTES))).unwrap_or(0)
    }
}

impl Class {
    fn read(reader: &mut Reader<'_>, index: usize) -> Self {
        let key = |name: &str| format!("class.{index}.{name}");
        let name = reader.name(&key("name")).unwrap_or_default().to_owned();
        let numbers = reader.patterns(&key("numbers"));
        if name.is_empty() || numbers.is_empty() {
            reader.wrong(&key("name"), "a class needs `name` and `numbers`");
        }
        Self { name, numbers }
    }
}

impl Right {
    fn read(reader: &mut Reader<'_>, index: usize, classes: &[Class]) -> Self {
        let key = |name: &str| format!("right.{index}.{name}");
        let name = reader.name(&key("name")).unwrap_or_default().to_owned();
        if name.is_empty() {
            reader.wrong(&key("name"), "is missing: what is the right called?");
        }
        let allowed = listed(reader.texts(&key("classes")));
        for class in allowed.iter().flatten() {
            if !classes.iter().any(|known| known.name == *class) && !BUILT_IN.contains(&class.as_str()) {
                let message = format!("names `{class}`: add a [[settings.class]], or use `national`, `international` or `service`");
                reader.wrong(&key("classes"), &message);
            }
        }
        let countries = listed(reader.texts(&key("countries")));
        if countries.iter().flatten().any(|country| country.is_empty() || !country.bytes().all(|octet| octet.is_ascii_digit())) {
            reader.wrong(&key("countries"), "should be country codes, e.g. `countries = [\"33\", \"49\"]`");
        }
        let mut hours = Vec::new();
        for text in reader.texts(&key("hours")) {
            match Hours::read(text) {
                Some(read) => hours.push(read),
                None => reader.wrong(&key("hours"), &format!("`{text}` should be written like `mo-fr 08:00-18:00`")),
            }
        }
        let mut most = |name: &str| reader.number(&key(name), 0..=MINUTES_MAX);
        Self {
            calls: most("calls"),
            calls_per_hour: most("calls_per_hour"),
            minutes_per_day: most("minutes_per_day"),
            minutes_per_outage: most("minutes_per_outage"),
            outage_after_minutes: most("outage_after_minutes").unwrap_or(0),
            outage: reader.name(&key("outage")).map(str::to_owned),
            name,
            classes: allowed,
            countries,
            hours,
        }
    }

    /// Whether it bounds what is used.
    const fn counts(&self) -> bool {
        self.calls.is_some() || self.calls_per_hour.is_some() || self.minutes_per_day.is_some() || self.minutes_per_outage.is_some()
    }
}

fn listed(texts: &[String]) -> Option<Vec<String>> {
    (!texts.is_empty()).then(|| texts.to_vec())
}

impl Hours {
    /// `mo-fr 08:00-18:00`, `sa 09:00-12:00`, `22:00-06:00`.
    fn read(text: &str) -> Option<Self> {
        let (days, times) = text.trim().rsplit_once(' ').unwrap_or(("mo-su", text.trim()));
        let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name.trim()));
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (first, last) = (day(first)?, day(last)?);
        let mut on = [false; 7];
        for (place, on) in on.iter_mut().enumerate() {
            // `sa-mo` goes round the end of the week.
            *on = if first <= last { (first..=last).contains(&place) } else { place >= first || place <= last };
        }
        let (from, to) = times.split_once('-')?;
        Some(Self { days: on, from: minute(from)?, to: minute(to)? })
    }

    fn contain(&self, minute_of_week: u32) -> bool {
        let (day, minute) = (minute_of_week / DAY_MINUTES, minute_of_week % DAY_MINUTES);
        let on = |day: u32| usize::try_from(day % 7).ok().and_then(|day| self.days.get(day)).copied().unwrap_or(false);
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&minute);
        }
        (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
    }
}

/// Minutes of `18:00`; 24:00 is the end of the day.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 24 && minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
}

/// Minutes of `+01:00`.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    minute(rest).filter(|minutes| *minutes <= 14 * 60).map(|minutes| sign * i64::from(minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_week() {
        let at = |day: u32, time: &str| day * DAY_MINUTES + minute(time).unwrap();
        let office = Hours::read("mo-fr 08:00-18:00").unwrap();
        assert!(office.contain(at(0, "08:00")) && office.contain(at(4, "17:59")));
        assert!(!office.contain(at(0, "07:59")) && !office.contain(at(4, "18:00")) && !office.contain(at(5, "12:00")));
        let night = Hours::read("fr 22:00-06:00").unwrap();
        assert!(
            night.contain(at(4, "22:00"))
                && night.contain(at(5, "05:59"))
                && !night.contain(at(4, "05:00"))
                && !night.contain(at(5, "06:00"))
        );
        let weekend = Hours::read("Sa-Mo 00:00-24:00").unwrap();
        assert!(weekend.contain(at(6, "12:00")) && weekend.contain(at(0, "23:59")) && !weekend.contain(at(1, "00:00")));
        assert!(Hours::read("08:00-18:00").unwrap().contain(at(6, "12:00")));
        for wrong in ["", "mo", "mo-fr", "mo-xx 08:00-18:00", "mo 8-18", "mo 08:60-18:00", "mo 08:00-25:00"] {
            assert_eq!(Hours::read(wrong), None, "{wrong}");
        }
        assert_eq!(
            (offset("+01:00"), offset("-05:30"), offset("02:00"), offset("x"), offset("+15:00")),
            (Some(60), Some(-330), Some(120), None, None)
        );
    }
}
