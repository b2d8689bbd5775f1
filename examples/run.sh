# For the `run` of an example: it sources this file, which ends all its processes when it ends.
set -euo pipefail
bin=$(../setup)
trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait' EXIT
trap 'exit 0' INT TERM

# free_port NAME: fails if the port in the variable is in use.
free_port() {
  if (: < "/dev/tcp/127.0.0.1/${!1}") 2>/dev/null; then
    echo "run: port ${!1} is in use; end what listens there, or set $1." >&2
    exit 1
  fi
}

# until_open PORT...: waits until a server listens at each.
until_open() {
  for port in "$@"; do
    until (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
  done
}
