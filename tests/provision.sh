#!/usr/bin/env bash
# Sees to it that this machine has what Python packages cannot bring.
#
#   tests/provision.sh python     a Python >= 3.11 that can make virtual environments
#   tests/provision.sh mongod     the shared libraries of the embedded mongod
#   tests/provision.sh chromium   a Chromium that runs
#
# Prints what it found (for python and chromium: the path). What is missing is installed with
# apt-get, as root or by passwordless sudo; where that cannot be, it says what to do and fails.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "livesync-bridge: $*" >&2
    exit 1
}

apt_install() { # why, packages…
    local why=$1 root=()
    shift
    command -v apt-get >/dev/null || fail "$why; install it (on Debian: $*)"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "$why; run: sudo apt-get install $*"
        root=(sudo -n)
    fi
    echo "livesync-bridge: $why; installing $*" >&2
    {
        "${root[@]}" apt-get -qq -o Acquire::Retries=3 update &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
                -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 \
                install --no-install-recommends "$@"
    } </dev/null >&2 || fail "apt-get install $* failed"
}

first_that_works() { # test, candidates…
    local works=$1 candidate found
    shift
    for candidate in "$@"; do
        found=$(command -v "$candidate" 2>/dev/null) || continue
        "$works" "$found" && echo "$found" && return
    done
    return 1
}

is_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { is_python "$1" && "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
is_chromium() { [[ "$(timeout 20 "$1" --version --no-sandbox 2>/dev/null)" =~ Chrom(e|ium)\ .*[0-9] ]]; }

provide_python() {
    local candidates=(python3 python3.13 python3.12 python3.11)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    first_that_works makes_venvs "${candidates[@]}" && return
    if [ -n "${PYTHON:-}" ]; then
        fail "PYTHON=$PYTHON is not a Python >= 3.11 with the modules venv and ensurepip"
    fi
    local known
    if known=$(first_that_works is_python "${candidates[@]}"); then
        local version
        version=$("$known" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "$known cannot make virtual environments" "python$version-venv"
    else
        command -v python3 >/dev/null && fail "Python >= 3.11 is needed, $(command -v python3) is" \
            "$(python3 --version 2>&1); install a newer one and run: make PYTHON=/path/to/python3.11"
        apt_install "Python >= 3.11 is needed" python3 python3-venv
    fi
    first_that_works makes_venvs "${candidates[@]}" ||
        fail "Python >= 3.11 is needed, and this system offers none; run: make PYTHON=/path/to/python3.11"
}

provide_mongod() {
    if [ -n "${BRIDGE_MONGOD:-}" ] || command -v mongod >/dev/null; then return; fi
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        fail "the embedded mongod is for Linux on x86-64; set BRIDGE_MONGOD=/path/to/mongod"
    local glibc
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
    [ "$(printf '2.35\n%s\n' "${glibc:-0}" | sort -V | head -n 1)" = 2.35 ] ||
        fail "the embedded mongod needs glibc >= 2.35, not ${glibc:-another C library};" \
            "set BRIDGE_MONGOD=/path/to/mongod"
    local library missing=()
    for library in libcurl.so.4:libcurl4 libssl.so.3:libssl3 liblzma.so.5:liblzma5; do
        [[ "$(ldconfig -p)" == *"${library%%:*} "* ]] || missing+=("${library##*:}")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "mongod's shared libraries are missing" "${missing[@]}"
}

provide_chromium() {
    local candidates=(chromium chromium-browser google-chrome google-chrome-stable)
    [ -z "${CHROMIUM:-}" ] || candidates=("$CHROMIUM")
    first_that_works is_chromium "${candidates[@]}" && return
    [ -z "${CHROMIUM:-}" ] || fail "CHROMIUM=$CHROMIUM is not a Chromium that runs"
    # Ubuntu's package is an empty shell around a snap, which a container cannot run.
    if grep -qs '^ID=ubuntu' /etc/os-release; then
        fail "no Chromium that runs; install google-chrome, or set CHROMIUM=/path/to/chromium"
    fi
    apt_install "no Chromium that runs" chromium
    first_that_works is_chromium "${candidates[@]}" ||
        fail "the Chromium that apt-get installed does not run; set CHROMIUM=/path/to/chromium"
}

case "${1:-}" in
python | mongod | chromium) "provide_$1" ;;
*) fail "usage: tests/provision.sh python|mongod|chromium" ;;
esac
