//! Policies: WebAssembly components, checked when they arrive, swapped while calls run, bounded while they decide.
//! SKELETON: signatures are the contract.

use std::{sync::Arc, time::Duration};
use switch::{
    decision::{Admission, Decision, EmergencyPlan, PolicyFault},
    facts::{Call, Registration},
    record::CallRecord,
    site::Site,
};

/// One policy's part in a decision, for log, ladder and metrics.
#[derive(Clone, Debug)]
pub struct Step {
    /// The policy's name: the file name without number and ending, e.g. `licence`.
    pub policy: Arc<str>,
    /// In a few words: `pass`, `route 1 stage`, `refuse 404 Not Found`, `admit site`, or the fault.
    pub outcome: String,
    /// Set when it failed.
    pub fault: Option<PolicyFault>,
    /// Time it took.
    pub took: Duration,
}

/// All loaded policies of a process. Cheap to share.
pub struct Engine {}

/// One shard's door to the policies: owns its instances, follows swaps at its next decision. Not shared between threads.
pub struct Runner {}

impl Engine {
    /// A runner for one shard.
    #[must_use]
    pub fn runner(self: &Arc<Self>, _site: Arc<Site>) -> Runner {
        todo!()
    }
}

impl Runner {
    /// Asks the chain's admission hooks in order; the first answer other than pass ends it. `Admission::Pass` when nobody minds.
    /// A fault follows the policy's `on_fault`: `next` goes on, `refuse` becomes a refusal (503).
    pub fn admit(&mut self, _registration: &Arc<Registration>, _steps: &mut Vec<Step>) -> Admission {
        todo!()
    }
    /// Asks the chain's routing hooks in order; amendments are applied to `call` between them. `Decision::Pass` when nobody decided. Plans are
    /// checked with `switch::plan::check`; nonsense is a fault.
    pub fn route(&mut self, _call: &mut Call, _steps: &mut Vec<Step>) -> Decision {
        todo!()
    }
    /// Asks the emergency hook, once, within the emergency deadline.
    ///
    /// # Errors
    /// Any fault, and [`PolicyFault::Absent`] when no policy has the hook: the host's own plan is used.
    pub fn emergency(&mut self, _call: &Call, _steps: &mut Vec<Step>) -> Result<EmergencyPlan, PolicyFault> {
        todo!()
    }
    /// Tells observing policies that a call has ended. Faults are counted and otherwise ignored.
    pub fn ended(&mut self, _record: &CallRecord) {
        todo!()
    }
}
