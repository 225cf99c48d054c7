//! No configuration, no result of a policy and no state makes the set-up script refuse a call for help: what proptest makes up of all three goes through the real
//! script, with a policy that answers what it is told to (`tests/guests/zoo`). The one thing that cannot be helped is a site without any trunk that has an address.

use bytes::Bytes;
use gateway::{
    calls::{Exchange, Parts, Shard, Unobserved},
    config::Config,
    policy::{Engine, EngineSettings},
};
use proptest::{collection::vec, option, prelude::*, sample};
use sip::{
    Instant, Limits,
    digest::Authenticator,
    transport::{Flow, Transport},
};
use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
    time::Duration,
};
use switch::{
    directory::Directory,
    site::Site,
    trunk::{Capacity, Holder, Sign, Way},
};

const NOW: Instant = Instant::from_unix_micros(1_800_000_000_000_000);

/// A site, what its policy says, what has happened before, and how somebody calls for help.
#[derive(Clone, Debug)]
struct Case {
    trunks: Vec<Trunk>,
    /// Which trunks the operator has named for emergencies, by place.
    listed: Vec<sample::Index>,
    numbers: Vec<String>,
    prefixes: Vec<String>,
    locations: Vec<Option<String>>,
    /// Whether the phone has an account, and that a location or number.
    account: Option<(bool, bool)>,
    calls: usize,
    act: &'static str,
    /// Trunk by place or by any name, number, number of the caller.
    plan: Vec<(Result<sample::Index, String>, String, Option<String>)>,
    dialled: (sample::Index, Spelling, bool),
    from: String,
    lines: Vec<&'static str>,
    source: [u8; 4],
}

