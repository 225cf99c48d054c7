//! Phones that fetch their settings: real HTTP and HTTPS to the real binary, each way of being known, each refusal, and registrations with what was served.

use crate::{
    gateway::{Gateway, Site},
    phone::Phone,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    sync::Arc,
    time::Duration,
};
use switch::settings;
use tokio_rustls::rustls::{
    self, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _},
};

const MAC: &str = "001B4F000007";
const DOOR: &str = "[provision]\n  https = \"127.0.0.1:0\"\n  http = \"127.0.0.1:0\"\n  controller = \"127.0.0.1\"\n";

/// A site whose phones fetch their settings; `more` are further lines of `[provision]`.
fn site(more: &str, limits: &str) -> Site {
    let site = Site::with_endpoints(1);
    site.edit(|text| text.replace("[limits]\n", &format!("{DOOR}{more}[limits]\n{limits}")));
    site
}

fn run(site: &Site, arguments: &[&str]) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(arguments).arg("--json").arg("--data").arg(site.data()).output().unwrap();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
}

fn done(site: &Site, arguments: &[&str]) -> Value {
    let (well, said) = run(site, arguments);
    assert!(well, "{arguments:?}: {said}");
    said
}

fn token(site: &Site, id: &str) -> String {
    done(site, &["endpoint", "token", id])["token"].as_str().unwrap().to_owned()
}

/// A telephone for a user, with its hardware address.
fn desk(site: &Site) {
    done(site, &["user", "add", "alice", "--extension", "2000", "--name", "Alice"]);
    done(site, &["endpoint", "add", "desk-7", "--mac", "00:1b:4f:00:00:07", "--serial", "19WZ07", "--licence", "site", "--user", "alice"]);
}

/// An answer: status, and everything.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    content: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }

    /// What its receiver has of it that does not change with time.
    fn shown(&self) -> (u16, Vec<&str>, &[u8]) {
        (self.status, self.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect(), &self.content)
    }

    fn value(&self, name: &str) -> Option<String> {
        settings::Settings::new(&self.content).unwrap().lines().find_map(|line| match line.statement {
            settings::Statement::Set(set) if set.is(name) => Some(String::from_utf8(set.value().unwrap().content().to_vec()).unwrap()),
            _ => None,
        })
    }
}

/// Whoever asks: whom it trusts, and which certificate it has.
struct Client {
    tls: Arc<ClientConfig>,
}

impl Client {
    fn new(root: &[u8], identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let tls = match identity {
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => config.with_no_client_auth(),
        };
        Self { tls: Arc::new(tls) }
    }

    /// A phone that fetches the root over HTTP and trusts it from then on.
    fn of(gateway: &Gateway) -> Self {
        Self::new(&http(gateway, "/WebRootCA.pem").content, None)
    }

    /// `None`: the server ended the connection.
    fn try_get(&self, gateway: &Gateway, path: &str) -> Option<Answer> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        exchange(StreamOwned::new(connection, dial(gateway, "https://")), "GET", path)
    }

    fn get(&self, gateway: &Gateway, path: &str) -> Answer {
        self.try_get(gateway, path).unwrap_or_else(|| panic!("no answer to {path}"))
    }

    fn own(&self, gateway: &Gateway) -> Answer {
        self.get(gateway, &format!("/{MAC}.txt"))
    }
}

