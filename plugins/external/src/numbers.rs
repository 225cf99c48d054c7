//! Telephone numbers in their forms: as dialled in the site's country, and international (E.164, with `+`).

use crate::reader::Reader;
use std::borrow::Cow;

/// How numbers are dialled where the site is. Without a country code only what begins with `+` is known to be international.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Numbers {
    /// `44`.
    country: String,
    /// Before a number of the own country: `0`; empty where there is none.
    national: String,
    /// Before a number of another country: `00`.
    international: String,
}

/// How a trunk wants its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Format {
    /// As they were dialled, without the outside prefix.
    #[default]
    AsDialled,
    /// With `+` and the country code.
    E164,
    /// As they are dialled in the site's country.
    National,
}

impl Numbers {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let numbers = Self {
            country: reader.digits("country_code"),
            national: reader.digits("national_prefix"),
            international: reader.digits("international_prefix"),
        };
        if numbers.country.is_empty() && !(numbers.national.is_empty() && numbers.international.is_empty()) {
            reader.wrong("country_code", "is missing: whose prefixes are these? e.g. `country_code = \"44\"`");
        }
        numbers
    }

    /// Whether the site has said where it is.
    pub(crate) fn known(&self) -> bool {
        !self.country.is_empty()
    }

    /// The international form of a number; `None` where it has none, as short numbers of a country.
    pub(crate) fn e164<'a>(&self, number: &'a str) -> Option<Cow<'a, str>> {
        if number.starts_with('+') {
            return Some(Cow::Borrowed(number));
        }
        if !self.known() {
            return None;
        }
        // `00` before `0`, and `011` before `1`.
        if let Some(rest) = stripped(number, &self.international) {
            return Some(Cow::Owned(format!("+{rest}")));
        }
        stripped(number, &self.national).map(|rest| Cow::Owned(format!("+{}{rest}", self.country)))
    }

    /// The part of an international number behind the own country code.
    fn own<'a>(&self, e164: &'a str) -> Option<&'a str> {
        e164.strip_prefix('+')?.strip_prefix(self.country.as_str()).filter(|rest| self.known() && !rest.is_empty())
    }

    /// Whether an international number is one of the own country.
    pub(crate) fn at_home(&self, e164: &str) -> bool {
        self.own(e164).is_some()
    }

    /// A number as a trunk wants it.
    pub(crate) fn written(&self, number: &str, format: Format) -> String {
        let e164 = match format {
            Format::AsDialled => None,
            Format::E164 | Format::National => self.e164(number),
        };
        let Some(e164) = e164 else { return number.to_owned() };
        match (format, self.own(&e164)) {
            (Format::National, Some(rest)) => format!("{}{rest}", self.national),
            (Format::National, None) if self.known() => format!("{}{}", self.international, e164.trim_start_matches('+')),
            _ => e164.into_owned(),
        }
    }
}

/// Octets of a number for a trunk, by the contract.
pub(crate) const NUMBER_MAX: usize = 128;

/// Whether a text is a telephone number that a trunk can be given: digits, a `+` before them.
pub(crate) fn is_dialled(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    number.len() <= NUMBER_MAX && !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// What stands behind a prefix that is there and not empty.
fn stripped<'a>(number: &'a str, prefix: &str) -> Option<&'a str> {
    number.strip_prefix(prefix).filter(|rest| !prefix.is_empty() && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(country: &str, national: &str, international: &str) -> Numbers {
        Numbers { country: country.to_owned(), national: national.to_owned(), international: international.to_owned() }
    }

    #[test]
    fn a_number_in_all_its_forms() {
        let table = [
            // Country, dialled, international, as the country dials it.
            (numbers("44", "0", "00"), "02079460000", Some("+442079460000"), "02079460000"),
            (numbers("44", "0", "00"), "0033123456789", Some("+33123456789"), "0033123456789"),
            (numbers("44", "0", "00"), "+442079460000", Some("+442079460000"), "02079460000"),
            (numbers("44", "0", "00"), "+33123456789", Some("+33123456789"), "0033123456789"),
            (numbers("44", "0", "00"), "118118", None, "118118"),
            (numbers("44", "0", "00"), "0", None, "0"),
            (numbers("1", "1", "011"), "14155550100", Some("+14155550100"), "14155550100"),
            (numbers("1", "1", "011"), "011442079460000", Some("+442079460000"), "011442079460000"),
            (numbers("45", "", "00"), "33123456", None, "33123456"),
            (numbers("45", "", "00"), "+4533123456", Some("+4533123456"), "33123456"),
            (Numbers::default(), "02079460000", None, "02079460000"),
            (Numbers::default(), "+442079460000", Some("+442079460000"), "+442079460000"),
        ];
        for (numbers, dialled, e164, national) in table {
            assert_eq!(numbers.e164(dialled).as_deref(), e164, "{dialled}");
            assert_eq!(numbers.written(dialled, Format::E164), e164.unwrap_or(dialled), "{dialled}");
            assert_eq!(numbers.written(dialled, Format::National), national, "{dialled}");
            assert_eq!(numbers.written(dialled, Format::AsDialled), dialled);
        }
    }
}
