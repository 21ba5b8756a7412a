//! Listeners that systemd opened for us (`wardd.socket`): who connects while wardd restarts waits a second and is not refused.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd};

use super::AppError;

/// The listener of this name, when systemd gave one. Its address must be the configuration's, which was checked to be safe.
pub(super) fn inherited(name: &str, bind: SocketAddr) -> Result<Option<TcpListener>, AppError> {
    let failed = |why: String| AppError::Setting(format!("WD-0309 the socket {name:?} that systemd opened: {why}"));
    let mut given = sd_notify::listen_fds_with_names().map_err(|error| failed(error.to_string()))?;
    let Some((descriptor, _)) = given.find(|(_, given)| given == name) else { return Ok(None) };
    #[expect(unsafe_code, reason = "a descriptor that systemd hands over is a number")]
    // SAFETY: systemd opened it for this process, nobody else here has taken it, and the start asks once.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
    if address != bind {
        return Err(failed(format!("it listens on {address} and the configuration says {bind}: give ListenStream of wardd.socket and http.bind the same address")));
    }
    listener.set_nonblocking(true).map_err(|error| failed(error.to_string()))?;
    Ok(Some(listener))
}
