//! tokio's `sync::watch`, but for its order: tokio wakes receivers in an order of chance, this one wakes them in the
//! order in which they began to wait.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

use error::{RecvError, SendError};
pub use tokio::sync::watch::error;

#[derive(Debug)]
struct Shared<T> {
    value: RwLock<T>,
    version: AtomicUsize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    changed: Notify,
    deserted: Notify,
}

/// The value as it is; while this exists it does not change.
#[derive(Debug)]
pub struct Ref<'a, T> {
    value: RwLockReadGuard<'a, T>,
    has_changed: bool,
}

/// The end that sends.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that receives.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: usize,
}

/// Both ends.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Ref<'_, T> {
    /// Whether it was unseen.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> usize {
        self.version.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.senders.load(Ordering::SeqCst) == 0
    }
}

#[allow(missing_docs)] // they are tokio's
impl<T> Sender<T> {
    pub fn new(value: T) -> Sender<T> {
        let shared = Shared {
            value: RwLock::new(value),
            version: AtomicUsize::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            changed: Notify::new(),
            deserted: Notify::new(),
        };
        Sender { shared: Arc::new(shared) }
    }

    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.fetch_add(1, Ordering::SeqCst);
        Receiver { shared: self.shared.clone(), seen: self.shared.version() }
    }

    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut value = self.shared.value.write().unwrap_or_else(PoisonError::into_inner);
            if !modify(&mut value) {
                return false;
            }
            self.shared.version.fetch_add(1, Ordering::SeqCst);
        }
        self.shared.changed.notify_waiters();
        true
    }

    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    pub fn send_replace(&self, mut new: T) -> T {
        self.send_modify(|value| std::mem::swap(value, &mut new));
        new
    }

    /// # Errors
    /// Nobody receives.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.receiver_count() == 0 {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { value: self.shared.read(), has_changed: false }
    }

    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.load(Ordering::SeqCst)
    }

    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    pub async fn closed(&self) {
        loop {
            let deserted = self.shared.deserted.notified();
            if self.is_closed() {
                return;
            }
            deserted.await;
        }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Sender::new(T::default())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::SeqCst);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.changed.notify_waiters();
        }
    }
}

#[allow(missing_docs)] // they are tokio's
impl<T> Receiver<T> {
    pub fn borrow(&self) -> Ref<'_, T> {
        let value = self.shared.read();
        Ref { value, has_changed: self.seen != self.shared.version() }
    }

    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        let version = self.shared.version();
        let has_changed = std::mem::replace(&mut self.seen, version) != version;
        Ref { value, has_changed }
    }

    /// # Errors
    /// Nobody sends any more.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        match self.seen != self.shared.version() {
            false if self.shared.is_over() => Err(self.shared_error()),
            changed => Ok(changed),
        }
    }

    pub fn mark_changed(&mut self) {
        self.seen = self.seen.wrapping_sub(1);
    }

    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version();
    }

    /// # Errors
    /// Nobody sends any more.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            let changed = self.shared.changed.notified();
            let version = self.shared.version();
            if self.seen != version {
                self.seen = version;
                return Ok(());
            }
            if self.shared.is_over() {
                return Err(self.shared_error());
            }
            changed.await;
        }
    }

    /// # Errors
    /// Nobody sends any more.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        loop {
            let fits = {
                let value = self.borrow_and_update();
                wanted(&value)
            };
            if fits {
                return Ok(self.borrow());
            }
            self.changed().await?;
        }
    }

    /// tokio's error has no public constructor: a channel of its own gives one.
    fn shared_error(&self) -> RecvError {
        let (_, receiver) = tokio::sync::watch::channel(());
        match receiver.has_changed() {
            Err(error) => error,
            Ok(_) => unreachable!("its sender is gone"),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::SeqCst);
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.receivers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.deserted.notify_waiters();
        }
    }
}
