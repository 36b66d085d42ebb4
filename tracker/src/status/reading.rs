//! A reading of all figures of the tracker at one moment, and their source.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::active_connections::ActiveConnection;
use crate::admission::Admission;
use crate::load::Load;
use crate::metrics::Counts;
use crate::service::TrackerService;
use crate::status::process::ProcessLoad;
use crate::timing::TimingCounts;

/// The parts of the tracker that have figures.
#[derive(Debug)]
pub(crate) struct Source {
    service: Arc<TrackerService>,
    admission: Admission,
    start: Instant,
}

/// All figures at one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The time since the start of the tracker.
    pub(crate) uptime: Duration,
    /// The number of connections.
    pub(crate) connections: usize,
    /// The number of connections that have not signed in.
    pub(crate) unauthenticated: usize,
    /// The figures of the service.
    pub(crate) load: Load,
    /// The counters with labels.
    pub(crate) counts: Counts,
    /// The times of requests.
    pub(crate) requests: TimingCounts,
    /// The times of liveness sweeps.
    pub(crate) sweeps: TimingCounts,
    /// The load of the process, on a system that reports it.
    pub(crate) process: Option<ProcessLoad>,
}

impl Source {
    /// Creates the source of a tracker that starts now.
    pub(crate) fn new(service: Arc<TrackerService>, admission: Admission) -> Self {
        Self { service, admission, start: Instant::now() }
    }

    /// Reads all figures.
    pub(crate) fn read(&self) -> Reading {
        let (connections, unauthenticated) = self.admission.counts();
        let metrics = &self.service.metrics;
        Reading {
            uptime: self.start.elapsed(),
            connections,
            unauthenticated,
            load: self.service.load(),
            counts: metrics.counts(),
            requests: metrics.requests.counts(),
            sweeps: metrics.sweeps.counts(),
            process: ProcessLoad::read(),
        }
    }

    /// The current sessions. They have names, so the status page must not show them.
    pub(crate) fn sessions(&self) -> Vec<ActiveConnection> {
        self.service.sessions()
    }

    /// Whether the tracker accepts further connections.
    pub(crate) fn is_ready(&self) -> bool {
        self.admission.has_room()
    }
}
