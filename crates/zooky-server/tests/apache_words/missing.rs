//! The keys of Apache ZooKeeper's answers that ours do not have, and why.

use std::collections::BTreeSet;

/// Those that a word's answer lacks.
pub(crate) fn keys(word: &str) -> BTreeSet<String> {
    let of_word = MISSING.iter().filter(|(of, ..)| *of == word);
    of_word.flat_map(|(.., keys)| keys.split_whitespace()).map(str::to_owned).collect()
}

/// The word, why its answer does without these keys, and which they are. `zk_avg_…` stands for all of one distribution.
const MISSING: &[(&str, &str, &str)] = &[
    ("envi", "there is no Java", "java.version java.vendor java.home java.class.path java.library.path"),
    ("envi", "there is no Java", "java.io.tmpdir java.compiler os.memory.free os.memory.max os.memory.total"),
    ("envi", "whom the server runs as is nobody's business", "user.name user.home"),
    (
        "mntr",
        "there is one server: nobody follows, is elected, is caught up with, or shares its quorum",
        "zk_proposal_count zk_looking_count zk_learner_proposal_received_count zk_learner_commit_received_count
         zk_ensemble_auth_success zk_ensemble_auth_fail zk_ensemble_auth_skip zk_diff_count zk_snap_count
         zk_commit_count zk_quit_leading_due_to_disloyal_voter zk_connection_revalidate_count zk_revalidate_count
         zk_avg_leader_unavailable_time zk_avg_follower_sync_time zk_avg_inflight_snap_count
         zk_avg_inflight_diff_count zk_avg_unavailable_time zk_avg_election_time zk_avg_observer_sync_time
         zk_avg_learner_request_processor_queue_size zk_avg_quorum_ack_latency zk_avg_propagation_latency
         zk_avg_commit_propagation_latency zk_avg_proposal_ack_creation_latency zk_avg_proposal_latency
         zk_avg_om_commit_process_time_ms zk_avg_om_proposal_process_time_ms zk_avg_proposal_process_time",
    ),
    (
        "mntr",
        "a request passes no chain of processors with queues and threads of their own",
        "zk_outstanding_changes_removed zk_outstanding_changes_queued zk_prep_processor_request_queued
         zk_sync_processor_request_queued zk_request_commit_queued zk_requests_not_forwarded_to_commit_processor
         zk_skip_learner_request_to_next_processor_count zk_avg_session_queues_drained
         zk_avg_write_commit_proc_req_queued zk_avg_read_commit_proc_req_queued zk_avg_commit_commit_proc_req_queued
         zk_avg_sync_processor_queue_size zk_avg_prep_processor_queue_size
         zk_avg_reads_issued_from_session_queue zk_avg_reads_after_write_in_session_queue
         zk_avg_requests_in_session_queue zk_avg_write_commit_proc_issued zk_avg_read_commit_proc_issued
         zk_avg_prep_process_time zk_avg_pending_session_queue_size
         zk_avg_time_waiting_empty_pool_in_commit_processor_read_ms zk_avg_commit_process_time
         zk_avg_sync_processor_batch_size zk_avg_write_batch_time_in_commit_processor
         zk_avg_concurrent_request_processing_in_commit_processor zk_avg_sync_process_time
         zk_avg_prep_processor_queue_time_ms zk_avg_close_session_prep_time zk_avg_read_commitproc_time_ms
         zk_avg_local_write_committed_time_ms zk_avg_read_final_proc_time_ms zk_avg_write_final_proc_time_ms
         zk_avg_sync_processor_queue_and_flush_time_ms zk_avg_server_write_committed_time_ms
         zk_avg_sync_processor_queue_time_ms zk_avg_sync_processor_queue_flush_time_ms
         zk_avg_write_commitproc_time_ms",
    ),
    (
        "mntr",
        "requests are not throttled by dropping them or by tokens, and none is too old to be served",
        "zk_connection_drop_probability zk_throttled_ops zk_stale_requests_dropped zk_stale_requests zk_stale_replies
         zk_request_throttle_wait_count zk_avg_connection_token_deficit zk_avg_request_throttle_queue_time_ms",
    ),
    (
        "mntr",
        "there is no cache of responses, and no watchers to be cleaned away later",
        "zk_response_packet_cache_hits zk_response_packet_cache_misses zk_response_packet_get_children_cache_hits
         zk_response_packet_get_children_cache_misses zk_dead_watchers_queued zk_dead_watchers_cleared
         zk_add_dead_watcher_stall_time zk_avg_dead_watchers_cleaner_latency",
    ),
    (
        "mntr",
        "there is no admin server, no Netty, no Java, and no digest of the tree",
        "zk_insecure_admin_count zk_avg_netty_queued_buffer_capacity zk_avg_jvm_pause_time_ms
         zk_digest_mismatches_count",
    ),
    (
        "mntr",
        "the server ends at such an error, or serves nobody before it can",
        "zk_unrecoverable_error_count zk_cnxn_closed_without_zk_server_running",
    ),
    (
        "mntr",
        "not counted: `srvr` and the metrics tell of load, latency and sizes",
        "zk_last_client_response_size zk_max_client_response_size zk_min_client_response_size zk_auth_failed_count
         zk_non_mtls_remote_conn_count zk_non_mtls_local_conn_count zk_outstanding_tls_handshake
         zk_tls_handshake_exceeded zk_unsuccessful_handshake zk_watch_bytes zk_large_requests_rejected zk_sessionless_connections_expired zk_connection_drop_count
         zk_bytes_received_count zk_connection_request_count zk_response_bytes zk_avg_socket_closing_time
         zk_avg_node_created_watch_count zk_avg_node_deleted_watch_count zk_avg_node_children_watch_count
         zk_avg_node_changed_watch_count zk_avg_startup_txns_load_time zk_avg_startup_txns_loaded
         zk_avg_startup_snap_load_time zk_avg_fsynctime zk_avg_snapshottime zk_avg_dbinittime zk_avg_updatelatency
         zk_avg_readlatency",
    ),
];
