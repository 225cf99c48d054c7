//! What a REGISTER says and what its answer shows.

use super::*;

#[test]
fn a_contact_is_shown_again_with_all_that_the_phone_wrote() {
    let desk = Desk::new();
    let request = register(
        "1001",
        "a",
        1,
        "m: \"Desk; one\" <sip:1001@10.1.0.7:5060;transport=udp;ob;x-odd=%41>;expires=3600;q=0.75;+sip.instance=\"<urn:uuid:1;2>\"\n ;reg-id=1;methods=\"INVITE,ACK\"\n\
         Path: <sip:edge.example;lr>\nPath: <sip:inner.example;lr>\n",
    );
    let changes = desk.send(0, &request).unwrap();
    expect![[r#"
        bound sip:1001@10.1.0.7:5060;transport=udp;ob;x-odd=%41
    "#]]
    .assert_eq(&told(&changes));
    expect![[r#"
        Contact: <sip:1001@10.1.0.7:5060;transport=udp;ob;x-odd=%41>;+sip.instance="<urn:uuid:1;2>";reg-id=1;methods="INVITE,ACK";q=0.750;expires=3600
        Path: <sip:edge.example;lr>
        Path: <sip:inner.example;lr>
    "#]]
    .assert_eq(&desk.answer(0, &request));
    let binding = &desk.registrar.bindings("desk-1", at(0))[0];
    assert_eq!(binding.path, ["<sip:edge.example;lr>", "<sip:inner.example;lr>"]);
    assert_eq!(binding.instance.as_deref(), Some("<urn:uuid:1;2>"));
    assert_eq!(binding.reg_id, Some(1));
}

#[test]
fn the_answer_lists_every_contact_with_the_seconds_that_are_left() {
    let desk = Desk::new();
    desk.send(
        0,
        &register(
            "1001",
            "a",
            1,
            "Contact: <sip:a@10.1.0.1>;q=0.2, <sip:b@10.1.0.2>;q=1.0\nContact: sip:c@10.1.0.3;expires=60\nExpires: 120\n",
        ),
    )
    .unwrap();
    desk.shows(
        10,
        &expect![[r#"
            Contact: <sip:c@10.1.0.3>;expires=50
            Contact: <sip:b@10.1.0.2>;expires=110
            Contact: <sip:a@10.1.0.1>;q=0.200;expires=110
        "#]],
    );
    // A second later than granted it is gone, whether or not anybody has swept.
    desk.shows(
        60,
        &expect![[r#"
            Contact: <sip:b@10.1.0.2>;expires=60
            Contact: <sip:a@10.1.0.1>;q=0.200;expires=60
        "#]],
    );
}
