//! Linphone: the softphone of belle-sip, driven through its console program, linphonec.

use super::{Console, Order, Phone, Rtp, Sign, Softphone, Subject, Way, free_ports, softphone::tone, subject::DOMAIN, tool};
use std::{fs, path::PathBuf, process::Command, time::Duration};

/// How long it may take to show something.
const PATIENCE: Duration = Duration::from_secs(10);
/// It looks at the network first, and only every five seconds.
const START: Duration = Duration::from_secs(30);

/// A running linphonec.
#[derive(Debug)]
pub struct Linphone {
    console: Console,
    /// Its detailed log, where messages and packet counts are.
    log: PathBuf,
    /// The numbers of its calls since [`Softphone::fresh`].
    calls: Vec<String>,
}

impl Linphone {
    /// Starts one, which registers over `way`; returns when the registration was accepted. Over TLS it verifies the subject's certificate, by the
    /// name `localhost`: its TLS library compares no addresses.
    ///
    /// # Panics
    /// When it cannot register.
    #[must_use]
    pub fn register(subject: &Subject, way: Way, phone: &Phone) -> Self {
        // SIP, then RTP and RTCP of several calls.
        let ports = free_ports(18);
        let (extension, token) = (&phone.extension, way.lower());
        let port = if way == Way::Tls { subject.tls } else { subject.sip };
        let folder = subject.folder.path().join(format!("linphone-{extension}"));
        fs::create_dir_all(folder.join(".local/share/linphone")).unwrap();
        // -2: any port, nobody listens there.
        let own = if way == Way::Udp { i32::from(ports) } else { -2 };
        let config = format!(
            "[sip]\nsip_port={own}\nsip_tcp_port=-2\nsip_tls_port=-2\nbind_address=127.0.0.1\nroot_ca={authority}\nverify_server_certs=1\n\
             verify_server_cn=1\nuse_ipv6=0\ndefault_proxy=0\nuse_info=0\nuse_rfc2833=1\n\
             [rtp]\naudio_rtp_port={rtp}-{rtp_end}\n\
             [proxy_0]\nreg_proxy=<sip:localhost:{port};transport={token}>\nreg_route=<sip:localhost:{port};transport={token};lr>\n\
             reg_identity=<sip:{extension}@{DOMAIN}>\nreg_expires=300\nreg_sendregister=1\npublish=0\n\
             [auth_info_0]\nusername={extension}\nuserid={extension}\npasswd={password}\nrealm={DOMAIN}\n\
             [audio_codec_0]\nmime=PCMU\nrate=8000\nchannels=1\nenabled=1\n",
            authority = subject.authority().display(),
            rtp = ports + 2,
            rtp_end = ports + 17,
            password = phone.password(),
        );
        let file = folder.join("linphonerc");
        fs::write(&file, config).unwrap();
        let log = folder.join("log");
        // One that ran before may have left its own.
        drop(fs::remove_file(&log));
        let mut command = Command::new(tool("linphonec"));
        command.env("HOME", &folder).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        command.arg("-c").arg(&file).args(["-d", "6", "-l"]).arg(&log);
        let mut console = Console::start(&format!("linphone-{extension}"), command, subject.folder.path());
        console.types(&["soundcard use files", &format!("play {}", tone(subject).display())]).unwrap();
        super::until("linphone's registration", START, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            assert!(!text.contains("to [LinphoneRegistrationFailed]"), "linphone could not register:\n{text}");
            text.contains("to [LinphoneRegistrationOk]").then_some(())
        });
        console.fresh();
        Self { console, log, calls: Vec::new() }
    }

    /// The call that began last.
    fn latest(&self) -> Result<&str, String> {
        self.calls.last().map(String::as_str).ok_or_else(|| "linphone has no call".into())
    }
}

impl Softphone for Linphone {
    fn fresh(&mut self) {
        self.console.fresh();
        self.calls.clear();
    }

    fn tell(&mut self, order: Order<'_>) -> Result<(), String> {
        let uri = |extension: &str| format!("sip:{extension}@{DOMAIN}");
        let line = match order {
            Order::Dial(extension) => {
                self.console.types(&[&format!("call {}", uri(extension))])?;
                let line = self.console.prints(&["Establishing call id to"], PATIENCE)?;
                self.calls.extend(number(&line));
                return Ok(());
            }
            Order::Answer => format!("answer {}", self.latest()?),
            Order::HangUp => "terminate all".to_owned(),
            Order::Hold => "pause".to_owned(),
            Order::Resume => format!("resume {}", self.latest()?),
            Order::Transfer(extension) => format!("transfer {} {}", self.latest()?, uri(extension)),
            Order::Join => {
                let [.., held, talking] = self.calls.as_slice() else { return Err("linphone has no two calls".into()) };
                format!("transfer {held} --to-call {talking}")
            }
            Order::Press(key) => key.to_string(),
            Order::Refuse => format!("terminate {}", self.latest()?),
            Order::Forward(extension) => format!("redirect {} {}", self.latest()?, uri(extension)),
        };
        self.console.types(&[&line])
    }

    fn shows(&mut self, sign: Sign) -> Result<String, String> {
        let heard;
        let texts: &[&str] = match sign {
            Sign::Called => &["Receiving new incoming call from"],
            Sign::Rings => &[" ringing."],
            Sign::Talks | Sign::Freed => &["Media streams established"],
            Sign::Held => &["has been paused by"],
            Sign::Holds => &["is now paused"],
            Sign::Heard(key) => {
                heard = format!("Receiving tone {key}");
                &[&heard]
            }
            Sign::Ended => &[" ended (", " error."],
        };
        let line = self.console.prints(texts, PATIENCE)?;
        if sign == Sign::Called {
            self.calls.extend(number(&line));
        }
        Ok(line)
    }

    fn counted(&mut self) -> Result<Rtp, String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let count = |what: &str| {
            let (_, after) = log.rsplit_once(what)?;
            after.trim_start().split(' ').next()?.parse().ok()
        };
        let (Some(sent), Some(received)) = (count("ortp-message-sent      "), count("ortp-message-received      ")) else {
            return Err("linphone counted no RTP".into());
        };
        Ok(Rtp { sent, received })
    }

    fn log(&self) -> String {
        let messages = fs::read_to_string(&self.log).unwrap_or_default();
        format!("{}\n{messages}", self.console.output())
    }
}

/// `…, assigned id 3`.
fn number(line: &str) -> Option<String> {
    Some(line.rsplit_once("assigned id ")?.1.trim().to_owned())
}
