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

ensemble!();

backends!(connections_break_while_eight_clients_contend:
    ours_connections_break_while_eight_clients_contend,
    apache_connections_break_while_eight_clients_contend);

/// Without mirrors, as on servers that know no recursive watches.
async fn connections_break_while_eight_clients_contend(hosts: String) {
    let proxy = Proxy::start(&hosts).await;
    proxy.hide_operation(op::ADD_WATCH);
    let ops = [op::CREATE2, op::GET_CHILDREN, op::DELETE, op::GET_DATA, op::SYNC];
    cut_at(&proxy, &ops, op::ADD_WATCH).await;
}

backends!(connections_break_while_eight_mirrors_are_kept:
    ours_connections_break_while_eight_mirrors_are_kept,
    apache_connections_break_while_eight_mirrors_are_kept);

async fn connections_break_while_eight_mirrors_are_kept(hosts: String) {
    let proxy = Proxy::start(&hosts).await;
    cut_at(&proxy, &[op::CREATE2, op::ADD_WATCH, op::DELETE, op::GET_CHILDREN2, op::SYNC], op::ADD_WATCH)
        .await;
    assert!(proxy.requests().contains(&op::ADD_WATCH));
}

/// Cuts connections at each of these requests, and at their answers, while clients contend.
async fn cut_at(proxy: &Proxy, ops: &[i32], watch: i32) {
    let mut contest = Contest::start(&proxy.hosts(), TIMEOUT);
    // All have asked for a mirror. A server that does not know them hangs up, which would spoil a cut.
    eventually("that all have asked", || async {
        (proxy.requests().iter().filter(|&&op| op == watch).count() >= CLIENTS).then_some(())
    })
    .await;
    contest.reaches(contest.grants() + 3 * CLIENTS).await;
    let cuts: Vec<Cut> = ops.iter().flat_map(|&op| [Cut::Request(op), Cut::Reply(op)]).collect();
    for round in 0..3 {
        for (n, &cut) in cuts.iter().enumerate() {
            contest.reaches(contest.grants() + CLIENTS).await;
            proxy.cut(cut);
            if matches!(
                cut,
                Cut::Request(op::ADD_WATCH | op::GET_CHILDREN2)
                    | Cut::Reply(op::ADD_WATCH | op::GET_CHILDREN2)
            ) {
                // Mirrors are opened on new connections.
                proxy.refuse();
                proxy.admit();
            }
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
