//! The loop of one shard: sockets and queues in, the shard's own step, bytes out. Time enters here, once per turn.

use crate::{
    calls::{self, Shard, Transmit, shard_of},
    clock::Clock,
    journal::Own,
    net::{
        Input,
        connections::Connections,
        queue::{Backlog, Door, Inbox, Waited},
        udp::{self, Attached, Sent, call_id},
        urgent::Rank,
    },
    observe::Counters,
    policy::Engine,
};
use anyhow::Context as _;
use bytes::Bytes;
use sip::{
    Instant,
    transport::{Flow, Transport},
};
use std::{
    cell::RefCell,
    future::{Future as _, poll_fn},
    io::ErrorKind,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::unconstrained,
    time::Sleep,
};

/// Messages to send that are held back at most while more datagrams are read.
const HELD_BACK: usize = 32;
/// So many times more datagrams are looked at in one turn than are taken up; when more wait than one turn takes up, so many times fewer are, before others are
/// looked at. So a call for help is found at once, among ten times as many others as can be carried.
const LOOKED_AT: usize = 16;
/// How long to sleep when nothing is due.
const LONG: Duration = Duration::from_secs(3_600);

/// What one shard's thread is made of.
pub struct Parts {
    /// What the shard is made of, but for its policies.
    pub shard: ShardParts,
    /// The policies.
    pub engine: Arc<Engine>,
    /// Where calls are written down, and those that an earlier process had.
    pub calls: Option<Own>,
    /// This shard's sockets.
    pub sockets: Vec<udp::Socket>,
    /// What other threads send it.
    pub inbox: Inbox,
    /// The queues of all shards, by number.
    pub shards: Vec<Door>,
    /// Datagrams that may wait in it.
    pub backlog: usize,
    /// Stream connections.
    pub connections: Arc<Connections>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Time.
    pub clock: Clock,
    /// Datagrams taken up in one turn.
    pub batch: usize,
    /// Turns true when the gateway ends.
    pub stop: watch::Receiver<bool>,
}

/// Makes the shard's own parts on its thread, given its policies.
pub type ShardParts = Box<dyn FnOnce(Rc<crate::policy::Runner>) -> calls::Parts + Send>;

/// Starts a shard's thread. It ends when `stop` turns true.
///
/// # Errors
/// When the system gives no thread, or the thread cannot use its sockets.
pub fn start(name: String, site: Arc<switch::site::Site>, parts: Parts) -> anyhow::Result<JoinHandle<()>> {
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(report.send(Err(error))),
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            match Driver::new(site, parts) {
                Ok((driver, stop)) => {
                    drop(report.send(Ok(())));
                    driver.run(stop).await;
                }
                Err(error) => drop(report.send(Err(error))),
            }
        });
    })?;
    started.recv().context("a shard's thread ended at once")?.context("a shard's thread cannot start")?;
    Ok(thread)
}

/// Errors that the network reported, noted by the sockets' watchers for the loop.
#[derive(Default)]
struct NetworkErrors {
    flows: RefCell<Vec<Flow>>,
    noted: Notify,
}

struct Driver {
    shard: Shard,
    /// Says what calls for help.
    site: Arc<switch::site::Site>,
    sockets: Vec<Rc<Attached>>,
    backlog: Backlog,
    inbox: Inbox,
    inputs: Vec<Input>,
    index: usize,
    shards: Vec<Door>,
    connections: Arc<Connections>,
    counters: Arc<Counters>,
    clock: Clock,
    batch: usize,
    errors: Rc<NetworkErrors>,
    timer: Pin<Box<Sleep>>,
    /// When the timer is set to wake us.
    armed: Instant,
    out: Vec<Transmit>,
    scratch: Box<[u8]>,
    /// Calls that the shard had when they were last counted.
    calls: usize,
    /// Who waits until no registration is left at any provider.
    leaving: Option<Arc<Notify>>,
}

/// What woke the loop.
#[derive(Default)]
struct Woken {
    /// A timer, or something that waited for the store or a policy.
    due: bool,
    stop: bool,
}

