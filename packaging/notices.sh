#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the licences of all that is linked into the binary: whoever hands it on has to hand these on. Each text is printed once.
# Usage: packaging/notices.sh [TARGET]
set -eu
cd "$(dirname "$0")/.."
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
seen=$(mktemp -d)
trap 'rm -r "$seen"' EXIT

cargo tree --locked --edges normal --prefix none --format '{p}|{l}' ${1:+--target "$1"} |
	sed -n 's/^\([^ ]*\) v\([^ |]*\)[^|]*|\(.*\)$/\1 \2 \3/p' | grep -v '^scope-http-statistics ' | LC_ALL=C sort -u |
	while read -r name version licence; do
		printf '\n%s %s: %s\n' "$name" "$version" "${licence% (\*)}"
		# Libraries in C lie one folder deeper.
		find "$sources"/*/"$name-$version" -maxdepth 2 -type f \
			\( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'unlicense*' \) | LC_ALL=C sort |
			while read -r file; do
				hash=$(sha256sum <"$file" | cut -c 1-16)
				printf '  %s: text %s\n' "${file#"$sources"/*/}" "$hash"
				[ -e "$seen/$hash" ] || cp "$file" "$seen/$hash"
			done
	done
for text in "$seen"/*; do
	printf '\n--- text %s\n' "${text##*/}"
	cat "$text"
done
