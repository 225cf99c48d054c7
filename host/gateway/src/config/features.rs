//! `[features]`: codes that phones dial.

use super::reader::{Document, Table};
use switch::directory::{Directory, Features};

/// Reads them; `directory` is the rest of the site.
pub(super) fn read(document: &Document<'_>, table: Table<'_>, directory: &Directory) -> Features {
    table.known(&["pickup"]);
    let Some(pickup) = table.text("pickup").filter(|pickup| !pickup.value.is_empty()) else { return Features::default() };
    let code = pickup.value;
    if !code.bytes().all(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'#')) {
        document.error(pickup.line, table.path("pickup"), format!("`{code}` cannot be dialled"), "use digits, * and # only, e.g. \"**\"");
    }
    let emergency = &directory.emergency;
    let help =
        emergency.numbers.iter().chain(&emergency.test_numbers).find(|number| number.starts_with(&code) || code.starts_with(*number));
    if let Some(number) = help {
        document.error(
            pickup.line,
            table.path("pickup"),
            format!("`{code}` and the emergency number `{number}` begin alike"),
            "choose a code that nobody can mistake, e.g. \"**\"",
        );
    }
    if let Some(endpoint) = directory.endpoints.iter().find(|endpoint| endpoint.extension.starts_with(&code)) {
        document.error(
            pickup.line,
            table.path("pickup"),
            format!("extension `{}` begins with `{code}`: nobody could call it", endpoint.extension),
            "choose a code with which no extension begins, e.g. \"**\"",
        );
    }
    if let Some(slot) = directory.park.numbers.iter().find(|slot| slot.starts_with(&code)) {
        document.error(
            pickup.line,
            table.path("pickup"),
            format!("park slot `{slot}` begins with `{code}`: nobody could take up what is parked there"),
            "choose a code with which no park slot begins, e.g. \"**\"",
        );
    }
    Features { pickup: code }
}
