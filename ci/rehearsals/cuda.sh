#!/usr/bin/env bash
# The partitioner of ONNX Runtime for CUDA as HOME/venv, and libraries that know an NVIDIA device by
# name only as HOME/stubs: it loads beside them and tells where nodes go, and nothing can be run.
# usage: cuda.sh HOME
set -euo pipefail

home=$(realpath -m "$1")
generator=$(realpath "$(dirname "$0")/cuda_stubs.py")
pins=(onnxruntime-gpu==1.31.1 onnx==1.23.2)
mkdir -p "$home"
exec 9>"$home/lock"
flock -w 900 9

say() { echo "cuda: $*" >&2; }

need() { # PACKAGE COMMAND: installs what has the command
    command -v "$2" >/dev/null && return
    say "installing $1"
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends "$1" >/dev/null
}

need gcc gcc
need binutils nm
dpkg -s libc6-dev >/dev/null 2>&1 || need libc6-dev no-such-command
python3 -c 'import ensurepip' 2>/dev/null || need python3-venv no-such-command

if [ "$(cat "$home/pins" 2>/dev/null)" != "${pins[*]}" ]; then
    rm -rf "$home/venv" "$home/pins"
    python3 -m venv "$home/venv"
    "$home/venv/bin/pip" install --quiet --no-compile "${pins[@]}"
fi
site=$("$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf "$home/stubs"
"$home/venv/bin/python" "$generator" \
    "$site/onnxruntime/capi/libonnxruntime_providers_cuda.so" "$home/stubs" >/dev/null
echo "${pins[*]}" >"$home/pins"
say "${pins[*]} is in place"
