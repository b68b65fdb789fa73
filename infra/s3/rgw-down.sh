#!/bin/bash
# Stop the server that rgw-up.sh started in DIR, by its recorded process ids alone, and remove DIR.
#
#   infra/s3/rgw-down.sh DIR
set -uo pipefail

dir=${1:?usage: rgw-down.sh DIR}
if [ ! -f "$dir/ceph.conf" ]; then
    echo "$dir holds no server" >&2
    exit 2
fi

stop() { # NAME: end the process named in its pid file; by force after 10 s
    local pid
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) || return 0
    # A recycled pid may belong to somebody else by now.
    grep -qE 'radosgw|ceph-(osd|mon)' "/proc/$pid/comm" 2>/dev/null || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        [ -d "/proc/$pid" ] || return 0
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null
}

stop rgw
stop osd.0
stop mon.a
rm -rf "$dir"
