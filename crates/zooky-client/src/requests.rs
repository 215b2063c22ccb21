//! The requests of a session, one method each.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use zooky_wire::{
    Acl, ClientInfo, Create, CreateKind, CreateMode, ErrorCode, MultiOp, MultiResult, PathError, Request,
    Response, Stat, validate_path,
};

use crate::core::{Answer, Ask, Target};
use crate::driver::is_sasl;
use crate::error::Error;
use crate::pending::{Children, Convert, Created, Pending, ReplySender};
use crate::session::Session;
use crate::shared::WatchSender;
use crate::watch::{TreeSink, TreeWatch, Watch};

/// `addWatch`'s mode.
const PERSISTENT_RECURSIVE: i32 = 1;

/// The requests. Each method sends when it is called, in the order of the calls, and returns a [`Pending`] answer.
/// While the session is [`Suspended`](crate::State::Suspended) they wait for the next connection.
///
/// All paths lie below the chroot. A version of -1 means any.
impl Session {
    /// Creates a node. With a sequential mode the server puts ten digits behind the path.
    ///
    /// # Errors
    /// Among others [`Error::NodeExists`], and [`Error::NoNode`] if the parent is missing.
    pub fn create(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        mode: CreateMode,
        acl: &[Acl],
    ) -> Pending<Created> {
        let data = data.into();
        self.ask_create(path, mode, |path| Request::Create(creation(path, data, mode, acl)))
    }

    /// As [`create`](Session::create), for one who has just asked for a node beside it to be deleted, and does not wait for
    /// that ([`delete_unattended`](Session::delete_unattended)): if that was asked right before, and has not left yet, both
    /// are one transaction, for which a server syncs its disk once and not twice.
    ///
    /// **Of the [`Created::stat`] only the zxids are certain** (`ctime_ms` may be 0): servers before 3.9 send none for what was
    /// created by a transaction of several parts, and these are the transaction's.
    ///
    /// # Errors
    /// As [`create`](Session::create); [`Error::ConnectionLoss`] also if the deletion failed, and so nothing was created.
    pub fn create_after_removal(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        mode: CreateMode,
        acl: &[Acl],
    ) -> Pending<Created> {
        if let Err(error) = check_new(path, mode) {
            return Pending::failed(error.into());
        }
        let create = creation(self.handle.shared.chroot.inward(path), data.into(), mode, acl);
        let (created, answer) = oneshot::channel();
        self.handle.shared.push_creation(create, path, created);
        Pending::sent(answer, None, |answer, _| created_as(answer))
    }

    fn ask_create(
        &self,
        path: &str,
        mode: CreateMode,
        make: impl FnOnce(String) -> Request,
    ) -> Pending<Created> {
        if let Err(error) = check_new(path, mode) {
            return Pending::failed(error.into());
        }
        let request = make(self.handle.shared.chroot.inward(path));
        self.send(request, None, |answer, _| created_as(answer))
    }

    /// Deletes a node without children, if its version is this one.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`], [`Error::BadVersion`], [`Error::NotEmpty`].
    pub fn delete(&self, path: &str, version: i32) -> Pending<()> {
        self.ask(path, |path| Request::Delete { path, version }, |answer, _| answer.map(|_| ()))
    }

    /// As [`delete`](Session::delete), for one who does not wait for the answer: `failed` is called if it was not done,
    /// or not for certain. It runs on the task that drives the session, or at once: **it must not block**.
    pub fn delete_unattended(&self, path: &str, version: i32, failed: impl FnOnce(Error) + Send + 'static) {
        if let Err(error) = validate_path(path) {
            return failed(error.into());
        }
        let request = Request::Delete { path: self.handle.shared.chroot.inward(path), version };
        let reply = Some(ReplySender::Unattended(Box::new(failed)));
        self.handle.shared.push(Ask { request, reply, watch: None });
    }

    /// The node's stat, or `None` if there is no such node.
    pub fn exists(&self, path: &str) -> Pending<Option<Stat>> {
        self.ask(path, |path| Request::Exists { path, watch: false }, |answer, _| maybe_stat(answer))
    }

    /// As [`exists`](Session::exists), with a [`Watch`] for the node's creation, deletion or change of data.
    pub fn exists_watch(&self, path: &str) -> Pending<(Option<Stat>, Watch)> {
        self.ask_watch(
            path,
            |path| Request::Exists { path, watch: true },
            |answer, watch| Ok((maybe_stat(answer)?, watch.ok_or_else(odd)?)),
        )
    }

    /// The node's data and stat. Null data read as empty.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`].
    pub fn get(&self, path: &str) -> Pending<(Bytes, Stat)> {
        self.ask(path, |path| Request::GetData { path, watch: false }, |answer, _| data(answer))
    }

