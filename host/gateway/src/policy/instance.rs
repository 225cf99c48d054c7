//! One running component: its store, its bounds, and the door through which every decision passes.
//!
//! Time is kept without a clock of its own: compiled code counts what it executes, and hands back control after each [`STEP`]. Only then is the clock read, so
//! that a decision of some microseconds pays a few percent for the counting and nothing else. (A thread that ticks, as is usual, has to wake two thousand
//! times a second to notice a deadline within half a millisecond: that was a seventh of what a registration costs.)
//!
//! A decision is a future that is ready when it is first polled, unless the component is still running after [`STAY`]: then it pauses once, so that whoever
//! polls it can go on with it on another thread. [`at_once`] does not mind where it runs.

use super::{
    load::Policy,
    machine::Machine,
    trace::{Answer, Script, Tape, Trace},
    v1::{CurrentCall, CurrentRegistration, answers, exports, facts},
};
use futures_util::FutureExt as _;
use sip::Instant;
use std::{
    any::Any,
    borrow::Cow,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};
use switch::{
    decision::{Admission, Decision, EmergencyPlan, PolicyFault},
    directory::Directory,
    facts::{Call, Caller, Registration},
    record::CallRecord,
    site::Site,
};
use wasmtime::{
    ResourceLimiter, Result, Store, Trap,
    component::{Resource, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Log lines that one decision may write, and octets of each.
const LOG_LINES: u32 = 16;
const LOG_LINE_MAX: usize = 1024;
/// Elements of a component's tables.
const TABLE_ELEMENTS: usize = 20_000;
/// Instructions after which the clock is read: some tens of microseconds of computing.
const STEP: u64 = 50_000;
/// The same for a component that asks the system: what it is told there costs time, and hardly an instruction.
const STEP_OF_WASI: u64 = 2_000;
/// Questions to the host after which the clock is read at each: the host's answers cost time that no instruction counts.
const QUICK_QUESTIONS: u32 = 32;
/// Random octets that a component may ask the system for at a time.
const RANDOM_MAX: u64 = 4096;
/// What a step counts at most. One that took longer was kept waiting, by other threads or by the hypervisor (which even the thread's own clock counts as
/// use): a busy machine makes no policy late.
const STEP_COUNTS: Duration = Duration::from_micros(500);
/// How long a component runs before its decision pauses.
const STAY: Duration = Duration::from_micros(500);

/// What is being decided.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    None,
    Call(Arc<Call>),
    Registration(Arc<Registration>),
}

impl Subject {
    /// The Call-ID of the request.
    pub(super) fn call_id(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Call(call) => Some(call.message.call_id()),
            Self::Registration(registration) => Some(registration.message.call_id()),
        }
    }

    /// Whether both come from one caller: the same phone, trunk, or address of somebody unknown.
    pub(super) fn same_caller(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Call(one), Self::Call(two)) => match (&one.caller, &two.caller) {
                (Caller::Unknown, Caller::Unknown) => one.flow.remote.ip() == two.flow.remote.ip(),
                (one, two) => one == two,
            },
            (Self::Registration(one), Self::Registration(two)) => one.endpoint.id == two.endpoint.id,
            _ => matches!((self, other), (Self::None, Self::None)),
        }
    }
}

/// What a component sees of the host, and its bounds.
pub(crate) struct State {
    pub(super) policy: Arc<Policy>,
    pub(super) site: Arc<Site>,
    /// The directory in force when the decision began.
    pub(super) directory: Arc<Directory>,
    /// Length of the longest extension of `directory`, once somebody has asked.
    longest_extension: Option<u32>,
    pub(super) subject: Subject,
    /// The time of the event.
    pub(super) now: Instant,
    questions_left: u32,
    /// Time among questions to the host, once there are many.
    asking: Watch,
    lines_left: u32,
    memory_bytes: usize,
    /// Linear memory that the instance has.
    memory_held: usize,
    /// Which bound was hit.
    bound: Option<Cow<'static, str>>,
    /// Whether answers are kept, or taken from an earlier decision.
    trace: Trace,
    /// Nothing in it; present only for components that import WASI.
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
}

