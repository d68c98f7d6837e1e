primary_datacenter = "dc1"
server             = true
bootstrap          = true
bind_addr          = "127.0.0.1"
encrypt            = "cg8StVXbQJ0gPvMd9o7yrg=="
acl = {
  enabled = true
  default_policy = "deny"
  enable_token_persistence = true
  tokens = {
    initial_management = "root-of-the-harness"
    agent = "root-of-the-harness"
  }
}
http_config {
  response_headers { Access-Control-Allow-Origin = "*" }
  block_endpoints  = ["/v1/agent/leave"]
}
telemetry {
  prometheus_retention_time = "24h"
  disable_hostname = true
}
