use super::*;
use crate::Limits;

fn torture() -> Vec<(String, Bytes)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/torture");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "dat"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), Bytes::from(std::fs::read(path).unwrap())))
        .collect();
    files.sort();
    assert_eq!(files.len(), 49);
    files
}

/// What [`Message::check`] alone decides on each message of RFC 4475; the others pass it, and the layers above judge them.
#[rustfmt::skip]
const REFUSED: &[(&str, u16, &str)] = &[
    ("badinv01", 400, "Invalid Via"), ("badvers", 505, "Version Not Supported"), ("bigcode", 400, "Invalid Status Code"),
    ("clerr", 400, "Content-Length Beyond Message"), ("escruri", 400, "Headers in Request-URI"), ("insuf", 400, "Missing From"),
    ("ltgtruri", 400, "Invalid Request-URI"), ("lwsruri", 400, "Invalid Request-URI"), ("mcl01", 400, "Repeated Content-Length"),
    ("mismatch01", 400, "CSeq Method Mismatch"), ("mismatch02", 400, "CSeq Method Mismatch"), ("multi01", 400, "Repeated CSeq"),
    ("ncl", 400, "Invalid Content-Length"), ("quotbal", 400, "Invalid To"), ("regbadct", 400, "Invalid Contact"),
    ("scalar02", 400, "Invalid CSeq"), ("scalarlg", 400, "Invalid CSeq"),
];

#[test]
fn the_torture_messages_are_judged() {
    let mut refused = Vec::new();
    for (name, bytes) in torture() {
        let message = Message::parse(bytes, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Err(malformed) = message.check() {
            refused.push((name, malformed.status, malformed.phrase));
        }
    }
    let refused: Vec<_> = refused.iter().map(|(n, s, p)| (n.as_str(), *s, *p)).collect();
    assert_eq!(refused, REFUSED);
}

#[test]
fn every_header_line_is_relayed_byte_for_byte() {
    for (name, bytes) in torture() {
        let message = Message::parse(bytes.clone(), &Limits::default()).unwrap();
        let mut writer = crate::build::Writer::request(Method::Options, b"", b"sip:x");
        for header in message.headers() {
            writer.copy(header);
        }
        let written = writer.finish_request(b"");
        let section = written.bytes().strip_prefix(b"OPTIONS sip:x SIP/2.0\r\n").unwrap();
        let section = section.strip_suffix(b"Content-Length: 0\r\n\r\n").unwrap();
        let first_line = memchr::memchr(b'\n', &bytes).unwrap() + 1;
        let blank = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() + 2;
        assert_eq!(section.escape_ascii().to_string(), bytes[first_line..blank].escape_ascii().to_string(), "{name}");
    }
}
