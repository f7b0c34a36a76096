#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a package of a binary that is built, with the distributions' own tools, and prints where it is.
# Usage: packaging/package.sh {deb|rpm} BINARY FOLDER
# SOURCE_DATE_EPOCH and MANUAL_OF, a binary of this host to ask for --help if BINARY is not for it, may be set.
set -eu
case ${1-} in
deb | rpm) kind=$1 ;;
*)
	sed -n 's/^# Usage: /usage: /p' "$0" >&2
	exit 2
	;;
esac
binary=$(realpath "$2")
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

help2man --no-info --section 8 --name 'counts HTTP requests per process in the kernel' \
	--version-string "$version" --output "$work/scope-http-statistics.8" "${MANUAL_OF:-$binary}"
packaging/notices.sh "$target" >"$work/THIRD-PARTY"
# The binary is where packages have theirs, and so is its configuration.
configuration=scope-http-statistics.toml
sed -e 's|/usr/local/bin/|/usr/bin/|' -e "/^ExecStart=/i Environment=SCOPE_HTTP_CONFIG=/etc/$configuration" \
	deploy/systemd/scope-http-statistics.service >"$work/service"

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
	# Where debhelper looks for them.
	cp "$work/service" "$tree/scope-http-statistics.service"
	cp deploy/tmpfiles.d/scope-plugins.conf "$tree/scope-http-statistics.tmpfiles"
	cp "$binary" "packaging/$configuration" "$work/scope-http-statistics.8" "$work/THIRD-PARTY" CHANGELOG.md "$work/tree"
	echo "$(basename "$binary") usr/bin" >"$tree/install"
	echo scope-http-statistics.8 >"$tree/scope-http-statistics.manpages"
	printf 'THIRD-PARTY\nCHANGELOG.md\n' >"$tree/docs"
	echo "$configuration etc" >>"$tree/install"
	(cd "$work/tree" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch "$architecture") >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
	mv "$work/scope-http-statistics_$version-1_$architecture.deb" "$folder"
	echo "$folder/scope-http-statistics_$version-1_$architecture.deb"
}

make_rpm() {
	stage=$work/stage
	install -D "$binary" "$stage/usr/bin/scope-http-statistics"
	install -D -m 644 "$work/service" "$stage/usr/lib/systemd/system/scope-http-statistics.service"
	install -D -m 644 deploy/tmpfiles.d/scope-plugins.conf "$stage/usr/lib/tmpfiles.d/scope-plugins.conf"
	install -D -m 644 "$work/scope-http-statistics.8" "$stage/usr/share/man/man8/scope-http-statistics.8"
	install -D -m 644 -t "$stage/etc" "packaging/$configuration"
	gzip -9n "$stage/usr/share/man/man8/scope-http-statistics.8"
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
