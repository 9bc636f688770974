#!/usr/bin/env bash
# DirectML without Windows and without a GPU: the DLLs of onnxruntime-directml and a program that runs
# graphs on them (backends/directml/replay.c) as HOME/app, wine's folder as HOME/prefix, and Mesa's
# software Vulkan, on which wine's Direct3D 12 computes, in the home beside this one.
# usage: directml.sh HOME
set -euo pipefail

home=$(realpath -m "$1")
here=$(realpath "$(dirname "$0")")
source=$here/../../backends/directml/replay.c
runtime=onnxruntime-directml==1.24.4
packages=(wine wine64 libwine xvfb libgl1 libgl1-mesa-dri gcc-mingw-w64-x86-64-win32 unzip)
mkdir -p "$home"

say() { echo "directml: $*" >&2; }

missing_packages() {
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    for package in "${packages[@]}"; do
        dpkg -s "$package" >/dev/null 2>&1 || echo "$package"
    done
}

install_packages() {
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300) missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}" \
        >/dev/null
}

unpack_runtime() {
    [ "$(cat "$home/pins" 2>/dev/null)" != "$runtime" ] || return 0
    say "downloading $runtime"
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" download --quiet --no-deps --only-binary=:all: --platform win_amd64 \
        --python-version 3.11 --dest "$work" "$runtime"
    rm -rf "$home/app"
    unzip -q -j "$work"/*.whl 'onnxruntime/capi/*.dll' -d "$home/app"
    echo "$runtime" >"$home/pins"
}

compile_program() {
    x86_64-w64-mingw32-gcc -std=gnu17 -O1 -Wall -Wextra -Werror "$source" -o "$home/app/replay.exe" \
        -L"$home/app" -l:onnxruntime.dll -lversion
}

make_prefix() {
    [ ! -f "$home/prefix/system.reg" ] || return 0
    say "making wine's folder"
    local wine=/usr/lib/wine/wine64
    [ -x "$wine" ] || wine=$(command -v wine64 || command -v wine)
    rm -rf "$home/prefix"
    WINEPREFIX=$home/prefix WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml=' \
        DISPLAY='' timeout 300 "$wine" wineboot --init >/dev/null 2>&1 9>&-
    WINEPREFIX=$home/prefix timeout 60 "$(dirname "$(realpath "$wine")")/wineserver" -w 9>&- || true
}

"$here/mesa.sh" "$(dirname "$home")/mesa"
exec 9>"$home/lock"
flock -w 900 9
install_packages
unpack_runtime
compile_program
make_prefix
say "$runtime is in place, with wine $(dpkg-query -W -f '${Version}' wine)"
