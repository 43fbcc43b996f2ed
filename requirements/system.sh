#!/bin/sh
# Installs what pip cannot, where it is missing: Python with venv, Mosquitto, and the programs that the README and the
# tests call. `make install` calls it.
#
# usage: system.sh PYTHON [PROGRAM:PACKAGE]...    (PYTHON is empty when none is new enough; what else is wanted)
set -eu

python=$1
shift
PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=
[ -n "$python" ] || missing="$missing python3"
[ -n "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
# Program and Debian package; with brew, Mosquitto's clients come with it, and macOS has the others.
for each in mosquitto:mosquitto mosquitto_pub:mosquitto-clients curl:curl openssl:openssl "$@"; do
    command -v "${each%:*}" >/dev/null || missing="$missing ${each#*:}"
done
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null; then
    echo "installing$missing by apt-get ..."
    as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
    case "$missing " in
        # The package starts a broker of its own, on the port that ours needs.
        *" mosquitto "*) command -v systemctl >/dev/null && as_root systemctl disable --quiet --now mosquitto || true ;;
    esac
elif command -v brew >/dev/null; then
    case $missing in *python3*) brew install python ;; esac
    case $missing in *mosquitto*) brew install mosquitto ;; esac
else
    echo "Please install Python 3.11 or later with venv, and Mosquitto 2 (https://mosquitto.org/download) with its" \
        "clients; the tests want curl and openssl too." >&2
    echo "Missing here:$missing" >&2
    exit 1
fi
