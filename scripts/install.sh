#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what was built, or removes it again. `make install` and `make uninstall` call it.
# Usage: [PREFIX=/usr/local] [DESTDIR=] [SYSTEMD=yes|no] scripts/install.sh install PROGRAM
#        [PREFIX=/usr/local] [DESTDIR=] scripts/install.sh uninstall
set -eu
cd "$(dirname "$0")/.."

name=scope-http-statistics
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
share=$root$prefix/share
# What belongs to the distribution has its units where those of packages are.
case $prefix in
/usr) units=$root/usr/lib/systemd/system tmpfiles=$root/usr/lib/tmpfiles.d ;;
*) units=$root/etc/systemd/system tmpfiles=$root/etc/tmpfiles.d ;;
esac
if [ -z "${SYSTEMD:-}" ]; then
	SYSTEMD=no
	! command -v systemctl >/dev/null || SYSTEMD=yes
fi
# Where this host's own systemd is to know of it.
is_live() {
	[ -z "$root" ] && [ -d /run/systemd/system ]
}

install_all() {
	program=$1
	install -D "$program" "$root$prefix/bin/$name"
	made=$(mktemp -d)
	trap 'rm -r "$made"' EXIT
	"$program" generate "$made"
	for page in "$made"/*.1; do
		install -D -m 644 "$page" "$share/man/man1/${page##*/}"
	done
	install -D -m 644 "$made/$name.bash" "$share/bash-completion/completions/$name"
	install -D -m 644 "$made/_$name" "$share/zsh/site-functions/_$name"
	install -D -m 644 "$made/$name.fish" "$share/fish/vendor_completions.d/$name.fish"
	[ "$SYSTEMD" = yes ] || return 0
	sed "s|/usr/local/bin/$name|$prefix/bin/$name|" deploy/systemd/$name.service >"$made/unit"
	install -D -m 644 "$made/unit" "$units/$name.service"
	install -D -m 644 deploy/tmpfiles.d/scope-plugins.conf "$tmpfiles/scope-plugins.conf"
	is_live || return 0
	systemd-tmpfiles --create scope-plugins.conf
	systemctl daemon-reload
	echo "To start it now and at each boot: sudo systemctl enable --now $name"
}

uninstall_all() {
	if is_live && [ -e "$units/$name.service" ]; then
		systemctl disable --now $name
	fi
	rm -f "$root$prefix/bin/$name" "$share/man/man1/$name.1" "$share/man/man1/$name"-*.1 \
		"$share/bash-completion/completions/$name" "$share/zsh/site-functions/_$name" \
		"$share/fish/vendor_completions.d/$name.fish" \
		"$units/$name.service" "$tmpfiles/scope-plugins.conf"
	! is_live || systemctl daemon-reload
}

case "${1:-} $#" in
"install 2") install_all "$2" ;;
"uninstall 1") uninstall_all ;;
*)
	sed -n 's/^# Usage: /usage: /p' "$0" >&2
	exit 2
	;;
esac
