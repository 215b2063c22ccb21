//! A request that is under way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use zooky_wire::{ErrorCode, MultiResult, Response, Stat};

use crate::core::Answer;
use crate::error::Error;
use crate::watch::Watch;

/// Where a reply goes.
pub(crate) enum ReplySender {
    /// Somebody awaits it.
    Awaited(oneshot::Sender<Result<Answer, Error>>),
    /// Nobody does; only a failure is told.
    Unattended(NotDone),
    /// That of a deletion that nobody awaits and a creation, done as one.
    Exchanged(Box<Exchange>),
}

/// Told that a request was not done, or not for certain.
pub(crate) type NotDone = Box<dyn FnOnce(Error) + Send>;

/// A node is deleted and another one created by one transaction.
pub(crate) struct Exchange {
    /// The old node, and who is told if it is still there.
    pub(crate) old: String,
    pub(crate) not_deleted: NotDone,
    /// The new one, and who awaits it.
    pub(crate) new: String,
    pub(crate) created: oneshot::Sender<Result<Answer, Error>>,
}

impl Exchange {
    /// Hands to each what concerns it.
    fn done(self, reply: Result<Answer, Error>) {
        let (zxid, results) = match reply {
            Ok(Answer { zxid, response: Response::Multi(results) }) => (zxid, results),
            Ok(_) => return self.failed(Error::from_code(ErrorCode::MARSHALLING, String::new())),
            Err(error) => return self.failed(error),
        };
        let Exchange { old, not_deleted, new, created } = self;
        let created_as = match <[MultiResult; 2]>::try_from(results) {
            Ok([MultiResult::Delete, MultiResult::Create2(path, stat, _)]) if stat.czxid != 0 => {
                Ok(Answer { zxid, response: Response::PathStat(path, stat) })
            }
            // Servers before 3.9 send no stat, or an empty one. The answer to a write bears its own transaction's number:
            // writes are applied and answered one after the other.
            Ok([MultiResult::Delete, MultiResult::Create(path) | MultiResult::Create2(path, ..)]) => {
                let stat = Stat { czxid: zxid, mzxid: zxid, pzxid: zxid, ..Stat::default() };
                Ok(Answer { zxid, response: Response::PathStat(path, stat) })
            }
            // The creation failed, and took the deletion with it.
            Ok([MultiResult::Error(ErrorCode::OK), MultiResult::Error(code)]) => {
                not_deleted(Error::ConnectionLoss { path: old });
                Err(Error::from_code(code, new))
            }
            Ok([MultiResult::Error(code), _]) => {
                not_deleted(Error::from_code(code, old));
                Err(Error::ConnectionLoss { path: new })
            }
            _ => {
                not_deleted(Error::ConnectionLoss { path: old });
                Err(Error::from_code(ErrorCode::MARSHALLING, new))
            }
        };
        drop(created.send(created_as));
    }

    fn failed(self, error: Error) {
        (self.not_deleted)(error.clone());
        drop(self.created.send(Err(error)));
    }
}

impl ReplySender {
    /// Hands the reply over. Whoever does not wait any more does not care.
    pub(crate) fn send(self, reply: Result<Answer, Error>) {
        match (self, reply) {
            (ReplySender::Awaited(sender), reply) => drop(sender.send(reply)),
            (ReplySender::Unattended(failed), Err(error)) => failed(error),
            (ReplySender::Unattended(_), Ok(_)) => {}
            (ReplySender::Exchanged(exchange), reply) => exchange.done(reply),
        }
    }
}

pub(crate) type Convert<T> = fn(Result<Answer, Error>, Option<Watch>) -> Result<T, Error>;

/// A created node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its path below the chroot, with the sequence number if it has one.
    pub path: String,
    /// Its stat; `czxid` is the creating transaction.
    pub stat: Stat,
    /// The newest transaction that the server had applied when it answered.
    pub zxid: i64,
}

/// A node's children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children {
    /// Their names, in no order.
    pub names: Vec<String>,
    /// The newest transaction that the server had applied when it answered; the names are at least as new.
    pub zxid: i64,
}

/// A request that is under way: it was sent when the method was called, whether this is polled or not.
///
/// Dropping it is harmless: the request stays sent and its answer is thrown away. It is cancel safe.
///
/// # Errors
/// See [`Error`]; above all [`Error::ConnectionLoss`], after which it is unknown whether the request was done,
/// and [`Error::SessionLost`] for everything that is under way when the session is lost.
#[derive(Debug)]
#[must_use = "the request is sent already; await its answer, or drop it explicitly"]
pub struct Pending<T> {
    state: Stage<T>,
}

#[derive(Debug)]
enum Stage<T> {
    Failed(Option<Error>),
    Sent { answer: oneshot::Receiver<Result<Answer, Error>>, watch: Option<Watch>, convert: Convert<T> },
}

impl<T> Pending<T> {
    pub(crate) fn failed(error: Error) -> Self {
        Pending { state: Stage::Failed(Some(error)) }
    }

    pub(crate) fn sent(
        answer: oneshot::Receiver<Result<Answer, Error>>,
        watch: Option<Watch>,
        convert: Convert<T>,
    ) -> Self {
        Pending { state: Stage::Sent { answer, watch, convert } }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            Stage::Failed(error) => Poll::Ready(Err(error.take().unwrap_or(Error::SessionLost))),
            Stage::Sent { answer, watch, convert } => match Pin::new(answer).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(answer) => {
                    Poll::Ready(convert(answer.unwrap_or(Err(Error::SessionLost)), watch.take()))
                }
            },
        }
    }
}
