use super::*;

fn endpoints(text: &str) -> Result<Edits, Vec<WrongLine>> {
    read::<Endpoints>(text.as_bytes(), |_| {}).unwrap()
}

#[test]
fn a_file_is_read_by_its_columns() {
    let text =
        "\u{feff}ID,Users,keys,enabled,mac\na,\"alice\nbob:silent\",\"line\nbusy-lamp:1003=Lab, 2\",no,\n\"b\",,,,00:1b:4f:00:00:01\n";
    let read = endpoints(text).unwrap();
    assert_eq!(read.lines, [2, 5]);
    let Edit::Endpoint { id, existing: Existing::May, fields } = &read.edits[0] else { panic!("{:?}", read.edits) };
    assert_eq!((id.as_str(), fields.enabled, fields.mac.as_deref(), &fields.model), ("a", Some(false), Some(""), &None));
    let users: Vec<_> = fields.users.as_ref().unwrap().iter().map(|a| (a.user.as_str(), a.rings)).collect();
    assert_eq!(users, [("alice", true), ("bob", false)]);
    assert_eq!(fields.keys.as_ref().unwrap()[1].to_string(), "busy-lamp:1003=Lab, 2");
    let Edit::Endpoint { fields, .. } = &read.edits[1] else { panic!("{:?}", read.edits) };
    assert_eq!((fields.enabled, fields.users.as_ref().map(Vec::len)), (None, Some(0)));
}

#[test]
fn every_wrong_line_is_named() {
    let wrong = endpoints("id,kind,enabled,keys\na,lamp,maybe,\nb\nc,,,door\na,,,\n").err().unwrap();
    let lines: Vec<u64> = wrong.iter().map(|wrong| wrong.line).collect();
    assert_eq!(lines, [2, 2, 3, 4, 5], "{wrong:?}");
    let wrong = endpoints("name,colour,name\nx,y,z\n").err().unwrap();
    let reasons: Vec<&str> = wrong.iter().map(|wrong| wrong.reason.as_str()).collect();
    assert_eq!(reasons[..3], ["there is no column `colour`", "the column `name` is there twice", "there is no column `id`"]);
}
