#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a package of a binary that is built, with the distributions' own tools, and prints where it is.
# Usage: packaging/package.sh {deb|rpm} BINARY FOLDER
# SOURCE_DATE_EPOCH and RUNS_HERE, the same program for this host if BINARY is not, may be set.
set -eu
case ${1-} in
deb | rpm) kind=$1 ;;
*)
	sed -n 's/^# Usage: /usage: /p' "$0" >&2
	exit 2
	;;
esac
binary=$(realpath "$2")
runs_here=$(realpath "${RUNS_HERE:-$2}")
mkdir -p "$3"
folder=$(realpath "$3")
cd "$(dirname "$0")/.."

# A publisher sets these, in Cargo.toml.
setting() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -n 1; }
version=$(setting version)
repository=$(setting repository)
maintainer=$(setting maintainer)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

case $(od -An -j 18 -N 2 -t u2 "$binary") in
*62) architecture=amd64 machine=x86_64 target=x86_64-unknown-linux-gnu ;;
*183) architecture=arm64 machine=aarch64 target=aarch64-unknown-linux-gnu ;;
*) echo "$binary is for no architecture that there are packages for" >&2 && exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
fill_in() { sed -e "s|@VERSION@|$version|; s|@REPOSITORY@|$repository|; s|@MAINTAINER@|$maintainer|; s|@STAGE@|$work/stage|" "$@"; }

# As `make install` does it, by a program that runs here: it writes the manual and what shells complete.
stage=$work/stage
PREFIX=/usr DESTDIR=$stage SYSTEMD=yes scripts/install.sh install "$runs_here"
install "$binary" "$stage/usr/bin/scope-http-statistics"
# The packages' configuration is where packages have theirs.
configuration=etc/scope-http-statistics.toml
install -D -m 644 packaging/scope-http-statistics.toml "$stage/$configuration"
sed -i "/^ExecStart=/i Environment=SCOPE_HTTP_CONFIG=/$configuration" "$stage"/usr/lib/systemd/system/*.service
packaging/notices.sh "$target" >"$work/THIRD-PARTY"

make_deb() {
	tree=$work/tree/debian
	mkdir -p "$tree"
	cp packaging/debian/rules "$tree"
	fill_in packaging/debian/control >"$tree/control"
	sed '1,/^$/d; s/^$/./; s/^/ /' LICENSES/BSD-2-Clause.txt >"$work/bsd"
	fill_in packaging/debian/copyright | sed -e "/^@BSD@/{r $work/bsd" -e 'd}' >"$tree/copyright"
	cp packaging/debian/lintian-overrides "$tree/scope-http-statistics.lintian-overrides"
	{
		printf 'scope-http-statistics (%s-1) unstable; urgency=medium\n\n  * CHANGELOG.md has the changes.\n\n' "$version"
		printf ' -- %s  %s\n' "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
	} >"$tree/changelog"
	# Where debhelper, and zsh in Debian, look for them.
	mv "$stage"/usr/lib/systemd/system/*.service "$tree/scope-http-statistics.service"
	mv "$stage"/usr/lib/tmpfiles.d/*.conf "$tree/scope-http-statistics.tmpfiles"
	mv "$stage/usr/share/zsh/site-functions" "$stage/usr/share/zsh/vendor-completions"
	rm -r "$stage/usr/lib"
	cp -r "$stage" "$work/THIRD-PARTY" CHANGELOG.md "$work/tree"
	echo 'stage/* /' >"$tree/install"
	printf 'THIRD-PARTY\nCHANGELOG.md\n' >"$tree/docs"
	(cd "$work/tree" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch "$architecture") >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
	mv "$work/scope-http-statistics_$version-1_$architecture.deb" "$folder"
	echo "$folder/scope-http-statistics_$version-1_$architecture.deb"
}

make_rpm() {
	gzip -9n "$stage"/usr/share/man/man*/*
	install -D -m 644 -t "$stage/usr/share/licenses/scope-http-statistics" LICENSE LICENSES/* "$work/THIRD-PARTY"
	fill_in packaging/rpm/scope-http-statistics.spec >"$work/spec"
	rpmbuild -bb --target "$machine-linux" --define "_topdir $work/rpm" --define '_build_id_links none' \
		--define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
		--define '_binary_payload w6.xzdio' "$work/spec" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
	mv "$work/rpm/RPMS/$machine/scope-http-statistics-$version-1.$machine.rpm" "$folder"
	echo "$folder/scope-http-statistics-$version-1.$machine.rpm"
}

"make_$kind"
