use super::*;
use crate::{
    Limits,
    decision::Refusal,
    fixture::{at, register, tcp, udp},
    licence::{Ledger, Seat},
};
use expect_test::{Expect, expect};
use sip::{Message, build::Writer};

mod contacts;
mod model;
mod order;
mod survivable;

/// A registrar and what the phones of one endpoint send to it.
struct Desk {
    registrar: Registrar,
}

impl Desk {
    fn new() -> Self {
        Self { registrar: Registrar::new(Limits::default()) }
    }

    fn send(&self, now: u64, request: &Message) -> Result<Vec<Change>, Refusal> {
        self.send_over(now, request, udp("10.1.0.7:5060"))
    }

    fn send_over(&self, now: u64, request: &Message, flow: Flow) -> Result<Vec<Change>, Refusal> {
        let wish = self.registrar.read(request)?;
        self.registrar.apply("desk-1", &wish, request, flow, Seat::none(), false, at(now))
    }

    /// The Contact and Path lines of a 200 at `now`.
    fn answer(&self, now: u64, request: &Message) -> String {
        let mut writer = Writer::response(request, 200, "OK", Some("t"));
        write_answer(&mut writer, request, &self.registrar.bindings("desk-1", at(now)), None, at(now));
        let response = writer.finish_response(b"");
        let text = String::from_utf8(response.bytes().to_vec()).unwrap();
        text.lines().filter(|line| line.starts_with("Contact") || line.starts_with("Path")).map(|line| format!("{line}\n")).collect()
    }

    fn shows(&self, now: u64, expected: &Expect) {
        expected.assert_eq(&self.answer(now, &register("1001", "query", 1, "")));
    }
}

fn told(changes: &[Change]) -> String {
    changes
        .iter()
        .map(|change| match change {
            Change::Bound(binding) => format!("bound {}\n", binding.contact),
            Change::Unbound { contact, .. } => format!("unbound {contact}\n"),
        })
        .collect()
}
