//! Several ranks on one machine: `train --ranks N` starts itself N times and waits.

use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use super::{CliError, Global, interrupt};
use korfinsts_base::failure::FailureClass;

/// How long the others have to end by themselves once one has failed.
const GRACE: Duration = Duration::from_secs(30);

/// Environment variable of the number of threads of a rank.
const THREADS: &str = "RAYON_NUM_THREADS";
/// Environment variable of the GPUs that a process sees.
const GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// Starts this command again as `count` ranks that meet on this machine, each with its share of
/// the cores or with a GPU of its own, and waits for all of them.
///
/// # Errors
/// When a rank cannot be started, or ends with anything but success; it is named.
pub fn launch(count: usize, gpus: bool, global: &Global) -> anyhow::Result<()> {
    // Ctrl-C reaches every rank by itself: they stop together and the state is kept.
    interrupt::flag();
    let free = TcpListener::bind("127.0.0.1:0")?;
    let meet = free.local_addr()?.to_string();
    drop(free);
    let program = std::env::current_exe()?;
    let cores = available_parallelism().map_or(1, usize::from);
    let visible: Vec<String> = std::env::var(GPUS)
        .map(|v| v.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    let mut ranks = Vec::with_capacity(count);
    for rank in 0..count {
        let mut command = Command::new(&program);
        command.args(std::env::args_os().skip(1));
        command.args(["--rank", &rank.to_string(), "--meet", &meet]);
        if rank > 0 {
            command.stdout(Stdio::null());
            if !global.quiet {
                command.arg("--quiet");
            }
        }
        if gpus {
            let gpu = visible.get(rank).cloned();
            command.env(GPUS, gpu.unwrap_or_else(|| rank.to_string()));
        } else if std::env::var_os(THREADS).is_none() {
            command.env(THREADS, (cores / count).max(1).to_string());
        }
        match command.spawn() {
            Ok(child) => ranks.push(child),
            Err(error) => {
                end(&mut ranks);
                let message = format!("cannot start rank {rank}: {error}");
                return Err(CliError::new(FailureClass::Runtime, message, None).into());
            }
        }
    }
    global.note(&format!("{count} ranks meet at {meet}"));
    wait(&mut ranks)
}

/// Ends what still runs.
fn end(ranks: &mut [Child]) {
    for rank in ranks {
        // One that has ended cannot be killed, and need not be.
        let _ = rank.kill();
        let _ = rank.wait();
    }
}

fn wait(ranks: &mut [Child]) -> anyhow::Result<()> {
    let mut ended: Vec<Option<ExitStatus>> = vec![None; ranks.len()];
    let mut first_failure: Option<(usize, Instant)> = None;
    while ended.iter().any(Option::is_none) {
        for (rank, child) in ranks.iter_mut().enumerate() {
            if ended[rank].is_none() {
                ended[rank] = child.try_wait()?;
                let failed = ended[rank].is_some_and(|status| !status.success());
                if failed && first_failure.is_none() {
                    first_failure = Some((rank, Instant::now()));
                }
            }
        }
        if first_failure.is_some_and(|(_, since)| since.elapsed() > GRACE) {
            end(ranks);
            break;
        }
        sleep(Duration::from_millis(20));
    }
    let Some((first, _)) = first_failure else {
        return Ok(());
    };
    // A rank that a signal ended could not say so itself.
    let silent = ended
        .iter()
        .position(|status| status.is_some_and(|s| s.code().is_none()));
    let rank = silent.unwrap_or(first);
    let (how, class) = match ended[rank].and_then(|status| status.code()) {
        Some(code) => (format!("code {code}"), class_of(code)),
        None => (
            ended[rank].map_or_else(String::new, |status| status.to_string()),
            FailureClass::Runtime,
        ),
    };
    let hint = "run the same command again: it goes on from the last state".to_owned();
    Err(CliError::new(class, format!("rank {rank} ended with {how}"), Some(hint)).into())
}

fn class_of(code: i32) -> FailureClass {
    FailureClass::ALL
        .into_iter()
        .find(|class| i32::from(class.exit_code()) == code)
        .unwrap_or(FailureClass::Runtime)
}
