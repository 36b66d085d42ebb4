//! The load of this process and of its computer, as Linux reports it under `/proc`.

use std::fs;

use rustix::param::clock_ticks_per_second;

/// The load at one moment. Both processor times only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ProcessLoad {
    /// The processor time of this process in seconds.
    pub(crate) cpu_seconds: f64,
    /// The memory of this process in bytes that is in RAM.
    pub(crate) resident_bytes: u64,
    /// The number of threads.
    pub(crate) threads: u64,
    /// The number of open file descriptors.
    pub(crate) descriptors: u64,
    /// The processor time of the whole computer in seconds, without the idle time, and with it.
    pub(crate) system_busy_seconds: f64,
    /// The processor time of the whole computer in seconds, with the idle time.
    pub(crate) system_seconds: f64,
    /// The memory of the computer in bytes that programs can still get.
    pub(crate) system_available_bytes: u64,
    /// The memory of the computer in bytes.
    pub(crate) system_memory_bytes: u64,
}

impl ProcessLoad {
    /// Reads the load. Returns `None` on a system without `/proc`.
    pub(crate) fn read() -> Option<Self> {
        let read = |path| fs::read_to_string(path).ok();
        let (stat, status) = (read("/proc/self/stat")?, read("/proc/self/status")?);
        let (system, memory) = (read("/proc/stat")?, read("/proc/meminfo")?);
        let load = Self::parse(&stat, &status, &system, &memory)?;
        Some(Self { descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64, ..load })
    }

    fn parse(stat: &str, status: &str, system: &str, memory: &str) -> Option<Self> {
        let ticks = clock_ticks_per_second() as f64;
        // The fields after the program's name, which may contain spaces: user and system time are numbers 12 and 13.
        let own: Vec<f64> = numbers(stat.rsplit_once(')')?.1);
        let all: Vec<f64> = numbers(system.lines().next()?);
        // The fields are user, nice, system, idle, waiting for the disk, and more. The guests' time, at the end, is
        // part of the first two.
        let total: f64 = all.iter().take(8).sum();
        let idle = all.get(3)? + all.get(4)?;
        Some(Self {
            cpu_seconds: (own.get(10)? + own.get(11)?) / ticks,
            resident_bytes: kibibytes(status, "VmRSS:")?,
            threads: field(status, "Threads:")?,
            descriptors: 0,
            system_busy_seconds: (total - idle) / ticks,
            system_seconds: total / ticks,
            system_available_bytes: kibibytes(memory, "MemAvailable:")?,
            system_memory_bytes: kibibytes(memory, "MemTotal:")?,
        })
    }
}

/// The numbers of a row, without its words.
fn numbers(row: &str) -> Vec<f64> {
    row.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let row = text.lines().find_map(|row| row.strip_prefix(name))?;
    row.split_whitespace().next()?.parse().ok()
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    field(text, name).map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_figures_of_linux() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 300 150 0 0 20 0 5 0 100 1 2 3";
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t5\n";
        let system = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n";
        let memory = "MemTotal: 4 kB\nMemFree: 1 kB\nMemAvailable: 3 kB\n";
        let load = ProcessLoad::parse(stat, status, system, memory).unwrap();
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!((load.cpu_seconds, load.resident_bytes, load.threads), (450.0 / ticks, 2048 * 1024, 5));
        assert_eq!((load.system_busy_seconds, load.system_seconds), (200.0 / ticks, 1000.0 / ticks));
        assert_eq!((load.system_available_bytes, load.system_memory_bytes), (3 * 1024, 4 * 1024));
        assert_eq!(ProcessLoad::parse(stat, "", system, memory), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_load() {
        let load = ProcessLoad::read().unwrap();
        assert!(load.resident_bytes > 0 && load.threads > 0 && load.descriptors > 2, "{load:?}");
    }
}
