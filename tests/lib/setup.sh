# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tests/run and tests/quickstart share: finding and installing what they need,
# and building. Sourced with `set -eu`.

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export LC_ALL=C.UTF-8

# Debian's own, whatever else may come first in PATH.
PYTHON=/usr/bin/python3
MESON=/usr/bin/meson

bold='' red='' green='' plain=''
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
fi

say() { printf '%s== %s%s\n' "$bold" "$*" "$plain"; }
die() { printf '%s%s%s\n' "$red" "$*" "$plain" >&2; exit 1; }

# How to see that something is there, and the package that has it. cmd: a program,
# pc: a library by its pkg-config name, py: a Python module, file: a path, tsan: a
# compiler's thread sanitizer.
NEEDED_TO_BUILD='
cmd:gcc gcc
file:/usr/include/stdio.h libc6-dev
cmd:pkg-config pkgconf
cmd:ninja ninja-build
cmd:/usr/bin/meson meson
cmd:/usr/bin/python3 python3
pc:zlib zlib1g-dev
pc:msgpack|msgpack-c libmsgpack-dev
pc:libcurl libcurl4-openssl-dev
pc:libmicrohttpd libmicrohttpd-dev
pc:gnutls libgnutls28-dev
pc:libdeflate libdeflate-dev
'
NEEDED_TO_TEST='
pc:check check
pc:libsodium libsodium-dev
pc:json-c libjson-c-dev
pc:jansson libjansson-dev
py:msgpack python3-msgpack
py:jsonschema python3-jsonschema
cmd:openssl openssl
cmd:curl curl
cmd:clang-format clang-format
'
NEEDED_TO_BENCH='
cmd:xz xz-utils
cmd:zstd zstd
cmd:valgrind valgrind
'
NEEDED_TO_REPORT='
cmd:gnuplot gnuplot-nox
'
NEEDED_TO_FUZZ='
py:msgpack python3-msgpack
cmd:clang clang
tsan:clang libclang-rt-14-dev
'
NEEDED_TO_RELEASE='
cmd:cmake cmake
cmd:make make
cmd:dpkg-source dpkg-dev
cmd:file file
cmd:musl-gcc musl-tools
'
NEEDED_FOR_COVERAGE='
cmd:gcovr gcovr
'
NEEDED_FOR_FULL="
$NEEDED_TO_FUZZ
cmd:clang-tidy clang-tidy
cmd:node nodejs
cmd:npm npm
cmd:systemd-analyze systemd
cmd:mkfs.ext4 e2fsprogs
"

is_there() {
    local name
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    file:*) [ -e "${1#file:}" ] ;;
    tsan:*) "${1#tsan:}" -fsanitize=thread -x c -o /dev/null - <<<'int main(void){}' 2>/dev/null ;;
    py:*) "$PYTHON" -c "import ${1#py:}" 2>/dev/null ;;
    pc:*)
        for name in $(tr '|' ' ' <<<"${1#pc:}"); do
            pkg-config --exists "$name" 2>/dev/null && return 0
        done
        return 1
        ;;
    esac
}

# install_missing LIST... - installs the packages of those lists that are not there.
install_missing() {
    local probe package log sudo=''
    local -a missing=()

    while read -r probe package; do
        [ -z "$probe" ] || is_there "$probe" || missing+=("$package")
    done <<<"$*"
    [ ${#missing[@]} -gt 0 ] || return 0

    say "installing what is missing: ${missing[*]}"
    command -v apt-get >/dev/null || die "There is no apt-get here: please install them yourself."
    if [ "$(id -u)" -ne 0 ]; then
        sudo=sudo
        command -v sudo >/dev/null ||
            die "That needs root, and there is no sudo: as root, apt-get install ${missing[*]}"
    fi
    log=$(mktemp)
    # Lists may be old, or absent: fetched anew. If that fails, they may still do.
    $sudo apt-get -q update >"$log" 2>&1 || cat "$log" >&2
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
        --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install them: ${missing[*]}"
    fi
    rm -f "$log"
    hash -r
}

# build FOLDER OPTION... - sets up and builds; shows nothing but what went wrong.
build() {
    local folder=$1 log=$1.log
    shift
    mkdir -p "$(dirname "$folder")"
    # A folder that was made elsewhere, or by another Meson, begins anew.
    if [ ! -f "$folder/build.ninja" ] || ! "$MESON" configure "$folder" "$@" >"$log" 2>&1; then
        rm -rf "$folder"
        "$MESON" setup "$folder" "$SOURCE" "$@" >"$log" 2>&1 || build_failed "$folder" "$log"
    fi
    ninja -C "$folder" >"$log" 2>&1 || build_failed "$folder" "$log"
}

# build_failed FOLDER LOG - shows the errors, or else the end, and ends.
build_failed() {
    if grep -q '^FAILED: ' "$2"; then
        sed -n '/^FAILED: /,$p' "$2" | grep -vE '^([^ ]*cc|clang) ' | head -n 60 >&2
    else
        tail -n 20 "$2" >&2
    fi
    die "The build in $1 failed; all it said is in $2"
}
