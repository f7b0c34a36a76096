#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the named parts of the project need and this host lacks, and asks nothing.
# Usage: scripts/install-dependencies.sh {build|arm64|kernels|package|test|lint|bench}...
set -eu
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin

# Each entry is a command or file that has to exist and, where its name differs, the package that brings it.
# libbpf, libelf and zlib are built from the sources in their crate: that is what the autotools are for.
build="cargo:cargo-web clang gcc /usr/include/stdio.h:libc6-dev make pkg-config
	autoreconf:autoconf aclocal:automake autopoint flex bison gawk
	/etc/ssl/certs/ca-certificates.crt:ca-certificates"
arm64="aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/lib/libc.a:libc6-dev-arm64-cross"
kernels="tar dpkg-deb:dpkg /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring"
test="nginx haproxy /usr/sbin/lighttpd:lighttpd /usr/lib/lighttpd/mod_gnutls.so:lighttpd-mod-gnutls
	/usr/lib/lighttpd/mod_openssl.so:lighttpd-mod-openssl /usr/sbin/apache2:apache2-bin redis-server /usr/bin/node:nodejs /usr/bin/python3:python3
	/usr/lib/python3/dist-packages/uvicorn:python3-uvicorn
	nghttpd:nghttp2-server h2load:nghttp2-client
	/usr/lib/python3/dist-packages/grpc:python3-grpcio
	/usr/lib/python3/dist-packages/hypercorn:python3-hypercorn
	/usr/lib/python3/dist-packages/httpx:python3-httpx /usr/lib/python3/dist-packages/h2:python3-h2
	/usr/share/gocode/src/golang.org/x/net/http2:golang-golang-x-net-dev
	/usr/share/gocode/src/google.golang.org/grpc:golang-google-grpc-dev
	/usr/share/java/grpc-netty.jar:libgrpc-java /usr/share/java/netty-all.jar:libnetty-java
	/usr/share/java/perfmark-api.jar:libperfmark-java /usr/share/java/guava.jar:libguava-java
	go:golang-go javac:default-jdk-headless curl openssl wrk ip:iproute2 unshare:util-linux prometheus promtool:prometheus chromium npm script:bsdutils tmux jq
	/var/lib/dpkg/info/python3-venv.list:python3-venv kubectl:kubernetes-client
	podman runc mmdebstrap strip:binutils"
package="dh:debhelper lintian rpmbuild:rpm"
lint="cargo-fmt:rustfmt-web cargo-clippy:rust-web-clippy clang-format shellcheck"
bench="nginx wrk bpftrace h2load:nghttp2-client go:golang-go
	/usr/share/gocode/src/golang.org/x/net/http2:golang-golang-x-net-dev"

wanted=
for part in "$@"; do
	case $part in
	build) wanted="$wanted $build" ;;
	arm64) wanted="$wanted $arm64" ;;
	kernels) wanted="$wanted $kernels" ;;
	test) wanted="$wanted $test $package" ;;
	package) wanted="$wanted $package" ;;
	lint) wanted="$wanted $lint" ;;
	bench) wanted="$wanted $bench" ;;
	*) wanted= && break ;;
	esac
done
if [ -z "$wanted" ]; then
	sed -n 's/^# Usage: /usage: /p' "$0" >&2
	exit 2
fi

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

apt_install() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-remove --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "$@"
}

# Toolchains that are too old stumble over Cargo.toml or .cargo/config.toml before they would look at rust-version, and do
# not say what is wrong. (Where there is no Cargo.toml yet, a later call sees to it.)
check_toolchain() {
	manifest=$(dirname "$0")/../Cargo.toml
	[ -e "$manifest" ] || return 0
	needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$manifest")
	for tool in cargo rustc; do
		version=$($tool --version) || exit
		version=$(echo "$version" | cut -d ' ' -f 2)
		! printf '%s\n' "$needed" "$version" | sort -V -C || continue
		if command -v rustup >/dev/null; then
			remedy="run 'rustup update stable', and let rustup's come first in PATH"
		else
			remedy="install a newer one with rustup, or remove this one and let $0 look for one that apt has"
		fi
		echo "Rust $needed or later is needed, and $(command -v $tool) is $version: $remedy" >&2
		exit 1
	done
}

