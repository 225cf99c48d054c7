//! The `holdfast` program is killed with hundreds of calls up and started again: BYE and re-INVITE from either side reach the other, and what rang is
//! answered. `HOLDFAST_CRASH_RUNS` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use sip::{message::Method, transport::Transport};
use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
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
}

impl Gateway {
    fn new(limits: &str) -> Self {
        let (folder, port) = (Folder::new(), free_ports(1));
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
        fs::write(folder.path().join("holdfast.toml"), text).unwrap();
        let mut gateway = Self { folder, port, process: None };
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
