use super::*;
use crate::Limits;
use core::time::Duration;

const KEY: [u8; 32] = [7; 32];
const NOW: Instant = Instant::from_unix_micros(1_700_000_000_000_000);

fn random() -> Random {
    Random::from_seed([1; 32])
}

fn authenticator() -> Authenticator {
    Authenticator::new("sip.example", KEY, 300, 100)
}

fn request(method: &str, uri: &str, authorization: &str) -> Message {
    let text = format!("{method} {uri} SIP/2.0\r\n{authorization}\r\n\r\n");
    Message::parse(text.into(), &Limits::default()).unwrap()
}

/// A REGISTER that answers `challenge` as user 1001 with password `secret`.
fn answered(challenge: &str, count: u32) -> Message {
    let value = answer(challenge.as_bytes(), "1001", "secret", "REGISTER", "sip:sip.example", count, "0a4f113b").unwrap();
    request("REGISTER", "sip:sip.example", &format!("Authorization: {value}"))
}

fn secret() -> Ha1 {
    Ha1::from_password("1001", "sip.example", "secret")
}

/// RFC 7616 3.9.1: the same user answers with both algorithms.
#[test]
fn the_examples_of_rfc_7616_are_known() {
    for (algorithm, response) in
        [("MD5", "8ca523f5e9506fed4657c9700eebdbec"), ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")]
    {
        let challenge = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let value = answer(challenge.as_bytes(), "Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, cnonce).unwrap();
        assert!(value.contains(&format!("response=\"{response}\"")), "{value}");
        assert!(value.contains("nc=00000001") && value.contains("qop=auth,"), "{value}");
        assert!(value.contains("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""), "{value}");
    }
}

/// RFC 2617 3.5.
#[test]
fn the_example_of_rfc_2617_is_known() {
    let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                     opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let value = answer(challenge.as_bytes(), "Mufasa", "Circle Of Life", "GET", "/dir/index.html", 1, "0a4f113b").unwrap();
    assert!(value.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{value}");
    assert!(!value.contains("algorithm"), "what was not offered is not named: {value}");
}

#[test]
fn a_right_answer_is_accepted_with_either_algorithm() {
    let auth = authenticator();
    for challenge in auth.challenges(false, NOW, &mut random()) {
        let message = answered(&challenge, 1);
        assert_eq!(auth.claimed_username(&message).as_deref(), Some("1001"));
        // Both challenges carry one nonce, so the second algorithm takes the next count.
        let message = if challenge.contains("SHA-256") { message } else { answered(&challenge, 2) };
        assert_eq!(auth.verify(&message, Some(&secret()), NOW), Verdict::Accepted);
    }
}

#[test]
fn challenges_name_sha_256_first() {
    let challenges = authenticator().challenges(true, NOW, &mut random());
    let algorithms: Vec<_> = challenges.iter().map(|c| Fields::parse(c.as_bytes()).unwrap().algorithm().unwrap()).collect();
    assert_eq!(algorithms, [Algorithm::Sha256, Algorithm::Md5]);
    assert!(challenges.iter().all(|c| c.ends_with(", qop=\"auth\", stale=true")), "{challenges:?}");
}

#[test]
fn an_unknown_user_and_a_wrong_password_look_alike() {
    let auth = authenticator();
    let challenge = auth.challenges(false, NOW, &mut random()).remove(0);
    let other = Ha1::from_password("1001", "sip.example", "other");
    let md5_only = Ha1 { sha256: None, ..secret() };
    for ha1 in [None, Some(&other), Some(&md5_only)] {
        assert_eq!(auth.verify(&answered(&challenge, 1), ha1, NOW), Verdict::Wrong);
    }
    assert_eq!(auth.verify(&answered(&challenge, 1), Some(&secret()), NOW), Verdict::Accepted, "a wrong guess uses up no count");
}

#[test]
fn requests_without_credentials_for_us_are_challenged() {
    let auth = authenticator();
    for header in [
        "Subject: none",
        "Authorization: NoOneKnowsThisScheme opaque-data=here",
        "Authorization: Digest",
        "Authorization: Digestive realm=\"sip.example\"",
        "Authorization: Digest realm=\"cloud.example\", username=\"1001\", nonce=\"x\", uri=\"sip:a\", response=\"y\"",
    ] {
        let message = request("REGISTER", "sip:sip.example", header);
        assert_eq!(auth.verify(&message, Some(&secret()), NOW), Verdict::Missing, "{header}");
        assert_eq!(auth.claimed_username(&message), None, "{header}");
    }
}

#[test]
fn the_credentials_for_our_realm_are_taken_among_others() {
    let auth = authenticator();
    let challenge = auth.challenges(false, NOW, &mut random()).remove(1);
    let ours = answer(challenge.as_bytes(), "1001", "secret", "INVITE", "sip:1002@gw", 1, "c").unwrap();
    let other = "Digest username=\"x\", realm=\"cloud.example\", nonce=\"n\", uri=\"sip:1002@gw\", response=\"r\"";
    for headers in
        [format!("Authorization: {other}\r\nAuthorization: {ours}"), format!("Proxy-Authorization: {ours}\r\nAuthorization: {other}")]
    {
        let message = request("INVITE", "sip:1002@gw", &headers);
        assert_eq!(auth.claimed_username(&message).as_deref(), Some("1001"));
        let auth = authenticator();
        assert_eq!(auth.verify(&message, Some(&secret()), NOW), Verdict::Accepted);
    }
}

#[test]
fn malformed_credentials_are_named() {
    let auth = authenticator();
    let challenge = auth.challenges(false, NOW, &mut random()).remove(1);
    let good = answer(challenge.as_bytes(), "1001", "secret", "REGISTER", "sip:sip.example", 1, "c").unwrap();
    for (from, to, verdict) in [
        ("username=", "xusername=", Verdict::Malformed("Incomplete Credentials")),
        ("response=", "xresponse=", Verdict::Malformed("Incomplete Credentials")),
        ("cnonce=", "xcnonce=", Verdict::Malformed("Incomplete Credentials")),
        (", nonce=", ", xnonce=", Verdict::Malformed("Incomplete Credentials")),
        ("nc=00000001", "nc=0000000g", Verdict::Malformed("Invalid Nonce Count")),
        ("nc=00000001", "nc=+0000001", Verdict::Malformed("Invalid Nonce Count")),
        ("nc=00000001", "nc=000000001", Verdict::Malformed("Invalid Nonce Count")),
        ("qop=auth", "qop=auth-int", Verdict::Malformed("Unsupported qop")),
        ("algorithm=MD5", "algorithm=MD5-sess", Verdict::Wrong),
        ("response=\"", "response=\"0", Verdict::Wrong),
    ] {
        let message = request("REGISTER", "sip:sip.example", &format!("Authorization: {}", good.replace(from, to)));
        assert_eq!(auth.verify(&message, Some(&secret()), NOW), verdict, "{to}");
    }
}

#[test]
fn counts_are_hexadecimal_and_hashed_as_received() {
    let auth = authenticator();
    let challenge = auth.challenges(false, NOW, &mut random()).remove(0);
    for count in [0x0a, 0x100, 0x00ab_cdef] {
        assert_eq!(auth.verify(&answered(&challenge, count), Some(&secret()), NOW), Verdict::Accepted, "{count:#x}");
    }
    // A phone that writes `nc` in upper case, or shorter, hashes what it writes.
    for nc in ["00ABCDF0", "abcdf1"] {
        let fields = Fields::parse(challenge.as_bytes()).unwrap();
        let nonce = fields.nonce.unwrap();
        let qop = hash::Qop { nc: nc.as_bytes(), cnonce: b"c", qop: b"auth" };
        let proof = Proof { nonce, qop: Some(&qop), method: b"REGISTER", uri: b"sip:sip.example" };
        let response = proof.response(Algorithm::Sha256, secret().sha256.unwrap().as_bytes());
        let value = format!(
            "Digest username=\"1001\",realm=\"sip.example\",nonce=\"{}\",uri=\"sip:sip.example\",algorithm=sha-256,qop=\"auth\",nc={nc},cnonce=\"c\",response=\"{}\"",
            core::str::from_utf8(nonce).unwrap(),
            response.as_str().to_uppercase()
        );
        let message = request("REGISTER", "sip:sip.example", &format!("Authorization: {value}"));
        assert_eq!(auth.verify(&message, Some(&secret()), NOW), Verdict::Accepted, "{nc}");
    }
}

#[test]
fn a_count_is_taken_once() {
    let auth = authenticator();
    let challenge = auth.challenges(false, NOW, &mut random()).remove(0);
    let verify = |count| auth.verify(&answered(&challenge, count), Some(&secret()), NOW);
    assert_eq!(verify(1), Verdict::Accepted);
    assert_eq!(verify(1), Verdict::Stale, "a replayed request");
    assert_eq!(verify(3), Verdict::Accepted);
    assert_eq!(verify(2), Verdict::Accepted, "overtaken on the way");
    assert_eq!(verify(2), Verdict::Stale);
    assert_eq!(verify(200), Verdict::Accepted);
    assert_eq!(verify(200 - 63), Verdict::Accepted);
    assert_eq!(verify(200 - 64), Verdict::Stale, "too far behind to know");
    assert_eq!(verify(3), Verdict::Stale);
    assert_eq!(verify(u32::MAX), Verdict::Accepted);
    assert_eq!(verify(u32::MAX), Verdict::Stale);
}

#[test]
fn an_old_or_foreign_nonce_is_stale_only_with_the_right_hash() {
    let auth = authenticator();
    let challenge = auth.challenges(false, NOW, &mut random()).remove(0);
    let late = NOW + Duration::from_secs(301);
    assert_eq!(auth.verify(&answered(&challenge, 1), Some(&secret()), NOW + Duration::from_secs(300)), Verdict::Accepted);
    assert_eq!(auth.verify(&answered(&challenge, 2), Some(&secret()), late), Verdict::Stale);
    assert_eq!(auth.verify(&answered(&challenge, 2), None, late), Verdict::Wrong);

    let foreign = Authenticator::new("sip.example", [8; 32], 300, 100).challenges(false, NOW, &mut random()).remove(0);
    let changed = challenge.replacen("nonce=\"0", "nonce=\"1", 1);
    let future = auth.challenges(false, NOW + Duration::from_secs(900), &mut random()).remove(0);
    for challenge in [foreign, changed, future, "Digest realm=\"sip.example\", nonce=\"made-up\", qop=\"auth\"".to_owned()] {
        assert_eq!(auth.verify(&answered(&challenge, 1), Some(&secret()), NOW), Verdict::Stale, "{challenge}");
        assert_eq!(auth.verify(&answered(&challenge, 1), None, NOW), Verdict::Wrong, "{challenge}");
    }
}

#[test]
fn nonces_survive_a_restart() {
    let challenge = authenticator().challenges(false, NOW, &mut random()).remove(0);
    let restarted = authenticator();
    assert_eq!(restarted.verify(&answered(&challenge, 5), Some(&secret()), NOW), Verdict::Accepted);
    let other_realm = Authenticator::new("other.example", KEY, 300, 100);
    assert_ne!(other_realm.challenges(false, NOW, &mut random()), authenticator().challenges(false, NOW, &mut random()));
}

#[test]
fn the_memory_for_counts_is_bounded_and_forgetting_opens_no_door() {
    cov_mark::check!(forgotten_nonce_is_stale);
    let auth = Authenticator::new("sip.example", KEY, 300, 3);
    let mut random = random();
    let challenges: Vec<_> = (0..5).map(|n| auth.challenges(false, NOW + Duration::from_micros(n), &mut random).remove(0)).collect();
    let verify = |n: usize, count| auth.verify(&answered(&challenges[n], count), Some(&secret()), NOW);
    for n in 0..4 {
        assert_eq!(verify(n, 1), Verdict::Accepted);
    }
    assert_eq!(verify(0, 1), Verdict::Stale, "forgotten, but not taken again");
    assert_eq!(verify(3, 1), Verdict::Stale);
    assert_eq!(verify(3, 2), Verdict::Accepted, "the younger ones go on");
    assert_eq!(verify(4, 1), Verdict::Accepted);
    // A challenge made now works at once, so a flood of phones costs each one more round, not its service.
    let fresh = auth.challenges(true, NOW + Duration::from_secs(1), &mut random).remove(0);
    assert_eq!(auth.verify(&answered(&fresh, 1), Some(&secret()), NOW + Duration::from_secs(1)), Verdict::Accepted);
}

#[test]
fn expired_nonces_make_room_first() {
    let auth = Authenticator::new("sip.example", KEY, 300, 1);
    let mut random = random();
    let old = auth.challenges(false, NOW, &mut random).remove(0);
    assert_eq!(auth.verify(&answered(&old, 1), Some(&secret()), NOW), Verdict::Accepted);
    let later = NOW + Duration::from_secs(200);
    let waiting = auth.challenges(false, later, &mut random).remove(0);
    let late = NOW + Duration::from_secs(400);
    assert_eq!(auth.verify(&answered(&waiting, 1), Some(&secret()), late), Verdict::Accepted);
}

#[test]
fn answers_without_qop_are_a_setting() {
    let challenge = authenticator().challenges(false, NOW, &mut random()).remove(1).replace(", qop=\"auth\"", "");
    let message = answered(&challenge, 1);
    assert!(!core::str::from_utf8(message.bytes()).unwrap().contains("nc="));
    assert_eq!(authenticator().verify(&message, Some(&secret()), NOW), Verdict::Accepted);
    assert_eq!(authenticator().require_qop().verify(&message, Some(&secret()), NOW), Verdict::Wrong);
}

#[test]
fn only_offered_algorithms_are_accepted() {
    let both = authenticator().challenges(false, NOW, &mut random());
    let auth = authenticator().offer(&[Algorithm::Md5]);
    assert_eq!(auth.challenges(false, NOW, &mut random()), both[1..]);
    assert_eq!(auth.verify(&answered(&both[0], 1), Some(&secret()), NOW), Verdict::Wrong);
    assert_eq!(auth.verify(&answered(&both[1], 1), Some(&secret()), NOW), Verdict::Accepted);
}

#[test]
fn the_digest_uri_must_name_what_is_called() {
    cov_mark::check!(rfc7616_3_4_6_digest_uri);
    for (uri, request_uri, verdict) in [
        ("sip:1002@gw", "sip:1002@gw", Verdict::Accepted),
        ("sip:1002@cloud.example:5061;transport=tls", "sip:1002@192.0.2.1", Verdict::Accepted),
        ("sips:%31002@gw", "sip:1002@gw", Verdict::Accepted),
        ("tel:112", "sip:112@gw;user=phone", Verdict::Accepted),
        ("sip:cloud.example", "sip:sip.example", Verdict::Accepted),
        ("urn:service:sos", "urn:service:sos", Verdict::Accepted),
        ("sip:1002@gw", "sip:0900123@gw", Verdict::Malformed("Digest URI Mismatch")),
        ("not a uri", "sip:1002@gw", Verdict::Malformed("Digest URI Mismatch")),
    ] {
        let auth = authenticator();
        let challenge = auth.challenges(false, NOW, &mut random()).remove(0);
        let value = answer(challenge.as_bytes(), "1001", "secret", "INVITE", uri, 1, "c").unwrap();
        let message = request("INVITE", request_uri, &format!("Authorization: {value}"));
        assert_eq!(auth.verify(&message, Some(&secret()), NOW), verdict, "{uri} {request_uri}");
    }
}

#[test]
fn names_with_quotes_come_through() {
    let (username, realm) = ("a\"b\\c", "the \"realm\"");
    let auth = Authenticator::new(realm, KEY, 300, 10);
    let challenge = auth.challenges(false, NOW, &mut random()).remove(0);
    let value = answer(challenge.as_bytes(), username, "p", "OPTIONS", "sip:a", 1, "c").unwrap();
    let message = request("OPTIONS", "sip:a", &format!("Authorization: {value}"));
    assert_eq!(auth.claimed_username(&message).as_deref(), Some(username));
    assert_eq!(auth.verify(&message, Some(&Ha1::from_password(username, realm, "p")), NOW), Verdict::Accepted);
}

#[test]
fn challenges_that_cannot_be_answered_are_left_alone() {
    for challenge in [
        "Basic realm=\"x\"",
        "Digest realm=\"x\"",
        "Digest nonce=\"x\"",
        "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
        "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-512-256",
    ] {
        assert_eq!(answer(challenge.as_bytes(), "u", "p", "REGISTER", "sip:a", 1, "c"), None, "{challenge}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let shown = format!("{:?} {:?}", secret(), authenticator());
    assert!(shown.starts_with("Ha1(secret) Authenticator"), "{shown}");
    assert!(!shown.contains("[7, 7") && !shown.contains(&secret().md5.unwrap()), "{shown}");
}
