//! The decisions of one shard.
//!
//! Most are made when they are first polled. One whose component takes long goes on aside, and the shard polls it again when there is an answer.

use super::{
    Hook, Step,
    aside::Begun,
    breaker::Breaker,
    decided::Decided,
    engine::{Chain, Engine, Link},
    instance::{Instance, Subject, at_once},
    load::Policy,
    metrics::Counted,
    options::OnFault,
    said,
    shadow::{Asked, Event},
    stock::{START, Slot},
    trace::Tape,
};
use crate::record::Recorder;
use std::{
    cell::{RefCell, RefMut},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use switch::{
    decision::{Admission, Amendments, Decision, EmergencyPlan, PolicyFault, Refusal},
    facts::{Call, Registration},
    record::CallRecord,
    site::Site,
};

/// Attributes that one call can carry; what earlier policies noted stays.
const ATTRIBUTES_MAX: usize = 64;

/// Octets of an answer's words in log and ladder.
const OUTCOME_MAX: usize = 256;

/// One shard's door to the policies: owns its instances, follows swaps at its next decision. Not shared between threads.
pub struct Runner {
    engine: Arc<Engine>,
    site: Arc<Site>,
    /// Borrowed for moments, never while a decision is being made.
    latest: RefCell<Latest>,
    /// Which of a policy's counters are this shard's.
    stripe: usize,
    recorder: Option<Arc<Recorder>>,
}

/// The chain that the latest decision followed.
struct Latest {
    chain: Arc<Chain>,
    /// One for each policy of the chain.
    slots: Vec<Slot>,
}

/// One question to one policy.
struct Question<'a> {
    link: &'a Link,
    /// Where the policy's file says nothing.
    deadline: Duration,
    about: Subject,
    /// What it is asked; whose breaker counts a fault.
    hook: Hook,
}

impl Runner {
    pub(super) fn new(engine: Arc<Engine>, site: Arc<Site>) -> Self {
        let chain = Arc::clone(&engine.chain());
        let slots = chain.policies.iter().map(|policy| Slot::new(policy, &chain.ahead)).collect();
        let latest = RefCell::new(Latest { chain, slots });
        let stripe = engine.runners.fetch_add(1, Relaxed);
        let recorder = engine.recorder();
        Self { engine, site, latest, stripe, recorder }
    }

    /// Starts what the next decisions need and clears away what the latest have left. To be called when there is time, after what was decided is on its way;
    /// never needed, but without it a decision waits for what it needs.
    pub fn prepare(&self) {
        let chain = self.follow();
        for (policy, slot) in chain.policies.iter().zip(&mut self.latest.borrow_mut().slots) {
            slot.prepare(policy.reused, || {
                let (policy, site, machine) = (Arc::clone(policy), Arc::clone(&self.site), Arc::clone(&self.engine.machine));
                self.engine.aside.begin(async move { Instance::new(&policy, &site, &machine, START).await })
            });
        }
    }

    /// Asks the chain's admission hooks in order; the first answer other than pass ends it. `Admission::Pass` when nobody minds.
    /// A fault follows the policy's `on_fault`: `next` goes on, `refuse` becomes a refusal (503).
    pub async fn admit(&self, registration: &Arc<Registration>, steps: &mut Vec<Step>) -> Admission {
        let chain = self.follow();
        let directory = self.site.directory();
        let deadline = self.engine.machine.settings.deadline;
        for link in &chain.registration {
            let about = Subject::Registration(Arc::clone(registration));
            let question = Question { link, deadline, about, hook: Hook::Registration };
            let (registration, directory) = (Arc::clone(registration), Arc::clone(&directory));
            let decide = move |mut instance: Box<Instance>, deadline| async move {
                let answer = instance.admit(&registration, &directory, deadline).await;
                (instance, answer)
            };
            match self.ask(question, steps, decide, admission_outcome).await {
                Ok(Admission::Pass) => {}
                Ok(answer) => return answer,
                Err(fault) if link.policy.options.on_fault == OnFault::Refuse => {
                    return Admission::Refuse(out_of_order(&link.policy.name, &fault));
                }
                Err(_) => {}
            }
        }
        Admission::Pass
    }