/// One instance of one policy, owned by one shard.
pub(super) struct Instance {
    store: Store<State>,
    curious: bool,
    registration: Option<exports::registration::Guest>,
    routing: Option<exports::routing::Guest>,
    emergency: Option<exports::emergency::Guest>,
    observation: Option<exports::observation::Guest>,
    configuration: Option<exports::configuration::Guest>,
}

impl Instance {
    /// Starts a component, which may run code of its own: within `deadline`. In a box, because it changes hands at each decision.
    pub(super) async fn new(
        policy: &Arc<Policy>,
        site: &Arc<Site>,
        machine: &Arc<Machine>,
        deadline: Duration,
    ) -> Result<Box<Self>, PolicyFault> {
        let state = State {
            policy: Arc::clone(policy),
            directory: site.directory(),
            longest_extension: None,
            site: Arc::clone(site),
            subject: Subject::None,
            now: Instant::default(),
            questions_left: policy.options.questions,
            asking: Watch::new(deadline),
            lines_left: LOG_LINES,
            memory_bytes: policy.options.memory_bytes.unwrap_or(machine.settings.memory_bytes),
            memory_held: 0,
            bound: None,
            trace: Trace::Off,
            wasi: policy.wasi.then(nothing_of_the_system),
        };
        let mut store = Store::new(&machine.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(policy.options.answer_bytes);
        let counted = store.fuel_async_yield_interval(Some(if policy.wasi { STEP_OF_WASI } else { STEP }));
        let mut instance = Box::new(Self {
            store,
            curious: false,
            registration: None,
            routing: None,
            emergency: None,
            observation: None,
            configuration: None,
        });
        counted.map_err(|error| instance.fault(&error))?;
        let started = instance.enter(deadline, async |store| policy.component.instantiate_async(store).await).await?;
        instance.curious = instance.store.data().questions_left < policy.options.questions;
        let hooks = instance.enter(deadline, async |store| {
            let hooks = &policy.hooks;
            Ok((
                hooks.registration.as_ref().map(|hook| hook.load(&mut *store, &started)).transpose()?,
                hooks.routing.as_ref().map(|hook| hook.load(&mut *store, &started)).transpose()?,
                hooks.emergency.as_ref().map(|hook| hook.load(&mut *store, &started)).transpose()?,
                hooks.observation.as_ref().map(|hook| hook.load(&mut *store, &started)).transpose()?,
                hooks.configuration.as_ref().map(|hook| hook.load(&mut *store, &started)).transpose()?,
            ))
        });
        // Only looked up here, not run: what fails is the type of a hook.
        let hooks = hooks.await.map_err(|fault| PolicyFault::Nonsense(format!("a hook of other types than the contract's: {fault}")))?;
        (instance.registration, instance.routing, instance.emergency, instance.observation, instance.configuration) = hooks;
        Ok(instance)
    }

    pub(super) async fn admit(
        &mut self,
        registration: &Arc<Registration>,
        directory: &Arc<Directory>,
        deadline: Duration,
    ) -> Result<Admission, PolicyFault> {
        let Some(guest) = self.registration.take() else { return Err(PolicyFault::Absent) };
        self.about(Subject::Registration(Arc::clone(registration)), directory, registration.at);
        let ask = async |store: &mut Store<State>| {
            guest.call_admit(store, facts::registration(registration), Resource::<CurrentRegistration>::new_borrow(0)).await
        };
        let answer = self.enter(deadline, ask).await?;
        self.registration = Some(guest);
        answers::admission(answer, self.known(directory))
    }

    pub(super) async fn route(
        &mut self,
        call: &Arc<Call>,
        directory: &Arc<Directory>,
        deadline: Duration,
    ) -> Result<Decision, PolicyFault> {
        let Some(guest) = self.routing.take() else { return Err(PolicyFault::Absent) };
        self.about(Subject::Call(Arc::clone(call)), directory, call.at);
        let ask = async |store: &mut Store<State>| guest.call_route(store, facts::call(call), Resource::<CurrentCall>::new_borrow(0)).await;
        let answer = self.enter(deadline, ask).await?;
        self.routing = Some(guest);
        answers::decision(answer, self.known(&self.store.data().site))
    }

    pub(super) async fn emergency(
        &mut self,
        call: &Arc<Call>,
        directory: &Arc<Directory>,
        deadline: Duration,
    ) -> Result<EmergencyPlan, PolicyFault> {
        let Some(guest) = self.emergency.take() else { return Err(PolicyFault::Absent) };
        self.about(Subject::Call(Arc::clone(call)), directory, call.at);
        let ask = async |store: &mut Store<State>| guest.call_route(store, facts::call(call), Resource::<CurrentCall>::new_borrow(0)).await;
        let answer = self.enter(deadline, ask).await?;
        self.emergency = Some(guest);
        answers::emergency(answer, self.known(directory))
    }

    pub(super) async fn ended(&mut self, record: &CallRecord, directory: &Arc<Directory>, deadline: Duration) -> Result<(), PolicyFault> {
        let Some(guest) = self.observation.take() else { return Err(PolicyFault::Absent) };
        self.about(Subject::None, directory, record.ended);
        self.enter(deadline, async |store: &mut Store<State>| guest.call_ended(store, facts::record(record)).await).await?;
        self.observation = Some(guest);
        Ok(())
    }

    /// Whether it asked the host anything while it started.
    pub(super) const fn is_curious(&self) -> bool {
        self.curious
    }

    /// Asks the configuration hook; each problem as one sentence.
    pub(super) fn check(&mut self, deadline: Duration) -> Result<Vec<String>, PolicyFault> {
        let Some(guest) = self.configuration.take() else { return Ok(Vec::new()) };
        let policy = Arc::clone(&self.store.data().policy);
        let answer = facts::with_settings(&policy.options.settings, |settings| {
            at_once(self.enter(deadline, async |store: &mut Store<State>| guest.call_check(store, settings).await))
        })?;
        self.configuration = Some(guest);
        let problems = answer.err().unwrap_or_default();
        Ok(problems.into_iter().map(|problem| format!("settings.{}: {}", problem.key, problem.message)).collect())
    }

    /// Keeps what the next decision is told, until [`Self::take_tape`].
    pub(super) fn record(&mut self) {
        self.store.data_mut().trace = Trace::Recording(Tape::default());
    }

    /// What was kept since [`Self::record`].
    pub(super) fn take_tape(&mut self) -> Tape {
        match std::mem::take(&mut self.store.data_mut().trace) {
            Trace::Recording(tape) => tape,
            Trace::Off | Trace::Playing(_) | Trace::Recalling(_) => Tape::default(),
        }
    }

    /// Answers the next decision from `script` instead of the site.
    pub(super) fn play(&mut self, script: Script) {
        self.store.data_mut().trace = Trace::Playing(script);
    }

    /// Answers the next decision as `tape` has it, and from the site what was not asked then.
    pub(super) fn recall(&mut self, tape: &Tape) {
        self.store.data_mut().trace = Trace::Recalling(Script::of_tables(tape));
    }

    /// What the names of an answer are looked up in; nothing while an earlier decision is made again, whose site is gone.
    fn known<'a, T>(&self, site: &'a T) -> Option<&'a T> {
        (!matches!(self.store.data().trace, Trace::Playing(_))).then_some(site)
    }

    /// The script of [`Self::play`], and in it the first question that it had no answer to.
    pub(super) fn take_script(&mut self) -> Script {
        match std::mem::take(&mut self.store.data_mut().trace) {
            Trace::Playing(script) => script,
            Trace::Off | Trace::Recording(_) | Trace::Recalling(_) => Script::default(),
        }
    }

    /// Octets of linear memory that it has now.
    pub(super) fn memory_held(&self) -> usize {
        self.store.data().memory_held
    }

    fn about(&mut self, subject: Subject, directory: &Arc<Directory>, now: Instant) {
        let state = self.store.data_mut();
        state.subject = subject;
        state.now = now;
        if !Arc::ptr_eq(&state.directory, directory) {
            state.directory = Arc::clone(directory);
            state.longest_extension = None;
        }
    }

    /// Runs something of the component within its bounds. After any fault the instance must be dropped: it answers nothing any more.
    async fn enter<T>(&mut self, deadline: Duration, run: impl AsyncFnOnce(&mut Store<State>) -> Result<T>) -> Result<T, PolicyFault> {
        let state = self.store.data_mut();
        state.questions_left = state.policy.options.questions;
        state.lines_left = LOG_LINES;
        state.asking = Watch::new(deadline);
        self.store.set_fuel(u64::MAX).map_err(|error| self.fault(&error))?;
        let result = {
            // A panic in one of the host's own functions ends here: it costs this instance, not the shard.
            let mut running = pin!(AssertUnwindSafe(run(&mut self.store)).catch_unwind());
            let mut watch = Watch::new(deadline);
            poll_fn(|context| watch.poll(running.as_mut(), context)).await
        };
        self.store.data_mut().subject = Subject::None;
        match result {
            Some(Ok(Ok(value))) => Ok(value),
            Some(Ok(Err(error))) => Err(self.fault(&error)),
            Some(Err(panic)) => Err(PolicyFault::Trap(format!("the host's answer failed: {}", panic_text(&*panic)))),
            None => Err(PolicyFault::Late(deadline)),
        }
    }

    fn fault(&self, error: &wasmtime::Error) -> PolicyFault {
        let state = self.store.data();
        if let Some(bound) = &state.bound {
            return PolicyFault::Bound(bound.clone().into_owned());
        }
        if state.asking.late() {
            return PolicyFault::Late(state.asking.deadline);
        }
        let text = error.root_cause().to_string();
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => PolicyFault::Bound("stack".to_owned()),
            Some(trap) => PolicyFault::Trap(trap.to_string()),
            // The engine's own error for this has no type that can be named.
            None if text.contains("fuel allocated for hostcalls") => {
                PolicyFault::Bound(format!("an answer of more than {} octets", state.policy.options.answer_bytes))
            }
            None => PolicyFault::Trap(text.chars().take(200).collect()),
        }
    }
}

