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