    /// Asks the chain's routing hooks in order; amendments are applied to `call` between them. `Decision::Pass` when nobody decided. Plans are
    /// checked with `switch::plan::check`; nonsense is a fault. When nobody decided and one of them had failed, the call is refused with 503: the
    /// one that failed might have known the way.
    pub async fn route(&self, call: &mut Arc<Call>, steps: &mut Vec<Step>) -> Decision {
        let chain = self.follow();
        let directory = self.site.directory();
        let mut failed = None;
        let mut decision = None;
        let deadline = self.engine.machine.settings.deadline;
        for link in &chain.routing {
            let question = Question { link, deadline, about: Subject::Call(Arc::clone(call)), hook: Hook::Routing };
            let (asked, directory) = (Arc::clone(call), Arc::clone(&directory));
            let decide = move |mut instance: Box<Instance>, deadline| async move {
                let answer = instance.route(&asked, &directory, deadline).await;
                (instance, answer)
            };
            match self.ask(question, steps, decide, decision_outcome).await {
                Ok(Decision::Pass(amendments)) if amendments == Amendments::default() => {}
                Ok(Decision::Pass(amendments)) => amend(Arc::make_mut(call), amendments),
                Ok(answer) => {
                    decision = Some(answer);
                    break;
                }
                Err(fault) => {
                    let refusal = out_of_order(&link.policy.name, &fault);
                    if link.policy.options.on_fault == OnFault::Refuse {
                        decision = Some(Decision::Refuse(refusal));
                        break;
                    }
                    failed = Some(refusal);
                }
            }
        }
        decision.or_else(|| failed.map(Decision::Refuse)).unwrap_or_else(|| Decision::Pass(Amendments::default()))
    }

    /// Asks the emergency hook, once, within the emergency deadline. Only the first policy of the chain that has the hook.
    ///
    /// # Errors
    /// Any fault, and [`PolicyFault::Absent`] when no policy has the hook: the host's own plan is used.
    pub fn emergency(&self, call: &Arc<Call>, steps: &mut Vec<Step>) -> Result<EmergencyPlan, PolicyFault> {
        let chain = self.follow();
        let Some(link) = &chain.emergency else { return Err(PolicyFault::Absent) };
        let directory = self.site.directory();
        let deadline = self.engine.machine.settings.emergency_deadline;
        let question = Question { link, deadline, about: Subject::Call(Arc::clone(call)), hook: Hook::Emergency };
        let call = Arc::clone(call);
        let decide = move |mut instance: Box<Instance>, deadline| async move {
            let answer = instance.emergency(&call, &directory, deadline).await;
            (instance, answer)
        };
        // Never aside: a call for help waits for nobody else's decision. What it can hold up its shard for is its deadline.
        at_once(self.ask(question, steps, decide, emergency_outcome))
    }

    /// Whether a policy wants to know that a call has ended.
    #[must_use]
    pub fn observes(&self) -> bool {
        !self.follow().observation.is_empty()
    }

    /// Tells observing policies that a call has ended. Faults are counted and otherwise ignored.
    pub async fn ended(&self, record: &CallRecord) {
        let chain = self.follow();
        if chain.observation.is_empty() {
            return;
        }
        let directory = self.site.directory();
        let deadline = self.engine.machine.settings.deadline;
        let mut steps = Vec::new();
        for link in &chain.observation {
            // `ask` has logged and counted a fault, and nothing else follows from it.
            let question = Question { link, deadline, about: Subject::None, hook: Hook::Observation };
            let (told, directory) = (record.clone(), Arc::clone(&directory));
            let decide = move |mut instance: Box<Instance>, deadline| async move {
                let answer = instance.ended(&told, &directory, deadline).await;
                (instance, answer)
            };
            let observed = self.ask(question, &mut steps, decide, heard).await;
            self.offer(link, || Event::Ended(Box::new(record.clone())), Arc::default(), || observed.map(|()| String::new()));
        }
    }

