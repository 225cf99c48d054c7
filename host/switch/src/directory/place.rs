//! Places: where a call for help comes from, and what the emergency service is told about that.

use ipnet::IpNet;

/// A place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Location {
    /// Name.
    pub name: String,
    /// Networks of its phones.
    pub networks: Vec<IpNet>,
    /// The number that emergency calls from here show.
    pub elin: Option<String>,
    /// Street address.
    pub address: Option<String>,
    /// Trunks for calls for help from here, in order; after them come those of the site.
    pub trunks: Vec<String>,
    /// The address part by part, as the emergency service reads it.
    pub civic: Civic,
}

impl Location {
    /// The dispatchable location in one line: where help is to go. The address as it was written, else its parts, else nothing but the name.
    #[must_use]
    pub fn dispatchable(&self) -> String {
        match &self.address {
            Some(address) => address.clone(),
            None if self.civic.parts.is_empty() => self.name.clone(),
            None => self.civic.in_one_line(),
        }
    }
}

/// A civic address (RFC 5139): elements and their values, each element at most once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Civic {
    /// Element names and their values, in the order of [`Civic::ELEMENTS`].
    pub parts: Vec<(&'static str, String)>,
}

impl Civic {
    /// How the configuration names a part, and the element of RFC 5139 3.1 (and RFC 4119 2.2.1) that it is, from the largest to the smallest.
    pub const ELEMENTS: [(&'static str, &'static str); 21] = [
        ("country", "country"),
        ("a1", "A1"),
        ("a2", "A2"),
        ("a3", "A3"),
        ("a4", "A4"),
        ("a5", "A5"),
        ("a6", "A6"),
        ("street_direction", "PRD"),
        ("street", "RD"),
        ("street_kind", "STS"),
        ("house_number", "HNO"),
        ("house_number_suffix", "HNS"),
        ("landmark", "LMK"),
        ("name", "NAM"),
        ("building", "BLD"),
        ("unit", "UNIT"),
        ("floor", "FLR"),
        ("room", "ROOM"),
        ("place", "LOC"),
        ("postal_code", "PC"),
        ("seat", "SEAT"),
    ];

    /// The parts from the smallest to the largest, as an address is read out.
    fn in_one_line(&self) -> String {
        const SPOKEN: [&str; 20] = [
            "NAM", "SEAT", "ROOM", "FLR", "UNIT", "BLD", "LOC", "LMK", "HNO", "HNS", "PRD", "RD", "STS", "A6", "A5", "A4", "A3", "A2",
            "A1", "PC",
        ];
        let value = |element: &&str| self.parts.iter().find(|(name, _)| *name == *element).map(|(name, value)| (*name, value));
        let mut text = String::new();
        for (element, value) in SPOKEN.iter().filter_map(value).chain(value(&"country")) {
            if !text.is_empty() {
                // A house number and the words of a street belong together.
                text.push_str(if matches!(element, "HNS" | "PRD" | "RD" | "STS") { " " } else { ", " });
            }
            match element {
                "FLR" => text.push_str("floor "),
                "ROOM" => text.push_str("room "),
                _ => {}
            }
            text.push_str(value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_help_is_to_go_in_one_line() {
        let mut place = Location { name: "annex".to_owned(), ..Location::default() };
        assert_eq!(place.dispatchable(), "annex");
        place.civic.parts = vec![
            ("country", "GB".to_owned()),
            ("A3", "London".to_owned()),
            ("RD", "Example Street".to_owned()),
            ("HNO", "1".to_owned()),
            ("FLR", "2".to_owned()),
            ("ROOM", "214".to_owned()),
            ("PC", "EC1A 1AA".to_owned()),
        ];
        assert_eq!(place.dispatchable(), "room 214, floor 2, 1 Example Street, London, EC1A 1AA, GB");
        place.address = Some("Annex, back door".to_owned());
        assert_eq!(place.dispatchable(), "Annex, back door");
    }

    #[test]
    fn every_element_is_named_and_read_out_once() {
        let mut names: Vec<_> =
            Civic::ELEMENTS.iter().flat_map(|(key, element)| [*key, *element]).filter(|name| *name != "country").collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        let parts = Civic::ELEMENTS.map(|(_, element)| (element, format!("<{element}>"))).to_vec();
        let line = Civic { parts }.in_one_line();
        assert!(Civic::ELEMENTS.iter().all(|(_, element)| line.matches(&format!("<{element}>")).count() == 1), "{line}");
    }
}
