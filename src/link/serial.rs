//! Serial lines by their stable name: opened, lost when unplugged, opened again when plugged in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_serial::{DataBits, FlowControl, Parity, SerialPortBuilderExt, StopBits};

use super::{Backoff, Connection};
use crate::telemetry::DeviceFigures;

/// Parameters of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Bits a second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: u8,
    /// `none`, `even` or `odd`.
    pub parity: LineParity,
    /// 1 or 2.
    pub stop_bits: u8,
    /// Flow control.
    pub flow: LineFlow,
}

/// Parity of each character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineParity {
    /// No parity bit.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// Flow control of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFlow {
    /// None.
    None,
    /// XON and XOFF.
    Software,
    /// RTS and CTS.
    Hardware,
}

/// A serial line that is opened again and again.
#[derive(Debug)]
pub struct SerialLink {
    path: PathBuf,
    parameters: Parameters,
    backoff: Backoff,
    figures: Arc<DeviceFigures>,
    is_known_missing: bool,
}

impl SerialLink {
    /// The line of a device file.
    pub fn new(path: PathBuf, parameters: Parameters, figures: Arc<DeviceFigures>) -> Self {
        // A line that is plugged in again must work within two seconds; looking once a second costs nothing.
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        Self { path, parameters, backoff, figures, is_known_missing: false }
    }

    fn open(&self) -> Result<tokio_serial::SerialStream, tokio_serial::Error> {
        let parity = match self.parameters.parity {
            LineParity::None => Parity::None,
            LineParity::Even => Parity::Even,
            LineParity::Odd => Parity::Odd,
        };
        let flow = match self.parameters.flow {
            LineFlow::None => FlowControl::None,
            LineFlow::Software => FlowControl::Software,
            LineFlow::Hardware => FlowControl::Hardware,
        };
        tokio_serial::new(self.path.to_string_lossy(), self.parameters.baud)
            .data_bits(if self.parameters.data_bits == 7 { DataBits::Seven } else { DataBits::Eight })
            .parity(parity)
            .stop_bits(if self.parameters.stop_bits == 2 { StopBits::Two } else { StopBits::One })
            .flow_control(flow)
            .open_native_async()
    }

    /// The next connection; tries until the line is there.
    pub async fn connect(&mut self) -> Connection {
        loop {
            match self.open() {
                Ok(stream) => {
                    self.backoff.reset();
                    self.is_known_missing = false;
                    let (reader, writer) = tokio::io::split(stream);
                    return Connection { reader: Box::new(reader), writer: Box::new(writer), peer: self.path.display().to_string() };
                }
                Err(error) => {
                    let pause = self.backoff.pause();
                    // Said once when it goes missing, not once a second.
                    if !std::mem::replace(&mut self.is_known_missing, true) {
                        self.figures.link_failed(&error.to_string(), pause.as_millis());
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// A pause after a line was lost: the device file may linger for a moment.
    pub async fn rest(&mut self) {
        tokio::time::sleep(self.backoff.pause()).await;
    }
}
