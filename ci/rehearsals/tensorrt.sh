#!/usr/bin/env bash
# The parser and builder of TensorRT for RTX, which need no GPU and no driver, as HOME/venv; and the
# plug-ins of its ONNX Runtime provider (GroupQueryAttention, MatMulNBits), which link the driver's
# library: HOME/links has one that knows no device.
# usage: tensorrt.sh HOME
set -euo pipefail

home=$(realpath -m "$1")
pins=(tensorrt-rtx==1.7.1.116 onnxruntime-ep-nv-tensorrt-rtx==0.5.0)
mkdir -p "$home"
exec 9>"$home/lock"
flock -w 900 9

say() { echo "tensorrt: $*" >&2; }

install_tools() {
    local missing=()
    command -v gcc >/dev/null || missing+=(gcc libc6-dev)
    command -v nm >/dev/null || missing+=(binutils)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends "${missing[@]}" >/dev/null
}

site() { "$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

make_driver() { # LIBRARY: a libcuda.so.1 with what LIBRARY takes from it, always "no device"
    local source=$home/links/libcuda.c
    {
        echo 'int cuGetErrorName(int code, const char **name)'
        echo '{ (void)code; *name = "CUDA_ERROR_NO_DEVICE"; return 0; }'
        nm -D --undefined-only "$1" | awk '
            $2 ~ /^cu[A-Z]/ && $2 != "cuGetErrorName" { print "int " $2 "(void) { return 100; }" }'
    } >"$source"
    gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$home/links/libcuda.so.1" "$source"
    rm "$source"
}

if [ "$(cat "$home/pins" 2>/dev/null)" = "${pins[*]}" ]; then
    say "${pins[*]} is in place"
    exit
fi
install_tools
rm -rf "$home/venv" "$home/links" "$home/pins"
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --no-compile "${pins[@]}"
mkdir "$home/links"
plugins=$(site)/onnxruntime_ep_nv_tensorrt_rtx
ln -s "$plugins/libtensorrt_plugins.so" "$home/links/"
ln -s "$plugins"/libcudart.so.*.*.* "$home/links/libcudart.so.13"
# the parser opens the library of the plug-ins' runtime by this name, and ends the process without it
ln -s "$(site)/tensorrt_rtx_libs/libtensorrt_rtx.so.1" "$home/links/libtensorrt_rtx.so"
make_driver "$plugins/libtensorrt_plugins.so"
echo "${pins[*]}" >"$home/pins"
say "${pins[*]} is in place"
