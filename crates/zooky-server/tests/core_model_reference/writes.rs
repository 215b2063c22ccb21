//! What writes do, and what refuses them.

use std::sync::Arc;

use zooky_wire::{
    Acl, Create, CreateKind, CreateMode, ErrorCode, EventType, MultiOp, MultiResult, OpCode, Response, Stat,
    perms, validate_path,
};

use super::lifetimes::Life;
use super::rights::{granted, may};
use super::{Model, Node, parent};

impl Model {
    pub(super) fn multi(
        &mut self,
        client: usize,
        parts: &[MultiOp],
        wall_ms: i64,
    ) -> Result<Vec<MultiResult>, ErrorCode> {
        let mut next = self.clone();
        next.zxid += 1;
        let mut results = Vec::new();
        for part in parts {
            match next.write(client, &as_read_in_a_multi(part)?, wall_ms) {
                Ok(result) => results.push(result),
                Err(err) => {
                    let mut failed = vec![MultiResult::Error(ErrorCode::OK); results.len()];
                    failed.push(MultiResult::Error(err));
                    failed.resize(parts.len(), MultiResult::Error(ErrorCode::RUNTIME_INCONSISTENCY));
                    return Ok(failed);
                }
            }
        }
        *self = next;
        Ok(results)
    }

    pub(super) fn set_acl(
        &mut self,
        client: usize,
        path: &str,
        acl: &[Acl],
        version: i32,
    ) -> Result<Response, ErrorCode> {
        validate_path(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        let acl = granted(acl, self.subjects[&client])?;
        let present = self.permitted(client, path, perms::ADMIN)?.stat.aversion;
        if version != -1 && version != present {
            return Err(ErrorCode::BAD_VERSION);
        }
        self.zxid += 1;
        self.note_hidden(path, &acl);
        let node = self.nodes.get_mut(path).unwrap();
        (node.acl, node.stat.aversion) = (acl.into(), present + 1);
        Ok(Response::Stat(self.stat(path)))
    }

    fn note_hidden(&mut self, path: &str, acl: &[Acl]) {
        if !may(acl, None, perms::READ) {
            self.hidden.insert(path.to_owned());
        }
    }

    fn expect(&self, path: &str, version: i32) -> Result<i32, ErrorCode> {
        let present = self.need(path)?.stat.version;
        if version == -1 || version == present { Ok(present + 1) } else { Err(ErrorCode::BAD_VERSION) }
    }

    pub(super) fn write(
        &mut self,
        client: usize,
        part: &MultiOp,
        wall_ms: i64,
    ) -> Result<MultiResult, ErrorCode> {
        let valid = |path: &str| validate_path(path).map_err(|_| ErrorCode::BAD_ARGUMENTS);
        match part {
            MultiOp::Create(create) => self.create(client, create, wall_ms),
            MultiOp::Delete { path, version } => {
                if !path.contains('/') || path == "/" || path == "/zookeeper" {
                    return Err(ErrorCode::BAD_ARGUMENTS);
                }
                self.permitted(client, &parent(path), perms::DELETE)?;
                self.expect(path, *version)?;
                if !self.children(path).is_empty() {
                    return Err(ErrorCode::NOT_EMPTY);
                }
                self.remove(path);
                Ok(MultiResult::Delete)
            }
            MultiOp::SetData { path, data, version } => {
                valid(path)?;
                self.permitted(client, path, perms::WRITE)?;
                let version = self.expect(path, *version)?;
                let zxid = self.zxid;
                let node = self.nodes.get_mut(path).unwrap();
                node.data = data.clone();
                node.stat = Stat { version, mzxid: zxid, mtime_ms: wall_ms, ..node.stat };
                let acl = Arc::clone(&node.acl);
                self.fire(EventType::DATA_CHANGED, path, false, &acl, &[]);
                Ok(MultiResult::SetData(self.stat(path)))
            }
            MultiOp::Check { path, version } => {
                valid(path)?;
                self.permitted(client, path, perms::READ)?;
                self.expect(path, *version)?;
                Ok(MultiResult::Check)
            }
        }
    }

    pub(super) fn remove(&mut self, path: &str) {
        let acl = self.nodes.remove(path).unwrap().acl;
        let up = parent(path);
        let above = self.nodes.get_mut(&up).unwrap();
        above.stat.pzxid = self.zxid;
        let above = Arc::clone(&above.acl);
        let told = self.fire(EventType::DELETED, path, false, &acl, &[]);
        self.fire(EventType::DELETED, path, true, &acl, &told);
        self.fire(EventType::CHILDREN_CHANGED, &up, true, &above, &[]);
    }

    fn create(&mut self, client: usize, create: &Create, wall_ms: i64) -> Result<MultiResult, ErrorCode> {
        let life = life(create)?;
        if !create.path.contains('/') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let up = parent(&create.path);
        let acl: Arc<[Acl]> = granted(&create.acl, self.subjects[&client])?.into();
        let above = self.permitted(client, &up, perms::CREATE)?.stat;
        let mut path = create.path.clone();
        if create.mode.is_sequential() {
            path += &format!("{:010}", above.cversion);
        }
        validate_path(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if above.ephemeral_owner != 0 {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let zxid = self.zxid;
        let is_owned = create.mode.is_ephemeral() && matches!(life, Life::Plain);
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: wall_ms,
            mtime_ms: wall_ms,
            ephemeral_owner: if is_owned { self.sessions[&client] } else { 0 },
            ..Stat::default()
        };
        self.note_hidden(&path, &acl);
        self.nodes
            .insert(path.clone(), Node { data: create.data.clone(), stat, acl: Arc::clone(&acl), life });
        let above = self.nodes.get_mut(&up).unwrap();
        (above.stat.cversion, above.stat.pzxid) = (above.stat.cversion + 1, zxid);
        let above = Arc::clone(&above.acl);
        self.fire(EventType::CREATED, &path, false, &acl, &[]);
        self.fire(EventType::CHILDREN_CHANGED, &up, true, &above, &[]);
        Ok(match create.kind {
            CreateKind::Create => MultiResult::Create(path),
            _ => MultiResult::Create2(path.clone(), self.stat(&path), OpCode::CREATE2),
        })
    }
}

/// How long a node is to live. A time to live must be asked for by the mode, too, and can be nowhere else.
fn life(create: &Create) -> Result<Life, ErrorCode> {
    match (create.kind, has_ttl(create.mode)) {
        _ if !create.mode.is_known() => Err(ErrorCode::BAD_ARGUMENTS),
        (CreateKind::Ttl(ms), true) if (1..1 << 40).contains(&ms) => Ok(Life::Ttl(ms)),
        (CreateKind::Ttl(_), _) | (_, true) => Err(ErrorCode::BAD_ARGUMENTS),
        (CreateKind::Container, _) => Ok(Life::Container),
        _ => Ok(Life::Plain),
    }
}

fn has_ttl(mode: CreateMode) -> bool {
    [CreateMode::PERSISTENT_WITH_TTL, CreateMode::PERSISTENT_SEQUENTIAL_WITH_TTL].contains(&mode)
}

/// In a multi the mode decides what kind of node it is to be. One that is to have a time to live and names none makes the
/// whole request unreadable.
fn as_read_in_a_multi(part: &MultiOp) -> Result<MultiOp, ErrorCode> {
    let MultiOp::Create(create) = part else { return Ok(part.clone()) };
    let kind = match create.kind {
        _ if create.mode == CreateMode::CONTAINER => CreateKind::Container,
        CreateKind::Ttl(_) if has_ttl(create.mode) => create.kind,
        _ if has_ttl(create.mode) => return Err(ErrorCode::MARSHALLING),
        CreateKind::Create2 => CreateKind::Create2,
        _ => CreateKind::Create,
    };
    Ok(MultiOp::Create(Create { kind, ..create.clone() }))
}
