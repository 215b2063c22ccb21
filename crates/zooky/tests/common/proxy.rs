//! A TCP proxy that understands ZooKeeper's frames well enough to record requests and to cut the connection at a
//! chosen one: after the server has done it and before its answer comes back, or before it arrives there.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The opcodes that tests look for.
pub mod op {
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const SET_WATCHES: i32 = 101;
    pub const ADD_WATCH: i32 = 106;
}

/// Where the next connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A request with this opcode is thrown away.
    Request(i32),
    /// The answer to a request with this opcode is thrown away.
    Reply(i32),
}

/// A proxy before one server, or several, which have the connections by turns: whoever comes back is at another. It ends with
/// its runtime.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    servers: Vec<SocketAddr>,
    /// How many connections they have had.
    connections: AtomicUsize,
    state: Mutex<State>,
    /// While true, nobody is connected.
    refusing: watch::Sender<bool>,
    /// While true, the server's frames wait here.
    withholding: watch::Sender<bool>,
    /// Whether one has come to wait.
    withheld: watch::Sender<bool>,
    /// How many requests have passed; wakes those who wait for one.
    passed: watch::Sender<usize>,
    /// Whether a request is [held](Proxy::hold) here.
    holding: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    requests: Vec<i32>,
    cut: Option<Cut>,
    cuts: usize,
    /// An operation that the server is made not to know.
    unknown: Option<i32>,
    /// From the answer to the next request with this opcode on, the server's frames are withheld.
    withhold_at: Option<i32>,
    /// The next request with this opcode for this path is held.
    hold: Option<(i32, String)>,
}

impl Proxy {
    pub async fn start(hosts: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            servers: hosts.split(',').map(|host| host.parse().unwrap()).collect(),
            connections: AtomicUsize::new(0),
            state: Mutex::default(),
            refusing: watch::Sender::new(false),
            withholding: watch::Sender::new(false),
            withheld: watch::Sender::new(false),
            passed: watch::Sender::new(0),
            holding: watch::Sender::new(false),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, serving.clone()));
            }
        });
        Proxy { addr, shared }
    }

    /// Its connect string.
    pub fn hosts(&self) -> String {
        self.addr.to_string()
    }

    /// The opcodes of what the clients sent, without the connects and the signs of life, since the last
    /// [`forget`](Proxy::forget).
    pub fn requests(&self) -> Vec<i32> {
        let state = self.shared.state();
        state.requests.iter().copied().filter(|op| ![op::PING, op::SYNC].contains(op)).collect()
    }

    pub fn forget(&self) {
        self.shared.state().requests.clear();
    }

    /// Waits until these requests have come by since the last [`forget`](Proxy::forget), these and no others.
    pub async fn wait_for(&self, requests: &[i32]) {
        let mut passed = self.shared.passed.subscribe();
        while self.requests() != requests {
            let seen = self.requests();
            assert!(seen.len() <= requests.len(), "{seen:?} instead of {requests:?}");
            passed.changed().await.unwrap();
        }
    }

    /// From now on the server does not know this operation: it arrives there under a number that no server knows.
    pub fn hide_operation(&self, op: i32) {
        self.shared.state().unknown = Some(op);
    }

    /// Cuts the connection once, at the next such moment.
    pub fn cut(&self, cut: Cut) {
        self.shared.state().cut = Some(cut);
    }

    /// How often a connection was [cut](Proxy::cut).
    pub fn cuts(&self) -> usize {
        self.shared.state().cuts
    }

    /// Breaks all connections and takes no more, until [`admit`](Proxy::admit).
    pub fn refuse(&self) {
        self.shared.refusing.send_replace(true);
    }

    pub fn admit(&self) {
        self.shared.refusing.send_replace(false);
    }

    /// Keeps back what the server says until [`deliver`](Proxy::deliver).
    pub fn withhold(&self) {
        self.shared.withholding.send_replace(true);
    }

    /// Keeps it back from the answer to the next request with this opcode on.
    pub fn withhold_at(&self, op: i32) {
        self.shared.state().withhold_at = Some(op);
    }

    /// Waits until the server has said something that is kept back.
    pub async fn withheld(&self) {
        self.shared.withheld.subscribe().wait_for(|withheld| *withheld).await.unwrap();
    }

    /// Holds the next request with this opcode for this path, and all behind it, until [`let_go`](Proxy::let_go).
    pub fn hold(&self, op: i32, path: &str) {
        self.shared.state().hold = Some((op, path.to_owned()));
    }

    /// Waits until the request is held. All before it have been sent on.
    pub async fn held(&self) {
        self.shared.holding.subscribe().wait_for(|holding| *holding).await.unwrap();
    }

    pub fn let_go(&self) {
        self.shared.holding.send_replace(false);
    }

    pub fn deliver(&self) {
        self.shared.withheld.send_replace(false);
        self.shared.withholding.send_replace(false);
    }
}

