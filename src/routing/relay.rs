//! Words of a serial relay board that drives drawers: `OK 3 id`, `CLOSED 3 id`, `JAM 3 id`, `ERR text`.

use super::{Routed, Understood};
use crate::domain::device::Movement;
use crate::domain::quarantine::Reason;

/// What a line of the board asks for.
pub fn understand(line: &[u8]) -> Understood {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_whitespace();
    let movement = match words.next() {
        Some("OK") => Some(Movement::Opened),
        Some("CLOSED") => Some(Movement::Closed),
        Some("JAM") => Some(Movement::Jammed),
        _ => None,
    };
    let item = match (movement, words.next(), words.next(), words.next()) {
        (Some(movement), Some(drawer), command, None) => Routed::Drawer { drawer: drawer.to_owned(), movement, command: command.unwrap_or_default().to_owned() },
        _ => Routed::Hold(Reason::NotParsed { detail: "the board's line is none of OK, CLOSED, JAM with drawer and command".to_owned() }),
    };
    Understood { items: vec![item], control_id: String::new(), device_time: None }
}

/// The line that opens a drawer.
pub fn open(drawer: &str, command: &str) -> Vec<u8> {
    format!("OPEN {drawer} {command}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_s_words() {
        assert_eq!(understand(b"OK 3 c1").items, [Routed::Drawer { drawer: "3".into(), movement: Movement::Opened, command: "c1".into() }]);
        for line in [&b"ERR bad line"[..], b"OK", b"", b"OK 3 c1 more", b"\xff"] {
            assert!(matches!(understand(line).items[..], [Routed::Hold(_)]), "{line:?}");
        }
    }
}
