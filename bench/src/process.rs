//! Starts a function's process as Lambda does, and reads its processor time and memory from the kernel.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::contender::{Contender, Environment};
use crate::runtime_api::RuntimeApi;

/// A running function. It is killed when dropped.
pub struct Process {
    child: Child,
    clock: ClockId,
    /// Passes events to the function.
    pub api: RuntimeApi,
    /// Time from its start to its first request for an event.
    pub init: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a function and waits until it asks for an event. Its output goes to a file in `logs`.
    pub async fn start(contender: &Contender, environment: &Environment, logs: &Path) -> Result<Self, String> {
        let name = contender.name();
        let api =
            RuntimeApi::start(contender.function.name()).await.map_err(|error| format!("Runtime API: {error}"))?;
        let log = || -> io::Result<(File, File)> {
            fs::create_dir_all(logs)?;
            let log = File::create(logs.join(format!("{}.log", name.replace(' ', "-"))))?;
            Ok((log.try_clone()?, log))
        };
        let (stdout, stderr) = log().map_err(|error| format!("{}: {error}", logs.display()))?;
        let mut command = Command::new(&contender.program);
        command
            .args(&contender.arguments)
            .current_dir(&contender.folder)
            .env_clear()
            .envs(environment.variables(contender, api.address))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let start = Instant::now();
        let child = command.spawn().map_err(|error| format!("{name}: {}: {error}", contender.program.display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(|error| error.to_string())?);
        let clock = clock_getcpuclockid(pid).map_err(|error| format!("processor time: {error}"))?;
        let mut process = Self { child, clock, api, init: Duration::ZERO };
        let asked = process.api.wait_for_next().await.map_err(|problem| format!("{name}: {problem}"))?;
        process.init = asked - start;
        Ok(process)
    }

    /// The processor time that all threads of the process have used.
    pub fn cpu(&self) -> Result<Duration, String> {
        clock_gettime(self.clock).map(Duration::from).map_err(|error| format!("processor time: {error}"))
    }

    /// The peak resident memory of the process in bytes.
    pub fn peak_memory(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| format!("{path} contains no VmHWM"))
    }
}
