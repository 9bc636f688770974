#!/usr/bin/env bash
# Software Vulkan for rehearsals: Mesa's lavapipe of version 24 or newer as HOME/icd.json, which
# VK_DRIVER_FILES takes. Debian 12's own version 22 is refused by WebGPU and, under DirectML,
# computes garbage without an error, so a newer driver is unpacked beside it.
# usage: mesa.sh HOME
set -euo pipefail

home=$(realpath -m "$1")
package=mesa-vulkan-drivers
oldest=24
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root)
mkdir -p "$home"
exec 9>"$home/lock"
flock -w 900 9

say() { echo "mesa: $*" >&2; }

version_of_system() { dpkg-query -W -f '${Version}' "$package" 2>/dev/null || true; }

loads() { [ -s "$home/icd.json" ] && ! ldd "$(cat "$home/driver")" | grep -q 'not found'; }

publish() { # DRIVER MANIFEST
    echo "$1" >"$home/driver"
    sed "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$1\"#" "$2" >"$home/icd.json.part"
    mv "$home/icd.json.part" "$home/icd.json"
}

unpack_from_backports() {
    local work source suite mirror
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # the mirror that this machine already uses
    mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
        awk -v suite="$suite" '$2 == suite { print $1; exit }')
    source="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    echo "$source ${mirror:?no apt source for $suite} $suite-backports main" >"$work/backports.list"
    local beside=(-o "Dir::Etc::sourcelist=$work/backports.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work")
    say "downloading $package of $suite-backports"
    "${apt[@]}" "${beside[@]}" update
    (cd "$work" && "${apt[@]}" "${beside[@]}" download "$package/$suite-backports")
    rm -rf "$home/x"
    dpkg -x "$work/$package"_*.deb "$home/x"
    dpkg-deb -f "$work/$package"_*.deb Version >"$home/version"
    publish "$home/x/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so" \
        "$(ls "$home"/x/usr/share/vulkan/icd.d/lvp_icd*.json)"
}

if loads; then
    say "$(cat "$home/version") is in place"
    exit
fi
if [ -z "$(version_of_system)" ] || ! dpkg -s libvulkan1 >/dev/null 2>&1; then
    say "installing libvulkan1 and $package, for the libraries that a driver needs"
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends \
        libvulkan1 "$package" >/dev/null
fi
if dpkg --compare-versions "$(version_of_system)" ge "$oldest"; then
    version_of_system >"$home/version"
    publish "$(dpkg -L "$package" | grep '/libvulkan_lvp.so$')" \
        "$(dpkg -L "$package" | grep '/lvp_icd.*json$')"
else
    unpack_from_backports
fi
loads || { say "the driver lacks libraries: $(ldd "$(cat "$home/driver")" | grep 'not found')"; exit 1; }
say "$(cat "$home/version") is in place: $home/icd.json"