    /// The chain in force. Instances of policies that stay are kept.
    fn follow(&self) -> Arc<Chain> {
        let current = self.engine.chain();
        let mut latest = self.latest.borrow_mut();
        if !Arc::ptr_eq(&current, &latest.chain) {
            let Latest { chain, slots } = &mut *latest;
            let mut old: Vec<_> = chain.policies.iter().zip(slots.drain(..)).collect();
            let keep = |policy: &Arc<Policy>| {
                old.iter_mut()
                    .find(|(was, _)| Arc::ptr_eq(was, policy))
                    .map_or_else(|| Slot::new(policy, &current.ahead), |(_, slot)| std::mem::take(slot))
            };
            let kept: Vec<_> = current.policies.iter().map(keep).collect();
            *latest = Latest { chain: Arc::clone(&current), slots: kept };
        }
        Arc::clone(&latest.chain)
    }

    /// Where a policy's instances are; `None` once it has been swapped out.
    fn slot(&self, policy: &Arc<Policy>) -> Option<RefMut<'_, Slot>> {
        RefMut::filter_map(self.latest.borrow_mut(), |latest| {
            let place = latest.chain.policies.iter().position(|known| Arc::ptr_eq(known, policy))?;
            latest.slots.get_mut(place)
        })
        .ok()
    }

    /// Hands a decision to whoever is tried beside this policy.
    fn offer(&self, link: &Link, event: impl FnOnce() -> Event, tape: Arc<Tape>, said: impl FnOnce() -> Result<String, PolicyFault>) {
        let Some(shadow) = &link.shadow else { return };
        let event = event();
        if !matches!(event, Event::Decide(Subject::None))
            && shadow.offer(Asked { event, directory: self.site.directory(), tape, said: said() })
        {
            self.engine.alarm();
        }
    }

    /// One decision of one policy, written down as a step. Whatever goes wrong costs its instance; the next decision starts a new one.
    async fn ask<T, D>(
        &self,
        Question { link, deadline, about, hook }: Question<'_>,
        steps: &mut Vec<Step>,
        decide: impl FnOnce(Box<Instance>, Duration) -> D + Send + 'static,
        outcome: impl FnOnce(&T) -> Words<'_>,
    ) -> Result<T, PolicyFault>
    where
        T: Counted + Send + 'static,
        D: Future<Output = (Box<Instance>, Result<T, PolicyFault>)> + Send,
    {
        let began = Instant::now();
        let policy = &link.policy;
        let breaker = policy.breakers.of(hook);
        // One that failed too often is recorded, too: its silence is part of the story.
        let recorder = self.recorder.as_ref().filter(|recorder| about.call_id().is_some_and(|call_id| recorder.wants(call_id)));
        let record = |tape: &Arc<Tape>, said: &str, why: &str, fault: Option<&PolicyFault>, took: Duration| {
            if let Some(recorder) = recorder {
                let (policy, subject) = (Arc::clone(policy), about.clone());
                let (said, why) = (said.to_owned(), why.to_owned());
                recorder.decided(Decided { policy, hook, subject, tape: Arc::clone(tape), said, why, fault: fault.cloned(), took });
            }
        };
        if breaker.is_some_and(Breaker::is_open) {
            let fault = PolicyFault::Resting;
            policy.meter.count::<T>(hook, self.stripe, &Err(PolicyFault::Resting), Duration::ZERO);
            let tape = Arc::default();
            record(&tape, &fault.to_string(), "", Some(&fault), began.elapsed());
            self.offer(link, || Event::Decide(about), tape, || Err(fault.clone()));
            steps.push(Step {
                policy: Arc::clone(&policy.name),
                component: Arc::clone(&policy.which),
                hook,
                outcome: fault.to_string(),
                passed: false,
                fault: Some(fault.clone()),
                took: began.elapsed(),
            });
            return Err(fault);
        }
        let deadline = policy.options.deadline.unwrap_or(deadline);
        let ready = self.slot(policy).and_then(|mut slot| slot.take(policy.reused));
        let ready = ready.ok_or_else(|| (Arc::clone(policy), Arc::clone(&self.site), Arc::clone(&self.engine.machine)));
        let recording = recorder.is_some() || link.shadow.is_some();
        let job = {
            async move {
                let started = match ready {
                    Ok(instance) => Ok(instance),
                    Err((policy, site, machine)) => Instance::new(&policy, &site, &machine, deadline.max(START)).await,
                };
                let mut instance = match started {
                    Ok(instance) => instance,
                    Err(fault) => return (None, Err(fault), Tape::default()),
                };
                if recording {
                    instance.record();
                }
                let (mut instance, answer) = decide(instance, deadline).await;
                let tape = if recording { instance.take_tape() } else { Tape::default() };
                (Some(instance), answer, tape)
            }
        };
        let (instance, result, tape) = match hook {
            Hook::Emergency => at_once(job),
            Hook::Registration | Hook::Routing | Hook::Observation => match self.engine.aside.begin(job) {
                Begun::Done(decided) => decided,
                Begun::Away(decided) => {
                    decided.await.unwrap_or_else(|_| (None, Err(PolicyFault::Trap("its thread ended".to_owned())), Tape::default()))
                }
            },
        };
        let (tape, took) = (Arc::new(tape), began.elapsed());
        policy.meter.count(hook, self.stripe, &result, took);
        if let Some(mut slot) = self.slot(policy) {
            slot.decided(instance, policy.reused && result.is_ok());
        }
        let (policy_name, component) = (Arc::clone(&policy.name), Arc::clone(&policy.which));
        match &result {
            Ok(answer) => {
                let Words { passed, mut said, why } = outcome(answer);
                record(&tape, &said, why, None, took);
                self.offer(link, || Event::Decide(about), tape, || Ok(said.clone()));
                said.truncate(said.floor_char_boundary(OUTCOME_MAX));
                steps.push(Step { policy: policy_name, component, hook, outcome: said, passed, fault: None, took });
            }
            Err(fault) => {
                record(&tape, &fault.to_string(), "", Some(fault), took);
                self.offer(link, || Event::Decide(about.clone()), tape, || Err(fault.clone()));
                let faults = policy.faults.fetch_add(1, Relaxed).saturating_add(1);
                tracing::warn!(policy = &*policy.name, file = policy.file, %fault, faults, took_us = took.as_micros(), "policy failed");
                steps.push(Step {
                    policy: policy_name,
                    component,
                    hook,
                    outcome: fault.to_string(),
                    passed: false,
                    fault: Some(fault.clone()),
                    took,
                });
                // What was answered in time but against the contract costs nothing, and often has its cause in what a caller dialled.
                if let Some(breaker) = breaker.filter(|_| !matches!(fault, PolicyFault::Nonsense(_)))
                    && breaker.failed(fault.to_string(), about, Instant::now())
                {
                    let reason = breaker.reason();
                    tracing::error!(policy = &*policy.name, file = policy.file, reason, "policy left out until it is mended or recovers");
                    self.engine.alarm();
                }
            }
        }
        result
    }
}

