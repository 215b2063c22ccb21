//! Exclusion while servers are restarted and connections break.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::contest::{CLIENTS, Contest};
use common::proxy::{Cut, Proxy, op};
use common::servers::{Ours, Single, TICK, apache};
use common::{LONG, eventually, run};

const TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn ours_restarted_while_eight_clients_contend() {
    run(LONG, restarted_while_eight_clients_contend(&mut Ours::start(TICK), 8));
}

#[test]
fn apache_restarted_while_eight_clients_contend() {
    run(2 * LONG, restarted_while_eight_clients_contend(&mut apache(TICK), 2));
}

async fn restarted_while_eight_clients_contend(server: &mut dyn Single, times: usize) {
    let mut contest = Contest::start(&server.hosts(), TIMEOUT);
    for _ in 0..times {
        contest.reaches(contest.grants() + 3 * CLIENTS).await;
        server.down();
        server.up();
    }
    contest.reaches(contest.grants() + 3 * CLIENTS).await;
    contest.end().await;
}

backends!(connections_break_while_eight_clients_contend:
    ours_connections_break_while_eight_clients_contend,
    apache_connections_break_while_eight_clients_contend);

async fn connections_break_while_eight_clients_contend(hosts: String) {
    let proxy = Proxy::start(&hosts).await;
    let mut contest = Contest::start(&proxy.hosts(), TIMEOUT);
    let ops = [op::CREATE2, op::GET_CHILDREN, op::DELETE, op::GET_DATA, op::SYNC];
    let cuts: Vec<Cut> = ops.into_iter().flat_map(|op| [Cut::Request(op), Cut::Reply(op)]).collect();
    for round in 0..3 {
        for (n, &cut) in cuts.iter().enumerate() {
            contest.reaches(contest.grants() + CLIENTS).await;
            proxy.cut(cut);
            let cuts = round * cuts.len() + n + 1;
            eventually("the cut", || async { (proxy.cuts() == cuts).then_some(()) }).await;
        }
        // All at once, for a moment.
        proxy.refuse();
        proxy.admit();
    }
    contest.reaches(contest.grants() + 3 * CLIENTS).await;
    contest.end().await;
}
