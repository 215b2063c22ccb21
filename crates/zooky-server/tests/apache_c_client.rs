//! ZooKeeper's own C client on our server: its command line says what it says on Apache ZooKeeper, and a program
//! with its library does its work, holds a lock and comes back after a restart.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use support::start;
use tempfile::TempDir;
use zooky_testkit::{Apache, Talk};

const LONG: Duration = Duration::from_secs(30);

/// What is typed, and how the lines begin that answer it.
const COMMANDS: [(&str, &[&str]); 19] = [
    ("create /a", &["[/a]: rc =", "\tname ="]),
    ("create +e /a/e", &["[/a/e]: rc =", "\tname ="]),
    ("create +s /a/s-", &["[/a/s-]: rc =", "\tname ="]),
    ("create +es /a/t-", &["[/a/t-]: rc =", "\tname ="]),
    ("create +c /box", &["[/box]: rc =", "\tname ="]),
    ("create +t=60000 /ttl", &["[/ttl]: rc =", "\tname ="]),
    ("create2 /b", &["[/b]: rc =", "\tname =", "\tversion="]),
    ("create /a", &["[/a]: rc ="]),
    ("create /none/below", &["[/none/below]: rc ="]),
    ("ls /a", &["/a: rc ="]),
    ("ls2 /a", &["/a: rc =", "\tversion="]),
    ("get /a", &["/a: rc =", "\tversion="]),
    ("set /a three", &["/a: rc =", "\tversion="]),
    ("set /none three", &["/none: rc ="]),
    ("wexists /new", &["Error -101"]),
    ("create /new", &["Watcher CREATED_EVENT", "\tname ="]),
    ("sync /a", &["[/a]: rc ="]),
    ("delete /a", &["/a: rc ="]),
    ("delete /new", &["/new: rc ="]),
];

/// What the command line answers.
fn cli(addr: SocketAddr) -> Vec<String> {
    let mut command = Command::new("sh");
    command.args(["-c", "exec /usr/lib/zookeeper/bin/cli_mt -h \"$0\" 2>&1"]).arg(addr.to_string());
    let mut cli = Talk::start(command);
    cli.expect_line("Watcher SESSION_EVENT state = CONNECTED_STATE", LONG);
    let mut said = Vec::new();
    for (command, answers) in COMMANDS {
        cli.send_line(command);
        said.extend(
            answers.iter().map(|begin| format!("{command}: {begin} {}", cli.expect_line(begin, LONG))),
        );
    }
    cli.send_line("quit");
    assert!(cli.wait(LONG).success());
    said
}

#[test]
fn the_c_command_line_says_what_it_says_on_apache() {
    let dir = TempDir::new().unwrap();
    let ours = start(dir.path());
    let apache = Apache::start();
    let said = cli(ours.addr());
    for line in ["create +es /a/t-: \tname = /a/t-0000000002", "create /a: [/a]: rc = -110"] {
        assert!(said.iter().any(|said| said == line), "no {line} in {said:#?}");
    }
    assert_eq!(said, cli(apache.addr()));
}

const WORK: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <pthread.h>
#include <zookeeper/zookeeper.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
struct seen { int state, event; char path[256]; };

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct seen *seen = context;
    (void)zh;
    pthread_mutex_lock(&mutex);
    if (type == ZOO_SESSION_EVENT) seen->state = state;
    else { seen->event = type; snprintf(seen->path, sizeof seen->path, "%s", path); }
    pthread_cond_broadcast(&change);
    pthread_mutex_unlock(&mutex);
}
static void await_state(struct seen *seen, int connected) {
    pthread_mutex_lock(&mutex);
    while ((seen->state == ZOO_CONNECTED_STATE) != connected) pthread_cond_wait(&change, &mutex);
    pthread_mutex_unlock(&mutex);
}
static void say_event(const char *name, struct seen *seen) {
    pthread_mutex_lock(&mutex);
    while (!seen->event) pthread_cond_wait(&change, &mutex);
    printf("%s %d %s\n", name, seen->event, seen->path);
    seen->event = 0;
    pthread_mutex_unlock(&mutex);
}
static zhandle_t *session(const char *hosts, struct seen *seen) {
    memset(seen, 0, sizeof *seen);
    zhandle_t *zh = zookeeper_init(hosts, watcher, 10000, NULL, seen, 0);
    if (!zh) exit(1);
    await_state(seen, 1);
    return zh;
}
static int by_number(const void *a, const void *b) {
    return strcmp(strrchr(*(char *const *)a, '-'), strrchr(*(char *const *)b, '-'));
}
/* The recipe's order: who is at the head of the queue. */
static int is_head(zhandle_t *zh, const char *mine) {
    struct String_vector names;
    if (zoo_get_children(zh, "/locks", 0, &names)) exit(1);
    qsort(names.data, names.count, sizeof *names.data, by_number);
    int head = !strcmp(names.data[0], mine + strlen("/locks/"));
    deallocate_String_vector(&names);
    return head;
}

