//! baresip: a softphone, driven through its control socket (JSON in netstrings).

use super::{
    Order, PATIENCE, Phone, Process, Rtp, Sign, Softphone, Subject, Way, free_ports, softphone::tone, subject::DOMAIN, tool, until,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    control: TcpStream,
    unread: Vec<u8>,
    seen: Vec<Value>,
    extension: String,
    /// What it printed before this place was looked at.
    looked: usize,
    /// Where its output began to belong to this case.
    fresh: usize,
}

/// What a phone must be told before it can register.
#[derive(Clone, Debug)]
pub struct Account {
    /// Digest user.
    pub username: String,
    /// Digest password.
    pub password: String,
    /// What stands before the @ of its address of record.
    pub extension: String,
    /// And behind it.
    pub domain: String,
    /// Address and port where it registers.
    pub server: String,
    /// How.
    pub way: Way,
    /// The certificate with which it verifies the server.
    pub authority: PathBuf,
}

impl Baresip {
    /// Starts one, which registers over `way`; returns when the registration was accepted. Over TLS it verifies the subject's certificate.
    #[must_use]
    pub fn register(subject: &Subject, way: Way, phone: &Phone) -> Self {
        let port = if way == Way::Tls { subject.tls } else { subject.sip };
        let account = Account {
            username: phone.extension.clone(),
            password: phone.password(),
            extension: phone.extension.clone(),
            domain: DOMAIN.to_owned(),
            server: format!("127.0.0.1:{port}"),
            way,
            authority: subject.authority(),
        };
        Self::with_account(subject, &account)
    }

    /// Starts one with nothing but this account; returns when the registration was accepted.
    #[must_use]
    pub fn with_account(subject: &Subject, account: &Account) -> Self {
        // SIP, SIP over TLS (always the next port), control.
        let ports = free_ports(3);
        let Account { username, password, extension, domain, server, way, authority } = account;
        let folder = subject.folder.path().join(format!("baresip-{extension}"));
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{ports}\nsip_cafile {}\nsip_verify_server yes\nrtp_stats yes\nnet_interface 127.0.0.1\ncall_local_timeout 30\n\
             audio_player aubridge,ear\naudio_source aufile,{}\naudio_alert aubridge,alert\nmodule_path {}\nmodule g711.so\nmodule aubridge.so\n\
             module aufile.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
             ctrl_tcp_listen 127.0.0.1:{}\n",
            authority.display(),
            tone(subject).display(),
            modules().display(),
            ports + 2
        );
        fs::write(folder.join("config"), config).unwrap();
        let token = way.lower();
        let account = format!(
            "<sip:{extension}@{domain};transport={token}>;auth_user={username};auth_pass={password};outbound=\"sip:{server};transport={token}\";\
             regint=300;answermode=manual;audio_codecs=pcmu/8000/1\n"
        );
        fs::write(folder.join("accounts"), account).unwrap();
        fs::write(folder.join("contacts"), "").unwrap();
        let mut command = Command::new(tool("baresip"));
        command.arg("-4").arg("-f").arg(&folder);
        let mut process = Process::start(&format!("baresip-{extension}"), command, subject.folder.path());
        let control = until("baresip's control socket", PATIENCE, || {
            assert!(process.alive(), "baresip ended:\n{}", process.output());
            TcpStream::connect(("127.0.0.1", ports + 2)).ok()
        });
        until("baresip's registration", PATIENCE, || {
            let output = process.output();
            assert!(!output.contains("reg: sip") || !output.contains("failed"), "baresip could not register:\n{output}");
            output.contains("200 OK").then_some(())
        });
        Self { process, control, unread: Vec::new(), seen: Vec::new(), extension: extension.clone(), looked: 0, fresh: 0 }
    }

    /// Sends a command: `dial` with a URI, `accept`, `hangup`, `hold`, `resume`, `transfer` with a URI.
    pub fn command(&mut self, command: &str, parameter: &str) {
        let text = json!({"command": command, "params": parameter, "token": command}).to_string();
        self.control.write_all(format!("{}:{text},", text.len()).as_bytes()).unwrap();
    }

    /// Waits for an event of this type (`CALL_RINGING`, `CALL_INCOMING`, `CALL_ESTABLISHED`, `CALL_RTPESTAB`, `CALL_CLOSED`…), also one that came
    /// before others that were waited for.
    ///
    /// # Panics
    /// After ten seconds, or when the call is closed first.
    pub fn event(&mut self, wanted: &str) -> Value {
        self.await_event(|m| m["type"] == wanted)
            .unwrap_or_else(|trouble| panic!("{} waited for {wanted}: {trouble}\n{}", self.extension, self.process.output()))
    }

    fn await_event(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let begin = Instant::now();
        loop {
            while let Some(message) = self.message() {
                self.seen.push(message);
            }
            if let Some(place) = self.seen.iter().position(&wanted) {
                return Ok(self.seen.remove(place));
            }
            if let Some(closed) = self.seen.iter().find(|m| m["type"] == "CALL_CLOSED") {
                return Err(format!("the call was closed: {}", closed["param"]));
            }
            let left = Duration::from_secs(10).saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(format!("baresip did not show it and showed {:?}", self.seen));
            }
            self.control.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 4096];
            match self.control.read(&mut buffer) {
                Ok(0) => return Err("baresip closed its control socket".into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(_) => {}
            }
        }
    }

    /// Waits until it has printed this.
    ///
    /// # Panics
    /// After ten seconds.
    pub fn prints(&mut self, text: &str) {
        until(&format!("{} to print {text:?}", self.extension), PATIENCE, || self.process.output().contains(text).then_some(()));
    }

    /// Waits for the next line in which this stands, behind what was looked at before.
    fn prints_next(&mut self, text: &str) -> Result<String, String> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            if let Some(place) = self.process.output().get(self.looked..).and_then(|rest| rest.find(text)) {
                self.looked += place + text.len();
                return Ok(text.to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("baresip did not print {text:?}"))
    }

    /// The next whole netstring, `LENGTH:JSON,`.
    fn message(&mut self) -> Option<Value> {
        let colon = self.unread.iter().position(|b| *b == b':')?;
        let length: usize = std::str::from_utf8(&self.unread[..colon]).unwrap().parse().unwrap();
        let end = colon + 1 + length;
        if self.unread.len() <= end {
            return None;
        }
        let message = serde_json::from_slice(&self.unread[colon + 1..end]).unwrap();
        self.unread.drain(..=end);
        Some(message)
    }
}

