package metrics

// What the Raft library reports, under its own dotted names, and what we call it.
// The lists are complete for one server and for several; a test runs a server and
// finds what is missing.

var raftCounters = []struct{ from, name, help string }{
	{"raft.apply", "apply_total", "Commands that were handed to the log on this server as leader."},
	{"raft.barrier", "barrier_total", "Barriers that were waited for."},
	{"raft.verify_leader", "verify_leader_total", "Rounds in which a majority confirmed that this server leads."},
	{"raft.restore", "restore_total", "Restores of a snapshot archive that were asked of this server."},
	{"raft.state.follower", "became_follower_total", "Times this server became a follower."},
	{"raft.state.candidate", "became_candidate_total", "Times this server became a candidate."},
	{"raft.state.leader", "became_leader_total", "Times this server became the leader."},
	{"raft.transition.heartbeat_timeout", "heartbeat_timeout_total", "Times this server stopped hearing from the leader and stood for election."},
	{"raft.transition.leader_lease_timeout", "leader_lease_timeout_total", "Times this server gave up leading because it could not reach a majority."},
	{"raft.replication.appendEntries.logs", "replicated_entries_total", "Log entries sent to followers."},
}

var raftGauges = []struct {
	from, name, help string
	scale            float64
}{
	{"raft.peers", "peers", "Servers in the Raft configuration, as the leader last set it.", 1},
	{"raft.commitNumLogs", "commit_entries", "Entries that the last commit handed to the state machine together.", 1},
	{"raft.leader.dispatchNumLogs", "dispatch_entries", "Entries that the leader wrote to its log together the last time.", 1},
	{"raft.leader.oldestLogAge", "oldest_log_age_seconds", "Age of the oldest entry in the leader's log.", millis},
	{"raft.fsm.lastRestoreDuration", "last_restore_seconds", "How long the state machine last took to restore a snapshot.", millis},
}

var raftSamples = []struct {
	from, name, help string
	scale            float64
	bounds           []float64
}{
	{"raft.commitTime", "commit_seconds", "From the hand-over of an entry until a majority had stored it.", millis, timeBounds},
	{"raft.leader.dispatchLog", "dispatch_log_seconds", "How long the leader took to write entries to its own log.", millis, timeBounds},
	{"raft.leader.lastContact", "leader_last_contact_seconds", "How long ago the leader had heard from a follower when it checked its lease.", millis, timeBounds},
	{"raft.fsm.enqueue", "fsm_enqueue_seconds", "How long committed entries waited for the state machine to take them.", millis, timeBounds},
	{"raft.fsm.apply", "fsm_apply_seconds", "How long the state machine took for one entry.", millis, timeBounds},
	{"raft.fsm.applyBatch", "fsm_apply_batch_seconds", "How long the state machine took for the entries of one batch.", millis, timeBounds},
	{"raft.fsm.applyBatchNum", "fsm_apply_batch_entries", "Entries in one batch for the state machine.", 1, countBounds},
	{"raft.fsm.store_config", "fsm_store_config_seconds", "How long the state machine took for a configuration.", millis, timeBounds},
	{"raft.fsm.snapshot", "fsm_snapshot_seconds", "How long the state machine took to fix a snapshot, before it was written.", millis, timeBounds},
	{"raft.fsm.restore", "fsm_restore_seconds", "How long the state machine took to read a snapshot.", millis, timeBounds},
	{"raft.thread.main.saturation", "main_thread_busy_ratio", "Share of its time in which Raft's main loop was at work.", 1, shareBounds},
	{"raft.thread.fsm.saturation", "fsm_thread_busy_ratio", "Share of its time in which the state machine's loop was at work.", 1, shareBounds},
	{"raft.snapshot.create", "snapshot_create_seconds", "How long it took to begin a snapshot file.", millis, timeBounds},
	{"raft.snapshot.persist", "snapshot_persist_seconds", "How long it took to write a snapshot.", millis, timeBounds},
	{"raft.snapshot.takeSnapshot", "snapshot_take_seconds", "How long a snapshot took altogether.", millis, timeBounds},
	{"raft.compactLogs", "compact_logs_seconds", "How long it took to drop the entries that a snapshot covers.", millis, timeBounds},
	{"raft.removeOldLogs", "remove_old_logs_seconds", "How long it took to drop the whole log after a snapshot was installed.", millis, timeBounds},
	{"raft.restoreUserSnapshot", "restore_user_snapshot_seconds", "How long the restore of a snapshot archive took.", millis, timeBounds},
	{"raft.candidate.electSelf", "elect_self_seconds", "How long it took to ask the others for their vote.", millis, timeBounds},
	{"raft.candidate.preElectSelf", "pre_elect_self_seconds", "How long it took to ask the others whether they would vote.", millis, timeBounds},
	{"raft.rpc.processHeartbeat", "rpc_heartbeat_seconds", "How long this server took for a heartbeat of the leader.", millis, timeBounds},
	{"raft.rpc.appendEntries", "rpc_append_entries_seconds", "How long this server took for entries from the leader.", millis, timeBounds},
	{"raft.rpc.appendEntries.storeLogs", "rpc_append_entries_store_seconds", "The part of it in which they were written to the log.", millis, timeBounds},
	{"raft.rpc.appendEntries.processLogs", "rpc_append_entries_process_seconds", "The part of it in which they were handed to the state machine.", millis, timeBounds},
	{"raft.rpc.requestVote", "rpc_request_vote_seconds", "How long this server took for a request for its vote.", millis, timeBounds},
	{"raft.rpc.installSnapshot", "rpc_install_snapshot_seconds", "How long this server took for a snapshot from the leader.", millis, timeBounds},
	{"raft.net.getRPCType", "net_rpc_type_seconds", "How long the network layer waited for the kind of a request.", millis, timeBounds},
	{"raft.net.rpcDecode", "net_rpc_decode_seconds", "How long the network layer took to decode a request.", millis, timeBounds},
	{"raft.net.rpcEnqueue", "net_rpc_enqueue_seconds", "How long the network layer took to hand a request to Raft.", millis, timeBounds},
	{"raft.net.rpcRespond", "net_rpc_respond_seconds", "How long the network layer waited for Raft's answer.", millis, timeBounds},
	{"raft.replication.heartbeat", "replication_heartbeat_seconds", "How long a follower took to answer a heartbeat.", millis, timeBounds},
	{"raft.replication.appendEntries.rpc", "replication_append_seconds", "How long a follower took to store entries.", millis, timeBounds},
	{"raft.replication.installSnapshot", "replication_snapshot_seconds", "How long a follower took to take a snapshot.", millis, timeBounds},
	{"raft.boltdb.getLog", "boltdb_get_log_seconds", "How long the boltdb log store took to read an entry.", millis, timeBounds},
	{"raft.boltdb.storeLogs", "boltdb_store_logs_seconds", "How long the boltdb log store took to write and flush entries.", millis, timeBounds},
	{"raft.boltdb.logSize", "boltdb_entry_bytes", "Size of the entries in the boltdb log store.", 1, sizeBounds},
	{"raft.boltdb.logsPerBatch", "boltdb_batch_entries", "Entries that the boltdb log store wrote together.", 1, countBounds},
	{"raft.boltdb.logBatchSize", "boltdb_batch_bytes", "Size of what the boltdb log store wrote together.", 1, sizeBounds},
	{"raft.boltdb.writeCapacity", "boltdb_write_capacity", "Entries that the boltdb log store could write in a second at the pace of its last batch.", 1, rateBounds},
}