impl State {
    /// The call being decided.
    pub(super) fn call(&mut self) -> Result<&Call> {
        self.asked()?;
        match &self.subject {
            Subject::Call(call) => Ok(call),
            Subject::None | Subject::Registration(_) => Err(wasmtime::Error::msg("no call is being decided")),
        }
    }

    /// The registration being decided.
    pub(super) fn registration(&mut self) -> Result<&Registration> {
        self.asked()?;
        match &self.subject {
            Subject::Registration(registration) => Ok(registration),
            Subject::None | Subject::Call(_) => Err(wasmtime::Error::msg("no registration is being decided")),
        }
    }

    /// The length of the longest extension, in characters.
    pub(super) fn longest_extension(&mut self) -> u32 {
        let directory = &self.directory;
        *self.longest_extension.get_or_insert_with(|| {
            let longest = directory.extensions().map(|extension| extension.chars().count()).max();
            u32::try_from(longest.unwrap_or(0)).unwrap_or(u32::MAX)
        })
    }

    /// Answers one question: from the site, or as an earlier decision was told. Counts it.
    pub(super) fn answer<T: Answer>(&mut self, question: &'static str, arguments: &[&str], look: impl FnOnce(&mut Self) -> T) -> Result<T> {
        self.asked()?;
        match &mut self.trace {
            Trace::Playing(script) => {
                let unknown = || wasmtime::Error::msg(format!("the record has no answer to {question}"));
                return script.answer(question, arguments).ok_or_else(unknown);
            }
            Trace::Recalling(script) => {
                if let Some(answer) = script.answer(question, arguments) {
                    return Ok(answer);
                }
            }
            Trace::Recording(_) | Trace::Off => {}
        }
        let answer = look(self);
        if let Trace::Recording(tape) = &mut self.trace {
            tape.keep(question, arguments, answer.told());
        }
        Ok(answer)
    }