    /// As [`get`](Session::get), with a [`Watch`] for the node's deletion or change of data. If there is no such
    /// node there is no watch either: use [`exists_watch`](Session::exists_watch).
    pub fn get_watch(&self, path: &str) -> Pending<(Bytes, Stat, Watch)> {
        self.ask_watch(
            path,
            |path| Request::GetData { path, watch: true },
            |answer, watch| {
                let (data, stat) = data(answer)?;
                Ok((data, stat, watch.ok_or_else(odd)?))
            },
        )
    }

    /// Sets the node's data, if its version is this one.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`], [`Error::BadVersion`].
    pub fn set(&self, path: &str, data: impl Into<Bytes>, version: i32) -> Pending<Stat> {
        let data = data.into();
        self.ask(path, |path| Request::SetData { path, data: Some(data), version }, |answer, _| stat(answer))
    }

    /// The names of the node's children.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`].
    pub fn children(&self, path: &str) -> Pending<Children> {
        self.ask(path, |path| Request::GetChildren { path, watch: false }, |answer, _| children(answer))
    }

    /// As [`children`](Session::children), with a [`Watch`] for a child's creation or deletion, or the node's own
    /// deletion.
    pub fn children_watch(&self, path: &str) -> Pending<(Children, Watch)> {
        self.ask_watch(
            path,
            |path| Request::GetChildren { path, watch: true },
            |answer, watch| Ok((children(answer)?, watch.ok_or_else(odd)?)),
        )
    }

    /// The names of the node's children, and the node's stat.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`].
    pub fn children_stat(&self, path: &str) -> Pending<(Children, Stat)> {
        self.ask(
            path,
            |path| Request::GetChildren2 { path, watch: false },
            |answer, _| match answer? {
                Answer { zxid, response: Response::NamesStat(names, stat) } => {
                    Ok((Children { names, zxid }, stat))
                }
                _ => Err(odd()),
            },
        )
    }

    /// Watches the node and everything below it (`addWatch`, persistent and recursive): `sink` is told of every
    /// creation, deletion and change of data, from the answer on, until the [`TreeWatch`] is dropped or the
    /// connection breaks. Nodes that this session's identities may not read go unmentioned. Read what there is
    /// *after* asking for the watch (in one [flight](Session::flight)), and nothing is missed.
    ///
    /// # Errors
    /// [`Error::Watched`] if the session has a one-shot watch on the node itself. Servers before 3.6 do not know this
    /// request: [`Error::Server`].
    pub fn watch_tree(&self, path: &str, sink: Arc<dyn TreeSink>) -> (TreeWatch, Pending<()>) {
        if let Err(error) = validate_path(path) {
            return (TreeWatch::none(), Pending::failed(error.into()));
        }
        let path = self.handle.shared.chroot.inward(path);
        let (sender, watch) = TreeWatch::new(&self.handle.shared, path.clone(), sink);
        let request = Request::AddWatch { path, mode: PERSISTENT_RECURSIVE };
        (watch, self.send_to(request, Some(sender), None, |answer, _| answer.map(|_| ())))
    }

    /// The node's ACL and stat.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`], [`Error::NoAuth`].
    pub fn acl(&self, path: &str) -> Pending<(Vec<Acl>, Stat)> {
        self.ask(
            path,
            |path| Request::GetAcl { path },
            |answer, _| match answer?.response {
                Response::Acl(acl, stat) => Ok((acl, stat)),
                _ => Err(odd()),
            },
        )
    }

    /// Sets the node's ACL, if the ACL's version (`aversion`) is this one.
    ///
    /// # Errors
    /// Among others [`Error::NoNode`], [`Error::BadVersion`], [`Error::InvalidAcl`].
    pub fn set_acl(&self, path: &str, acl: &[Acl], version: i32) -> Pending<Stat> {
        let acl = acl.to_vec();
        self.ask(path, |path| Request::SetAcl { path, acl, version }, |answer, _| stat(answer))
    }

    /// Has the server catch up with its leader: what was acknowledged to anyone before this call is seen by reads
    /// that follow it.
    pub fn sync(&self, path: &str) -> Pending<()> {
        self.ask(path, |path| Request::Sync { path }, |answer, _| answer.map(|_| ()))
    }

    /// Does all the parts as one, or none. **`Ok` means answered, not done**: if a part failed, each result is a
    /// [`MultiResult::Error`] (0 before the one that failed, its error, -2 after it) and nothing was done.
    ///
    /// # Errors
    /// [`Error::BadPath`] for the first path that is none, and what concerns the request as a whole.
    pub fn multi(&self, mut ops: Vec<MultiOp>) -> Pending<Vec<MultiResult>> {
        for op in &mut ops {
            if let Err(error) = self.inward_part(op) {
                return Pending::failed(error.into());
            }
        }
        self.send(Request::Multi(ops), None, |answer, _| match answer?.response {
            Response::Multi(results) => Ok(results),
            _ => Err(odd()),
        })
    }

