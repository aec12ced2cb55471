#!/bin/sh
# Fill a volume with model weights from their locks, and verify them.
#
#   bash scripts/download_models.sh [PROJECT]... [OPTION OF provision fill]...
#
# It finds the volume and the manifests, makes a Python environment that is not on the volume, installs `provision`
# there, and runs `provision fill` and `provision verify`. Interrupted or killed, the same command resumes. It needs a
# POSIX shell, and Python 3.11 or newer with venv, or uv.
#
#   --volume DIR      the volume, or PROVISION_VOLUME; else /runpod-volume or /workspace where that is a mount
#   --manifests DIR   or PROVISION_MANIFESTS; else ./manifests, else the folder `manifests` beside this script's own
#
# Environment: PROVISION_PACKAGE  what is installed: any requirement or address that pip takes
#              PROVISION_VENV     where the environment is kept (default: a folder in TMPDIR or /tmp)
#              PROVISION_PYTHON   a Python that has the package: nothing is installed
#              PROVISION_MOUNT    `mount`: wait until the volume is mounted; `folder`: any folder will do
# Exit codes: those of `provision` (provision --help): 0 done, 3 not as promised, 6 run again, 7 no volume.
#
# In a pod that `provision pod` has rented (PROVISION_LEASE is set) it does the job of that lease, and then gives the
# pod back. There its process must not end: the container would be started again, and cost on.

# shellcheck disable=SC2329 # functions that only traps call
set -u
VERSION=0.1.0
AGENT=provision/$VERSION # the default of Python is refused by RunPod's front
: "${PATH:=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export PATH PYTHONSAFEPATH=1 # a click.py in the folder that we are started in is no part of us
repository=/dev/null # nothing is below it: in a pod there is the script, but no file
[ -n "${PROVISION_LEASE-}" ] || [ ! -f "$0" ] || repository=$(cd "$(dirname "$0")/.." && pwd -P)
temporary=${TMPDIR:-/tmp}
python='' child='' watchdog='' making='' dry_run='' told=''
newline='
'

now() { date +%s; }

# ---- By hand -------------------------------------------------------------------------------------------------------

by_hand() {
    trap clean EXIT
    trap interrupted INT TERM
    option='' both='' count=0 # `both`: the words that verify gets as well, as `"${1}" "${2}"`
    for word in "$@"; do
        count=$((count + 1))
        case $option:$word in
        *:--help | *:-h) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *:--dry-run) dry_run=yes ;;
        *:--volume=* | --volume:*) export PROVISION_VOLUME="${word#--volume=}" ;;
        *:--manifests=* | --manifests:*) export PROVISION_MANIFESTS="${word#--manifests=}" ;;
        --shard:*) both="$both --shard \"\${$count}\"" ;;
        *:--shard=* | :[!-]*) both="$both \"\${$count}\"" ;;
        esac
        case $word in -*) option=$word ;; *) option=${option:+-} ;; esac
    done
    [ -d manifests ] || [ ! -d "$repository/manifests" ] ||
        export PROVISION_MANIFESTS="${PROVISION_MANIFESTS:-$repository/manifests}"
    find_volume
    find_environment
    run "$python" -m provision fill "$@"
    code=$?
    case $code$dry_run in 0 | 3 | 5 | 6) ;; *) exit "$code" ;; esac
    eval "run \"\$python\" -m provision verify $both"
    verified=$?
    exit $((code ? code : verified))
}

# ---- In a pod ------------------------------------------------------------------------------------------------------

in_pod() {
    trap '' PIPE # nobody may read the log any more
    : "${PROVISION_MOUNT:=mount}"
    ! is_on_volume "$temporary" || temporary=/tmp
    work=$temporary/$PROVISION_LEASE began=$(now) starts=1 deadline=${PROVISION_DEADLINE-}
    case $deadline in '' | *[!0-9]*) deadline=$((began + 86400)) ;; esac
    trap 'leave $?' EXIT
    trap interrupted INT TERM
    trap overdue USR1
    watch_deadline &
    watchdog=$!
    make_work || fail 8 "no folder can be made for the job, neither in ${TMPDIR:-/tmp} nor in /tmp" \
        "is the disk of the pod full? give it a larger one, or another image"
    [ "$starts" -le 5 ] || [ -e "$work/ended" ] || fail 8 "the pod was started $starts times and never came to an end" \
        "see what it said before: provision pod logs"
    unpack 2>/dev/null || fail 8 "the job did not arrive whole in the pod" "run the same command again"
    find_volume
    tell_status installing
    find_environment
    echo "$python" >python
    # In a process group of its own, so that nothing of it writes on when it has gone away.
    run "$python" -I -S -c 'import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])' \
        "$python" -m provision pod work "$work"
    code=$?
    [ -e "$work/ended" ] || fail 8 "what does the job in the pod went away with code $code" \
        "see what it said before: provision pod logs; then run the same command again, it resumes"
    exit "$code"
}