    /// Counts a question.
    pub(super) fn asked(&mut self) -> Result<()> {
        match self.questions_left.checked_sub(1) {
            Some(left) => {
                self.questions_left = left;
                if self.policy.options.questions - left > QUICK_QUESTIONS && !self.asking.step() {
                    return Err(wasmtime::Error::msg("out of time"));
                }
                Ok(())
            }
            None => Err(self.over(format!("more than {} questions to the host", self.policy.options.questions))),
        }
    }

    /// What is kept of a log line; `None` when this decision, or the policy in this second, has written enough, and of made-up calls.
    pub(super) fn log_line(&mut self, level: &'static str, message: &str) -> Option<String> {
        if self.policy.trying {
            return None;
        }
        let left = self.lines_left.checked_sub(1);
        self.lines_left = left.unwrap_or_default();
        if left.is_none() || !self.policy.lines.one_more(&self.policy.name, self.policy.options.log_lines, self.now) {
            self.policy.meter.lines_dropped.fetch_add(1, Relaxed);
            return None;
        }
        let end = message.floor_char_boundary(LOG_LINE_MAX);
        let line: String = message.get(..end).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if let Trace::Recording(tape) = &mut self.trace {
            tape.keep_line(level, &line);
        }
        Some(line)
    }

    fn over(&mut self, bound: impl Into<Cow<'static, str>>) -> wasmtime::Error {
        let bound = bound.into();
        let error = wasmtime::Error::msg(format!("over its bound: {bound}"));
        self.bound = Some(bound);
        error
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        if desired > self.memory_bytes {
            return Err(self.over(format!("more than {} MiB of memory", self.memory_bytes >> 20)));
        }
        self.memory_held = self.memory_held.saturating_add(desired.saturating_sub(current));
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(self.over("the size of its tables"));
        }
        Ok(true)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, table) = &mut **self.wasi.get_or_insert_with(nothing_of_the_system);
        WasiCtxView { ctx, table }
    }
}

