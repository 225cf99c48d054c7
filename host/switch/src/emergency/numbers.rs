//! The emergency numbers of countries.
//!
//! Sources: Directive (EU) 2018/1972 article 109 has every member state answer 112, beside national numbers that may stay; ITU-T E.161.1 recommends 112 and
//! 911 to all; the others by the row. What a row says is to be checked against the country's own numbering plan before a site relies on it, and whoever has
//! further numbers to dial names them in the configuration.

/// One country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: &'static str,
    /// Name in English.
    pub name: &'static str,
    /// What is dialled for help.
    pub numbers: &'static [&'static str],
    /// What tests the route, where there is such a number.
    pub test_numbers: &'static [&'static str],
    /// Where that is said.
    pub source: &'static str,
}

const EECC: &str = "Directive (EU) 2018/1972 art. 109";
const EEA: &str = "Directive (EU) 2018/1972 art. 109 (EEA)";
const LIST: &str = "https://en.wikipedia.org/wiki/Emergency_telephone_number";

const fn row(code: &'static str, name: &'static str, numbers: &'static [&'static str], source: &'static str) -> Country {
    Country { code, name, numbers, test_numbers: &[], source }
}

/// Every country that is known, by its code.
pub const COUNTRIES: &[Country] = &[
    row("AT", "Austria", &["112", "122", "133", "144"], EECC),
    row("AU", "Australia", &["000", "106", "112"], "Telecommunications (Emergency Call Service) Determination 2019"),
    row("BE", "Belgium", &["112", "100", "101"], EECC),
    row("BG", "Bulgaria", &["112"], EECC),
    row("BR", "Brazil", &["190", "192", "193"], LIST),
    Country { code: "CA", name: "Canada", numbers: &["911"], test_numbers: &["933"], source: "CRTC Telecom Decision 2005-21" },
    row("CH", "Switzerland", &["112", "117", "118", "144"], LIST),
    row("CN", "China", &["110", "119", "120", "122"], LIST),
    row("CY", "Cyprus", &["112", "199"], EECC),
    row("CZ", "Czechia", &["112", "150", "155", "158"], EECC),
    row("DE", "Germany", &["110", "112"], "Notrufverordnung section 1; Directive (EU) 2018/1972 art. 109"),
    row("DK", "Denmark", &["112"], EECC),
    row("EE", "Estonia", &["112"], EECC),
    row("ES", "Spain", &["112"], EECC),
    row("FI", "Finland", &["112"], EECC),
    row("FR", "France", &["112", "15", "17", "18", "114"], EECC),
    row("GB", "United Kingdom", &["999", "112"], "Ofcom General Conditions of Entitlement, condition A3"),
    row("GR", "Greece", &["112", "100", "166", "199"], EECC),
    row("HK", "Hong Kong", &["999"], LIST),
    row("HR", "Croatia", &["112", "192", "193", "194"], EECC),
    row("HU", "Hungary", &["112", "104", "105", "107"], EECC),
    row("IE", "Ireland", &["112", "999"], EECC),
    row("IL", "Israel", &["100", "101", "102"], LIST),
    row("IN", "India", &["112", "100", "101", "102", "108"], LIST),
    row("IS", "Iceland", &["112"], EEA),
    row("IT", "Italy", &["112", "113", "115", "118"], EECC),
    row("JP", "Japan", &["110", "118", "119"], "https://citiesinsider.com/country/japan/CountryWide/emergency-numbers"),
    row("KR", "South Korea", &["112", "119"], LIST),
    row("LT", "Lithuania", &["112"], EECC),
    row("LU", "Luxembourg", &["112", "113"], EECC),
    row("LV", "Latvia", &["112", "110", "113"], EECC),
    row("MT", "Malta", &["112"], EECC),
    row("MX", "Mexico", &["911"], LIST),
    row("NL", "Netherlands", &["112"], EECC),
    row("NO", "Norway", &["110", "112", "113"], EEA),
    row("NZ", "New Zealand", &["111"], "TCF Emergency Calling Code"),
    row("PL", "Poland", &["112", "997", "998", "999"], EECC),
    row("PT", "Portugal", &["112"], EECC),
    row("RO", "Romania", &["112"], EECC),
    row("SE", "Sweden", &["112"], EECC),
    row("SG", "Singapore", &["995", "999"], LIST),
    row("SI", "Slovenia", &["112", "113"], EECC),
    row("SK", "Slovakia", &["112", "150", "155", "158"], EECC),
    row("TR", "Türkiye", &["112"], LIST),
    Country {
        code: "US",
        name: "United States",
        numbers: &["911"],
        test_numbers: &["933"],
        source: "47 CFR 9.16; 933 by convention of the providers",
    },
    row("ZA", "South Africa", &["10111", "10177", "112"], LIST),
];

/// A country by its code, in upper or lower case.
#[must_use]
pub fn country(code: &str) -> Option<&'static Country> {
    COUNTRIES.iter().find(|country| country.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_dialled_and_stands_once_in_its_place() {
        assert!(COUNTRIES.is_sorted_by(|one, other| one.code < other.code));
        for Country { code, name, numbers, test_numbers, source } in COUNTRIES {
            assert!(
                code.len() == 2 && code.bytes().all(|octet| octet.is_ascii_uppercase()) && !name.is_empty() && !source.is_empty(),
                "{code}"
            );
            assert!(
                !numbers.is_empty() && numbers.iter().chain(*test_numbers).all(|number| number.bytes().all(|octet| octet.is_ascii_digit()))
            );
            assert!(numbers.iter().all(|number| !test_numbers.contains(number)), "{code}: a number cannot be both");
            // Directive (EU) 2018/1972 article 109.
            assert!(!source.contains("2018/1972") || numbers.contains(&"112"), "{code}");
        }
    }

    #[test]
    fn a_country_is_found_by_its_code() {
        assert_eq!(country("gb").map(|country| country.numbers), Some(&["999", "112"][..]));
        assert_eq!(country("US").map(|country| country.test_numbers), Some(&["933"][..]));
        assert_eq!(country("XX"), None);
    }
}