impl Shared {
    fn next_server(&self) -> SocketAddr {
        self.servers[self.connections.fetch_add(1, Ordering::Relaxed) % self.servers.len()]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Whether this is the request that is to be held; then it is from now on.
    fn holds(&self, frame: &[u8]) -> bool {
        let mut state = self.state();
        let named = |path: &str| frame.get(12..12 + path.len()) == Some(path.as_bytes());
        let length = usize::try_from(word(frame, 8)).ok();
        let this = |(op, path): &mut (i32, String)| {
            *op == word(frame, 4) && Some(path.len()) == length && named(path)
        };
        let found = state.hold.take_if(this).is_some();
        drop(state);
        if found {
            self.holding.send_replace(true);
        }
        found
    }

    /// Whether a request may go on to the server; notes whose answer must not come back.
    fn admit_request(&self, frame: &[u8], doomed: &Mutex<Option<i32>>) -> bool {
        let (xid, op) = (word(frame, 0), word(frame, 4));
        let mut state = self.state();
        state.requests.push(op);
        if state.withhold_at == Some(op) {
            state.withhold_at = None;
            self.withholding.send_replace(true);
        }
        let admitted = match state.cut {
            Some(Cut::Request(at)) if at == op => {
                state.cut = None;
                state.cuts += 1;
                false
            }
            Some(Cut::Reply(at)) if at == op => {
                state.cut = None;
                *doomed.lock().unwrap() = Some(xid);
                true
            }
            _ => true,
        };
        drop(state);
        self.passed.send_modify(|count| *count += 1);
        admitted
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut refusing = shared.refusing.subscribe();
    if *refusing.borrow_and_update() {
        return;
    }
    let Ok(server) = TcpStream::connect(shared.next_server()).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The number of the request whose answer is thrown away.
    let doomed = Mutex::new(None);
    // Whichever ends first ends both.
    tokio::select! {
        _ = upward(from_client, to_server, &shared, &doomed) => {}
        _ = downward(from_server, to_client, &shared, &doomed) => {}
        _ = refusing.changed() => {}
    }
}

async fn upward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    doomed: &Mutex<Option<i32>>,
) -> io::Result<()> {
    let mut connected = false;
    loop {
        let mut frame = read_frame(&mut from).await?;
        if connected && !shared.admit_request(&frame[4..], doomed) {
            return Ok(());
        }
        if connected && shared.holds(&frame[4..]) {
            let _ = shared.holding.subscribe().wait_for(|holding| !holding).await;
        }
        if connected && shared.state().unknown == Some(word(&frame, 8)) {
            frame[8..12].copy_from_slice(&999_i32.to_be_bytes());
        }
        connected = true;
        to.write_all(&frame).await?;
    }
}

async fn downward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    doomed: &Mutex<Option<i32>>,
) -> io::Result<()> {
    let mut withholding = shared.withholding.subscribe();
    let mut connected = false;
    loop {
        let frame = read_frame(&mut from).await?;
        if connected && *doomed.lock().unwrap() == Some(word(&frame, 4)) {
            shared.state().cuts += 1;
            return Ok(());
        }
        connected = true;
        if *withholding.borrow() {
            shared.withheld.send_replace(true);
        }
        let _ = withholding.wait_for(|withholding| !withholding).await;
        to.write_all(&frame).await?;
    }
}

/// One frame, its length in front.
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).await?;
    let length = usize::try_from(word(&frame, 0)).map_err(io::Error::other)?;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

fn word(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).map_or(0, |word| i32::from_be_bytes(word.try_into().unwrap()))
}
