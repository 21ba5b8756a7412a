//! Two runtimes: one for devices and actors, whose answers people and machines wait for, and one for the desk: pages, programs
//! and what follows the log. A long list on a screen never holds up an acknowledgement.

use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime};

/// Both runtimes of the process.
#[derive(Debug)]
pub struct Runtimes {
    devices: Runtime,
    desk: Runtime,
}

/// One processor is left to the journal's writer: on two processors a second thread for the devices only takes the writer's time
/// (a tenth less throughput, a third more p99).
fn for_devices(processors: usize) -> usize {
    processors.saturating_sub(1).max(1)
}

fn runtime(name: &str, workers: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(workers).thread_name(name).enable_all().build()
}

impl Runtimes {
    /// Runtimes for this machine.
    pub fn new() -> std::io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self { devices: runtime("devices", for_devices(processors))?, desk: runtime("desk", processors.div_ceil(2))? })
    }

    /// The desk, for what may take longer.
    pub fn desk(&self) -> Handle {
        self.desk.handle().clone()
    }

    /// Runs this on the devices' runtime, then ends both; tasks that hang on a device hold up the end no longer than `patience`.
    pub fn run<T>(self, work: impl Future<Output = T>, patience: std::time::Duration) -> T {
        let result = self.devices.block_on(work);
        self.devices.shutdown_timeout(patience);
        self.desk.shutdown_timeout(patience);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_processor_is_left_to_the_writer() {
        assert_eq!([1, 2, 4, 64].map(for_devices), [1, 1, 3, 63]);
    }
}