int main(int argc, char **argv) {
    struct seen see_one, see_two, here;
    struct Stat stat;
    char path[256], other[256], data[64];
    int length;
    (void)argc;
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(&here, 0, sizeof here);
    zhandle_t *one = session(argv[1], &see_one), *two = session(argv[1], &see_two);
    zoo_create(one, "/c", "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path);
    printf("again %d\n", zoo_create(two, "/c", "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
    length = sizeof data;
    zoo_wget(two, "/c", watcher, &here, data, &length, &stat);
    printf("data %.*s %d\n", length, data, stat.version);
    zoo_set(one, "/c", "y", 1, 0);
    say_event("changed", &here);
    printf("stale %d\n", zoo_set(two, "/c", "z", 1, 0));
    struct String_vector names;
    zoo_wget_children(two, "/c", watcher, &here, &names);
    deallocate_String_vector(&names);
    zoo_create2(one, "/c/e-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof path, &stat);
    say_event("more", &here);
    printf("made %s %d\n", path, stat.ephemeralOwner == zoo_client_id(one)->client_id);
    zoo_wexists(two, path, watcher, &here, &stat);
    printf("unwatched %d\n", zoo_remove_watches(two, path, ZWATCHTYPE_DATA, watcher, &here, 0));
    printf("not again %d\n", zoo_remove_watches(two, path, ZWATCHTYPE_DATA, watcher, &here, 0));

    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    zoo_check_op_init(&ops[0], "/c", 1);
    zoo_create_op_init(&ops[1], "/t", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, other, sizeof other);
    zoo_set_op_init(&ops[2], "/c", "t", 1, 1, &stat);
    printf("commit %d\n", zoo_multi(one, 3, ops, results));
    printf("rollback %d", zoo_multi(one, 3, ops, results));
    printf(" %d %d %d\n", results[0].err, results[1].err, results[2].err);

    zoo_add_auth(one, "digest", "ann:secret", 10, NULL, NULL);
    printf("secret %d\n", zoo_create(one, "/secret", "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    length = sizeof data;
    printf("denied %d\n", zoo_get(two, "/secret", 0, data, &length, &stat));
    struct ACL_vector acl;
    zoo_get_acl(one, "/secret", &acl, &stat);
    printf("acl %d %s\n", acl.count, acl.data[0].id.scheme);

    zoo_create(one, "/locks", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    zoo_create(one, "/locks/x-one-", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof path);
    zoo_create(two, "/locks/x-two-", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, other, sizeof other);
    printf("head %d %d\n", is_head(one, path), is_head(two, other));
    zoo_wexists(two, path, watcher, &here, &stat);
    zoo_delete(one, path, -1);
    say_event("released", &here);
    printf("then %d\n", is_head(two, other));

    zoo_wexists(one, other, watcher, &here, &stat);
    zookeeper_close(two);
    say_event("ended", &here);
    zoo_create(one, "/mine", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0);
    zoo_wexists(one, "/mine", watcher, &here, &stat);
    int64_t id = zoo_client_id(one)->client_id;
    printf("ready\n");
    await_state(&see_one, 0);
    await_state(&see_one, 1);
    zoo_exists(one, "/mine", 0, &stat);
    printf("back %d %d\n", zoo_client_id(one)->client_id == id, stat.ephemeralOwner == id);
    /* The watch came along. */
    zoo_delete(one, "/mine", -1);
    say_event("still", &here);
    return zookeeper_close(one);
}
"#;

#[test]
fn a_c_program_works_locks_and_comes_back_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let (source, program) = (dir.path().join("work.c"), dir.path().join("work"));
    std::fs::write(&source, WORK).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-Wall", "-Werror", "-DTHREADED", "-o"])
        .args([&program, &source])
        .args(["-lzookeeper_mt", "-lpthread"]);
    let compiled = gcc.output().expect("gcc runs: `make peers` installs it");
    let complaint = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "libzookeeper-mt-dev is there? `make peers` installs it\n{complaint}");
    let server = start(&dir.path().join("data"));
    let addr = server.addr();
    let mut command = Command::new(program);
    command.arg(addr.to_string());
    let mut c = Talk::start(command);
    for (line, value) in [
        ("again", "-110"),
        ("data", "x 0"),
        ("changed", "3 /c"),
        ("stale", "-103"),
        ("more", "4 /c"),
        ("made", "/c/e-0000000000 1"),
        ("unwatched", "0"),
        ("not again", "-121"),
        ("commit", "0"),
        ("rollback", "-103 -103 -2 -2"),
        ("secret", "0"),
        ("denied", "-102"),
        ("acl", "1 digest"),
        ("head", "1 0"),
        ("released", "2 /locks/x-one-0000000000"),
        ("then", "1"),
        ("ended", "2 /locks/x-two-0000000001"),
    ] {
        assert_eq!(c.expect_line(line, LONG), value, "{line}");
    }
    c.expect_line("ready", LONG);
    server.stop().unwrap();
    let mut config = support::config(&dir.path().join("data"));
    config.listen = addr;
    let _server = zooky_server::Server::start(config).unwrap();
    assert_eq!(c.expect_line("back", LONG), "1 1");
    assert_eq!(c.expect_line("still", LONG), "2 /mine");
    assert!(c.wait(LONG).success());
}
