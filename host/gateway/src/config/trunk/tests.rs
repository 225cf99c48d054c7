use super::*;
use crate::config::Config;

fn read_one(lines: &str) -> Trunk {
    let text = format!("[[trunk]]\nname = \"t\"\nuri = \"sip:provider.example\"\n{lines}\n[emergency]\ntrunks = [\"t\"]\n");
    let loaded = Config::parse("holdfast.toml", &text, None).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.report.to_string(), "");
    (*loaded.config.directory.trunks[0]).clone()
}

#[test]
fn a_trunk_is_asked_and_not_registered_at_unless_the_file_says_so() {
    let trunk = read_one("sources = [\"192.0.2.10\"]");
    assert_eq!(trunk.reach, Reach { options: Some(Duration::from_secs(30)), ..Reach::default() });
    let trunk = read_one("sources = [\"192.0.2.10\"]\noptions_seconds = 0");
    assert_eq!(trunk.reach, Reach::default());
}

#[test]
fn a_registering_trunk_needs_no_sources() {
    let trunk = read_one("register = true\nusername = \"acct\"\npassword = \"x\"\noutbound_proxy = \"sip:edge.example\"");
    assert_eq!(trunk.reach.register, Some(Register { user: "acct".to_owned(), seconds: 600 }));
    assert_eq!(trunk.reach.route().as_deref(), Some("<sip:edge.example;lr>"));
    let trunk = read_one("register = true\nregister_seconds = 120\nusername = \"acct\"\ncontact_user = \"+4420\"");
    assert_eq!(trunk.reach.register, Some(Register { user: "+4420".to_owned(), seconds: 120 }));
}

#[test]
fn addresses_and_a_certificate() {
    let trunk = read_one(
        "certificate = \"sbc.provider.example\"\n[[trunk.address]]\nuri = \"sip:192.0.2.1\"\nweight = 60\n[[trunk.address]]\nuri = \"sip:192.0.2.2\"\npriority = 20",
    );
    assert_eq!(trunk.reach.certificate.as_deref(), Some("sbc.provider.example"));
    let addresses = trunk.reach.addresses.iter().map(|a| (a.uri.as_str(), a.priority, a.weight));
    assert_eq!(addresses.collect::<Vec<_>>(), [("sip:192.0.2.1", 10, 60), ("sip:192.0.2.2", 20, 10)]);
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let text = "[[trunk]]\nname = \"t\"\nuri = \"sip:provider.example\"\nregister = true\noutbound_proxy = \"edge\"\ncertificate = \"*.x\"\noptions_seconds = 99999\n\
                [[trunk.address]]\nuri = \"sip:192.0.2.1;transport=sctp\"\npriorty = 1\n\
                [[trunk]]\nname = \"u\"\nuri = \"sip:192.0.2.1\"\nsources = [\"192.0.2.1\"]\ncontact_user = \"x\"\n\
                [emergency]\ntrunks = [\"t\"]\n[sip]\nname_servers = [\"192.0.2.53\", \"dns\"]\n";
    let report = Config::parse("holdfast.toml", text, None).unwrap_err().to_string();
    for part in [
        "trunk[1].contact_user: is missing, and so is `username`",
        "trunk[1].outbound_proxy: `edge` is not a SIP URI",
        "trunk[1].certificate: `*.x` is no name that a certificate shows",
        "trunk[1].options_seconds: 99999 is outside 0 to 86400",
        "trunk[1].address[1].uri: names a transport that is not spoken here",
        "trunk[1].address[1].priorty: unknown key; did you mean `priority`?",
        "trunk[2].contact_user: says how to register, and nobody registers",
        "sip.name_servers: `dns` is no address",
    ] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
}
