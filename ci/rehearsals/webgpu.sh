#!/usr/bin/env bash
# ONNX Runtime with the WebGPU provider as HOME/venv; it computes on Mesa's software Vulkan, in the
# home beside this one.
# usage: webgpu.sh HOME
set -euo pipefail

home=$(realpath -m "$1")
here=$(realpath "$(dirname "$0")")
pins=(numpy==2.4.6 onnxruntime-webgpu==1.27.0)
mkdir -p "$home"
exec 9>"$home/lock"
flock -w 900 9

say() { echo "webgpu: $*" >&2; }

bash "$here/mesa.sh" "$(dirname "$home")/mesa" 9>&-
if [ "$(cat "$home/pins" 2>/dev/null)" = "${pins[*]}" ]; then
    say "${pins[*]} is in place"
    exit
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    say "installing python3-venv"
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends python3-venv >/dev/null
fi

rm -rf "$home/venv" "$home/pins"
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --no-compile "${pins[@]}"
mkdir -p "$home/shaders"
echo "${pins[*]}" >"$home/pins"
say "${pins[*]} is in place"
