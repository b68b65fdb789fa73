#!/bin/bash
# Start a real S3 server for tests: one Ceph monitor, one OSD and one RADOS gateway, all on 127.0.0.1.
#
#   infra/s3/rgw-up.sh DIR [PORT [ADDRESS]]
#                                        (default port 7480; PORT+1 and PORT+2 are the monitor's; with ADDRESS the
#                                        gateway listens there, so that other machines reach it)
#   source DIR/env                       sets AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...
#   infra/s3/rgw-down.sh DIR             stops it and removes DIR
#
# DIR must not exist or be empty. Needs Debian's packages:
#   apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
set -euo pipefail

dir=${1:?usage: rgw-up.sh DIR [PORT]}
port=${2:-7480}
address=${3:-127.0.0.1}
here=$(cd "$(dirname "$0")" && pwd)

for tool in radosgw radosgw-admin ceph-mon ceph-osd ceph ceph-authtool monmaptool; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing; apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common" >&2
        exit 2
    fi
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if [ -n "$(ls -A "$dir")" ]; then
    echo "$dir is not empty; stop what runs there with rgw-down.sh, or give another folder" >&2
    exit 2
fi
for taken in "$address/$port" 127.0.0.1/$((port + 1)) 127.0.0.1/$((port + 2)); do
    if (exec 3<>"/dev/tcp/$taken") 2>/dev/null; then
        rmdir "$dir"
        echo "port ${taken#*/} is taken; give another one: rgw-up.sh $dir PORT" >&2
        exit 2
    fi
done

mkdir "$dir"/{mon,osd0,rgw,run,log}
trap 'echo "the server did not start; its logs were:" >&2; tail -n 5 "$dir"/log/* >&2 || true
      "$here/rgw-down.sh" "$dir"' ERR

access_key=$(od -An -N10 -tx1 /dev/urandom | tr -d ' \n')
secret_key=$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')
monitor="[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]"

# One copy of everything and no redundancy: the data lives as long as a test.
cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = $monitor
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = $dir/keyring
run dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/log/\$name.log
pid file = $dir/run/\$name.pid
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon max pg per osd = 1000
mon allow pool size one = true
mon data avail crit = 1
auth allow insecure global id reclaim = false
[mon]
mon data = $dir/mon
[osd]
osd data = $dir/osd\$id
osd objectstore = bluestore
osd memory target = 939524096
bluestore block size = 4294967296
[client.admin]
rgw data = $dir/rgw
rgw frontends = beast endpoint=$address:$port
CONF
export CEPH_ARGS="-c $dir/ceph.conf"

{
    ceph-authtool --create-keyring "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
    monmaptool --create --clobber --addv a "$monitor" --fsid "$(sed -n 's/^fsid = //p' "$dir/ceph.conf")" "$dir/monmap"
    ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    ceph-mon -i a
    ceph osd create
    ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' >>"$dir/keyring"
    ceph-osd -i 0 --mkfs
    ceph osd crush add osd.0 1.0 host=localhost root=default
    ceph-osd -i 0
} >"$dir/log/setup.out" 2>&1

# exec, so that the recorded pid is the gateway's own; setsid, so that Ctrl-C in a test run leaves the stopping to us.
setsid bash -c 'echo $$ >"$1/run/rgw.pid"; exec radosgw -n client.admin --foreground' _ "$dir" \
    >"$dir/log/rgw.out" 2>&1 </dev/null &

ready=
for _ in $(seq 240); do
    if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; then
        ready=yes
        break
    fi
    sleep 0.25
done
[ -n "$ready" ]
radosgw-admin user create --uid=test --display-name=test \
    --access-key="$access_key" --secret-key="$secret_key" >"$dir/log/user.out" 2>&1

cat >"$dir/env" <<ENV
export AWS_ENDPOINT_URL=http://$address:$port
export AWS_ACCESS_KEY_ID=$access_key
export AWS_SECRET_ACCESS_KEY=$secret_key
export AWS_DEFAULT_REGION=us-east-1
ENV
trap - ERR
echo "ready: source $dir/env"
