//! The clocks of the machine, and a timer on one of them. Nothing else reads a clock here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{Timespec as Wait, epoll};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

/// CLOCK_BOOTTIME: it goes on while the machine sleeps.
pub(crate) fn boot_nanos() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// What this machine's wall clock shows, in milliseconds since 1970. For people: somebody may set it, back too.
pub fn unix_ms() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    let below_a_second = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
    now.tv_sec.saturating_mul(1000).saturating_add_unsigned(below_a_second)
}

/// A timer on CLOCK_BOOTTIME. It is set again only for an earlier moment: one that fires too early costs a
/// wake-up now and then, moving it at each request would cost a system call each time.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: AsyncFd<OwnedFd>,
    armed: u64,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new() -> io::Result<Timer> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // The replacement that tokio names is `unsafe`, for types that may change their descriptor while they are
        // registered. `OwnedFd` keeps its own until it is dropped, which is after the deregistration.
        #[allow(deprecated)]
        let fd = AsyncFd::new(fd)?;
        Ok(Timer { fd, armed: u64::MAX })
    }

    /// Sees to it that the timer fires at `nanos` or earlier.
    pub(crate) fn set(&mut self, nanos: u64) -> io::Result<()> {
        if nanos >= self.armed {
            return Ok(());
        }
        // Zero would switch it off.
        let at = nanos.max(1);
        let value = Timespec {
            tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (at % 1_000_000_000) as _,
        };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed = nanos;
        Ok(())
    }

    /// Ready once the timer has fired; it is then no longer set.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            let mut count = [0u8; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut count)?)) {
                Ok(Ok(_)) => {
                    self.armed = u64::MAX;
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_not_yet) => {}
            }
        }
    }
}

/// Tells an event loop that is not tokio's when something has come for a session: a descriptor that is readable then.
/// See [`SessionConfig::arrivals`](crate::SessionConfig::arrivals). Clones are the same.
#[derive(Debug, Clone)]
pub struct Arrivals {
    /// Has every connection in it, by edges; those that end leave it by themselves.
    epoll: Arc<OwnedFd>,
}

impl Arrivals {
    /// For any number of sessions.
    ///
    /// # Errors
    /// No descriptor is to be had.
    pub fn new() -> io::Result<Arrivals> {
        Ok(Arrivals { epoll: Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?) })
    }

    /// Forgets what has come so far: the descriptor is readable when something else comes. It reads nothing, and never
    /// blocks.
    pub fn clear(&self) {
        let mut room =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 16];
        let at_once = Wait { tv_sec: 0, tv_nsec: 0 };
        while matches!(epoll::wait(&*self.epoll, &mut room, Some(&at_once)), Ok(n) if n == room.len()) {}
    }

    pub(crate) fn include(&self, connection: &TcpStream) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&*self.epoll, connection.as_fd(), epoll::EventData::new_u64(0), flags)?)
    }
}

impl AsFd for Arrivals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for Arrivals {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}