#[derive(Clone, Debug)]
struct Trunk {
    uri: String,
    /// Where it resolved to.
    ways: Vec<(Transport, [u8; 4], u16)>,
    account: bool,
    busy: u8,
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Spelling {
    Sip,
    Sips,
    Tel,
    Escaped,
    Separated,
    Service,
}

fn text() -> impl Strategy<Value = String> {
    // Also what no number or name may hold.
    prop_oneof!["[ -~]{0,12}", "[0-9+*#]{0,20}", "\\PC{0,6}", Just("112\r\nX: y".to_owned()), "[a-z]{150}"]
}

fn trunk() -> impl Strategy<Value = Trunk> {
    let uri = prop_oneof![
        Just("sip:192.0.2.10".to_owned()),
        Just("sips:provider.example".to_owned()),
        Just("sip:[2001:db8::1]:5070;transport=tcp;user=phone".to_owned()),
        Just("sip:account%40site@provider.example:5062;transport=tls;lr".to_owned()),
        Just("sip:provider.example;maddr=192.0.2.11".to_owned()),
        "sip:[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?(;[a-z]{1,5}(=[a-z0-9]{1,5})?){0,2}",
    ];
    let transport = prop_oneof![Just(Transport::Udp), Just(Transport::Tcp), Just(Transport::Tls)];
    let ways = vec((transport, any::<[u8; 4]>(), any::<u16>()), 0..3);
    (uri, ways, any::<bool>(), any::<u8>(), any::<bool>()).prop_map(|(uri, ways, account, busy, failed)| Trunk {
        uri,
        ways,
        account,
        busy,
        failed,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let number = || prop_oneof![4 => "[0-9*#]{1,6}", 1 => "\\+[0-9]{3,8}", 1 => "[0-9]{200}"];
    let site = (
        vec(trunk(), 0..5),
        vec(any::<sample::Index>(), 0..4),
        vec(number(), 1..4),
        vec("[0-9*]{1,2}", 0..3),
        vec(option::of("\\+?[0-9]{1,15}"), 0..3),
        option::of(any::<(bool, bool)>()),
        0..3_usize,
    );
    let acts = [
        "told",
        "told",
        "told",
        "told",
        "trap",
        "recurse",
        "grow",
        "huge",
        "empty-plan",
        "many-trunks",
        "unknown-trunk",
        "crlf-number",
        "pass",
    ];
    let name = prop_oneof![any::<sample::Index>().prop_map(Ok), text().prop_map(Err)];
    let policy = (sample::select(acts.to_vec()), vec((name, text(), option::of(text())), 0..5));
    use Spelling::{Escaped, Separated, Service, Sip, Sips, Tel};
    let spelling = sample::select(vec![Sip, Sips, Tel, Escaped, Separated, Service]);
    let lines = [
        "Contact: <sip:nobody@10.9.8.7>\r\n",
        "Contact: <tel:112>\r\n",
        "Contact: \"a\" <sip:a@b;x=y>;q=0.1, <sip:c@d>\r\n",
        "Require: magic\r\n",
        "Privacy: id;critical\r\n",
        "Privacy: session;critical\r\n",
        "Replaces: a;to-tag=b;from-tag=c\r\n",
        "Replaces: nonsense\r\nReplaces: more\r\n",
        "Join: a;to-tag=b;from-tag=c\r\n",
        "Proxy-Authorization: Digest username=\"1001\", realm=\"sip.example\", nonce=\"x\", uri=\"sip:112\", response=\"y\"\r\n",
        "Authorization: Digest\r\n",
        "Session-Expires: 1\r\n",
        "Record-Route: <sip:proxy.example;lr>\r\n",
        "Route: <sip:elsewhere.example;lr>\r\n",
        "Subject: \r\n",
        "P-Asserted-Identity: nonsense\r\n",
    ];
    let from = prop_oneof![
        Just("<sip:1001@sip.example>;tag=1".to_owned()),
        Just("<sip:1001@sip.example>".to_owned()),
        Just("\"\\\"\" <tel:1001>;tag=x".to_owned()),
        Just("sip:anonymous@anonymous.invalid;tag=1".to_owned()),
        Just("<urn:x:y>;tag=".to_owned()),
    ];
    let call = (
        (any::<sample::Index>(), spelling, any::<bool>()),
        from,
        sample::subsequence(lines.to_vec(), 0..6),
        prop_oneof![Just([10, 1, 0, 7]), Just([192, 168, 0, 9]), Just([127, 0, 0, 1])],
    );
    (site, policy, call).prop_map(|(site, (act, plan), (dialled, from, lines, source))| {
        let (trunks, listed, numbers, prefixes, locations, account, calls) = site;
        Case { trunks, listed, numbers, prefixes, locations, account, calls, act, plan, dialled, from, lines, source }
    })
}

impl Case {
    fn trunk_name(&self, place: sample::Index) -> String {
        format!("trunk {}", place.index(self.trunks.len().max(1)))
    }

    fn config(&self) -> String {
        let list = |items: Vec<String>| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ");
        let mut toml =
            "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\ndomain = \"sip.example\"\n[[licence]]\npool = \"site\"\nseats = 0\n".to_owned();
        for (place, trunk) in self.trunks.iter().enumerate() {
            let account = if trunk.account { "username = \"u\"\npassword = \"p\"\n" } else { "" };
            write!(toml, "[[trunk]]\nname = \"trunk {place}\"\nuri = '{}'\n{account}", trunk.uri).unwrap();
        }
        for (place, elin) in self.locations.iter().enumerate() {
            let elin = elin.as_ref().map_or_else(String::new, |elin| format!("elin = \"{elin}\"\n"));
            write!(toml, "[[location]]\nname = \"place {place}\"\nnetworks = [\"10.{place}.0.0/16\"]\n{elin}").unwrap();
        }
        if let Some((located, numbered)) = self.account {
            toml += "[[endpoint]]\nid = \"desk\"\nextension = \"1001\"\nusername = \"1001\"\npassword = \"x\"\nenabled = false\n";
            if located && !self.locations.is_empty() {
                toml += "location = \"place 0\"\n";
            }
            if numbered {
                toml += "numbers = [\"+442030001001\"]\n";
            }
        }
        let listed = if self.trunks.is_empty() { Vec::new() } else { self.listed.iter().map(|place| self.trunk_name(*place)).collect() };
        write!(
            toml,
            "[emergency]\nnumbers = [{}]\ntrunks = [{}]\noutside_prefixes = [{}]\n",
            list(self.numbers.clone()),
            list(listed),
            list(self.prefixes.clone())
        )
        .unwrap();
        toml
    }

    fn site(&self, directory: Directory) -> Site {
        let site = Site::new(directory, switch::Limits { calls: self.calls, ..switch::Limits::default() });
        let local = "192.0.2.1:5060".parse().unwrap();
        for (place, trunk) in self.trunks.iter().enumerate() {
            let name = format!("trunk {place}");
            let way = |(transport, address, port): &(Transport, [u8; 4], u16)| Flow {
                transport: *transport,
                local,
                remote: (*address, *port).into(),
                connection: 0,
            };
            site.trunks.set_flows(&name, trunk.ways.iter().map(way).collect());
            let take = || site.trunks.take(&name, Way::Out, &Capacity::default(), Holder::default(), NOW);
            (0..trunk.busy).for_each(|_| std::mem::forget(take()));
            for flow in trunk.ways.iter().map(way).filter(|_| trunk.failed) {
                (0..3).for_each(|_| site.trunks.note(&name, flow, Sign::Silent, NOW));
            }
        }
        site
    }

    fn invite(&self) -> String {
        let (number, spelling, outside) = &self.dialled;
        let number = number.get(&self.numbers);
        let prefix = if *outside { self.prefixes.first().map_or("", String::as_str) } else { "" };
        let escaped = |text: &str| text.bytes().map(|octet| format!("%{octet:02X}")).collect::<String>();
        let dialled = format!("{prefix}{number}").replace('#', "%23");
        let target = match spelling {
            Spelling::Sip => format!("sip:{dialled}@cloud.example;user=phone"),
            Spelling::Sips => format!("sips:{dialled}@sip.example"),
            Spelling::Tel => format!("tel:{dialled};phone-context=+44"),
            Spelling::Escaped => format!("sip:{}@x", escaped(&format!("{prefix}{number}"))),
            Spelling::Separated => format!("sip:({dialled})-@x"),
            Spelling::Service => format!("urn:service:sos.{}", "x".repeat(number.len())),
        };
        let hex = |text: &str| text.bytes().map(|octet| format!("{octet:02x}")).collect::<String>();
        let target_of = |(trunk, number, caller): &(Result<sample::Index, String>, String, Option<String>)| {
            let trunk = trunk.as_ref().map_or_else(|name| hex(name), |place| hex(&self.trunk_name(*place)));
            let caller = caller.as_ref().map_or_else(String::new, |caller| format!(".{}", hex(caller)));
            format!("{trunk}.{}{caller}", hex(number))
        };
        let plan: Vec<String> = self.plan.iter().map(target_of).collect();
        format!(
            "INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: <{target}>\r\n\
             Call-ID: help\r\nCSeq: 1 INVITE\r\nX-Act: {}\r\nX-Plan: {}\r\n{}Content-Length: 0\r\n\r\n",
            self.from,
            self.act,
            plan.join(","),
            self.lines.concat()
        )
    }
}

/// The zoo as emergency policy, beside the shipped ones; it has the time that it needs on a busy machine.
fn engine() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        Engine::install_shipped(folder.path()).unwrap();
        std::fs::write(folder.path().join("10-emergency.wasm"), world::agents::guest("zoo")).unwrap();
        let toml = "grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n[settings]\nspare_trial = true\n";
        std::fs::write(folder.path().join("10-emergency.toml"), toml).unwrap();
        let patient = Duration::from_secs(3600);
        let settings =
            EngineSettings { watch: false, threads: 0, deadline: patient, emergency_deadline: patient, ..EngineSettings::default() };
        let site = Arc::new(Site::new(
            load("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\ndomain = \"sip.example\"\n").unwrap(),
            switch::Limits::default(),
        ));
        let engine = Engine::start(folder.path(), site, settings).unwrap();
        assert!(engine.status().iter().any(|policy| policy.file == "10-emergency.wasm"), "{:?}", engine.status());
        engine
    })
}

