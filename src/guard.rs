//! What a process may meet at any place, whatever command it runs: no memory left, a file that may not
//! grow any more, a runtime that panics. Each ends with an error line and an exit code.

#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by its trait, and so is setting what a signal does"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;

/// Requests from here on are compared with the free memory before the system is asked: Linux grants what
/// it does not have, and kills the process when it is used.
const LARGE: usize = 256 << 20;
/// Exit code of a failure of the machine.
const RUNTIME: i32 = 6;

/// The system's allocator, which says it when there is no memory.
pub struct Guard;

#[global_allocator]
static GUARD: Guard = Guard;

// SAFETY: every call is passed on to the system's allocator as it is; what it refuses does not come back.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        granted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        granted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size.saturating_sub(layout.size()));
        granted(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

fn granted(block: *mut u8, bytes: usize) -> *mut u8 {
    if block.is_null() {
        refuse(bytes, None);
    }
    block
}

fn check(bytes: usize) {
    if bytes >= LARGE
        && let Some(free) = free()
        && bytes as u64 > free
    {
        refuse(bytes, Some(free));
    }
}

/// Ends the process with an error. Nothing is allocated here.
#[cold]
fn refuse(bytes: usize, free: Option<u64>) -> ! {
    const MEGABYTE: u64 = 1 << 20;
    let mut text = [0_u8; 512];
    let mut rest = &mut text[..];
    let _ = write!(
        rest,
        "error: out of memory: {} MB more are needed",
        bytes as u64 / MEGABYTE
    );
    if let Some(free) = free {
        let _ = write!(rest, ", {} MB are free", free / MEGABYTE);
    }
    let _ = write!(
        rest,
        "\nhint: is the input (model, graph, data) what it should be? Smaller batches need less memory: \
         `--batch-tokens 2048`, `--threads 1`\n"
    );
    let length = 512 - rest.len();
    let _ = std::io::stderr().write_all(&text[..length]);
    end()
}

/// Ends the process at once: other threads may hold any lock.
fn end() -> ! {
    #[cfg(unix)]
    unsafe {
        libc::_exit(RUNTIME)
    }
    #[cfg(not(unix))]
    std::process::exit(RUNTIME)
}

/// Free memory in bytes, swap among it; what the container has left, where that is less.
#[cfg(target_os = "linux")]
fn free() -> Option<u64> {
    let mut text = [0_u8; 4096];
    let meminfo = read("/proc/meminfo", &mut text)?;
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    };
    let machine = field("MemAvailable:")? + field("SwapFree:").unwrap_or(0);
    let mut text = [0_u8; 64];
    let mut number = |path| read(path, &mut text)?.trim().parse::<u64>().ok();
    let container = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map_or(u64::MAX, |(most, used)| most.saturating_sub(used));
    Some(machine.min(container))
}

#[cfg(not(target_os = "linux"))]
fn free() -> Option<u64> {
    None
}

/// The beginning of a short file, without an allocation.
#[cfg(target_os = "linux")]
fn read<'a>(path: &str, text: &'a mut [u8]) -> Option<&'a str> {
    use std::io::Read as _;
    #[expect(
        clippy::disallowed_methods,
        reason = "an error with a path would allocate"
    )]
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.read(text).ok()?;
    std::str::from_utf8(&text[..length]).ok()
}

/// Bytes that this process holds and may write to, which is what the limit below counts.
#[cfg(target_os = "linux")]
fn held() -> Option<u64> {
    let mut text = [0_u8; 4096];
    let status = read("/proc/self/status", &mut text)?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// A library that runs a graph has an allocator of its own, which [`Guard`] does not see, and several
/// threads may each ask for what is free. So the system refuses what is more than is free now.
pub fn no_more_memory_than_is_free() {
    #[cfg(target_os = "linux")]
    if let (Some(held), Some(free)) = (held(), free()) {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the limit is read into and set from a value on the stack.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_DATA, &raw mut limit) == 0 {
                limit.rlim_cur = limit.rlim_cur.min(held.saturating_add(free));
                libc::setrlimit(libc::RLIMIT_DATA, &raw const limit);
            }
        }
    }
}

/// A panic in a thread of the runtime of graphs comes back as an error, and is not printed.
pub fn panics_of_a_runtime_are_errors() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if !thread.name().is_some_and(|name| name.starts_with("rten-")) {
            usual(panic);
        }
    }));
}

/// A write beyond a limit on the size of files fails like any other, and does not end the process.
pub fn files_that_may_not_grow() {
    #[cfg(unix)]
    unsafe {
        // SAFETY: to ignore a signal runs no code of ours.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