impl Driver {
    fn new(site: Arc<switch::site::Site>, parts: Parts) -> std::io::Result<(Self, watch::Receiver<bool>)> {
        let errors = Rc::new(NetworkErrors::default());
        let mut sockets = Vec::with_capacity(parts.sockets.len());
        for socket in parts.sockets {
            let socket = Rc::new(socket.attach()?);
            tokio::task::spawn_local(watch_errors(Rc::clone(&socket), Rc::clone(&errors)));
            sockets.push(socket);
        }
        let shard = (parts.shard)(parts.engine.runner(Arc::clone(&site)));
        let now = parts.clock.now();
        let armed = now + LONG;
        let index = shard.index;
        let mut shard = Shard::new(shard);
        let mut out = Vec::new();
        if let Some((journal, saved)) = parts.calls {
            let known = saved.len();
            let taken = shard.take_up(journal, saved, now, &mut out);
            if taken < known {
                parts
                    .counters
                    .limit("journal-call-lost", || format!("{} of {known} calls of an earlier process could not go on", known - taken));
            }
        }
        let driver = Self {
            index,
            shard,
            site,
            sockets,
            backlog: Backlog::new(parts.backlog),
            inbox: parts.inbox,
            inputs: Vec::new(),
            shards: parts.shards,
            connections: parts.connections,
            counters: parts.counters,
            clock: parts.clock,
            batch: parts.batch,
            errors,
            timer: Box::pin(tokio::time::sleep_until(parts.clock.timer(armed))),
            armed,
            out,
            scratch: vec![0; udp::MAX_DATAGRAM].into_boxed_slice(),
            calls: 0,
            leaving: None,
        };
        Ok((driver, parts.stop))
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // What calls of an earlier process have to say.
        self.flush(self.clock.now());
        self.count_calls();
        self.shard.prepare();
        loop {
            self.arm();
            let woken = self.wait(&mut stop).await;
            let now = self.clock.now();
            for socket in 0..self.sockets.len() {
                self.read(socket, now).await;
            }
            self.send_help(now);
            self.take_inputs(now);
            self.send_help(now);
            self.work_off(now);
            self.take_errors(now);
            if woken.due || self.shard.deadline().is_some_and(|at| at <= now) {
                self.shard.expire(now, &mut self.out);
            }
            self.flush(now);
            self.count_calls();
            if let Some(waits) = self.leaving.take_if(|_| self.shard.trunks_left()) {
                waits.notify_one();
            }
            if woken.stop {
                return;
            }
            self.shard.prepare();
        }
    }

    fn count_calls(&mut self) {
        let calls = self.shard.calls();
        if calls != self.calls {
            self.counters.calls(self.calls, calls);
            self.calls = calls;
        }
    }

    /// Sets the timer to the next deadline. One that is set too early is left: waking for nothing is cheaper than setting it for every message.
    fn arm(&mut self) {
        let wanted = self.shard.deadline().unwrap_or(self.armed + LONG);
        if wanted < self.armed || self.timer.is_elapsed() {
            self.timer.as_mut().reset(self.clock.timer(wanted));
            self.armed = wanted;
        }
    }

    /// Sleeps until there is something to do.
    async fn wait(&mut self, stop: &mut watch::Receiver<bool>) -> Woken {
        let Self { shard, sockets, backlog, inbox, inputs, errors, timer, .. } = self;
        let busy = !backlog.is_empty();
        if busy {
            // Without this the runtime would not look whether anything has come.
            tokio::task::yield_now().await;
        }
        let mut ready = pin!(shard.ready());
        let mut noted = pin!(errors.noted.notified());
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        poll_fn(|cx| {
            let mut woken = Woken::default();
            let mut any = busy;
            for socket in sockets.iter() {
                any |= socket.poll_readable(cx).is_ready();
            }
            any |= inbox.poll(cx, inputs).is_ready();
            any |= noted.as_mut().poll(cx).is_ready();
            woken.due = ready.as_mut().poll(cx).is_ready() | timer.as_mut().poll(cx).is_ready();
            woken.stop = stopped.as_mut().poll(cx).is_ready();
            if any || woken.due || woken.stop { Poll::Ready(woken) } else { Poll::Pending }
        })
        .await
    }

    /// Looks at what has arrived at one socket, up to the limit that keeps the others and the timers from starving.
    async fn read(&mut self, socket: usize, now: Instant) {
        let Some(socket) = self.sockets.get(socket).map(Rc::clone) else { return };
        let directory = self.site.directory();
        // All that has come is looked at before any of it is taken up: what the kernel has no room for is lost, whatever it is.
        for _ in 0..self.batch * LOOKED_AT {
            let received = unconstrained(poll_fn(|cx| Poll::Ready(socket.receive(&mut self.scratch, cx)))).await;
            match received {
                Ok(Some((bytes, flow))) if !bytes.is_empty() => self.receive(Rank::of(&bytes, &directory), bytes, flow, now),
                Ok(Some(_)) => self.counters.count("keep-alive"),
                Ok(None) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => self.note_errors(&socket),
                Err(error) => {
                    self.note_errors(&socket);
                    self.counters.limit("receive-failed", || format!("{} reports: {error}", socket.local()));
                    return;
                }
            }
            if self.out.len() >= HELD_BACK {
                self.flush(now);
            }
        }
    }