fn load(toml: &str) -> Result<Directory, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("holdfast.toml");
    std::fs::write(&file, toml).unwrap();
    Config::load(&file).map(|loaded| loaded.config.directory).map_err(|report| report.to_string())
}

/// What goes out for an INVITE: the INVITEs of ours, with their ways, and the final answers to the caller.
fn set_up(site: &Arc<Site>, invite: &str, source: [u8; 4]) -> (Vec<Flow>, Vec<String>) {
    let mut shard = Shard::new(Parts {
        index: 0,
        shards: 1,
        exchange: Exchange::new(1, 16),
        site: Arc::clone(site),
        authenticator: Arc::new(Authenticator::new("sip.example", [7; 32], 300, 1000)),
        runner: engine().runner(Arc::clone(site)),
        keep: None,
        observer: Arc::new(Unobserved),
        seed: [3; 32],
        limits: Limits::default(),
    });
    let flow = Flow { transport: Transport::Udp, local: "192.0.2.1:5060".parse().unwrap(), remote: (source, 5060).into(), connection: 0 };
    let mut out = Vec::new();
    shard.receive(Bytes::copy_from_slice(invite.as_bytes()), flow, NOW, &mut out);
    let first_line = |bytes: &Bytes| String::from_utf8_lossy(bytes.split(|octet| *octet == b'\r').next().unwrap()).into_owned();
    let invites = out.iter().filter(|sent| sent.bytes.starts_with(b"INVITE ")).map(|sent| sent.flow).collect();
    let answers =
        out.iter().map(|sent| first_line(&sent.bytes)).filter(|line| line.starts_with("SIP/2.0 ") && !line.starts_with("SIP/2.0 1"));
    (invites, answers.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_the_script_refuse_a_call_for_help(case in case()) {
        let loaded = load(&case.config());
        // What `holdfast check` refuses is never in force.
        prop_assume!(loaded.is_ok());
        let site = Arc::new(case.site(loaded.unwrap()));
        let (invites, answers) = set_up(&site, &case.invite(), case.source);
        if case.trunks.iter().any(|trunk| !trunk.ways.is_empty()) {
            prop_assert_eq!(invites.len(), 1, "answered {:?}\n{}\n{}", answers, case.config(), case.invite());
            prop_assert!(answers.is_empty(), "answered {:?}", answers);
            let ways: Vec<Flow> = (0..case.trunks.len()).flat_map(|place| site.trunks.flows(&format!("trunk {place}")).to_vec()).collect();
            prop_assert!(ways.contains(&invites[0]));
        } else {
            prop_assert!(invites.is_empty());
            prop_assert_eq!(answers, vec!["SIP/2.0 480 Temporarily Unavailable".to_owned()]);
        }
    }
}
