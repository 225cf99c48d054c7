//! The WebAssembly engine of a process: made once, shared by every policy and shard.

use super::{EngineSettings, cache::CodeCache};
use std::path::Path;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, component::Component};

/// Largest linear memory that an operator can allow a policy.
const MEMORY_MAX: usize = 256 << 20;
/// Octets of native stack that one decision may use.
const STACK_BYTES: usize = 256 << 10;
/// Memory of a slot that is kept and cleared instead of being given back to the system.
const KEEP_RESIDENT: usize = 2 << 20;
/// The same for a table: giving back a page and faulting it in again costs more than everything else that starting an instance does with its tables.
const KEEP_TABLE: usize = 16 << 10;
/// Instances at a time: policies times shards, each with one that has decided and those that decide next, twice during a swap, and those that take long.
const INSTANCES: u32 = 1024;

pub(super) struct Machine {
    pub(super) engine: wasmtime::Engine,
    pub(super) settings: EngineSettings,
    pub(super) cache: Option<CodeCache>,
}

impl Machine {
    pub(super) fn new(settings: EngineSettings) -> anyhow::Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(INSTANCES)
            .total_core_instances(4 * INSTANCES)
            .total_memories(INSTANCES)
            .total_tables(4 * INSTANCES)
            .total_stacks(INSTANCES)
            .max_memory_size(MEMORY_MAX)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_TABLE)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .max_wasm_stack(STACK_BYTES)
            // Nothing of a guest ever runs beside something else of it: cheaper to enter, less to go wrong.
            .concurrency_support(false)
            // Nobody reads a backtrace while a phone waits.
            .wasm_backtrace_max_frames(None)
            .memory_reservation(u64::try_from(MEMORY_MAX)?)
            .memory_guard_size(32 << 20)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let cache = settings.cache.as_deref().and_then(open_cache);
        config.cache(cache.as_ref().map(CodeCache::cache));
        let engine =
            wasmtime::Engine::new(&config).map_err(|error| anyhow::anyhow!("the WebAssembly engine could not be made: {error:#}"))?;
        Ok(Self { engine, settings, cache })
    }

    /// Compiles a component, or finds it compiled.
    pub(super) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        let before = self.cache.as_ref().map(CodeCache::counts);
        // Threads of its own, which end with it: what the compiler leaves on the heap of a thread that lives on is never given back to the system.
        let threads = rayon::ThreadPoolBuilder::new().thread_name(|number| format!("compile-{number}")).build()?;
        let component = threads.install(|| Component::new(&self.engine, bytes))?;
        drop(threads);
        if let Some((cache, before)) = self.cache.as_ref().zip(before) {
            cache.compiled(before);
        }
        Ok(component)
    }
}

fn open_cache(folder: &Path) -> Option<CodeCache> {
    let warn = |error: &anyhow::Error| {
        tracing::warn!(folder = %folder.display(), error = format!("{error:#}"), "compiled code is not kept: the next start compiles it again");
    };
    CodeCache::open(folder).inspect_err(warn).ok()
}
