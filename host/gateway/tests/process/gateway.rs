//! A site's files and the process that runs on them.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// A configuration and a data folder of their own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_endpoints(1)
    }

    pub(crate) fn with_endpoints(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoints: String = (0..count).map(Self::endpoint).collect();
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\ndomain = \"sip.example\"\n[limits]\n[[licence]]\npool = \"site\"\nseats = 50\n{endpoints}"
        );
        let site = Self { folder };
        fs::write(site.config(), text).unwrap();
        site
    }

    pub(crate) fn endpoint(n: usize) -> String {
        format!(
            "[[endpoint]]\nid = \"desk-{n}\"\nextension = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\nlicence = \"site\"\n",
            1000 + n,
            Self::user(n),
            Self::password(n)
        )
    }

    pub(crate) fn user(n: usize) -> String {
        format!("user-{n}")
    }

    pub(crate) fn password(n: usize) -> String {
        format!("secret-{n}")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("holdfast.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Changes the file in place, as an editor does.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.config()).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the change changes nothing");
        fs::write(self.config(), changed).unwrap();
    }

    /// Puts a new file in the place of the old one.
    pub(crate) fn replace(&self, change: impl FnOnce(String) -> String) {
        let text = change(fs::read_to_string(self.config()).unwrap());
        let beside = self.folder.path().join("new.toml");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.config()).unwrap();
    }

    /// From now on the site listens where `gateway` does.
    pub(crate) fn listen_on(&self, gateway: &Gateway) {
        let addresses: Vec<String> = gateway.addresses.iter().map(|a| format!("{a:?}")).collect();
        let text = fs::read_to_string(self.config()).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|l| if l.starts_with("listen") { format!("listen = [{}]", addresses.join(", ")) } else { l.to_owned() })
            .collect();
        fs::write(self.config(), lines.join("\n")).unwrap();
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg(name).arg("--config").arg(self.config()).arg("--data").arg(self.data());
        command
    }

    pub(crate) fn start(&self) -> Gateway {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let log = self.folder.path().join(format!("log-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
        let mut child = self.command("serve").arg("--json").stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("did not start: {line} {}", fs::read_to_string(&log).unwrap()));
        assert_eq!(event["event"], "listening", "{event}");
        let texts = |key: &str| event[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>();
        Gateway {
            addresses: texts("addresses"),
            policies: texts("policies"),
            provision: texts("provision"),
            rest: event["rest"].as_str().map(|address| address.parse().unwrap()),
            restored: usize::try_from(event["bindings_restored"].as_u64().unwrap()).unwrap(),
            child,
            out,
            log,
        }
    }
}

/// A running process. Dropped, it is killed.
pub(crate) struct Gateway {
    pub(crate) addresses: Vec<String>,
    pub(crate) policies: Vec<String>,
    pub(crate) provision: Vec<String>,
    pub(crate) rest: Option<SocketAddr>,
    pub(crate) restored: usize,
    child: Child,
    out: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Gateway {
    pub(crate) fn udp(&self) -> SocketAddr {
        self.addresses.iter().find_map(|a| a.strip_prefix("udp:")).unwrap().parse().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap().success());
    }

    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Ends it with SIGTERM; its exit status and last line.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Value) {
        self.signal("TERM");
        let mut last = String::new();
        for line in self.out.by_ref().lines() {
            last = line.unwrap();
        }
        (self.child.wait().unwrap(), serde_json::from_str(&last).unwrap())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait(Duration::from_secs(10), || self.log().contains(text));
    }

    pub(crate) fn wait(&self, at_most: Duration, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < at_most, "not within {at_most:?}; the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}
