//! baresip: a softphone, driven through its control socket (JSON in netstrings).

use super::{Phone, Process, Subject, Way, free_ports, subject::DOMAIN, tool, until};
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
}

impl Baresip {
    /// Starts one, which registers over `way`; returns when the registration was accepted. Over TLS it verifies the subject's certificate.
    #[must_use]
    pub fn register(subject: &Subject, way: Way, phone: &Phone) -> Self {
        // SIP, SIP over TLS (always the next port), control.
        let ports = free_ports(3);
        let extension = &phone.extension;
        let folder = subject.folder.path().join(format!("baresip-{extension}"));
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{ports}\nsip_cafile {}\nsip_verify_server yes\nnet_interface 127.0.0.1\ncall_local_timeout 30\n\
             audio_player aubridge,loop\naudio_source aubridge,loop\naudio_alert aubridge,alert\nmodule_path {}\nmodule g711.so\nmodule aubridge.so\n\
             module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{}\n",
            subject.authority().display(),
            modules().display(),
            ports + 2
        );
        fs::write(folder.join("config"), config).unwrap();
        let (port, token) = (if way == Way::Tls { subject.tls } else { subject.sip }, way.lower());
        let account = format!(
            "<sip:{extension}@{DOMAIN};transport={token}>;auth_user={extension};auth_pass={};outbound=\"sip:127.0.0.1:{port};transport={token}\";\
             regint=300;answermode=manual;audio_codecs=pcmu/8000/1\n",
            phone.password()
        );
        fs::write(folder.join("accounts"), account).unwrap();
        fs::write(folder.join("contacts"), "").unwrap();
        let mut command = Command::new(tool("baresip"));
        command.arg("-4").arg("-f").arg(&folder);
        let mut process = Process::start(&format!("baresip-{extension}"), command, subject.folder.path());
        let control = until("baresip's control socket", Duration::from_secs(10), || {
            assert!(process.alive(), "baresip ended:\n{}", process.output());
            TcpStream::connect(("127.0.0.1", ports + 2)).ok()
        });
        until("baresip's registration", Duration::from_secs(10), || {
            let output = process.output();
            assert!(!output.contains("reg: sip") || !output.contains("failed"), "baresip could not register:\n{output}");
            output.contains("200 OK").then_some(())
        });
        Self { process, control, unread: Vec::new(), seen: Vec::new(), extension: extension.clone() }
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
        let begin = Instant::now();
        loop {
            while let Some(message) = self.message() {
                self.seen.push(message);
            }
            if let Some(place) = self.seen.iter().position(|m| m["type"] == wanted) {
                return self.seen.remove(place);
            }
            if let Some(closed) = self.seen.iter().find(|m| m["type"] == "CALL_CLOSED") {
                panic!("{} waited for {wanted}, but the call was closed: {}", self.extension, closed["param"]);
            }
            let left = Duration::from_secs(10).saturating_sub(begin.elapsed());
            assert!(!left.is_zero(), "{} waited for {wanted} and saw {:?}:\n{}", self.extension, self.seen, self.process.output());
            self.control.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 4096];
            if let Ok(length) = self.control.read(&mut buffer) {
                assert!(length > 0, "baresip closed its control socket");
                self.unread.extend_from_slice(&buffer[..length]);
            }
        }
    }

    /// Waits until it has printed this.
    ///
    /// # Panics
    /// After ten seconds.
    pub fn prints(&mut self, text: &str) {
        until(&format!("{} to print {text:?}", self.extension), Duration::from_secs(10), || {
            self.process.output().contains(text).then_some(())
        });
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
