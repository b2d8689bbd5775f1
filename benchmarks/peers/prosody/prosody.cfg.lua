-- Prosody on loopback, with BOSH and anonymous logins for the domain localhost, and nothing else to listen on.
run_as_root = true
daemonize = false
pidfile = "@FOLDER@/prosody.pid"
data_path = "@FOLDER@/data"
certificates = "@FOLDER@"
plugin_paths = {}

modules_enabled = { "bosh", "roster", "saslauth", "disco", "carbons", "ping", "pep", "blocklist", "vcard4" }
modules_disabled = { "s2s", "c2s", "tls", "posix", "offline" }

-- BOSH is plain HTTP here: the login must be offered all the same.
consider_bosh_secure = true
c2s_require_encryption = false

http_interfaces = { "127.0.0.1" }
http_ports = { @PORT@ }
https_ports = {}
http_default_host = "localhost"

log = { warn = "*console" }

VirtualHost "localhost"
  authentication = "anonymous"
