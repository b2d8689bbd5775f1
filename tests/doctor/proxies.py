"""nginx and HAProxy in front of a hub, with right and with wrong configurations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import outside, programs
from tests.ports import free_port

# The hub of these tests closes idle connections after 7 s, and grants waits of 6 s.
KEEP_ALIVE_SECONDS = 7
MAX_WAIT = 6

_NGINX = """
daemon off;
{user}
pid nginx.pid;
error_log error.log;
events {{}}
http {{
  access_log off;
  {temporary}
  proxy_cache_path cache keys_zone=stale:1m;
  upstream hub {{ server 127.0.0.1:{hub}; keepalive 32; keepalive_timeout 2s; }}
  upstream long {{ server 127.0.0.1:{hub}; keepalive 32; keepalive_timeout 60s; }}

  server {{  # as the documents have it
    listen 127.0.0.1:{nginx_right};
    large_client_header_buffers 4 16k;
    location / {{
      proxy_pass http://hub;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_read_timeout 75s;
    }}
  }}
  server {{  # as it is usually written
    listen 127.0.0.1:{nginx_wrong};
    client_max_body_size 100k;
    location / {{
      proxy_pass http://127.0.0.1:{hub}/;
      proxy_ignore_headers X-Accel-Buffering;
      proxy_read_timeout 2s;
      proxy_set_header Prefer "";
      proxy_set_header Host $http_host;
    }}
  }}
  server {{  # right but for its cache, compression, scheme, absent clients and keep-alive time
    listen 127.0.0.1:{nginx_odd};
    large_client_header_buffers 4 16k;
    gzip on;
    gzip_types text/event-stream;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_ignore_client_abort on;
    location / {{
      proxy_pass http://long;
      proxy_ignore_headers X-Accel-Buffering;
    }}
    location ~ cache$ {{
      proxy_pass http://long;
      proxy_cache stale;
      proxy_cache_valid 200 60s;
      proxy_ignore_headers Cache-Control Vary;
    }}
  }}
}}
"""

_HAPROXY = """
defaults
    mode http
    option abortonclose
    option http-no-delay
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout http-keep-alive 1s
frontend right
    bind 127.0.0.1:{haproxy_right}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    default_backend right
backend right
    server hub 127.0.0.1:{hub}

defaults
    mode http
    timeout connect 5s
frontend wrong
    bind 127.0.0.1:{haproxy_wrong}
    timeout client 60s
    default_backend wrong
backend wrong
    timeout server 4s
    server hub 127.0.0.1:{hub}
"""

NAMES = ("nginx_right", "nginx_wrong", "nginx_odd", "haproxy_right", "haproxy_wrong")


@contextmanager
def proxies(hub: int, folder: Path) -> Iterator[dict[str, int]]:
    """Both programs in front of the hub at a port; the ports of their configurations."""
    nginx, haproxy = outside.require("nginx"), outside.require("haproxy")
    ports = {name: free_port() for name in NAMES}
    (folder / "nginx.conf").write_text(
        _NGINX.format(
            user=programs.nginx_user(), temporary=programs.nginx_folders(folder), hub=hub, **ports
        )
    )
    (folder / "haproxy.cfg").write_text(_HAPROXY.format(hub=hub, **ports))
    commands = [
        [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"],
        [haproxy, "-db", "-f", str(folder / "haproxy.cfg")],
    ]
    with programs.run(commands, list(ports.values()), folder / "output.log"):
        yield ports
