//! pjsua: the softphone of PJSIP, driven through its menu.

use super::{Console, Order, Phone, Rtp, Sign, Softphone, Subject, Way, free_ports, subject::DOMAIN, tool};
use std::{process::Command, time::Duration};

/// How long it may take to show something.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running pjsua.
#[derive(Debug)]
pub struct Pjsua {
    console: Console,
    /// The number of the call that was answered last.
    talking: Option<String>,
}

impl Pjsua {
    /// Starts one, which registers over `way`; returns when the registration was accepted. Over TLS it verifies the subject's certificate.
    ///
    /// # Panics
    /// When it cannot register.
    #[must_use]
    pub fn register(subject: &Subject, way: Way, phone: &Phone) -> Self {
        // SIP, SIP over TLS (always the next port), then RTP and RTCP: each call takes the next ones, and none is used again for long.
        let ports = free_ports(200);
        let (extension, token) = (&phone.extension, way.lower());
        let port = if way == Way::Tls { subject.tls } else { subject.sip };
        // It would keep what it prints to itself until there is much of it.
        let mut command = Command::new("stdbuf");
        command
            .arg("-oL")
            .arg(tool("pjsua"))
            .args(["--no-color", "--null-audio", "--no-vad", "--no-tones", "--clock-rate=8000", "--dis-codec=G722", "--dis-codec=PCMA"])
            .args(["--log-level=5", "--app-log-level=4", "--auto-answer=180", "--reg-timeout=300", "--max-calls=4", "--realm=*"])
            .args(["--bound-addr=127.0.0.1", "--ip-addr=127.0.0.1"])
            .arg(format!("--local-port={ports}"))
            .arg(format!("--rtp-port={}", ports + 2 + ports % 2))
            .arg(format!("--id=sip:{extension}@{DOMAIN}"))
            .arg(format!("--registrar=sip:{DOMAIN}"))
            .arg(format!("--proxy=sip:127.0.0.1:{port};transport={token};lr"))
            .arg(format!("--username={extension}"))
            .arg(format!("--password={}", phone.password()));
        if way == Way::Tls {
            command.args(["--use-tls", "--tls-verify-server"]).arg(format!("--tls-ca-file={}", subject.authority().display()));
        }
        let mut console = Console::start(&format!("pjsua-{extension}"), command, subject.folder.path());
        let registered = console.prints(&["registration success", "registration failed", "SIP registration error"], PATIENCE);
        assert!(
            registered.as_ref().is_ok_and(|line| line.contains("success")),
            "pjsua could not register: {registered:?}\n{}",
            console.output()
        );
        Self { console, talking: None }
    }
}

impl Softphone for Pjsua {
    fn fresh(&mut self) {
        self.console.fresh();
    }

    fn tell(&mut self, order: Order<'_>) -> Result<(), String> {
        let uri = |extension: &str| format!("sip:{extension}@{DOMAIN}");
        match order {
            Order::Dial(extension) => self.console.types(&["m", &uri(extension)]),
            Order::Answer => self.console.types(&["a", "200"]),
            Order::HangUp => self.console.types(&["ha"]),
            Order::Hold => self.console.types(&["H"]),
            Order::Resume => self.console.types(&["v"]),
            Order::Transfer(extension) => self.console.types(&["x", &uri(extension)]),
            Order::Join => {
                let talking = self.talking.clone().ok_or("pjsua has no call")?;
                // The held call is the next one; it is joined with the one that talks.
                self.console.types(&["]", "X", &talking])
            }
            Order::Press(key) => self.console.types(&["#", &key.to_string()]),
            Order::Refuse => self.console.types(&["a", "486"]),
            Order::Forward(extension) => self.console.types(&["a", "302", &format!("<{}>", uri(extension))]),
        }
    }

    fn shows(&mut self, sign: Sign) -> Result<String, String> {
        let heard;
        let texts: &[&str] = match sign {
            Sign::Called => &["Incoming call for account"],
            Sign::Rings => &["state changed to EARLY"],
            Sign::Talks => &["state changed to CONFIRMED"],
            Sign::Held => &["status is Remote hold"],
            Sign::Freed => &["status is Active"],
            Sign::Holds => &["status is Local hold"],
            Sign::Heard(key) => {
                heard =
                    ["Incoming DTMF on call 0: ", "Incoming DTMF on call 1: ", "Incoming DTMF on call 2: ", "Incoming DTMF on call 3: "]
                        .map(|text| format!("{text}{key}"));
                &heard.each_ref().map(String::as_str)
            }
            Sign::Ended => &["is DISCONNECTED"],
        };
        let line = self.console.prints(texts, PATIENCE)?;
        if sign == Sign::Talks {
            self.talking = line.split_once("Call ").and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned);
        }
        Ok(line)
    }

    fn counted(&mut self) -> Result<Rtp, String> {
        // At the end of a call: `RX pt=0, …` and below it `total 1.5Kpkt 240KB …`, then the same for `TX`.
        let output = self.console.output();
        let total = |which: &str| {
            let (_, after) = output.rsplit_once(which)?;
            let (_, after) = after.split_once("total ")?;
            packets(after.split_once("pkt")?.0)
        };
        let (Some(received), Some(sent)) = (total("RX pt="), total("TX pt=")) else { return Err("pjsua counted no RTP".into()) };
        Ok(Rtp { sent, received })
    }

    fn log(&self) -> String {
        self.console.output()
    }
}

/// `85` or `1.5K`.
fn packets(text: &str) -> Option<u64> {
    let Some(thousands) = text.strip_suffix('K') else { return text.parse().ok() };
    let (whole, part) = thousands.split_once('.').unwrap_or((thousands, "0"));
    Some(whole.parse::<u64>().ok()? * 1_000 + part.parse::<u64>().ok()? * 100)
}
