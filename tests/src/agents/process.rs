//! Child processes that never outlive their test, and the small things around them: folders, ports, waiting.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU16, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A folder of one's own, removed at the end unless the test failed.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("holdfast-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the files of the failed test are in {}", self.0.display());
        } else {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

/// A running program whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its output goes to `NAME.log` in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: Command, folder: &Path) -> Self {
        Self::start_with(name, command, folder, Stdio::null())
    }

    /// Like [`Process::start`], with what is typed into it.
    pub(super) fn interactive(name: &str, command: Command, folder: &Path) -> (Self, ChildStdin) {
        let mut process = Self::start_with(name, command, folder, Stdio::piped());
        let input = process.child.stdin.take().unwrap();
        (process, input)
    }

    fn start_with(name: &str, mut command: Command, folder: &Path, input: Stdio) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = command
            .stdin(input)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started ({command:?}): {e}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end and returns the exit code.
    ///
    /// # Panics
    /// When it takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(begin.elapsed() < limit, "{} did not end within {limit:?}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end (SIGTERM) and returns its exit code; ends it by force after `limit`.
    pub fn stop(&mut self, limit: Duration) -> Option<i32> {
        if self.alive() {
            drop(Command::new("kill").arg(self.child.id().to_string()).status());
        }
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(3));
        if thread::panicking() {
            let output = self.output();
            let from = output.len().saturating_sub(6_000);
            let from = (from..output.len()).find(|i| output.is_char_boundary(*i)).unwrap_or(output.len());
            eprintln!("--- the end of what {} printed:\n{}", self.name, &output[from..]);
        }
    }
}

/// The first of `count` consecutive ports that are free on 127.0.0.1 for UDP and TCP. No two callers of a machine get the same ones soon: each
/// process begins at another place, below the range from which the system picks.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 12_000;
    const RANGE: u16 = 19_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(RANGE)).unwrap();
    for _ in 0..2_000 {
        let port = FIRST + (offset + NEXT.fetch_add(count, Ordering::Relaxed) % RANGE) % RANGE;
        let free = |p: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, p)).is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, p)).is_ok();
        if (port..port + count).all(free) {
            return port;
        }
    }
    panic!("no {count} consecutive free ports");
}

/// How long anything that another program does may take on a machine that is busy with much else.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within `limit`: "waited for WHAT".
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
