// Fixed-rate call generator measuring proxy forwarding latency on loopback.
// Plays both ends (UAC and UAS) so that INVITE sent -> forwarded INVITE received
// and 200 sent -> forwarded 200 received are timed with one clock. No dependencies:
//   rustc -O -o siplat siplat.rs
//   ./siplat 127.0.0.1:5060 RATE SECONDS USERS UASPORT UACPORT
use std::net::UdpSocket;
use std::sync::{atomic::{AtomicBool, AtomicU64, Ordering::*}, Arc};
use std::time::{Duration, Instant};
fn hdr<'a>(m: &'a str, n: &str) -> Vec<&'a str> {
    m.split("\r\n").filter(|l| l.len() > n.len() && l.as_bytes()[n.len()] == b':' && l[..n.len()].eq_ignore_ascii_case(n)).map(|l| l[n.len() + 1..].trim()).collect()
}
/// The call's number, from the session description: a back-to-back user agent gives the second leg a Call-ID of its own.
fn described(m: &str) -> Option<usize> { m.split("o=alice ").nth(1)?.split(' ').next()?.parse().ok() }
fn idx(m: &str) -> Option<usize> { let c = hdr(m, "Call-ID"); let c = c.first()?; c.strip_prefix("lat-")?.split('@').next()?.parse().ok() }
fn pct(v: &mut Vec<f64>, name: &str) {
    v.sort_by(|a, b| a.partial_cmp(b).unwrap());
    if v.is_empty() { println!("{name}: none"); return }
    let q = |p: f64| v[((v.len() - 1) as f64 * p) as usize];
    println!("{name}: n={} p50={:.0} p90={:.0} p99={:.0} p99.9={:.0} max={:.0} us", v.len(), q(0.5), q(0.9), q(0.99), q(0.999), v[v.len() - 1]);
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let proxy = a[1].clone(); let rate: f64 = a[2].parse().unwrap(); let secs: f64 = a[3].parse().unwrap();
    let users: usize = a[4].parse().unwrap(); let uasp: u16 = a[5].parse().unwrap(); let uacp: u16 = a[6].parse().unwrap();
    let total = (rate * secs) as usize;
    let run = std::process::id();
    let t0 = Instant::now();
    let us = move || t0.elapsed().as_nanos() as u64 + 1;
    let mk = || Arc::new((0..total).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
    let (s_inv, r_inv, s_200, r_200) = (mk(), mk(), mk(), mk());
    let stop = Arc::new(AtomicBool::new(false));
    let uas = UdpSocket::bind(("127.0.0.1", uasp)).unwrap();
    uas.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let uac = Arc::new(UdpSocket::bind(("127.0.0.1", uacp)).unwrap());
    uac.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let h1 = { let (r_inv, s_200, stop) = (r_inv.clone(), s_200.clone(), stop.clone()); std::thread::spawn(move || {
        let mut b = [0u8; 8192];
        while !stop.load(Relaxed) {
            let Ok((n, from)) = uas.recv_from(&mut b) else { continue };
            let t = us();
            let m = std::str::from_utf8(&b[..n]).unwrap();
            let mk = |code: &str, tag: bool, body: &str| {
                let mut r = format!("SIP/2.0 {code}\r\n");
                for v in hdr(m, "Via") { r += &format!("Via: {v}\r\n"); }
                for v in hdr(m, "Record-Route") { r += &format!("Record-Route: {v}\r\n"); }
                r += &format!("From: {}\r\nTo: {}{}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:bob@127.0.0.1:{uasp}>\r\nContent-Length: {}\r\n\r\n{}", hdr(m, "From")[0], hdr(m, "To")[0], if tag { ";tag=lat" } else { "" }, hdr(m, "Call-ID")[0], hdr(m, "CSeq")[0], body.len(), body);
                r
            };
            if m.starts_with("INVITE ") {
                let Some(i) = described(m) else { continue };
                if r_inv[i].swap(t, Relaxed) != 0 { r_inv[i].store(t, Relaxed); continue }
                let _ = uas.send_to(mk("180 Ringing", true, "").as_bytes(), from);
                let r = mk("200 OK", true, "v=0\r\n");
                s_200[i].store(us(), Relaxed);
                let _ = uas.send_to(r.as_bytes(), from);
            } else if m.starts_with("BYE ") { let _ = uas.send_to(mk("200 OK", false, "").as_bytes(), from); }
        }
    }) };
    let h2 = { let (r_200, stop, uac, done, proxy) = (r_200.clone(), stop.clone(), uac.clone(), done.clone(), proxy.clone()); std::thread::spawn(move || {
        let mut b = [0u8; 8192];
        while !stop.load(Relaxed) {
            let Ok((n, _)) = uac.recv_from(&mut b) else { continue };
            let t = us();
            let m = std::str::from_utf8(&b[..n]).unwrap();
            if !m.starts_with("SIP/2.0 200") { continue }
            let Some(i) = idx(m) else { continue };
            if hdr(m, "CSeq")[0].contains("BYE") { done.fetch_add(1, Relaxed); continue }
            if r_200[i].load(Relaxed) == 0 { r_200[i].store(t, Relaxed); }
            let contact = hdr(m, "Contact")[0].trim_matches(|c| c == '<' || c == '>');
            let mut routes = String::new();
            for v in hdr(m, "Record-Route").iter().rev() { for x in v.split(',').rev() { routes += &format!("Route: {}\r\n", x.trim()); } }
            for (meth, cs) in [("ACK", 1), ("BYE", 2)] {
                let r = format!("{meth} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{uacp};branch=z9hG4bKlat{run}x{meth}{i};rport\r\n{routes}Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cs} {meth}\r\nContent-Length: 0\r\n\r\n", hdr(m, "From")[0], hdr(m, "To")[0], hdr(m, "Call-ID")[0]);
                let _ = uac.send_to(r.as_bytes(), &proxy);
            }
        }
    }) };
    let rest = "IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    let start = Instant::now();
    for i in 0..total {
        let body = format!("v=0\r\no=alice {i} 1 {rest}");
        let due = Duration::from_secs_f64(i as f64 / rate);
        loop { let e = start.elapsed(); if e >= due { break } let left = due - e; if left > Duration::from_micros(200) { std::thread::sleep(left - Duration::from_micros(150)) } }
        let u = (i * 7919) % users;
        let m = format!("INVITE sip:7{u:05}@gw.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{uacp};branch=z9hG4bKlat{run}xINV{i};rport\r\nMax-Forwards: 70\r\nFrom: \"Alice Example\" <sip:alice@gw.example.net>;tag=lat{i}\r\nTo: \"Bob Example\" <sip:7{u:05}@gw.example.net>\r\nCall-ID: lat-{i}@{run}.127.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@127.0.0.1:{uacp};transport=udp>\r\nAllow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE\r\nSupported: replaces, timer, 100rel, norefersub\r\nSession-Expires: 1800;refresher=uac\r\nP-Asserted-Identity: \"Alice Example\" <sip:alice@gw.example.net>\r\nUser-Agent: ExamplePhone 7.4.2 (build 1189; fw 21.0)\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}", body.len(), body);
        s_inv[i].store(us(), Relaxed);
        let _ = uac.send_to(m.as_bytes(), &proxy);
    }
    std::thread::sleep(Duration::from_millis(1500));
    stop.store(true, Relaxed);
    h1.join().unwrap(); h2.join().unwrap();
    let col = |x: &Vec<AtomicU64>, y: &Vec<AtomicU64>| (0..total).filter_map(|i| { let (p, q) = (x[i].load(Relaxed), y[i].load(Relaxed)); if p > 0 && q > p { Some((q - p) as f64 / 1000.0) } else { None } }).collect::<Vec<_>>();
    println!("calls {} completed {}", total, done.load(Relaxed));
    pct(&mut col(&s_inv, &r_inv), "INVITE->forwarded INVITE");
    pct(&mut col(&s_200, &r_200), "200 sent->200 forwarded");
}
