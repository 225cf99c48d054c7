//! The place of a caller for help as a document: PIDF-LO with a civic address (RFC 4119, RFC 5139), and the body that carries it beside the session description
//! (RFC 6442 4.1, RFC 2046 5.1). Written by hand as the dialog information document is: a handful of elements, every text escaped by one function.

use crate::{directory::Location, subscription::escaped};
use sip::Instant;

/// Content-Type of the document.
pub(super) const TYPE: &str = "application/pidf+xml";

/// The document about a place, `entity` being whoever calls from there. `None`: the place has no address.
pub(super) fn document(place: &Location, entity: &str, at: Instant) -> Option<String> {
    if place.civic.parts.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(1024);
    text.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" \
         xmlns:ca=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\" xmlns:gbp=\"urn:ietf:params:xml:ns:pidf:geopriv10:basicPolicy\" entity=\"",
    );
    escaped(&mut text, entity);
    text.push_str("\">\r\n<tuple id=\"place\"><status><gp:geopriv><gp:location-info><ca:civicAddress>\r\n");
    for (element, value) in &place.civic.parts {
        text.push_str("<ca:");
        text.push_str(element);
        text.push('>');
        escaped(&mut text, value);
        text.push_str("</ca:");
        text.push_str(element);
        text.push_str(">\r\n");
    }
    // RFC 4119 2.2.2: without this an answering point might not tell it to whoever drives out.
    text.push_str("</ca:civicAddress></gp:location-info><gp:usage-rules><gbp:retransmission-allowed>yes</gbp:retransmission-allowed></gp:usage-rules>");
    // RFC 4119 2.2.3: how it was found out; "Manual" is one of the registered words.
    text.push_str("<gp:method>Manual</gp:method></gp:geopriv></status><timestamp>");
    text.push_str(&date(at));
    text.push_str("</timestamp></tuple>\r\n</presence>\r\n");
    Some(text)
}

/// A boundary that stands in neither part: of letters that no part has at the start of a line behind two hyphens.
pub(super) fn boundary(parts: &[&[u8]]) -> String {
    let mut boundary = "holdfast-place".to_owned();
    while parts.iter().any(|part| part.windows(boundary.len()).any(|window| window == boundary.as_bytes())) {
        boundary.push('x');
    }
    boundary
}

/// RFC 3339, in UTC. The civil date of a count of days, by the usual arithmetic of eras of 400 years (146,097 days) that begin in March.
fn date(at: Instant) -> String {
    let seconds = at.unix_seconds();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, era * 400 + year_of_era) } else { (month - 9, era * 400 + year_of_era + 1) };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Civic;

    #[test]
    fn moments_as_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(Instant::from_unix_micros(seconds * 1_000_000)), expected);
        }
    }

    #[test]
    fn an_address_is_escaped_and_a_place_without_one_has_no_document() {
        let mut place = Location::default();
        assert_eq!(document(&place, "sip:1@x", Instant::default()), None);
        place.civic = Civic { parts: vec![("country", "GB".to_owned()), ("RD", "<\"Smith & Sons\">".to_owned())] };
        let text = document(&place, "sip:a&b@x", Instant::default()).unwrap();
        assert!(
            text.contains("<ca:country>GB</ca:country>") && text.contains("<ca:RD>&lt;&quot;Smith &amp; Sons&quot;&gt;</ca:RD>"),
            "{text}"
        );
        assert!(text.contains("entity=\"sip:a&amp;b@x\"") && text.contains("<timestamp>1970-01-01T00:00:00Z</timestamp>"), "{text}");
    }

    #[test]
    fn no_part_contains_its_boundary() {
        assert_eq!(boundary(&[b"v=0", b"<x/>"]), "holdfast-place");
        assert_eq!(boundary(&[b"--holdfast-placex", b""]), "holdfast-placexx");
    }
}
