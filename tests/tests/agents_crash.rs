//! The `holdfast` program is killed with hundreds of calls up and started again: BYE and re-INVITE from either side reach the other, and what rang is
//! answered. So it is with a call for help, and when the clock is wrong. `HOLDFAST_CRASH_RUNS` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use sip::{message::Method, transport::Transport};
use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use world::{
    agents::{Agent, Folder, Process, Wire, free_ports, holdfast, until},
    node::{ACCOUNTS, DOMAIN, password},
    phone::{Call, End, Manner, Phone},
};

struct Gateway {
    folder: Folder,
    port: u16,
    process: Option<Process>,
    clock: Option<PathBuf>,
}

impl Gateway {
    fn new(limits: &str) -> Self {
        Self::with(limits, free_ports(1), "", None)
    }

    /// With further sections of the configuration, and a file that says by how much its wall clock is off.
    fn with(limits: &str, port: u16, more: &str, clock: Option<PathBuf>) -> Self {
        let folder = Folder::new();
        let mut text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{port}\", \"tcp:127.0.0.1:{port}\"]\ndomain = \"{DOMAIN}\"\n[survivable]\nexpires_seconds = 0\n[limits]\n{limits}\n[[licence]]\npool = \"site\"\nseats = 9\n"
        );
        for (name, extension) in ACCOUNTS {
            let password = password(name);
            writeln!(
                text,
                "[[endpoint]]\nid = \"{name}\"\nextension = \"{extension}\"\nusername = \"{name}\"\npassword = \"{password}\"\nlicence = \"site\""
            )
            .unwrap();
        }
        text += more;
        fs::write(folder.path().join("holdfast.toml"), text).unwrap();
        let mut gateway = Self { folder, port, process: None, clock };
        gateway.start();
        gateway
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn start(&mut self) {
        let path = self.folder.path();
        let mut command = holdfast();
        command.arg("serve").arg("--config").arg(path.join("holdfast.toml")).arg("--data").arg(path.join("data"));
        if let Some(clock) = &self.clock {
            command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", clock);
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        self.process = Some(Process::start("holdfast", command, path));
        let wire = Wire::udp(self.port);
        until("an answer to OPTIONS", Duration::from_secs(60), || wire.ping().then_some(()));
    }

    /// SIGKILL: nothing is said, nothing is written any more.
    fn kill(&mut self) {
        let process = self.process.take().expect("a running gateway");
        let killed = Command::new("kill").args(["-KILL", &process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        // Waits for its end.
        drop(process);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("holdfast.log")).unwrap()
    }
}

/// What gives a program another wall clock.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    folders.into_iter().find(|file| file.is_file()).expect("libfaketime is missing: run ./.ci/setup")
}

/// Lets both phones go on until `done`; stops when nothing comes of it for a minute.
fn wait(agents: &mut [Agent], what: &str, mut done: impl FnMut(&[Agent]) -> bool) {
    let ends = Instant::now() + Duration::from_secs(60);
    while !done(agents) {
        assert!(Instant::now() < ends, "{what}: {}", agents.iter().map(tell).collect::<String>());
        for agent in agents.iter_mut() {
            agent.turn();
        }
    }
}

fn tell(agent: &Agent) -> String {
    let calls = agent.phone.calls();
    let count = |is: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
    format!(
        "{}: {} calls, {} up, {} ringing, {} ended, {} acknowledged; ",
        agent.phone.name(),
        calls.len(),
        count(&Call::up),
        count(&|call| call.progress().contains(&180)),
        count(&|call| call.end().is_some()),
        count(&|call| call.acknowledged() > 0),
    )
}

fn all(agent: &Agent, is: impl Fn(&Call) -> bool) -> bool {
    agent.phone.calls().iter().all(is)
}

/// Both phones and `calls` talking and as many ringing calls between them, by Call-ID on the caller's side in the order in which they were made.
fn calls_up(gateway: &Gateway, calls: usize, transport: Transport) -> Vec<Agent> {
    let agent = |place: usize| Agent::new(ACCOUNTS[place].0, ACCOUNTS[place].1, gateway.address(), transport);
    let mut agents = vec![agent(0), agent(1)];
    for agent in &mut agents {
        agent.act(Phone::register);
    }
    wait(&mut agents, "registering", |agents| agents.iter().all(|agent| agent.phone.registered()));
    for (manner, until) in [(Manner::Answers(Duration::ZERO), calls), (Manner::Rings, 2 * calls)] {
        agents[1].phone.manner(manner);
        while agents[0].phone.calls().len() < until {
            agents[0].act(|phone, now, out| phone.dial("1002", now, out));
            agents.iter_mut().for_each(Agent::turn);
        }
        wait(&mut agents, "calling", |agents| {
            let rings = |call: &Call| call.up() || call.progress().contains(&180);
            let answered = agents[1].phone.calls().iter().filter(|call| call.acknowledged() > 0).count();
            all(&agents[0], rings) && agents[1].phone.calls().len() == until && answered == calls
        });
    }
    agents
}

/// Which call of the callee is the caller's call `place`: they were made one after the other, but may have rung in another order.
fn ends_of(agents: &[Agent], caller: bool) -> usize {
    let phone = &agents[usize::from(!caller)].phone;
    phone.calls().iter().filter(|call| call.end() == Some(End::TheyHungUp)).count()
}

fn run(calls: usize, transport: Transport, limits: &str) {
    let mut gateway = Gateway::new(limits);
    let mut agents = calls_up(&gateway, calls, transport);
    gateway.kill();
    gateway.start();
    if transport.reliable() {
        for agent in &mut agents {
            agent.reconnect();
            agent.act(Phone::register);
        }
    }
    assert!(gateway.log().contains("calls of an earlier process go on"), "{}", gateway.log());

    // What rings is answered: the answer reaches the caller, whose acknowledgement reaches the callee.
    agents[1].act(Phone::pick_up_all);
    wait(&mut agents, "answers", |agents| all(&agents[0], Call::up) && all(&agents[1], |call| call.acknowledged() > 0));

    // Both sides of every call offer something new, one after the other.
    for side in [0, 1] {
        for place in 0..2 * calls {
            agents[side].act(|phone, now, out| phone.speak_in(place, "INVITE", now, out));
            agents.iter_mut().for_each(Agent::turn);
        }
        wait(&mut agents, "re-INVITEs", |agents| {
            let asked = all(&agents[side], |call| call.said().contains(&(Method::Invite, 200)));
            asked && all(&agents[1 - side], |call| call.heard().iter().any(|heard| heard == "INVITE"))
        });
    }

    // A quarter of each kind is hung up by the caller, and so on.
    for place in 0..2 * calls {
        let side = place % 2;
        let wanted = agents[side].phone.calls()[place].end().is_none();
        if wanted {
            agents[side].act(|phone, now, out| phone.hang_up_call(place, now, out));
        }
        agents.iter_mut().for_each(Agent::turn);
    }
    wait(&mut agents, "hanging up", |agents| {
        agents.iter().all(|agent| all(agent, |call| call.end().is_some() || call.up()))
            && ends_of(agents, true) + ends_of(agents, false) >= calls
    });
    for agent in &mut agents {
        for place in 0..2 * calls {
            agent.act(|phone, now, out| phone.hang_up_call(place, now, out));
            agent.turn();
        }
    }
    wait(&mut agents, "the end", |agents| agents.iter().all(|agent| all(agent, |call| call.end().is_some())));
    eprintln!("{} of {} calls went on over {transport:?}", 2 * calls, 2 * calls);
}

fn runs() -> usize {
    std::env::var("HOLDFAST_CRASH_RUNS").map_or(1, |runs| runs.parse().unwrap())
}

#[test]
fn killed_with_200_calls_talking_and_200_ringing_all_of_them_go_on() {
    for _ in 0..runs() {
        run(200, Transport::Udp, "");
    }
}

#[test]
fn killed_with_calls_over_tcp_they_go_on_over_new_connections() {
    for _ in 0..runs() {
        run(20, Transport::Tcp, "");
    }
}

/// Somebody who calls for help and the provider that carries it, around a gateway; with a `clock`, its wall clock is off by as much as that file says.
fn helped(clock: Option<PathBuf>) -> (Gateway, [Agent; 2]) {
    let port = free_ports(1);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let agents = [("carol", "1003"), ("north", "north")].map(|(name, extension)| Agent::new(name, extension, address, Transport::Udp));
    let trunk = agents[1].phone.address();
    let more = format!(
        "[[trunk]]\nname = \"north\"\nuri = \"sip:{trunk}\"\n[emergency]\nnumbers = [\"112\"]\ntrunks = [\"north\"]\nnetworks = [\"127.0.0.0/8\"]\n"
    );
    (Gateway::with("", port, &more, clock), agents)
}

/// Calls for help until it rings, or both talk.
fn call_for_help(agents: &mut [Agent; 2], ringing: bool) {
    let before = agents[1].phone.calls().len();
    agents[1].phone.manner(if ringing { Manner::Rings } else { Manner::Answers(Duration::ZERO) });
    agents[0].act(|phone, now, out| phone.dial("112", now, out));
    wait(agents, "calling for help", |agents| {
        let (caller, trunk) = (&agents[0].phone, &agents[1].phone);
        let rings = caller.call().progress().contains(&180);
        trunk.calls().len() > before && if ringing { rings } else { caller.call().up() && trunk.call().acknowledged() > 0 }
    });
}

/// What the provider says is heard by the caller, who hangs up, and the provider hears that.
fn talk_and_hang_up(agents: &mut [Agent; 2]) {
    let place = agents[1].phone.calls().len() - 1;
    agents[1].act(|phone, now, out| phone.speak_in(place, "INFO", now, out));
    wait(agents, "talking", |agents| agents[0].phone.call().heard().iter().any(|heard| heard == "INFO"));
    agents[0].act(Phone::hang_up);
    wait(agents, "hanging up", |agents| agents.iter().all(|agent| agent.phone.call().end().is_some()));
    assert_eq!((agents[0].phone.call().end(), agents[1].phone.call().end()), (Some(End::WeHungUp), Some(End::TheyHungUp)));
}

/// While a call for help rings, and while both talk, the gateway's process ends in this way and another one is started. The call goes on: it is answered, what one
/// side says reaches the other, and it is hung up.
fn help_goes_on(end: impl Fn(&mut Gateway)) {
    for ringing in [true, false] {
        let (mut gateway, mut agents) = helped(None);
        call_for_help(&mut agents, ringing);
        end(&mut gateway);
        gateway.start();
        if ringing {
            agents[1].act(Phone::pick_up_all);
        }
        wait(&mut agents, "the answer", |agents| agents[0].phone.call().up() && agents[1].phone.call().acknowledged() > 0);
        talk_and_hang_up(&mut agents);
    }
}

#[test]
fn killed_while_a_call_for_help_rings_or_talks_it_goes_on() {
    for _ in 0..runs() {
        help_goes_on(Gateway::kill);
    }
}

/// As an upgrade or `systemctl restart` does.
#[test]
fn told_to_end_while_a_call_for_help_rings_or_talks_it_goes_on() {
    help_goes_on(|gateway| {
        let mut process = gateway.process.take().expect("a running gateway");
        assert_eq!(process.stop(Duration::from_secs(30)), Some(0), "it ends by itself");
    });
}

/// The wall clock is set while a call for help is up, calls are made by the wrong time, and the next process starts at another one.
#[test]
fn the_clock_jumps_and_calls_for_help_are_made_and_go_on() {
    let folder = Folder::new();
    let clock = folder.path().join("clock");
    let set = |offset: &str| fs::write(&clock, offset).unwrap();
    set("+0");
    let (mut gateway, mut agents) = helped(Some(clock.clone()));
    for offset in ["-2h", "+2h", "+1d"] {
        call_for_help(&mut agents, false);
        set(offset);
        talk_and_hang_up(&mut agents);
        call_for_help(&mut agents, false);
        talk_and_hang_up(&mut agents);
        // By the wrong time until it is killed, by the right one after it, and the other way round.
        for offset in ["+0", offset] {
            call_for_help(&mut agents, false);
            gateway.kill();
            set(offset);
            gateway.start();
            talk_and_hang_up(&mut agents);
        }
    }
}
