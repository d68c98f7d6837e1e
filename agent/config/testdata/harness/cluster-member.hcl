datacenter         = "DC1"
data_dir           = "/var/lib/kv"
server             = true
bootstrap_expect   = 3
retry_join         = ["10.0.0.2", "provider=aws tag_key=role tag_value=kv"]
retry_interval     = "5s"
rejoin_after_leave = true
bind_addr          = "{{ print \"10.0.0.1\" }}"
client_addr        = "0.0.0.0"
performance { raft_multiplier = 1 leave_drain_time = "1s" rpc_hold_timeout = "3s" }
gossip_lan { gossip_interval = "100ms" probe_interval = "100ms" probe_timeout = "50ms" suspicion_mult = 2 }
raft_logstore { backend = "boltdb" boltdb { no_freelist_sync = true } verification { enabled = true interval = "60s" } }
tls {
  defaults { ca_file = "/etc/kv/ca.pem" cert_file = "/etc/kv/s.pem" key_file = "/etc/kv/s.key" verify_incoming = true verify_outgoing = true }
  internal_rpc { verify_server_hostname = true }
  grpc { use_auto_cert = false }
}
translate_wan_addrs = true
ui_config { enabled = true }
dns_config { allow_stale = true }
recursors = ["10.0.0.53"]