    fn inward_part(&self, op: &mut MultiOp) -> Result<(), PathError> {
        let path = match op {
            MultiOp::Create(create) => {
                if create.mode.is_sequential() {
                    validate_path(&format!("{}0", create.path))?;
                    create.path = self.handle.shared.chroot.inward(&create.path);
                    return Ok(());
                }
                &mut create.path
            }
            MultiOp::Delete { path, .. } | MultiOp::SetData { path, .. } | MultiOp::Check { path, .. } => {
                path
            }
        };
        validate_path(path)?;
        *path = self.handle.shared.chroot.inward(path);
        Ok(())
    }

    /// The session's identities, as the server sees them.
    ///
    /// # Errors
    /// Servers before 3.7 do not know this request: [`Error::Server`].
    pub fn who_am_i(&self) -> Pending<Vec<ClientInfo>> {
        self.send(Request::WhoAmI, None, |answer, _| match answer?.response {
            Response::WhoAmI(infos) => Ok(infos),
            _ => Err(odd()),
        })
    }

    /// Adds an identity, on this connection and all later ones.
    ///
    /// # Errors
    /// [`Error::AuthFailed`], and the session is then over; [`Error::SaslUnsupported`] for SASL, and nothing is sent.
    pub fn auth(&self, scheme: &str, credentials: &[u8]) -> Pending<()> {
        if is_sasl(scheme) {
            return Pending::failed(Error::SaslUnsupported);
        }
        let request = Request::Auth { kind: 0, scheme: scheme.to_owned(), auth: credentials.to_vec() };
        self.send(request, None, |answer, _| answer.map(|_| ()))
    }

    fn ask<T>(&self, path: &str, make: impl FnOnce(String) -> Request, convert: Convert<T>) -> Pending<T> {
        match validate_path(path) {
            Ok(()) => self.send(make(self.handle.shared.chroot.inward(path)), None, convert),
            Err(error) => Pending::failed(error.into()),
        }
    }

    fn ask_watch<T>(
        &self,
        path: &str,
        make: impl FnOnce(String) -> Request,
        convert: Convert<T>,
    ) -> Pending<T> {
        if let Err(error) = validate_path(path) {
            return Pending::failed(error.into());
        }
        let path = self.handle.shared.chroot.inward(path);
        let request = make(path.clone());
        let watch = Watch::new(&self.handle.shared, path, Target::of(request.op()));
        self.send(request, Some(watch), convert)
    }

    fn send<T>(
        &self,
        request: Request,
        watch: Option<(WatchSender, Watch)>,
        convert: Convert<T>,
    ) -> Pending<T> {
        let (sender, watch) = watch.unzip();
        self.send_to(request, sender, watch, convert)
    }

    fn send_to<T>(
        &self,
        request: Request,
        sender: Option<WatchSender>,
        watch: Option<Watch>,
        convert: Convert<T>,
    ) -> Pending<T> {
        let (reply, answer) = oneshot::channel();
        let reply = Some(ReplySender::Awaited(reply));
        self.handle.shared.push(Ask { request, reply, watch: sender });
        Pending::sent(answer, watch, convert)
    }
}

/// The core decodes each reply by its request's opcode, so no other body can come.
fn odd() -> Error {
    Error::Server { code: ErrorCode::MARSHALLING, path: String::new() }
}

fn creation(path: String, data: Bytes, mode: CreateMode, acl: &[Acl]) -> Create {
    let kind = if mode == CreateMode::CONTAINER { CreateKind::Container } else { CreateKind::Create2 };
    Create { kind, path, data: Some(data), acl: acl.to_vec(), mode }
}

/// Where the number makes a path of it, that counts.
fn check_new(path: &str, mode: CreateMode) -> Result<(), PathError> {
    validate_path(path)
        .or_else(|error| if mode.is_sequential() { validate_path(&format!("{path}0")) } else { Err(error) })
}

fn created_as(answer: Result<Answer, Error>) -> Result<Created, Error> {
    match answer? {
        Answer { zxid, response: Response::PathStat(path, stat) } => Ok(Created { path, stat, zxid }),
        _ => Err(odd()),
    }
}

fn maybe_stat(answer: Result<Answer, Error>) -> Result<Option<Stat>, Error> {
    match answer {
        Err(Error::NoNode { .. }) => Ok(None),
        answer => stat(answer).map(Some),
    }
}

fn stat(answer: Result<Answer, Error>) -> Result<Stat, Error> {
    match answer?.response {
        Response::Stat(stat) => Ok(stat),
        _ => Err(odd()),
    }
}

fn data(answer: Result<Answer, Error>) -> Result<(Bytes, Stat), Error> {
    match answer?.response {
        Response::Data(data, stat) => Ok((data.unwrap_or_default(), stat)),
        _ => Err(odd()),
    }
}

fn children(answer: Result<Answer, Error>) -> Result<Children, Error> {
    match answer? {
        Answer { zxid, response: Response::Names(names) } => Ok(Children { names, zxid }),
        _ => Err(odd()),
    }
}
