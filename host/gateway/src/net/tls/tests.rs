use super::*;
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls::pki_types::ServerName};

fn names() -> Names {
    Names::new("sip.example", ["192.0.2.1".parse().unwrap()])
}

fn data() -> (tempfile::TempDir, DataFolder) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    (folder, data)
}

async fn handshake(shown: Arc<Shown>, authorities: &Path, name: &str) -> Result<(), String> {
    let server = server_config(shown).unwrap();
    let client = client_config(&config::Tls { trunk_authorities: Some(authorities.to_path_buf()), ..config::Tls::default() }).unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let accept = TlsAcceptor::from(server).accept(far);
    let connect = TlsConnector::from(client).connect(ServerName::try_from(name.to_owned()).unwrap(), near);
    let (_, connected) = tokio::join!(accept, connect);
    connected.map(|_| ()).map_err(|e| e.to_string())
}

#[tokio::test]
async fn the_first_start_makes_a_certificate_that_the_root_vouches_for() {
    let (_folder, data) = data();
    let shown = Shown::load(&config::Tls::default(), &data, &names()).unwrap();
    let root = data.tls().join("root.pem");
    for name in ["sip.example", "192.0.2.1", "localhost", "127.0.0.1", "::1"] {
        handshake(Arc::clone(&shown), &root, name).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let refused = handshake(shown, &root, "evil.example").await.unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
}

#[tokio::test]
async fn a_renewed_certificate_is_vouched_for_by_the_root_that_phones_already_have() {
    let (_folder, data) = data();
    let start = OffsetDateTime::now_utc();
    assert!(site_certificate(&data.tls(), &names(), start).unwrap());
    let root = fs::read(data.tls().join("root.pem")).unwrap();
    let old = fs::read(data.tls().join("server.pem")).unwrap();

    assert!(!site_certificate(&data.tls(), &names(), start + Duration::days(SERVER_DAYS - RENEW_DAYS - 1)).unwrap());
    assert!(site_certificate(&data.tls(), &names(), start + Duration::days(SERVER_DAYS - RENEW_DAYS)).unwrap());
    assert_eq!(fs::read(data.tls().join("root.pem")).unwrap(), root);
    assert_ne!(fs::read(data.tls().join("server.pem")).unwrap(), old);
    // Made in the future above; made now again because the names have changed.
    let more = Names::new("other.example", []);
    assert!(site_certificate(&data.tls(), &more, start).unwrap());
    let shown = Shown::load(&config::Tls::default(), &data, &more).unwrap();
    handshake(shown, &data.tls().join("root.pem"), "other.example").await.unwrap();
}

#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, data) = data();
    site_certificate(&data.tls(), &names(), OffsetDateTime::now_utc()).unwrap();
    for key in ["root.key", "server.key"] {
        assert_eq!(fs::metadata(data.tls().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused_by_name() {
    let (_one, first) = data();
    let (_two, second) = data();
    for data in [&first, &second] {
        site_certificate(&data.tls(), &names(), OffsetDateTime::now_utc()).unwrap();
    }
    let tls = config::Tls {
        certificate: Some(first.tls().join("server.pem")),
        key: Some(second.tls().join("server.key")),
        trunk_authorities: None,
    };
    let refused = try_files(&tls).unwrap_err();
    assert!(format!("{refused:#}").contains("is not the key of"), "{refused:#}");
}

#[test]
fn a_reload_that_fails_leaves_the_old_certificate_in_place() {
    let (_folder, data) = data();
    let shown = Shown::load(&config::Tls::default(), &data, &names()).unwrap();
    let before = shown.0.load_full();
    let gone =
        config::Tls { certificate: Some(data.root().join("gone.pem")), key: Some(data.root().join("gone.key")), trunk_authorities: None };
    shown.reload(&gone, &data, &names()).unwrap_err();
    assert!(Arc::ptr_eq(&before, &shown.0.load_full()));
}