impl Softphone for Baresip {
    fn fresh(&mut self) {
        self.control.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.control.read(&mut buffer)
            && length > 0
        {
            self.unread.extend_from_slice(&buffer[..length]);
        }
        while self.message().is_some() {}
        self.seen.clear();
        self.fresh = self.process.output().len();
    }

    fn tell(&mut self, order: Order<'_>) -> Result<(), String> {
        let uri = |extension: &str| format!("sip:{extension}@{DOMAIN}");
        match order {
            Order::Dial(extension) => self.command("dial", &uri(extension)),
            Order::Answer => self.command("accept", ""),
            Order::HangUp => self.command("hangup", ""),
            Order::Hold => self.command("hold", ""),
            Order::Resume => self.command("resume", ""),
            Order::Transfer(extension) => self.command("transfer", &uri(extension)),
            Order::Press(key) => self.command("sndcode", &key.to_string()),
            // It answers 486 to what it never took.
            Order::Refuse => self.command("hangup", ""),
            Order::Join | Order::Forward(_) => return Err("baresip has no such command".into()),
        }
        Ok(())
    }

    fn shows(&mut self, sign: Sign) -> Result<String, String> {
        let kind = match sign {
            Sign::Called => "CALL_INCOMING",
            Sign::Rings => "CALL_RINGING",
            Sign::Talks => "CALL_ESTABLISHED",
            Sign::Heard(_) => "CALL_DTMF_START",
            Sign::Ended => "CALL_CLOSED",
            // It says that the stream changes, not how.
            Sign::Held | Sign::Freed | Sign::Holds => return self.prints_next("stream: update 'audio'"),
        };
        let found = self.await_event(|m| {
            m["type"] == kind && if let Sign::Heard(key) = sign { m["param"].as_str() == Some(key.to_string().as_str()) } else { true }
        })?;
        if sign == Sign::Talks {
            self.looked = self.process.output().len();
        }
        Ok(found.to_string())
    }

    fn counted(&mut self) -> Result<Rtp, String> {
        // Printed after the end of a call, sent and received: `packets:          100         99`.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            let output = self.process.output();
            let line = output.get(self.fresh..).and_then(|call| Some(call.rsplit_once("packets:")?.1.split_once('\n')?.0));
            let mut numbers = line.unwrap_or_default().split_whitespace().map(str::parse);
            if let (Some(Ok(sent)), Some(Ok(received))) = (numbers.next(), numbers.next()) {
                return Ok(Rtp { sent, received });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("baresip counted no RTP".into())
    }

    fn log(&self) -> String {
        self.process.output()
    }
}

/// Where Debian and others put baresip's modules.
fn modules() -> PathBuf {
    let known = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
        "/usr/lib/aarch64-linux-gnu/baresip/modules",
        "/usr/local/lib/baresip/modules",
    ];
    known
        .into_iter()
        .map(Path::new)
        .find(|p| p.join("ctrl_tcp.so").is_file())
        .expect("baresip's modules are missing: run ./.ci/setup")
        .to_owned()
}