# The standard library for another architecture has to be of the same make as the compiler.
add_target() {
	target=aarch64-unknown-linux-gnu
	[ ! -e "$(rustc --print sysroot)/lib/rustlib/$target" ] || return 0
	if command -v rustup >/dev/null; then
		rustup target add $target
	else
		$sudo dpkg --add-architecture arm64
		$sudo apt-get -q update
		apt_install libstd-rust-web-dev:arm64
	fi
}

emulators_are_new() {
	for architecture in x86_64 aarch64; do
		version=$(qemu-system-$architecture --version 2>/dev/null | sed -n 's/.* version \([0-9]*\).*/\1/p')
		[ "${version:-0}" -ge 8 ] || return 1
	done
}

# Bookworm's own emulator crashes one boot in six, so there it comes from the backports. They are looked up in lists of this
# script's own: the host's sources stay as they are.
add_emulators() {
	! emulators_are_new || return 0
	$sudo apt-get -q update
	if [ "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" != bookworm ]; then
		apt_install qemu-system-x86 qemu-system-arm
		return
	fi
	# shellcheck disable=SC2016 # apt's own variables
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian bookworm //p' | head -n 1)
	folder=$(mktemp -d)
	chmod 755 "$folder"
	# Apart from the lists: apt removes from their folder what it does not know.
	mkdir -p "$folder/lists/partial"
	{
		cat /etc/apt/sources.list 2>/dev/null || :
		echo "deb ${mirror:?apt knows no mirror of bookworm} bookworm-backports main"
	} >"$folder/sources.list"
	set -- -o "Dir::Etc::sourcelist=$folder/sources.list" -o "Dir::State::lists=$folder/lists"
	$sudo apt-get -q update "$@"
	apt_install "$@" -t bookworm-backports qemu-system-x86 qemu-system-arm
	$sudo rm -r "$folder"
}

finish() {
	case " $* " in
	*" build "*) check_toolchain ;;
	esac
	case " $* " in
	*" arm64 "*) add_target ;;
	esac
	case " $* " in
	*" kernels "*) add_emulators ;;
	esac
}

missing=
for entry in $wanted; do
	command -v "${entry%:*}" >/dev/null || [ -e "${entry%:*}" ] || missing="$missing ${entry#*:}"
done
if [ -z "$missing" ]; then
	finish "$@"
	exit
fi

if ! command -v apt-get >/dev/null; then
	echo "Please install these (Debian's names; any Rust toolchain as new as Cargo.toml asks for will do):$missing" >&2
	exit 1
fi

# The tests run servers of their own: no service of a new package is started now, nor at the next boot.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$sudo rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' | $sudo install -m 755 /dev/stdin $policy
fi

$sudo apt-get -q update
# Where rustup is packaged it brings a toolchain that is new enough; elsewhere it is the one that Debian keeps for its browsers.
if [ -n "$(apt-cache madison rustup)" ]; then
	missing=$(echo "$missing" | sed -E 's/[a-z-]+-web[a-z-]*/rustup/g')
fi
# shellcheck disable=SC2086 # a list of words
apt_install $missing

for service in nginx haproxy lighttpd redis-server prometheus podman; do
	case " $missing " in
	*" $service "*) ;;
	*) continue ;;
	esac
	# Podman has several, with names that change.
	[ "$service" != podman ] || service=$(dpkg -L podman | sed -n 's|.*/systemd/system/\([^/@]*\)$|\1|p')
	# shellcheck disable=SC2086 # a list of words
	! command -v systemctl >/dev/null || $sudo systemctl --quiet disable $service
done
case $missing in
*rustup*) rustup default stable ;;
esac
finish "$@"
