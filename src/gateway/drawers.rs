//! The way to a relay board that hangs on a serial line: openings wait here until the line is up.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

/// Openings that may wait for one board.
const WAITING: usize = 64;

/// A drawer that is to be opened.
#[derive(Debug)]
pub struct Opening {
    /// Which drawer.
    pub drawer: String,
    /// The command's identity: the board opens once for it.
    pub command: String,
    done: oneshot::Sender<()>,
}

impl Opening {
    /// The line has taken it.
    pub(super) fn written(self) {
        // Whoever asked may have stopped waiting.
        let _ = self.done.send(());
    }
}

/// The board's end.
#[derive(Debug, Clone)]
pub struct DrawerBoard {
    waiting: Arc<Mutex<mpsc::Receiver<Opening>>>,
}

impl DrawerBoard {
    pub(super) async fn next(&self) -> Option<Opening> {
        self.waiting.lock().await.recv().await
    }
}

/// The senders' end.
#[derive(Debug, Clone)]
pub struct DrawerCommands {
    openings: mpsc::Sender<Opening>,
}

impl DrawerCommands {
    /// Both ends for one board.
    pub fn new() -> (Self, DrawerBoard) {
        let (openings, waiting) = mpsc::channel(WAITING);
        (Self { openings }, DrawerBoard { waiting: Arc::new(Mutex::new(waiting)) })
    }

    /// Has a drawer opened; `true` when the line took the command within `patience`.
    pub async fn open(&self, drawer: &str, command: &str, patience: std::time::Duration) -> bool {
        let (done, written) = oneshot::channel();
        let opening = Opening { drawer: drawer.to_owned(), command: command.to_owned(), done };
        if self.openings.try_send(opening).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(patience, written).await, Ok(Ok(())))
    }
}
