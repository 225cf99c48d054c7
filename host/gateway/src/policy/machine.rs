//! The WebAssembly engine of a process: made once, shared by every policy and shard.

use super::{EngineSettings, ticker::Ticker};
use anyhow::Context as _;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Largest linear memory that an operator can allow a policy.
const MEMORY_MAX: usize = 256 << 20;
/// Octets of native stack that one decision may use.
const STACK_BYTES: usize = 256 << 10;
/// Memory of a slot that is kept and cleared instead of being given back to the system.
const KEEP_RESIDENT: usize = 2 << 20;
/// Instances at a time: policies times shards, twice during a swap.
const INSTANCES: u32 = 1024;

pub(super) struct Machine {
    pub(super) engine: wasmtime::Engine,
    pub(super) ticker: Ticker,
    pub(super) settings: EngineSettings,
}

impl Machine {
    pub(super) fn new(settings: EngineSettings) -> anyhow::Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(INSTANCES)
            .total_core_instances(4 * INSTANCES)
            .total_memories(INSTANCES)
            .total_tables(4 * INSTANCES)
            .max_memory_size(MEMORY_MAX)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .max_wasm_stack(STACK_BYTES)
            // Nothing of a guest ever runs beside something else of it: cheaper to enter, less to go wrong.
            .concurrency_support(false)
            // Nobody reads a backtrace while a phone waits.
            .wasm_backtrace_max_frames(None)
            .memory_reservation(u64::try_from(MEMORY_MAX)?)
            .memory_guard_size(32 << 20)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine =
            wasmtime::Engine::new(&config).map_err(|error| anyhow::anyhow!("the WebAssembly engine could not be made: {error:#}"))?;
        let ticker = Ticker::start(engine.weak()).context("the thread that keeps deadlines could not be started")?;
        Ok(Self { engine, ticker, settings })
    }
}
