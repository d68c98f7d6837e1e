# A client library that speaks through a socket; nothing listens on TCP but the
# server port.
server             = true
bootstrap_expect   = 1
data_dir           = "/tmp/harness/data"
node_name          = "socket"
bind_addr          = "127.0.0.1"
addresses { http = "unix:///tmp/harness/http.sock" }
unix_sockets { mode = "700" }
ports {
  dns = -1
  https = -1
  grpc = -1
  serf_wan = -1
  server = 21300
  serf_lan = 21301
}
leave_on_terminate = true
log_level          = "DEBUG"
