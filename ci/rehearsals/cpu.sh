#!/usr/bin/env bash
# Qemu, which makes up CPUs with fewer instructions than this one; no build uses it, but our tests.
# usage: cpu.sh HOME
set -euo pipefail

mkdir -p "$1"
if ! command -v qemu-x86_64 >/dev/null; then
    echo "cpu: installing qemu-user" >&2
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends qemu-user >/dev/null
fi
echo "cpu: $(qemu-x86_64 --version | head -n 1) is in place" >&2
