//! The ways to drawers: by the broker, and by a relay board on a serial line.

use std::time::Duration;

use crate::gateway::DrawerCommands;
use crate::kernel::Timestamp;
use crate::link::mqtt::Sender;
use crate::outbound::{Opener, Opening};

const PATIENCE: Duration = Duration::from_secs(2);

/// Drawers behind the broker.
pub(super) struct MqttOpener {
    pub(super) sender: Sender,
    pub(super) topic: String,
}

impl Opener for MqttOpener {
    fn open<'a>(&'a self, drawer: &'a str, command: &'a str, expires: Timestamp) -> Opening<'a> {
        let payload = serde_json::json!({ "command_id": command, "command": "open_drawer", "drawer": drawer, "expires": expires.to_string() });
        Box::pin(async move { self.sender.publish(&self.topic, payload.to_string().into_bytes(), PATIENCE).await })
    }
}

/// Drawers behind a relay board.
pub(super) struct BoardOpener(pub(super) DrawerCommands);

impl Opener for BoardOpener {
    fn open<'a>(&'a self, drawer: &'a str, command: &'a str, _: Timestamp) -> Opening<'a> {
        Box::pin(self.0.open(drawer, command, PATIENCE))
    }
}
