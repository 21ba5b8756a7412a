//! A serial cable made of a pseudo terminal: the daemon opens the slave by a link, the virtual device holds the master.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const NAME_MAX_BYTES: usize = 128;

struct Ends {
    master: AsyncFd<OwnedFd>,
    // Kept open so that the master survives the daemon closing and reopening its end, as a real port does.
    slave: OwnedFd,
}

/// A pty in raw mode with a symlink to its slave; reads and writes are the device's end. Removing it unplugs it.
pub struct Pty {
    link: PathBuf,
    ends: Option<Ends>,
}

impl Pty {
    /// Creates the pair and the symlink `link` (an old symlink there is replaced). Call inside a tokio runtime.
    pub fn open(link: &Path) -> io::Result<Pty> {
        let mut pty = Pty { link: link.to_owned(), ends: None };
        pty.replug()?;
        Ok(pty)
    }

    /// Where the daemon finds the port.
    pub fn link(&self) -> &Path {
        &self.link
    }

    /// Whether the cable is in.
    pub fn is_plugged(&self) -> bool {
        self.ends.is_some()
    }

    /// Pulls the cable: the daemon's end hangs up (read 0 or EIO), the symlink vanishes, bytes on the way are lost.
    pub fn unplug(&mut self) {
        self.ends = None;
        remove_link(&self.link);
    }

    /// Plugs a new cable in under the same name; nothing when it is in.
    pub fn replug(&mut self) -> io::Result<()> {
        if self.ends.is_some() {
            return Ok(());
        }
        let (master, slave, device) = open_pair()?;
        remove_link(&self.link);
        symlink(device, &self.link)?;
        self.ends = Some(Ends { master: watch(master)?, slave });
        Ok(())
    }

    /// Drops what the daemon has not read, as a port without a listener does.
    pub fn discard_unread(&self) {
        if let Some(ends) = &self.ends {
            flush_input(&ends.slave);
        }
    }

    fn ends(&self) -> io::Result<&Ends> {
        self.ends.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        remove_link(&self.link);
    }
}

