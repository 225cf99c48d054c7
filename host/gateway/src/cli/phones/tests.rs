use super::*;

const ACO: &[u8] = include_bytes!("../../../../switch/tests/settings/001b4f0a1b2c/ACO_J1xx_Persistsettings.txt");
const SERVER: &[u8] = include_bytes!("../../../../switch/tests/settings/46xxsettings.txt");

#[test]
fn a_file_is_known_by_what_stands_in_it() {
    for phone in [ACO, SERVER, b"\xef\xbb\xbfSET A 1\n", b"the id, and more\nSET A 1\n", b"IF $MODEL4 SEQ J129 GOTO X\n"] {
        assert_eq!(Is::of(phone), Is::Phone, "{}", String::from_utf8_lossy(phone));
    }
    // A cell of a table may hold lines of a settings file.
    for table in [&b"id\n"[..], b"\xef\xbb\xbfname, ID ,users\r\n", b"\"id\",settings\ndesk-1,\"SET A 1\nSET FORCE_SIP_USERNAME x\n\"\n"] {
        assert_eq!(Is::of(table), Is::Table, "{}", String::from_utf8_lossy(table));
    }
    for neither in [&b""[..], b"username,password\nx,y\n", b"\xff\xfeS\0E\0T\0 \0", b"## a comment\n", b"{\"id\": 1}"] {
        assert_eq!(Is::of(neither), Is::Neither, "{}", String::from_utf8_lossy(neither));
    }
}

#[test]
fn an_id_is_made_of_whatever_names_a_phone() {
    assert_eq!(plan::id("802395710004"), "802395710004");
    assert_eq!(plan::id("user-17205550142*101"), "user-17205550142-101");
    assert_eq!(plan::id("*7"), "phone--7");
    assert_eq!(plan::id(&"x".repeat(100)).len(), 64);
    assert_eq!(plan::id("zoë"), "zo-");
}
