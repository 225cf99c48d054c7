use super::*;
use crate::{
    fixture::{at, register, site, udp},
    licence::Seat,
    registrar::write_answer,
    site::Site,
};
use sip::{build::Writer, message::Method};

const ONE: &str = "urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6";
const OTHER: &str = "strange id,50%";

/// `desk-2` with two phones that name their instance, and one that does not.
fn phones() -> Site {
    let site = site();
    for (call_id, address, instance) in [
        ("a", "10.1.0.1:5060", format!(";+sip.instance=\"<{ONE}>\"")),
        ("b", "10.1.0.2:5060", format!(";+sip.instance=\"<{OTHER}>\"")),
        ("c", "10.1.0.3:5060", String::new()),
    ] {
        bind(
            &site,
            call_id,
            1,
            address,
            &format!("Supported: path, GRUU\nContact: <sip:x@{address}>{instance}\nPath: <sip:edge-{call_id};lr>\n"),
        );
    }
    site
}

fn bind(site: &Site, call_id: &str, cseq: u32, address: &str, lines: &str) {
    let request = register("1002", call_id, cseq, lines);
    let wish = site.registrar.read(&request).unwrap();
    site.register("desk-2", &wish, &request, udp(address), Seat::none(), false, at(0)).unwrap();
}

fn reached(site: &Site, target: &str) -> Vec<String> {
    targets(site, "desk-2", target.as_bytes(), at(1)).iter().map(|binding| binding.flow.remote.to_string()).collect()
}

#[test]
fn who_asks_is_told_the_gruu_of_each_instance() {
    let site = phones();
    let asks = register("1002", "q", 1, "Supported: path, GRUU\n");
    assert!(wanted(&asks) && !wanted(&register("1002", "q", 1, "Supported: path\n")));
    for (gruu, shown) in [(Some(("1002", "sip.example")), 2), (None, 0)] {
        let mut writer = Writer::response(&asks, 200, "OK", Some("t"));
        write_answer(&mut writer, &asks, &site.registrar.bindings("desk-2", at(1)), gruu, at(1));
        let text = String::from_utf8(writer.finish_response(b"").bytes().to_vec()).unwrap();
        assert_eq!(text.matches("pub-gruu").count(), shown, "{text}");
        assert_eq!(text.contains(&format!(";pub-gruu=\"sip:1002@sip.example;gr={ONE}\"")), shown > 0);
        assert_eq!(text.contains(";pub-gruu=\"sip:1002@sip.example;gr=strange%20id%2C50%25\""), shown > 0);
    }
}

#[test]
fn a_gruu_reaches_its_instance_and_nobody_else() {
    let site = phones();
    assert_eq!(reached(&site, "sip:1002@sip.example").len(), 3);
    assert_eq!(reached(&site, &format!("sip:1002@cloud.example;gr={}", ONE.to_lowercase())), ["10.1.0.1:5060"]);
    assert_eq!(reached(&site, "sip:1002@sip.example;x=y;GR=strange%20id%2c50%25"), ["10.1.0.2:5060"]);
    assert!(reached(&site, "sip:1002@sip.example;gr=urn:uuid:gone").is_empty());
    // Of somebody else's: whoever a policy sends the call to is not chosen by it. And an empty one is none.
    assert_eq!(reached(&site, "sip:1001@sip.example;gr=urn:uuid:gone").len(), 3);
    assert_eq!(reached(&site, "sip:1002@sip.example;gr").len(), 3);
}

fn sent(site: &Site, target: &str, lines: &[(Name, &str)]) -> (String, String) {
    let mut writer = Writer::request(Method::Bye, b"", target.as_bytes());
    for (name, value) in lines {
        writer.header(*name, value.as_bytes());
    }
    let mut request = writer.finish_request(b"");
    let flow = follow(&mut request, udp("10.9.9.9:5060"), site);
    let text = String::from_utf8(request.bytes().to_vec()).unwrap();
    (text.split("Content-Length").next().unwrap().to_owned(), flow.remote.to_string())
}

#[test]
fn a_request_inside_a_dialog_goes_where_the_phone_now_is() {
    let site = phones();
    let gruu = format!("sip:1002@sip.example;gr={ONE}");
    let wanted = ("BYE sip:x@10.1.0.1:5060 SIP/2.0\r\nRoute: <sip:edge-a;lr>\r\n".to_owned(), "10.1.0.1:5060".to_owned());
    assert_eq!(sent(&site, &gruu, &[]), wanted);
    bind(&site, "d", 1, "10.1.7.7:1024", &format!("Contact: <sip:x@10.1.7.7:1024>;+sip.instance=\"<{ONE}>\"\n"));
    let wanted = ("BYE sip:x@10.1.7.7:1024 SIP/2.0\r\nMax-Forwards: 70\r\n".to_owned(), "10.1.7.7:1024".to_owned());
    assert_eq!(sent(&site, &gruu, &[(Name::MaxForwards, "70")]), wanted);
    // What is no GRUU, or nobody's, or has a route of its own, stays as it is.
    for (target, lines) in [
        ("sip:x@10.1.0.1", &[][..]),
        ("sip:1002@sip.example;gr=urn:uuid:gone", &[]),
        ("sip:4711@sip.example;gr=urn:uuid:gone", &[]),
        (&gruu, &[(Name::Route, "<sip:edge;lr>")]),
    ] {
        let (text, flow) = sent(&site, target, lines);
        assert!(text.starts_with(&format!("BYE {target} SIP/2.0\r\n")) && flow == "10.9.9.9:5060", "{text} {flow}");
    }
}