# Whether a folder is where a volume has yet to be mounted, which would hide it.
is_on_volume() {
    volume=${PROVISION_VOLUME:-/workspace}
    case $PROVISION_MOUNT:$1/ in mount:"${volume%/}"/*) return 0 ;; *) return 1 ;; esac
}

make_work() {
    for temporary in "$temporary" /tmp; do
        work=$temporary/$PROVISION_LEASE
        ! is_on_volume "$(cd -P "$temporary" && pwd)" && mkdir -p "$work" && cd "$work" && count_starts &&
            export TMPDIR="$temporary" && return 0
    done 2>/dev/null
    return 1
}

count_starts() {
    starts=$(($(cat starts || echo 0) + 1))
    [ -e began ] || echo "$began" >began && echo "$starts" >starts
}

unpack() {
    part=0
    while eval "piece=\${PROVISION_PARCEL_$part-}" && [ -n "$piece" ]; do
        printf %s "$piece"
        unset "PROVISION_PARCEL_$part"
        part=$((part + 1))
    done >parcel
    unset piece PROVISION_SCRIPT # no command after this needs a megabyte of environment
    base64 -d <parcel >parcel.tar.gz || python3 -I -m base64 -d parcel >parcel.tar.gz
    tar -xzof parcel.tar.gz && [ -f job.json ]
}

# A line of the log that the renter reads: PHASE [EXIT_CODE ERROR HINT]. By hand there is no renter.
tell_status() {
    [ -n "${PROVISION_LEASE-}" ] || return 0
    start="\"schema\":1,\"lease\":\"$(plain "$PROVISION_LEASE")\",\"phase\":\"$1\",\"began\":$began,\"now\":$(now)"
    end="\"exit_code\":${2:-null},\"error\":\"$(plain "${3-}")\",\"hint\":\"$(plain "${4-}")\""
    say "provision-status: {$start,\"deadline\":$deadline,\"starts\":$starts,$end}"
}

plain() { printf %s "$1" | LC_ALL=C tr -c '\040-\176' ' ' | tr '\042\134' "''"; }

# In the background: whatever else hangs, at the deadline the work ends and the pod is given back. A clock may be set
# back: the lease is over, too, when as much time has passed as it had when the pod was first started.
watch_deadline() {
    first=$(noted began)
    case $first in '' | *[!0-9]*) first=$began ;; esac
    last=$(($(uptime) + deadline - first))
    while [ "$(now)" -lt "$deadline" ] && [ "$(uptime)" -lt "$last" ]; do
        kill -0 $$ 2>/dev/null || exit 0
        sleep 1 >/dev/null 2>&1
    done
    kill -USR1 $$
    sleep 10 >/dev/null 2>&1
    [ -z "${RUNPOD_POD_ID-}" ] || give_back
    kill -KILL $$
}

# Seconds by a clock that nobody sets, where there is one.
uptime() { if read -r up _ </proc/uptime; then echo "${up%%.*}"; else now; fi 2>/dev/null; }

# What stands in a file of the job's folder, wherever that was made.
noted() { cat "$work/$1" "/tmp/$PROVISION_LEASE/$1" 2>/dev/null | head -n 1; }

overdue() {
    trap '' USR1
    end_child
    [ -n "$told" ] || [ -e "$work/ended" ] || tell_status ended 8 "the deadline of the pod came before its job was done" \
        "run the same command again with more time; it resumes"
    exit 8
}

leave() {
    trap '' USR1
    trap - EXIT
    clean
    [ -z "${RUNPOD_POD_ID-}" ] || give_back
    kill "$watchdog" 2>/dev/null
    exit "$1"
}

# For ever: that a cloud has said yes is no proof, and to ask twice does no harm. Nothing is said before it is asked.
give_back() {
    pause=1
    while :; do
        heard=''
        base=${RUNPOD_API_BASE_URL:-https://api.runpod.io}
        query="mutation { podTerminate(input: {podId: \\\"$RUNPOD_POD_ID\\\"}) }"
        ask DELETE "$base/v2/pods/$RUNPOD_POD_ID" '' || ask POST "$base/graphql" "{\"query\":\"$query\"}"
        say "provision: giving the pod $RUNPOD_POD_ID back$heard"
        run sleep "$pause"
        [ "$pause" -ge 60 ] || pause=$((pause * 2))
    done
}

# METHOD ADDRESS BODY: whether it was done. The key is never an argument: all processes of a machine can read those.
# The Python that was found comes last: it may be what hangs.
ask() {
    answer=$(ask_by_python python3 "$@" 2>/dev/null) || answer=$(ask_by_curl "$@" 2>/dev/null) ||
        answer=$(ask_by_python "${python:-$(noted python)}" "$@" 2>/dev/null) || answer="$newline no answer"
    heard="$heard${newline}provision: $1 $2: ${answer##*"$newline"}"
    case $answer in
    *'"errors"'*) return 1 ;;
    *"$newline"2??) return 0 ;;
    *) return 1 ;;
    esac
}

ask_by_python() {
    "$1" -I -c 'if True:
        import os, sys, urllib.error, urllib.request
        method, address, body, agent = sys.argv[2:]
        headers = {"Content-Type": "application/json", "User-Agent": agent}
        headers["Authorization"] = "Bearer " + os.environ.get("RUNPOD_API_KEY", "")
        request = urllib.request.Request(address, body.encode() or None, headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        print(answer.read(4096).decode("utf-8", "replace"), answer.getcode(), sep="\n")' "$@" "$AGENT"
}

ask_by_curl() {
    printf 'Authorization: Bearer %s\n' "${RUNPOD_API_KEY-}" |
        curl -sS -m 30 -A "$AGENT" -H @- -H 'Content-Type: application/json' -X "$1" ${3:+-d "$3"} \
            -w '\n%{http_code}' "$2"
}

# ---- The volume ----------------------------------------------------------------------------------------------------

# Find it, and wait for it: nothing may be written before the mount is there, which would hide it.
find_volume() {
    for place in /runpod-volume /workspace; do
        [ -n "${PROVISION_VOLUME-}" ] || ! is_mount "$place" || PROVISION_VOLUME=$place
    done
    [ -n "${PROVISION_VOLUME-}" ] || fail 7 "no volume was given, and neither /runpod-volume nor /workspace is a mount" \
        "attach the network volume, or name a folder: --volume DIR or PROVISION_VOLUME"
    export PROVISION_VOLUME
    left=${PROVISION_MOUNT_WAIT:-300} waited=0
    until [ "${PROVISION_MOUNT:-folder}" = folder ] || is_mount "${PROVISION_VOLUME%/}"; do
        [ "$waited" -lt "$left" ] || fail 7 "the volume was not mounted at $PROVISION_VOLUME within $left s" \
            "is it attached? run the same command again, perhaps on another machine"
        [ $((waited % 10)) -ne 0 ] || say "waiting for the volume at $PROVISION_VOLUME" >&2
        [ $((waited % 10)) -ne 0 ] || tell_status waiting
        run sleep 1
        waited=$((waited + 1))
    done
    [ -d "$PROVISION_VOLUME" ] || fail 7 "the volume $PROVISION_VOLUME is not there, or is no folder" \
        "attach the network volume, or name another folder: --volume DIR or PROVISION_VOLUME"
}

is_mount() {
    [ -r /proc/self/mounts ] || return 1
    while read -r _ at _; do
        case $at in *\\*) at=$(printf %b "$at") ;; esac # a space is written as \040 (proc(5))
        [ "$at" != "$1" ] || return 0
    done </proc/self/mounts
    return 1
}

# ---- The environment -----------------------------------------------------------------------------------------------

# Set `python` to one that has the package; its environment is made where there is none.
find_environment() {
    python=${PROVISION_PYTHON-}
    [ -z "$python" ] || return 0
    package=${PROVISION_PACKAGE:-volume-provision==$VERSION}
    case $package in parcel:*) package=$work/${package#parcel:} ;; esac
    [ -n "${PROVISION_PACKAGE-}" ] || ! grep -q '^name = "volume-provision"' "$repository/pyproject.toml" 2>/dev/null ||
        package="-e $repository"
    place=${PROVISION_VENV:-$temporary/provision-$(id -u)-$(printf %s "$package" | cksum | tr ' ' -)}
    [ -e "$place" ] || make_environment
    [ -n "$(find "$place" -prune -user "$(id -u)")" ] && [ "$(cat "$place/package.txt" 2>/dev/null)" = "$package" ] ||
        fail 2 "$place is something else than an environment with this package" \
            "remove it, or name another folder: PROVISION_VENV=DIR"
    python=$place/bin/python
}

# It is made in a folder of its own and gets its name when it is complete: two may be made at once.
make_environment() {
    say "making a Python environment in $place" >&2
    making=$(mktemp -d "$place.XXXXXX") || fail 1 "no folder can be made beside $place" "set TMPDIR or PROVISION_VENV"
    printf '%s\n' "$package" >"$making/package.txt" # a file for pip, too: an address may hold a token
    log=$making/log.txt
    if command -v uv >/dev/null 2>&1; then
        export UV_CACHE_DIR="${UV_CACHE_DIR:-$making/cache}"
        set -- uv pip install -q --python "$making/bin/python"
        run uv venv -q --allow-existing --python '>=3.11' "$making" >"$log" 2>&1 || not_installed
    else
        find_python
        set -- "$making/bin/python" -m pip install -q --no-input --no-cache-dir --disable-pip-version-check
        run "$base" -m venv "$making" >"$log" 2>&1 || not_installed
    fi
    case $package in "-e $repository") set -- "$@" -e "$repository" ;; *) set -- "$@" -r "$making/package.txt" ;; esac
    run "$@" >"$log" 2>&1 || not_installed
    rm -rf "$making/cache" "$log"
    "$making/bin/python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$making" "$place" 2>/dev/null ||
        [ -x "$place/bin/python" ] || fail 1 "$place cannot be made" "set TMPDIR or PROVISION_VENV"
    clean # there is something where another was faster
    making=''
}

find_python() {
    for base in python3.13 python3.12 python3.11 python3 none; do
        ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || break
    done
    [ "$base" != none ] || fail 2 "there is no Python 3.11 or newer" "install one with its venv, or install uv"
    [ -z "${PROVISION_LEASE-}" ] || command -v "$base" >"$work/python" # the watchdog may have to ask by it
    "$base" -c 'import venv, ensurepip' 2>/dev/null || fail 2 "$base comes without venv" \
        "on Debian and Ubuntu: apt-get install python3-venv; or install uv"
}

not_installed() {
    say "$(sed -e 's#://[^/@[:space:]]*@#://***@#g' -e 's/\([?&][^=&[:space:]]*\)=[^&[:space:]]*/\1=***/g' "$log" |
        tail -n 15)" >&2
    ! grep -Eiq 'connect|name resol|dns|network|unreachable|timed out|timeout|ssl|proxy|sending request' "$log" ||
        fail 6 "the package cannot be installed: its index is not reached" \
            "run it again with a network; or set PROVISION_PACKAGE to a wheel, or PROVISION_PYTHON to a Python that has it"
    fail 2 "the package cannot be installed: see the lines above" "is PROVISION_PACKAGE right?"
}

