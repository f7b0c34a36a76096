#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the named parts of the project need and this host lacks, and asks nothing.
# Usage: scripts/install-dependencies.sh {build|test|lint|bench}...
set -eu
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin

# Each entry is a command or file that has to exist and, where its name differs, the package that brings it.
# libbpf, libelf and zlib are built from the sources in their crate: that is what the autotools are for.
build="cargo:cargo-web clang gcc /usr/include/stdio.h:libc6-dev make pkg-config
	autoreconf:autoconf aclocal:automake autopoint flex bison gawk
	/etc/ssl/certs/ca-certificates.crt:ca-certificates"
test="nginx haproxy /usr/sbin/apache2:apache2-bin redis-server /usr/bin/node:nodejs /usr/bin/python3:python3
	/usr/lib/python3/dist-packages/uvicorn:python3-uvicorn
	go:golang-go javac:default-jdk-headless curl wrk prometheus promtool:prometheus chromium npm script:bsdutils"
lint="cargo-fmt:rustfmt-web cargo-clippy:rust-web-clippy clang-format shellcheck"
bench="nginx wrk bpftrace"

wanted=
for part in "$@"; do
	case $part in
	build) wanted="$wanted $build" ;;
	test) wanted="$wanted $test" ;;
	lint) wanted="$wanted $lint" ;;
	bench) wanted="$wanted $bench" ;;
	*) wanted= && break ;;
	esac
done
if [ -z "$wanted" ]; then
	sed -n 's/^# Usage: /usage: /p' "$0" >&2
	exit 2
fi

missing=
for entry in $wanted; do
	command -v "${entry%:*}" >/dev/null || [ -e "${entry%:*}" ] || missing="$missing ${entry#*:}"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "Please install these (Debian's names; any Rust toolchain as new as Cargo.toml asks for will do):$missing" >&2
	exit 1
fi

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

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
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-remove --no-install-recommends \
	-o DPkg::Lock::Timeout=300 $missing

for service in nginx haproxy redis-server prometheus; do
	case " $missing " in
	*" $service "*) ! command -v systemctl >/dev/null || $sudo systemctl --quiet disable "$service" ;;
	esac
done
case $missing in
*rustup*) rustup default stable ;;
esac