fn dial(gateway: &Gateway, scheme: &str) -> TcpStream {
    let stream = TcpStream::connect(gateway.provision.iter().find_map(|place| place.strip_prefix(scheme)).unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn http(gateway: &Gateway, path: &str) -> Answer {
    exchange(dial(gateway, "http://"), "GET", path).unwrap()
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str) -> Option<Answer> {
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nHost: holdfast\r\n\r\n").as_bytes()).ok()?;
    let mut octets = Vec::new();
    // TLS without a farewell ends in an error; what counts is what has come.
    let _read = stream.read_to_end(&mut octets).is_ok();
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(octets[..end].to_vec()).unwrap();
    Some(Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, content: octets[end + 4..].to_vec() })
}

#[test]
fn a_phone_is_sent_from_file_to_file_and_told_its_account_once_for_its_token() {
    let site = site("", "");
    let mut gateway = site.start();
    site.listen_on(&gateway);
    desk(&site);
    done(&site, &["endpoint", "add", "desk-8", "--mac", "00:1b:4f:00:00:08"]);
    assert_eq!(fs::metadata(site.data().join("provision.key")).unwrap().permissions().mode() & 0o777, 0o600);

    // The way of a phone: root, upgrade file, the site's settings.
    let phone = Client::of(&gateway);
    let der = http(&gateway, "/WebRootCA.crt");
    let root = CertificateDer::from_pem_file(site.data().join("tls/root.pem")).unwrap();
    assert!(der.content == root.to_vec() && der.head.contains("application/x-x509-ca-cert"), "{}", der.head);
    assert!(http(&gateway, "/WebRootCA.pem").content.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let upgrade = phone.get(&gateway, "/J100Supgrade.txt");
    assert!(upgrade.text().ends_with("GET 46xxsettings.txt\n") && !upgrade.text().contains("APPNAME"), "{upgrade:?}");
    let all = phone.get(&gateway, "/46xxsettings.txt");
    assert!(all.head.contains("text/plain") && all.text().ends_with("GET $MACADDR.txt\n"), "{all:?}");
    for (name, value) in
        [("SIP_CONTROLLER_LIST", "127.0.0.1:5061;transport=tls"), ("SIPDOMAIN", "sip.example"), ("TRUSTCERTS", "WebRootCA.pem")]
    {
        assert_eq!(all.value(name).as_deref(), Some(value));
    }
    assert!(!all.text().contains("FORCE_SIP"), "no secrets of anybody");

    // Without its token nobody is told anything, and nothing tells one refusal from another.
    let nobody = phone.get(&gateway, "/001B4F0000FF.txt");
    assert_eq!((nobody.status, nobody.text()), (404, "not found\n"));
    let of_desk_8 = token(&site, "desk-8");
    let made = done(&site, &["endpoint", "token", "desk-7"]);
    let (one, path) = (made["token"].as_str().unwrap(), made["path"].as_str().unwrap());
    assert_eq!(path, format!("/token/{one}/{MAC}.txt"));
    for path in [
        format!("/{MAC}.txt"),
        format!("/token/{of_desk_8}/{MAC}.txt"),
        format!("/token/{}/{MAC}.txt", "0".repeat(32)),
        format!("/token/{one}/001B4F0000FF.txt"),
        "/FW_S_J179_R4_1_11_0_9.bin".to_owned(),
    ] {
        assert_eq!(phone.get(&gateway, &path).shown(), nobody.shown(), "{path}");
    }

    // With it, once.
    let own = phone.get(&gateway, path);
    assert_eq!(own.status, 200, "{own:?}");
    assert!(own.head.to_ascii_lowercase().contains("cache-control: no-store"), "{}", own.head);
    let account = settings::read(&own.content).unwrap();
    assert_eq!(
        (account.username.as_str(), account.extension.as_str(), own.value("DISPLAY_NAME").as_deref()),
        ("desk-7", "2000", Some("Alice"))
    );
    assert_eq!(Phone::new(&gateway).register(&account.username, account.password.reveal(), Some(600)), 200);
    assert_eq!(phone.get(&gateway, path).shown(), nobody.shown(), "it is used up");
    // A new one takes the place of the one before.
    let (old, new) = (token(&site, "desk-7"), token(&site, "desk-7"));
    assert_eq!(phone.get(&gateway, &format!("/token/{old}/{MAC}.txt")).status, 404);

    // Used or not, it is so after a crash, too.
    gateway.kill();
    let again = site.start();
    let phone = Client::of(&again);
    assert_eq!(phone.get(&again, path).status, 404);
    let own = phone.get(&again, &format!("/token/{new}/00-1b-4f-00-00-07.TXT"));
    assert_eq!(settings::read(&own.content).unwrap().password.reveal(), account.password.reveal());
    let history = done(&site, &["endpoint", "show", "desk-7"])["history"].clone();
    let whats: Vec<&str> = history.as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    let [made, used] = ["one-time token made for its settings file", "one-time token used from 127.0.0.1"];
    assert_eq!(whats, [used, made, made, used, made, "added"]);

    // Neither log nor history nor store tells a password or a token.
    let store: Vec<u8> =
        ["store.sqlite", "store.sqlite-wal"].iter().flat_map(|name| fs::read(site.data().join(name)).unwrap_or_default()).collect();
    let logs = format!("{}{}{history}", gateway.log(), again.log());
    for secret in [account.password.reveal(), one, old.as_str(), new.as_str(), of_desk_8.as_str()] {
        assert!(!logs.contains(secret), "{logs}");
        assert!(!store.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret lies in the store in clear");
    }
    for line in
        ["phone settings served", "one-time token is wrong, used up or too old", "no endpoint of the store has this hardware address"]
    {
        assert!(logs.contains(line), "no `{line}`: {logs}");
    }
}

#[test]
fn a_phone_in_a_network_of_the_site_is_known_and_one_elsewhere_is_not() {
    let known = "  known_by = \"network\"\n  networks = [\"127.0.0.0/8\"]\n  settings = \"SET GMTOFFSET 0:00\"\n  controllers_before = [\"sip1vs=cloud.example:5096;transport=tls\"]\n";
    let site = site(known, "");
    let gateway = site.start();
    desk(&site);
    let phone = Client::of(&gateway);
    let all = phone.get(&gateway, "/46xxsettings.txt");
    let list = "sip1vs=cloud.example:5096;transport=tls,127.0.0.1:5061;transport=tls";
    assert_eq!(
        ["SIP_CONTROLLER_LIST", "GMTOFFSET", "FAILBACK_POLICY"].map(|name| all.value(name)),
        [list, "0:00", "auto"].map(|v| Some(v.to_owned()))
    );
    // As often as it asks.
    for _ in 0..2 {
        assert_eq!(phone.own(&gateway).value("FORCE_SIP_USERNAME").as_deref(), Some("desk-7"));
    }
    // A new password is told at once.
    let password = done(&site, &["endpoint", "set", "desk-7", "--new-password"])["passwords"]["desk-7"].as_str().unwrap().to_owned();
    assert_eq!(phone.own(&gateway).value("FORCE_SIP_PASSWORD").as_deref(), Some(password.as_str()));
    drop(gateway);
    // What it says of where it comes from changes nothing.
    site.edit(|text| text.replace("127.0.0.0/8", "10.0.0.0/8"));
    let gateway = site.start();
    let phone = Client::of(&gateway);
    let forwarded = format!("/{MAC}.txt HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX:");
    assert_eq!((phone.own(&gateway).status, phone.get(&gateway, &forwarded).status), (404, 404));
    assert!(gateway.log().contains("the phone is not known"));
}

/// Certificates of phones, signed by somebody.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn phone(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

#[test]
fn a_phone_is_known_by_a_certificate_that_bears_its_address_or_serial_number() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let file = folder.path().join("phones.pem");
    fs::write(&file, ours.0.pem()).unwrap();
    let site = site(&format!("  known_by = [\"certificate\"]\n  client_authorities = {:?}\n", file.display().to_string()), "");
    let gateway = site.start();
    desk(&site);
    let root = http(&gateway, "/WebRootCA.pem").content;
    let with = |authority: &Authority, name: &str| Client::new(&root, Some(authority.phone(name)));
    for name in [MAC, "00:1b:4f:00:00:07", "19wz07"] {
        assert_eq!(with(&ours, name).own(&gateway).value("FORCE_SIP_USERNAME").as_deref(), Some("desk-7"), "{name}");
    }
    for name in ["001B4F000008", "desk-7", "19WZ08", ""] {
        assert_eq!(with(&ours, name).own(&gateway).status, 404, "{name}");
    }
    let bare = Client::new(&root, None);
    assert_eq!((bare.own(&gateway).status, bare.get(&gateway, "/46xxsettings.txt").status), (404, 200));
    // Signed by somebody else, the right name opens nothing, not even the connection.
    assert!(with(&theirs, MAC).try_get(&gateway, "/46xxsettings.txt").is_none());
    // A token is no way of being known here.
    assert_eq!(bare.get(&gateway, &format!("/token/{}/{MAC}.txt", token(&site, "desk-7"))).status, 404);
}

#[test]
fn whatever_keeps_a_phone_from_being_told_is_in_the_log_with_its_remedy() {
    let known = "  known_by = [\"network\"]\n  networks = [\"127.0.0.0/8\"]\n";
    let site = site(known, "");
    // Its password is set while phones fetch nothing here.
    site.edit(|text| text.replace(DOOR, "").replace(known, ""));
    let gateway = site.start();
    desk(&site);
    let (well, said) = run(&site, &["endpoint", "token", "desk-7"]);
    assert!(!well && said["remedy"].as_str().unwrap().contains("[provision]"), "{said}");
    drop(gateway);
    site.edit(|text| text.replace("[limits]\n", &format!("{DOOR}{known}[limits]\n")));
    let gateway = site.start();
    let phone = Client::of(&gateway);
    let is_refused = |why: &str| {
        assert_eq!(phone.own(&gateway).status, 404);
        gateway.wait_for_log(why);
    };
    is_refused("kept as hashes only, it was set before phones fetched their settings here; `holdfast endpoint set desk-7 --new-password`");
    let (well, said) = run(&site, &["endpoint", "token", "desk-7"]);
    assert!(!well && said["remedy"].as_str().unwrap().contains("--new-password"), "{said}");
    let (well, said) = run(&site, &["endpoint", "token", "desk-0"]);
    assert!(!well && said["reason"].as_str().unwrap().contains("configuration file"), "{said}");
    done(&site, &["endpoint", "add", "bare", "--password", "secret"]);
    let (well, said) = run(&site, &["endpoint", "token", "bare"]);
    assert!(!well && said["remedy"].as_str().unwrap().contains("--mac"), "{said}");
    assert!(!run(&site, &["endpoint", "token", "nobody"]).0);

    // Setting the same password again is enough to have it kept; again, and nothing changes.
    done(&site, &["endpoint", "set", "desk-7", "--password", "s3cret"]);
    assert_eq!(done(&site, &["endpoint", "set", "desk-7", "--password", "s3cret"])["changes"], json!([]));
    assert_eq!(phone.own(&gateway).value("FORCE_SIP_PASSWORD").as_deref(), Some("s3cret"));
    done(&site, &["endpoint", "disable", "desk-7"]);
    is_refused("it is disabled");
    done(&site, &["endpoint", "enable", "desk-7"]);
    done(&site, &["endpoint", "set", "desk-7", "--password", "quo\"te"]);
    is_refused("it cannot stand in a settings file");
    // Further lines are passed on as far as they may be.
    done(
        &site,
        &["endpoint", "set", "desk-7", "--password", "s3cret", "--settings", "SET SPEAKERSTAT 2\nGET evil.txt\nSET FORCE_SIP_PASSWORD x"],
    );
    let own = phone.own(&gateway);
    assert_eq!((own.value("SPEAKERSTAT").as_deref(), own.value("FORCE_SIP_PASSWORD").as_deref()), (Some("2"), Some("s3cret")));
    assert!(!own.text().contains("GET") && gateway.log().contains("a line of its settings is left out"), "{own:?}");
    // Over HTTP it is told nothing of its own.
    assert_eq!(http(&gateway, &format!("/{MAC}.txt")).status, 404);
    gateway.wait_for_log("passwords are not told over HTTP");
    let other = exchange(dial(&gateway, "http://"), "HEAD", &format!("/{MAC}.txt")).unwrap();
    assert!(other.status == 405 && other.head.to_ascii_lowercase().contains("allow: get"), "{other:?}");
    drop(gateway);

    // Unless the operator says so, and then `check` tells him what that means.
    site.edit(|text| text.replace("[limits]\n", "  secrets_over_http = true\n[limits]\n").replace("  https = \"127.0.0.1:0\"\n", ""));
    let check = String::from_utf8(site.command("check").output().unwrap().stdout).unwrap();
    assert!(check.contains("provision.secrets_over_http: passwords cross the network in clear"), "{check}");
    let gateway = site.start();
    assert_eq!(http(&gateway, &format!("/{MAC}.txt")).value("FORCE_SIP_PASSWORD").as_deref(), Some("s3cret"));
    drop(gateway);
    // Another domain, another key: the password is not what phones prove any more, or nobody can read it.
    let key = site.data().join("provision.key");
    let kept = fs::read(&key).unwrap();
    gateway::data::write_private(&key, &[9; 32]).unwrap();
    let gateway = site.start();
    assert_eq!(http(&gateway, &format!("/{MAC}.txt")).status, 404);
    gateway.wait_for_log("its password was sealed with another key");
    drop(gateway);
    gateway::data::write_private(&key, &kept).unwrap();
    site.edit(|text| text.replace("domain = \"sip.example\"", "domain = \"new.example\""));
    let gateway = site.start();
    assert_eq!(http(&gateway, &format!("/{MAC}.txt")).status, 404);
    gateway.wait_for_log("its password is for another domain");
    drop(gateway);
    // A key that others can read is no key: the door stays shut, phones are served, and check says so.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let gateway = site.start();
    assert!(gateway.provision.is_empty() && gateway.log().contains("no phone can fetch its settings") && Phone::new(&gateway).options());
    let check = site.command("check").output().unwrap();
    assert!(
        !check.status.success()
            && String::from_utf8(check.stdout).unwrap().contains("[provision]: others than its owner may use the key file")
    );
}

#[test]
fn whoever_asks_too_much_is_not_listened_to_for_a_while_and_it_is_counted() {
    let known = "  known_by = [\"network\"]\n  networks = [\"127.0.0.0/8\"]\n";
    let site = site(known, "provision_refusals = 3\nprovision_fetches = 10\n");
    let gateway = site.start();
    desk(&site);
    let phone = Client::of(&gateway);
    for n in 0..3 {
        assert_eq!(phone.get(&gateway, &format!("/001B4F1111{n:02}.txt")).status, 404);
    }
    // Also a phone that is known waits then: nobody finds out which address is somebody's.
    let limited = [phone.own(&gateway), phone.get(&gateway, "/001B4F1111AA.txt")];
    assert_eq!(limited[0].shown().2, limited[1].shown().2);
    for answer in &limited {
        assert!(answer.status == 429 && answer.head.to_ascii_lowercase().contains("retry-after: "), "{answer:?}");
    }
    // What holds no secret is served, until that is too much as well.
    for _ in 0..4 {
        assert_eq!(phone.get(&gateway, "/46xxsettings.txt").status, 200);
    }
    assert_eq!(phone.get(&gateway, "/46xxsettings.txt").status, 429);
    gateway.wait_for_log("limits `provision_fetches` and `provision_refusals`");
    let metrics = gateway::manage::ask(&site.data(), axum::http::Method::GET, "/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "holdfast_provision_fetches_total{file=\"phone\",result=\"refused\"} 3",
        "holdfast_provision_fetches_total{file=\"phone\",result=\"limited\"} 2",
        "holdfast_provision_fetches_total{file=\"root\",result=\"served\"} 1",
        "holdfast_provision_fetches_total{file=\"site\",result=\"served\"} 4",
        "holdfast_provision_fetches_total{file=\"site\",result=\"limited\"} 1",
    ] {
        assert!(metrics.contains(line), "no `{line}`: {metrics}");
    }
}
