;; WASI as Go's runtime asks for it, answered without asking anybody: a policy has no clock, no randomness, no environment and no files of its own.
;; (The usual adapter calls the host instead, and cannot while a decision is being returned.)
(module
  (import "env" "memory" (memory 0))
  (func (export "args_get") (param i32 i32) (result i32) i32.const 0)
  (func (export "args_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0)) (i32.store (local.get $size) (i32.const 0)) i32.const 0)
  (func (export "environ_get") (param i32 i32) (result i32) i32.const 0)
  (func (export "environ_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0)) (i32.store (local.get $size) (i32.const 0)) i32.const 0)
  ;; The time stands still, as it does for every policy; what the contract's clock says is another matter.
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (i64.store (local.get $time) (i64.const 1)) i32.const 0)
  ;; The seed of Go's maps: the same every time, so that a decision can be repeated exactly.
  (func (export "random_get") (param $buffer i32) (param $length i32) (result i32)
    (memory.fill (local.get $buffer) (i32.const 7) (local.get $length)) i32.const 0)
  (func (export "sched_yield") (result i32) i32.const 0)
  ;; 52 is ENOSYS, 8 is EBADF: there is nothing to wait for, and no file is open.
  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) i32.const 52)
  (func (export "fd_write") (param i32 i32 i32 i32) (result i32) i32.const 8)
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) i32.const 8)
  (func (export "fd_close") (param i32) (result i32) i32.const 8)
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_prestat_get") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) i32.const 8)
  (func (export "adapter_monotonic_clock_set_paused") (param i32))
  (func (export "proc_exit") (param i32) unreachable)
)
