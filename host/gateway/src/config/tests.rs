use super::*;
use expect_test::{Expect, expect};
use std::time::Duration;

/// A file that is valid but for what a test adds.
const SITE: &str = r#"
[[licence]]
pool = "site"
seats = 2
[[location]]
name = "hq"
networks = ["10.1.0.0/16"]
[[trunk]]
name = "provider"
uri = "sip:192.0.2.10:5060;transport=udp"
sources = ["192.0.2.10"]
[emergency]
numbers = ["112"]
trunks = ["provider"]
"#;

fn phone(lines: &str) -> String {
    format!("[[endpoint]]\nid = \"a\"\nextension = \"1001\"\nusername = \"1001\"\npassword = \"s3cret-Passw0rd\"\n{lines}\n{SITE}")
}

fn report(text: &str) -> String {
    match Config::parse("holdfast.toml", text, None) {
        Ok(loaded) => loaded.report.to_string(),
        Err(report) => report.to_string(),
    }
}

#[track_caller]
fn says(text: &str, expected: Expect) {
    expected.assert_eq(&report(text));
}

#[test]
fn the_sample_is_valid_and_names_every_limit_with_its_default() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/holdfast.toml");
    let loaded = Config::load(&file).unwrap();
    assert_eq!(loaded.report, Report::default());
    assert_eq!(loaded.config.limits, Limits::default());
    assert_eq!(loaded.config.decisions, record::Settings::default());
    let text = std::fs::read_to_string(&file).unwrap();
    for key in limits::KEYS {
        assert!(text.contains(&format!("\n{} = {} ", key.name, key.default())), "{} = {} is missing", key.name, key.default());
    }
}

#[test]
fn the_first_configuration_is_valid_and_its_passwords_are_nobody_elses() {
    let (one, two) = (default::text().unwrap(), default::text().unwrap());
    assert_ne!(one, two);
    let loaded = Config::parse("first", &one, None).unwrap();
    assert_eq!(loaded.config.directory.endpoints.len(), 4);
    let warnings: Vec<&str> = loaded.report.warnings().map(|w| w.key.as_str()).collect();
    assert_eq!(warnings, ["emergency.trunks"]);
}

#[test]
fn the_first_configuration_is_written_once_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let file = default::file(&data).unwrap();
    let text = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    default::file(&data).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), text);
    let accounts = default::accounts(&file).unwrap();
    assert_eq!(accounts.len(), 4);
    assert!(accounts.iter().all(|a| a.password.len() == 16));
}

#[test]
fn an_empty_file_means_the_defaults() {
    says(
        "",
        expect![
            "holdfast.toml:1: emergency.trunks: there is no trunk: calls for help cannot leave this site; add a [[trunk]] and name it in `trunks` of [emergency]"
        ],
    );
}