    /// A message belongs to the shard of its Call-ID. What goes first is taken up at once, the rest when everything that has come was looked at.
    fn receive(&mut self, rank: Rank, bytes: Bytes, flow: Flow, now: Instant) {
        let owner = match self.shards.len() {
            1 => self.index,
            several => call_id(&bytes).map_or(self.index, |call_id| shard_of(call_id, several)),
        };
        let room = if owner != self.index {
            self.shards.get(owner).is_none_or(|shard| shard.try_send(Input::Message { bytes, flow }, rank))
        } else if rank == Rank::First {
            self.shard.receive(bytes, flow, now, &mut self.out);
            true
        } else {
            self.backlog.push(bytes, flow, now)
        };
        if !room {
            // The peer sends it again.
            self.counters.limit("shard-queue", || "a message was dropped because a shard's queue is full: limit `shard_queue`".to_owned());
        }
    }

    /// Takes up what waits: all that came in this turn, or, when that is more than a turn can take, a little, and then looks for what goes first again.
    fn work_off(&mut self, now: Instant) {
        let most = if self.backlog.len() > self.batch { (self.batch / LOOKED_AT).max(1) } else { self.batch };
        let mut taken = 0;
        while taken < most
            && let Some(Waited { bytes, flow, stale }) = self.backlog.pop(now)
        {
            if stale {
                self.counters.limit("stale", || {
                    format!("a datagram of {} waited so long that it was sent again: more comes than can be carried", flow.remote)
                });
                continue;
            }
            taken += 1;
            self.shard.receive(bytes, flow, now, &mut self.out);
            if self.out.len() >= HELD_BACK {
                self.flush(now);
            }
        }
    }

    fn take_inputs(&mut self, now: Instant) {
        for input in self.inputs.drain(..) {
            match input {
                Input::Message { bytes, flow } => self.shard.receive(bytes, flow, now, &mut self.out),
                Input::Unreachable(flow) => self.shard.unreachable(flow, now, &mut self.out),
                Input::Leave(waits) => {
                    self.shard.leave_trunks(now, &mut self.out);
                    self.leaving = Some(waits);
                }
            }
        }
    }

    fn take_errors(&mut self, now: Instant) {
        let flows = std::mem::take(&mut *self.errors.flows.borrow_mut());
        for flow in flows {
            self.counters.count("unreachable");
            self.shard.unreachable(flow, now, &mut self.out);
        }
    }

    /// Every turn ends with [`Driver::flush`], which tells the shard.
    fn note_errors(&self, socket: &Attached) {
        socket.network_errors(&mut self.errors.flows.borrow_mut());
    }

    /// What a call for help has to say is on the wire before anything else is taken up.
    fn send_help(&mut self, now: Instant) {
        if self.shard.helps() {
            self.flush(now);
        }
    }

    /// Writes down what has changed in calls, then puts everything on the wire; with a call for help among them the other way round. What cannot go
    /// anywhere makes the shard say so at once, which may give more to send.
    fn flush(&mut self, now: Instant) {
        loop {
            let helps = self.shard.helps();
            if !helps || self.out.is_empty() {
                self.shard.write_down(now);
            }
            if self.out.is_empty() {
                break;
            }
            let mut out = std::mem::take(&mut self.out);
            for Transmit { flow, bytes } in out.drain(..) {
                self.transmit(flow, bytes);
            }
            // Keeps the buffer for the next turn.
            self.out = out;
            if helps {
                self.shard.write_down(now);
            }
            self.take_errors(now);
        }
    }

    fn transmit(&self, flow: Flow, bytes: Bytes) {
        if flow.transport != Transport::Udp {
            return self.connections.send(flow, bytes);
        }
        let Some(socket) = self.sockets.iter().find(|s| s.local() == flow.local) else {
            // A binding of an earlier process that listened elsewhere.
            self.counters.limit("no-socket", || format!("nothing listens on {} any more; the phone must register again", flow.local));
            return self.errors.flows.borrow_mut().push(flow);
        };
        match socket.send(&bytes, flow.remote) {
            Sent::Yes => {}
            Sent::Dropped => {
                self.note_errors(socket);
                self.counters.limit("send-failed", || format!("a datagram to {} could not be sent", flow.remote));
            }
            Sent::Unreachable => self.errors.flows.borrow_mut().push(flow),
        }
    }
}

/// Wakes the loop when the network reports that datagrams did not arrive.
async fn watch_errors(socket: Rc<Attached>, errors: Rc<NetworkErrors>) {
    while socket.errored().await.is_ok() {
        socket.network_errors(&mut errors.flows.borrow_mut());
        if !errors.flows.borrow().is_empty() {
            errors.noted.notify_one();
        }
    }
}