# ---- Ending --------------------------------------------------------------------------------------------------------

# EXIT_CODE ERROR HINT. The log of a pod goes with it: the renter, who gives it back, has time to read it.
fail() {
    say "error: $2${newline}hint: $3" >&2
    tell_status ended "$@"
    told=yes
    [ -z "${PROVISION_LEASE:+${RUNPOD_POD_ID-}}" ] || run sleep "${PROVISION_GRACE:-180}"
    exit "$1"
}

# Run a command so that a signal reaches us while it runs. Of a process group of its own nothing is left.
run() {
    "$@" &
    child=$!
    wait "$child"
    set -- $?
    kill -KILL "-$child" 2>/dev/null
    child=''
    return "$1"
}

# In a pod nobody may read what is written: what is not taken is dropped.
say() {
    printf '%s\n' "$*" 2>/dev/null &
    if [ -n "${PROVISION_LEASE-}" ]; then await $! 2; else wait $!; fi
}

# Pass a signal on. All that it has proven stands.
end_child() {
    [ -n "$child" ] || return 0
    kill -TERM "$child" 2>/dev/null
    await "$child" 5
    kill -KILL "-$child" 2>/dev/null
    child=''
}

# PROCESS SECONDS: wait for it. What has not ended by then is killed, and the group that it leads.
await() {
    kill_later "$@" >/dev/null 2>&1 &
    set -- "$1" $!
    wait "$1" 2>/dev/null
    kill -KILL "$2" 2>/dev/null
    wait "$2" 2>/dev/null
}

# Second by second: when it is ended itself, a sleep outlives it.
kill_later() {
    slept=0
    while [ $((slept += 1)) -le "$2" ]; do sleep 1; done
    kill -KILL "-$1" || kill -KILL "$1"
}

interrupted() {
    trap '' INT TERM USR1
    trap clean EXIT
    end_child
    [ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null
    exit 130
}

clean() { [ -z "$making" ] || rm -rf "$making"; }

[ -n "${PROVISION_LEASE-}" ] || by_hand "$@"
in_pod