/// Makes a decision on this thread, however long it takes.
pub(super) fn at_once<T>(decision: impl Future<Output = T>) -> T {
    let mut decision = pin!(decision);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(decided) = decision.as_mut().poll(&mut context) {
            return decided;
        }
    }
}

/// Deny-all: no file, no network, no environment, no arguments; what is written is lost.
fn nothing_of_the_system() -> Box<(WasiCtx, ResourceTable)> {
    Box::new((WasiCtx::builder().max_random_size(RANDOM_MAX).build(), ResourceTable::new()))
}

/// Keeps the time of one decision.
struct Watch {
    deadline: Duration,
    /// How long the component has run.
    ran: Duration,
    /// When it was given control, once it has handed it back.
    since: Option<std::time::Instant>,
    paused: bool,
}

impl Watch {
    const fn new(deadline: Duration) -> Self {
        Self { deadline, ran: Duration::ZERO, since: None, paused: false }
    }

    /// Counts the time since it was last here; `false` when there is none left.
    fn step(&mut self) -> bool {
        let now = std::time::Instant::now();
        // The first step began when nobody looked at the clock.
        let step = self.since.replace(now).map_or(STEP_COUNTS / 10, |since| now - since);
        self.ran += step.min(STEP_COUNTS);
        !self.late()
    }

    fn late(&self) -> bool {
        self.ran > self.deadline
    }

    /// Lets the component run; `None` when it was not done in time.
    fn poll<T>(&mut self, mut running: Pin<&mut impl Future<Output = T>>, context: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            if let Poll::Ready(done) = running.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if !self.step() {
                return Poll::Ready(None);
            }
            if self.ran > STAY && !std::mem::replace(&mut self.paused, true) {
                // Until it goes on it does not run.
                self.since = None;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

#[cfg(test)]
mod tests;