#[test]
fn an_unknown_key_names_the_nearest_valid_one() {
    says(
        &format!("{}[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\ndomian = \"x\"\n[colour]\n", phone("pasword = \"x\"\nzebra = 1")),
        expect![[r#"
            holdfast.toml:6: endpoint[1].pasword: unknown key; did you mean `password`?
            holdfast.toml:7: endpoint[1].zebra: unknown key; the keys here are `id`, `extension`, `username`, `password`, `ha1`, `name`, `enabled`, `licence`, `location`, `mac`, `numbers` and `dial_class`
            holdfast.toml:24: sip.domian: unknown key; did you mean `domain`?
            holdfast.toml:25: colour: unknown key; the keys here are `sip`, `limits`, `policy`, `endpoint`, `licence`, `trunk`, `emergency`, `notify`, `location`, `park`, `tls`, `log`, `store`, `metrics`, `rest`, `provision`, `telemetry`, `decisions`, `records`, `features`, `survivable` and `tolls`"#]],
    );
}

#[test]
fn every_problem_is_named_at_once() {
    says(
        r#"
[sip]
listen = ["udp:127.0.0.1", "sctp:127.0.0.1:5060", "5060", "udp:[::1]:5060", "udp:[::1]:5060"]
domain = "a b"
[limits]
calls = 0
shards = "two"
[log]
level = "info"
format = "xml"
[store]
degraded = "panic"
[[endpoint]]
extension = "10 01"
username = ""
licence = "none"
location = "nowhere"
mac = "00:11"
enabled = "yes"
[[trunk]]
name = "t"
uri = "tel:112"
sources = ["example.org", "10.0.0.0/33"]
numbers = ["abc"]
password = "p"
[[licence]]
pool = "p"
[[location]]
name = "l"
networks = ["10.1/16"]
elin = "n/a"
[emergency]
numbers = ["one-one-two"]
trunks = ["gone"]
networks = "10.0.0.0/8"
"#,
        expect![[r#"
            holdfast.toml:3: sip.listen: `127.0.0.1` is not an address and port; write it like "udp:127.0.0.1:5060" or "tls:[::1]:5061"
            holdfast.toml:3: sip.listen: `sctp` is not a transport spoken here (udp, tcp, tls); write it like "udp:127.0.0.1:5060" or "tls:[::1]:5061"
            holdfast.toml:3: sip.listen: `5060` has no transport before the address; write it like "udp:127.0.0.1:5060" or "tls:[::1]:5061"
            holdfast.toml:3: sip.listen: `udp:[::1]:5060` is named twice; name it once
            holdfast.toml:4: sip.domain: `a b` is not a domain; write it like `domain = "sip.example"`
            holdfast.toml:6: limits.calls: 0 is outside 1 to 1000000; choose a number within these bounds
            holdfast.toml:7: limits.shards: a whole number is wanted here, not text; write it like `shards = 1`
            holdfast.toml:10: log.format: `xml` is not one of the choices; choose `text` or `json`
            holdfast.toml:12: store.degraded: `panic` is not one of the choices; choose `memory` or `refuse`
            holdfast.toml:13: endpoint[1].id: is missing; add `id = "desk-1"`
            holdfast.toml:13: endpoint[1].password: is missing; add `password = "..."` or `ha1 = "..."`
            holdfast.toml:13: endpoint[1].licence: there is no pool `none`; there are `p`; or add a [[licence]]
            holdfast.toml:13: endpoint[1].location: there is no location `nowhere`; there are `l`; or add a [[location]]
            holdfast.toml:14: endpoint[1].extension: has characters that a phone cannot dial; use digits, letters and - _ . * # + only
            holdfast.toml:15: endpoint[1].username: is empty; write it like `username = "1001"`
            holdfast.toml:18: endpoint[1].mac: `00:11` is not a hardware address; write twelve hexadecimal digits, e.g. `mac = "00:1b:4f:00:00:01"`
            holdfast.toml:19: endpoint[1].enabled: true or false is wanted here, not text; write it like `enabled = true`
            holdfast.toml:22: trunk[1].uri: `tel:112` is not a SIP URI; write it like `uri = "sip:192.0.2.10:5060;transport=udp"`
            holdfast.toml:23: trunk[1].sources: `example.org` is no address, network or address:port; write it like "192.0.2.10", "192.0.2.0/24" or "192.0.2.10:5060"
            holdfast.toml:23: trunk[1].sources: `10.0.0.0/33` is no address, network or address:port; write it like "192.0.2.10", "192.0.2.0/24" or "192.0.2.10:5060"
            holdfast.toml:24: trunk[1].numbers: `abc` is not a number pattern; use digits, `+`, and `%` for any run of digits, e.g. "+44203000%"
            holdfast.toml:25: trunk[1].username: is missing though a password is given; add `username = "..."`, or take the password away
            holdfast.toml:26: licence[1].seats: is missing; add `seats = 50`
            holdfast.toml:30: location[1].networks: `10.1/16` is not a network; write it like "10.1.0.0/16" or "2001:db8::/32"
            holdfast.toml:31: location[1].elin: `n/a` is not a telephone number; write it like `elin = "+442030001111"`
            holdfast.toml:32: emergency.trunks: there is no trunk `gone`; there are `t`; or add a [[trunk]]
            holdfast.toml:33: emergency.numbers: `one-one-two` cannot be dialled; use digits only, e.g. "112"
            holdfast.toml:35: emergency.networks: a list of texts is wanted here, not text; write it like `networks = ["..."]`"#]],
    );
}

#[test]
fn what_is_not_toml_is_said_with_its_line_and_nothing_else_is_guessed() {
    says(
        "[sip]\nlisten = [\n\"udp:127.0.0.1:5060\"\n[trunk\n",
        expect![[r#"
            holdfast.toml:4: this is not TOML: missing comma between array elements, expected `,`; see https://toml.io for the form of a file
            holdfast.toml:4: this is not TOML: unclosed array, expected `]`; see https://toml.io for the form of a file
            holdfast.toml:4: this is not TOML: invalid boolean, expected `true`; see https://toml.io for the form of a file"#]],
    );
}

#[test]
fn duplicates_are_named_with_their_first_owner() {
    let twice = phone("numbers = [\"+4420\"]").replace("[[licence]]", "[[endpoint]]\nid = \"a\"\nextension = \"1001\"\nusername = \"1001\"\npassword = \"x\"\nnumbers = [\"+4420\"]\n[[licence]]\npool = \"site\"\nseats = 1\n[[licence]]");
    says(
        &twice,
        expect![[r#"
        holdfast.toml:8: endpoint[2].id: the id `a` is already that of endpoint[1] (line 1); give each its own id
        holdfast.toml:8: endpoint[2].extension: the extension `1001` is already that of endpoint[1] (line 1); give each its own extension
        holdfast.toml:8: endpoint[2].username: the username `1001` is already that of endpoint[1] (line 1); give each its own username
        holdfast.toml:8: endpoint[2].numbers: the number `+4420` is already that of endpoint[1] (line 1); give each its own number
        holdfast.toml:17: licence[2].pool: the pool `site` is already that of licence[1] (line 14); give each its own pool"#]],
    );
}

#[test]
fn passwords_are_one_or_the_other_never_empty_and_never_repeated() {
    for lines in ["ha1 = \"0123456789abcdef0123456789abcdef\"", "password = \"\""] {
        assert!(!report(&phone(lines)).contains("s3cret"), "{lines}");
    }
    says(
        &phone("ha1 = \"0123456789abcdef0123456789abcdef\""),
        expect!["holdfast.toml:5: endpoint[1].password: both `password` and `ha1` are given; keep one of them"],
    );
    says(
        &phone("").replace("s3cret-Passw0rd", ""),
        expect![
            "holdfast.toml:5: endpoint[1].password: is empty: anybody could register; write a password, e.g. the output of `openssl rand -hex 12`"
        ],
    );
    says(
        &phone("").replace("password = \"s3cret-Passw0rd\"", "ha1 = \"s3cret\""),
        expect![
            "holdfast.toml:5: endpoint[1].ha1: is not a hash; write the MD5 (32 hexadecimal digits), the SHA-256 (64), or a list of both, of `username:sip.example:password`"
        ],
    );
    says(
        &phone("").replace("password = \"s3cret-Passw0rd\"", ""),
        expect![[r#"holdfast.toml:1: endpoint[1].password: is missing; add `password = "..."` or `ha1 = "..."`"#]],
    );
    let debug = format!("{:?}", Config::parse("f", &phone(""), None).unwrap().config);
    assert!(!debug.contains("s3cret"), "{debug}");
}

#[test]
fn hashes_stand_for_the_password() {
    let both = phone("").replace(
        "password = \"s3cret-Passw0rd\"",
        "ha1 = [\"0123456789ABCDEF0123456789abcdef\", \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"]",
    );
    let loaded = Config::parse("f", &both, None).unwrap();
    let ha1 = &loaded.config.directory.endpoints[0].ha1;
    assert_eq!(ha1.md5.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(ha1.sha256.as_deref().map(str::len), Some(64));
}

#[test]
fn a_hash_must_fit_every_challenge() {
    let md5 = phone("").replace("password = \"s3cret-Passw0rd\"", "ha1 = \"0123456789abcdef0123456789abcdef\"");
    assert_eq!(Config::parse("f", &md5, None).unwrap().config.digest, [Algorithm::Md5]);
    says(
        &format!("{md5}[sip]\ndigest = [\"sha-256\", \"md5\"]\n"),
        expect![[
            r#"holdfast.toml:1: endpoint[1].ha1: has no SHA-256 hash, and challenges offer SHA-256: this phone could not register; add the SHA-256 hash of `username:realm:password`, or name in `digest` of [sip] only algorithms that every `ha1` has"#
        ]],
    );
}

#[test]
fn an_extension_must_not_hide_behind_an_emergency_number() {
    says(
        &phone("").replace("extension = \"1001\"", "extension = \"112\""),
        expect![
            "holdfast.toml:1: endpoint[1].extension: `112` is an emergency number: calls to it will never reach this phone; choose another extension"
        ],
    );
    says(
        &phone("")
            .replace("extension = \"1001\"", "extension = \"9112\"")
            .replace("numbers = [\"112\"]", "numbers = [\"112\"]\noutside_prefixes = [\"9\"]"),
        expect![
            "holdfast.toml:1: endpoint[1].extension: `9112` is an emergency number: calls to it will never reach this phone; choose another extension"
        ],
    );
}

#[test]
fn a_trunk_that_could_be_a_phone_is_warned_of() {
    says(
        &phone("").replace("sources = [\"192.0.2.10\"]", "sources = [\"10.1.2.0/24\"]"),
        expect![
            "holdfast.toml:14: trunk[1].sources: 10.1.2.0/24 overlaps the phones' networks of location `hq`: calls from there are taken for calls from the trunk, and no password is asked; name the provider's addresses only"
        ],
    );
    says(
        &phone("").replace("sources = [\"192.0.2.10\"]", "sources = []"),
        expect![[
            r#"holdfast.toml:14: trunk[1].sources: names nobody: no call can come in over this trunk; name the provider's addresses, e.g. `sources = ["192.0.2.10"]`, or have it registered at (`register = true`)"#
        ]],
    );
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    says(
        &format!("{}[limits]\nexpires_min_seconds = 600\nexpires_default_seconds = 300\nidle_seconds = 60\n", phone("")),
        expect![[r#"
        holdfast.toml:21: limits.expires_default_seconds: shortest 600 s, default 300 s and longest 3600 s registration are not in this order; make expires_min_seconds <= expires_default_seconds <= expires_max_seconds
        holdfast.toml:21: limits.idle_seconds: is not longer than expires_max_seconds: a phone on TCP or TLS that keeps silent between registrations loses its connection; choose more than 3600"#]],
    );
}

#[test]
fn a_time_in_survivable_mode_that_no_phone_could_ask_for_is_refused() {
    says(
        &format!("{}[survivable]\nexpires_seconds = 10\nspread_percent = 95\n", phone("")),
        expect![[r#"
        holdfast.toml:22: survivable.expires_seconds: 10 s is not between the shortest (20 s) and the longest registration (3600 s); choose a time between expires_min_seconds and expires_max_seconds of [limits], or 0: what phones ask for
        holdfast.toml:23: survivable.spread_percent: 95 is outside 0 to 90; choose a number within these bounds"#]],
    );
    let survivable = |lines: &str| {
        let loaded = Config::parse("holdfast.toml", &format!("{}{lines}", phone("")), None).unwrap();
        loaded.config.directory.survivable.map(|survivable| (survivable.expires.as_secs(), survivable.spread_percent))
    };
    assert_eq!(survivable(""), Some((60, 10)), "a gateway that stands in for a cloud is what a site has");
    assert_eq!(survivable("[survivable]\nexpires_seconds = 120\n"), Some((120, 10)));
    assert_eq!(survivable("[survivable]\nexpires_seconds = 0\n"), None);
    // Of a site with longer times it is not demanded that they are shortened.
    assert_eq!(survivable("[limits]\nexpires_min_seconds = 200\n"), Some((60, 10)));
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    says(
        &format!("{}[tls]\ncertificate = \"gone.pem\"\n", phone("")),
        expect![[r#"
        holdfast.toml:21: tls.key: is missing though a certificate is named; name the certificate's private key with `key = "server.key"`
        holdfast.toml:22: tls.certificate: there is no file `gone.pem`; name a PEM file that the gateway may read, absolute or from the folder of this file"#]],
    );
}

#[test]
fn metrics_are_off_until_they_have_an_address_and_a_public_one_is_warned_of() {
    let metrics = |lines: &str| Config::parse("holdfast.toml", &format!("{}[metrics]\n{lines}", phone("")), None).unwrap().config.metrics;
    assert_eq!(metrics(""), None);
    assert_eq!(metrics("listen = \"127.0.0.1:9095\"\n"), Some(SocketAddr::from(([127, 0, 0, 1], 9095))));
    says(
        &format!("{}[metrics]\nlisten = \"9095\"\nport = 1\n", phone("")),
        expect![[r#"
            holdfast.toml:22: metrics.listen: `9095` is not an address with a port; write it like `listen = "127.0.0.1:9095"`
            holdfast.toml:23: metrics.port: unknown key; the keys here are `listen`"#]],
    );
    says(
        &format!("{}[metrics]\nlisten = \"0.0.0.0:9095\"\n", phone("")),
        expect![[
            r#"holdfast.toml:22: metrics.listen: is not a loopback address: everybody who reaches it reads the names of policies and how many calls there are; choose 127.0.0.1 and let the monitoring system's agent run on this machine, or keep others out with a firewall"#
        ]],
    );
}

#[test]
fn the_rest_api_is_off_until_it_has_an_address_and_a_public_one_needs_a_named_token() {
    let rest = |lines: &str| Config::parse("holdfast.toml", &format!("{}[rest]\n{lines}", phone("")), None).unwrap().config.rest;
    assert_eq!(rest(""), None);
    let local = rest("listen = \"127.0.0.1:9096\"\n").unwrap();
    assert!(local.loopback() && local.token_file.ends_with("rest.token"));
    let public = rest("listen = \"[2001:db8::1]:9096\"\ntoken_file = \"/etc/holdfast/rest.token\"\n").unwrap();
    assert!(!public.loopback() && public.token_file.is_absolute());
    says(
        &format!("{}[rest]\ntoken_file = \"rest.token\"\n", phone("")),
        expect!["holdfast.toml:22: rest.listen: is missing: the REST API is off; add `listen = \"127.0.0.1:9096\"`"],
    );
    says(
        &format!("{}[rest]\nlisten = \"9096\"\nport = 1\n", phone("")),
        expect![[r#"
            holdfast.toml:22: rest.listen: `9096` is not an address with a port; write it like `listen = "127.0.0.1:9096"`
            holdfast.toml:23: rest.port: unknown key; the keys here are `listen` and `token_file`"#]],
    );
    says(
        &format!("{}[rest]\nlisten = \"0.0.0.0:9096\"\n", phone("")),
        expect![
            "holdfast.toml:22: rest.token_file: is missing though others than this machine reach the address: whoever has a token can change every endpoint; make one with `(umask 077; openssl rand -hex 32 > rest.token)` and name it with `token_file`, or listen on 127.0.0.1"
        ],
    );
}

#[test]
fn spans_go_to_a_collector_without_tls_or_nowhere() {
    let telemetry =
        |lines: &str| Config::parse("holdfast.toml", &format!("{}[telemetry]\n{lines}", phone("")), None).unwrap().config.telemetry;
    assert_eq!(telemetry(""), None);
    let endpoint = "http://127.0.0.1:4318/v1/traces".to_owned();
    for written in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"] {
        assert_eq!(telemetry(&format!("otlp = \"{written}\"\n")), Some(Telemetry { endpoint: endpoint.clone(), one_in: 1 }));
    }
    assert_eq!(telemetry(&format!("otlp = \"{endpoint}\"\none_in = 100\n")).unwrap().one_in, 100);
    let line = |lines: &str| report(&format!("{}[telemetry]\n{lines}", phone("")));
    expect![[r#"holdfast.toml:22: telemetry.otlp: spans are sent without TLS; name an http:// collector on this machine, and let it carry them on"#]]
        .assert_eq(&line("otlp = \"https://collector.example\"\n"));
    expect![[r#"holdfast.toml:22: telemetry.otlp: `127.0.0.1:4318` is not the address of a collector; write it like `otlp = "http://127.0.0.1:4318"`"#]]
        .assert_eq(&line("otlp = \"127.0.0.1:4318\"\n"));
    expect![[r#"holdfast.toml:21: telemetry.otlp: is missing: spans would go nowhere; add `otlp = "http://127.0.0.1:4318"`"#]]
        .assert_eq(&line("one_in = 10\n"));
}

#[test]
fn a_running_gateway_keeps_its_realm() {
    let text = format!("{}[sip]\ndomain = \"new.example\"\n", phone(""));
    let loaded = Config::parse("f", &text, Some("old.example")).unwrap();
    assert_eq!(loaded.config.directory.domain, "old.example");
    let running = Config::parse("f", &phone(""), None).unwrap().config;
    assert_eq!(loaded.config.needs_restart(&running, false), ["sip.domain"]);
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    let report = Config::load(Path::new("/nonexistent/holdfast.toml")).unwrap_err();
    expect!["/nonexistent/holdfast.toml: cannot be read: No such file or directory (os error 2); name a readable file with `--config`"]
        .assert_eq(&report.to_string());
}

#[test]
fn twenty_thousand_phones_are_read_in_a_moment() {
    let phones: String = (0..20_000)
        .map(|n| format!("[[endpoint]]\nid = \"{n}\"\nextension = \"{n}\"\nusername = \"{n}\"\npassword = \"{n:032}\"\nlicence = \"site\"\nlocation = \"hq\"\n"))
        .collect();
    // Quadratic reading took a minute, and would again.
    let loaded = Config::parse("f", &format!("{phones}{SITE}"), None).unwrap();
    assert_eq!(loaded.config.directory.endpoints.len(), 20_000);
}

#[test]
fn the_decision_record_is_full_sampled_or_off() {
    let whole = |text: &str| Config::parse("holdfast.toml", &format!("[decisions]\n{text}\n{SITE}"), None).unwrap().config;
    let settings = |text: &str| whole(text).decisions;
    assert_eq!(settings(""), record::Settings::default());
    assert_eq!(settings("record = \"off\"").one_of, 0);
    assert_eq!(whole("record = \"off\"").needs_restart(&whole(""), false), ["decisions"]);
    assert_eq!(settings("record = \"sampled\"").one_of, 100);
    let all = settings("record = \"sampled\"\nsample = 7\nfile_mib = 2\nfiles = 3\nmask = [\"called\", \"head\"]");
    let mask = vec![record::Field::Called, record::Field::Head];
    assert_eq!(all, record::Settings { one_of: 7, file_bytes: 2 << 20, files: 3, mask });
    says(
        &format!("[decisions]\nsample = 7\n{SITE}"),
        expect![[
            r#"holdfast.toml:2: decisions.sample: says how many calls are sampled, and none are; write `record = "sampled"`, or take `sample` out"#
        ]],
    );
    says(
        &format!("[decisions]\nrecord = \"all\"\nmask = [\"caled\"]\n{SITE}"),
        expect![[r#"
        holdfast.toml:2: decisions.record: `all` is not one of the choices; choose `off`, `sampled` or `full`
        holdfast.toml:3: decisions.mask: `caled` is no field of the record; choose `called`, `caller_number`, `caller_name`, `address`, `head` or `log`"#]],
    );
}

#[test]
fn a_code_for_pickup_hides_no_number() {
    let with = |code: &str| format!("{}[features]\npickup = \"{code}\"\n", phone(""));
    says(&with("**"), expect![""]);
    says(&with(""), expect![""]);
    says(
        &with("11"),
        expect![[
            r#"holdfast.toml:22: features.pickup: `11` and the emergency number `112` begin alike; choose a code that nobody can mistake, e.g. "**""#
        ]],
    );
    says(
        &with("10"),
        expect![[
            r#"holdfast.toml:22: features.pickup: extension `1001` begins with `10`: nobody could call it; choose a code with which no extension begins, e.g. "**""#
        ]],
    );
    says(
        &format!("{}[park]\nslots = [\"**1\"]\n", with("**")),
        expect![[
            r#"holdfast.toml:22: features.pickup: park slot `**1` begins with `**`: nobody could take up what is parked there; choose a code with which no park slot begins, e.g. "**""#
        ]],
    );
    says(&with("p"), expect![[r#"holdfast.toml:22: features.pickup: `p` cannot be dialled; use digits, * and # only, e.g. "**""#]]);
    assert_eq!(Config::parse("holdfast.toml", &with("**"), None).unwrap().config.directory.features.pickup, "**");
}

#[test]
fn park_slots_are_numbers_that_nobody_has() {
    let slots = |slots: &str| format!("{}[park]\nslots = [{slots}]\n", phone(""));
    let numbers =
        |text: &str| Config::parse("holdfast.toml", text, None).unwrap().config.directory.park.numbers.into_iter().collect::<Vec<_>>();
    assert_eq!(numbers(&slots("\"701-703\", \"*68\"")), ["*68", "701", "702", "703"]);
    assert!(numbers(&phone("")).is_empty());
    for (wrong, reason) in [
        ("\"700-\"", "`700-` is no number and no range of numbers"),
        ("\"110-113\"", "`112` is an emergency number"),
        ("\"1000-1002\"", "`1001` is an extension of a phone"),
        ("\"1100-1999\", \"2000-2999\"", "slots, 1000 allowed"),
    ] {
        let report = Config::parse("holdfast.toml", &slots(wrong), None).unwrap_err().to_string();
        assert!(report.contains(reason), "{report}");
    }
}

#[test]
fn a_pool_says_whose_its_seats_are_and_when() {
    let pool = |lines: &str| {
        let text = phone("").replace("seats = 2", &format!("seats = 2\n{lines}"));
        Config::parse("holdfast.toml", &text, None).unwrap().config.directory.pools[0].clone()
    };
    assert_eq!(pool(""), switch::directory::Pool::new("site", 2));
    let written = pool("per = \"user\"\nreserved = [\"a\", \"b\", \"a\"]\nnot_before = 2027-01-01\nnot_after = 2027-12-31\ngrace_days = 7");
    assert_eq!((written.per, written.reserved.len(), written.grace), (switch::directory::Per::User, 2, Duration::from_secs(7 * 86_400)));
    let seconds = |at: Option<sip::Instant>| at.map(sip::Instant::unix_seconds);
    // From the first moment of the first day to the last of the last.
    assert_eq!((seconds(written.not_before), seconds(written.not_after)), (Some(1_798_761_600), Some(1_830_297_600)));
    let moment = pool("not_after = 2027-12-31T18:00:00+01:30");
    assert_eq!(seconds(moment.not_after), Some(1_830_297_600 - 6 * 3600 - 5400));
}

#[test]
fn what_is_wrong_with_a_pool_is_named() {
    let wrong = "seats = 2\nper = \"desk\"\nreserved = [\"a\", \"b\", \"c\"]\nnot_before = 2027-06-01T10:00:00\nnot_after = \"soon\"\ngrace_days = 9999";
    says(
        &phone("").replace("seats = 2", wrong),
        expect![[r#"
        holdfast.toml:11: licence[1].per: `desk` is not one of the choices; choose `endpoint` or `user`
        holdfast.toml:12: licence[1].reserved: 3 seats are reserved of 2; reserve no more than there are, or raise `seats`
        holdfast.toml:13: licence[1].not_before: `2027-06-01T10:00:00` is neither a day nor a moment with its offset from UTC; write it like `not_before = 2027-06-30` or `not_before = 2027-06-30T18:00:00Z`
        holdfast.toml:14: licence[1].not_after: a date is wanted here, not text; write it like `not_after = 2027-06-30`
        holdfast.toml:15: licence[1].grace_days: 9999 is outside 0 to 3650; choose a number within these bounds"#]],
    );
    let never = "seats = 2\nnot_before = 2027-06-02\nnot_after = 2027-06-01";
    says(
        &phone("").replace("seats = 2", never),
        expect!["holdfast.toml:12: licence[1].not_after: is before `not_before`: the pool would never be valid; change one of the dates"],
    );
}

#[test]
fn phones_fetch_their_settings_where_the_file_says_so_and_every_gap_in_it_is_named() {
    let provision =
        |lines: &str| Config::parse("holdfast.toml", &format!("{}[provision]\n{lines}", phone("")), None).unwrap().config.provision;
    assert_eq!(provision(""), None);
    let read = provision("https = [\"192.0.2.10:443\"]\ncontroller = \"192.0.2.10\"\n").unwrap();
    assert_eq!((read.known_by, read.secrets_over_http), (KnownBy { token: true, ..KnownBy::default() }, false));
    assert_eq!(read.controllers(), "192.0.2.10:5061;transport=tls");
    let before =
        "https = \"192.0.2.10:443\"\ncontroller = \"192.0.2.10:6000\"\ntransport = \"tcp\"\ncontrollers_before = [\"cloud.example\"]\n";
    assert_eq!(provision(before).unwrap().controllers(), "cloud.example,192.0.2.10:6000;transport=tcp");
    let says = |lines: &str, expected: Expect| says(&format!("{}[provision]\n{lines}", phone("")), expected);
    says(
        "http = \"127.0.0.1:80\"\n",
        expect![[r#"
        holdfast.toml:21: provision.https: is empty, and over HTTP no phone is told its password; add an address to `https`, or say `secrets_over_http = true`
        holdfast.toml:21: provision.controller: is missing; add `controller = "192.0.2.10"`"#]],
    );
    says(
        "https = \"127.0.0.1\"\nhttp = \"127.0.0.1:80\"\ncontroller = \"[::1]\"\nsecrets_over_http = true\nknown_by = [\"network\", \"certificate\", \"name\"]\n",
        expect![[r#"
            holdfast.toml:21: provision.networks: is missing though phones are known by their network; write it like `networks = ["10.1.0.0/16"]`
            holdfast.toml:21: provision.client_authorities: is missing though phones are known by their certificate; name the PEM file of who signs the phones' certificates, or take `certificate` out of known_by
            holdfast.toml:21: provision.https: is missing though phones are known by their certificate, which HTTP cannot show; add an address
            holdfast.toml:21: provision.secrets_over_http: passwords cross the network in clear; leave it false, and let phones fetch their own file over HTTPS (TLSSRVR)
            holdfast.toml:22: provision.https: `127.0.0.1` is not an address with a port; write it like `https = ["192.0.2.10:443"]`
            holdfast.toml:24: provision.controller: `[::1]` cannot be what phones are told: an IPv6 address cannot stand in SIP_CONTROLLER_LIST; give the gateway's name or IPv4 address; write it like `controller = "192.0.2.10"`
            holdfast.toml:26: provision.known_by: `name` is not a way to know a phone; choose among `token`, `certificate` and `network`"#]],
    );
    says(
        "https = \"127.0.0.1:443\"\ncontroller = \"a.example\"\ncontrollers_before = [\"a,b\", \"\"]\nclient_authorities = \"none.pem\"\nsettings = \"SET A 1\\nGET b.txt\"\n",
        expect![[r#"
            holdfast.toml:24: provision.controllers_before: `a,b` is not an entry of SIP_CONTROLLER_LIST; write it as the phones have it, like "sip1.example.net:5096;transport=tls"
            holdfast.toml:24: provision.controllers_before: `` is not an entry of SIP_CONTROLLER_LIST; write it as the phones have it, like "sip1.example.net:5096;transport=tls"
            holdfast.toml:25: provision.client_authorities: there is no file `none.pem`; name a PEM file that the gateway may read, absolute or from the folder of this file
            holdfast.toml:26: provision.settings: line 2 of it cannot be passed on: a phone cannot be sent on to another file; write lines like `SET GMTOFFSET 0:00`"#]],
    );
}

#[test]
fn nobody_is_told_whom_the_file_does_not_know() {
    let ways = "[[notify]]\nname = \"desk\"\nby = \"message\"\nto = [\"1001\", \"1999\"]\n[[notify]]\nname = \"bell\"\nby = \"call\"\nto = \"1998\"\n";
    says(
        &format!("{}{ways}", phone("licence = \"site\"")),
        expect![[r#"
            holdfast.toml:21: notify[1].to: no endpoint of this file has the extension `1999`; where no user of the store has it either, nobody is told in this way
            holdfast.toml:25: notify[2].to: no endpoint of this file has the extension `1998`; where no user of the store has it either, nobody is told in this way"#]],
    );
}
