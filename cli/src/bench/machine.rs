//! What the figures were measured on: they mean nothing without it.

use std::fs;

use omnihub_stage::{FsyncMode, Nats};
use serde::Serialize;

/// The machine and the programs.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processors that this program may use.
    pub cores: usize,
    /// The processor's name.
    pub model: String,
    /// Memory in bytes.
    pub memory: u64,
    /// The system and its kernel.
    pub system: String,
    /// The version of nats-server.
    pub nats_server: String,
    /// How many nats-servers there are, each with the same store settings.
    pub nats_servers: usize,
    /// When nats-server has what it confirmed on the disk.
    pub fsync: &'static str,
    /// `release` or `debug`.
    pub build: &'static str,
    /// Work that waited for a processor before the first measurement, a mean over one minute:
    /// more than nothing means that others used the machine too.
    pub load_before: f64,
}

impl Machine {
    /// Looks at the machine; what cannot be found is said to be unknown.
    #[must_use]
    pub(super) fn look(nats_server: String, nats_servers: usize) -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let kernel = rustix::system::uname();
        let name = field(&read("/etc/os-release"), "PRETTY_NAME", '=').unwrap_or_else(unknown);
        let memory = field(&read("/proc/meminfo"), "MemTotal", ':').and_then(|text| kilobytes(&text));
        let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: field(&read("/proc/cpuinfo"), "model name", ':').unwrap_or_else(unknown),
            memory: memory.unwrap_or_default(),
            system: format!("{name}, {} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy()),
            nats_server,
            nats_servers,
            fsync: "default (within two minutes)",
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            load_before: load.unwrap_or_default(),
        }
    }

    /// The head of the report.
    #[must_use]
    pub fn told(&self) -> String {
        format!(
            "{} cores of {}, {:.0} GB, {}; {} nats-server {}, fsync {}; {} build; load before {:.2}",
            self.cores,
            self.model,
            self.memory as f64 / 1e9,
            self.system,
            self.nats_servers,
            self.nats_server,
            self.fsync,
            self.build,
            self.load_before
        )
    }
}

/// The version of the nats-server that measurements use.
pub(super) async fn nats_version() -> anyhow::Result<String> {
    let nats = Nats::start(FsyncMode::Default).await?;
    let client = async_nats::connect(nats.url()).await?;
    Ok(client.server_info().version)
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Resident now, in bytes.
    pub(super) now: u64,
    /// Resident at most since its start, in bytes.
    pub(super) peak: u64,
}

/// Reads what a process has resident; nothing when it is not there.
pub(super) fn memory_of(process: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let read = |name| kilobytes(&field(&status, name, ':')?);
    Some(Memory { now: read("VmRSS")?, peak: read("VmHWM")? })
}

/// The value of a line `name<separator>value`.
fn field(text: &str, name: &str, separator: char) -> Option<String> {
    let value = text.lines().find_map(|line| {
        let (found, value) = line.split_once(separator)?;
        (found.trim() == name).then_some(value)
    })?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// `12 kB` in bytes.
fn kilobytes(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        assert_eq!(field("NAME=x\nPRETTY_NAME=\"Debian 13\"\n", "PRETTY_NAME", '='), Some("Debian 13".to_owned()));
        assert_eq!(field("VmHWM:\t  12 kB", "VmHWM", ':').and_then(|text| kilobytes(&text)), Some(12_288));
        assert_eq!(field("", "VmHWM", ':'), None);
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        let memory = memory_of(std::process::id()).unwrap();
        assert!(memory.now > 0 && memory.peak >= memory.now);
        assert_eq!(memory_of(u32::MAX), None);
    }
}