impl AsyncRead for Pty {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let ends = self.ends()?;
        share(&ends.slave);
        loop {
            let mut guard = ready!(ends.master.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            match guard.try_io(|master| read_into(master.as_raw_fd(), space)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Pty {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ends = self.ends()?;
        share(&ends.slave);
        loop {
            let mut guard = ready!(ends.master.poll_write_ready(context))?;
            if let Ok(result) = guard.try_io(|master| write_from(master.as_raw_fd(), bytes)) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// Only a symlink is ever removed, so a wrong path in a configuration cannot delete a file.
fn remove_link(link: &Path) {
    if fs::symlink_metadata(link).is_ok_and(|found| found.file_type().is_symlink()) {
        let _ = fs::remove_file(link);
    }
}

#[expect(unsafe_code, reason = "openpty, ttyname_r and termios have no safe form in std or tokio")]
fn open_pair() -> io::Result<(OwnedFd, OwnedFd, PathBuf)> {
    let (mut master, mut slave): (RawFd, RawFd) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both out pointers are valid; null name, termios and window size are allowed and mean "default".
    let opened = unsafe { libc::openpty(&mut master, &mut slave, null, std::ptr::null_mut(), std::ptr::null_mut()) };
    if opened != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: openpty succeeded, so both descriptors are open and owned by nobody else.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut name = [0_u8; NAME_MAX_BYTES];
    // SAFETY: all-zero bytes are a valid termios, which tcgetattr overwrites.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptors are open, and every pointer is to a live local of the size that is passed.
    let results = unsafe {
        let named = libc::ttyname_r(slave.as_raw_fd(), name.as_mut_ptr().cast(), name.len());
        let read = libc::tcgetattr(slave.as_raw_fd(), &mut settings);
        libc::cfmakeraw(&mut settings);
        let written = libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &settings);
        let flags = libc::fcntl(master.as_raw_fd(), libc::F_GETFL);
        let nonblocking = libc::fcntl(master.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
        // Without this a child process (a daemon started by the simulator) would keep the cable plugged in.
        libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(slave.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
        [named, read, written, nonblocking]
    };
    if results != [0; 4] {
        return Err(io::Error::last_os_error());
    }
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    let text = String::from_utf8_lossy(name.get(..length).unwrap_or_default()).into_owned();
    Ok((master, slave, PathBuf::from(text)))
}

#[expect(unsafe_code, reason = "registration for readiness is unsafe since tokio 1.54")]
fn watch(master: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open and the same for its whole life, and `Ends` never takes it out of the AsyncFd.
    unsafe { AsyncFd::register(master) }.map_err(io::Error::from)
}

#[expect(unsafe_code, reason = "the exclusive mode of a terminal is only reachable by ioctl")]
fn share(slave: &OwnedFd) {
    // Serial libraries open ports exclusively, and because our end stays open the kernel would keep that mode and refuse
    // the daemon's next open.
    // SAFETY: the descriptor is open and the request takes no argument.
    unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCNXCL) };
}

#[expect(unsafe_code, reason = "tcflush has no safe form in std or tokio")]
fn flush_input(slave: &OwnedFd) {
    // SAFETY: the descriptor is open.
    unsafe { libc::tcflush(slave.as_raw_fd(), libc::TCIFLUSH) };
}

#[expect(unsafe_code, reason = "reading a borrowed descriptor without owning a File")]
fn read_into(descriptor: RawFd, space: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are of one live, initialised slice.
    let count = unsafe { libc::read(descriptor, space.as_mut_ptr().cast(), space.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[expect(unsafe_code, reason = "writing a borrowed descriptor without owning a File")]
fn write_from(descriptor: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are of one live slice.
    let count = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The daemon's end for tests: a terminal is no pipe, but tokio's unchecked pipes need only a descriptor for epoll.
#[cfg(test)]
pub(super) fn open_far_end(link: &Path) -> io::Result<FarEnd> {
    use std::os::unix::fs::OpenOptionsExt;
    let open = || {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(link)
    };
    let receiver = tokio::net::unix::pipe::Receiver::from_file_unchecked(open()?)?;
    let sender = tokio::net::unix::pipe::Sender::from_file_unchecked(open()?)?;
    Ok(tokio::io::join(receiver, sender))
}

#[cfg(test)]
pub(super) type FarEnd = tokio::io::Join<tokio::net::unix::pipe::Receiver, tokio::net::unix::pipe::Sender>;

#[cfg(test)]
impl super::astm_line::Wire for FarEnd {}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::Pty;

    fn port(link: &std::path::Path) -> std::fs::File {
        let flags = libc::O_NOCTTY;
        std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(link).unwrap()
    }

    #[tokio::test]
    async fn bytes_pass_raw_and_the_cable_can_be_pulled() {
        let link = std::env::temp_dir().join(format!("sim-pty-{}", std::process::id()));
        let mut pty = Pty::open(&link).unwrap();
        for round in 0..2 {
            let mut daemon = port(&link);
            let all: Vec<u8> = (0..=255).collect();
            pty.write_all(&all).await.unwrap();
            let mut got = vec![0; 256];
            daemon.read_exact(&mut got).unwrap();
            assert_eq!(got, all, "round {round}");
            daemon.write_all(&all).unwrap();
            let mut back = vec![0; 256];
            pty.read_exact(&mut back).await.unwrap();
            assert_eq!(back, all);
            pty.unplug();
            assert!(!link.exists() && !pty.is_plugged());
            assert!(pty.read_u8().await.is_err());
            let hung_up = daemon.read(&mut got);
            assert!(matches!(hung_up, Ok(0) | Err(_)), "{hung_up:?}");
            pty.replug().unwrap();
        }
        // The daemon may close and open again without the device noticing.
        drop(port(&link));
        let mut daemon = port(&link);
        pty.write_all(b"x").await.unwrap();
        let mut got = [0; 1];
        daemon.read_exact(&mut got).unwrap();
        drop(pty);
        assert!(!link.exists());
    }
}