fn amend(call: &mut Call, amendments: Amendments) {
    if let Some(called) = amendments.called {
        call.called = called;
    }
    if let Some(number) = amendments.caller_number {
        call.caller_number = number;
    }
    if let Some(name) = amendments.caller_name {
        call.caller_name = name;
    }
    for (name, value) in amendments.attributes {
        if let Some((_, old)) = call.attributes.iter_mut().find(|(known, _)| *known == name) {
            *old = value;
        } else if call.attributes.len() < ATTRIBUTES_MAX {
            call.attributes.push((name, value));
        } else {
            tracing::warn!(name, "attribute dropped: the call has {ATTRIBUTES_MAX} already");
        }
    }
}

fn out_of_order(policy: &str, fault: &PolicyFault) -> Refusal {
    Refusal::new(503, "Service Unavailable", format!("policy {policy} {fault}"))
}

/// An answer in words.
struct Words<'a> {
    /// It left the decision to the next policy.
    passed: bool,
    said: String,
    /// What a refusal says to the operator.
    why: &'a str,
}

fn decision_outcome(decision: &Decision) -> Words<'_> {
    let why = if let Decision::Refuse(refusal) = decision { refusal.detail.as_str() } else { "" };
    Words { passed: matches!(decision, Decision::Pass(_)), said: said::decision(decision), why }
}

fn admission_outcome(admission: &Admission) -> Words<'_> {
    let why = if let Admission::Refuse(refusal) = admission { refusal.detail.as_str() } else { "" };
    Words { passed: matches!(admission, Admission::Pass), said: said::admission(admission), why }
}

fn emergency_outcome(plan: &EmergencyPlan) -> Words<'_> {
    Words { passed: false, said: said::emergency(plan), why: "" }
}

const fn heard((): &()) -> Words<'_> {
    Words { passed: true, said: String::new(), why: "" }
}
