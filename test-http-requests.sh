#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sends random HTTP requests to a server until Ctrl-C, then says how many were answered.
set -u

if [[ $# -ne 1 || ! $1 =~ ^.+:[0-9]+$ ]]; then
	echo "usage: $0 HOST:PORT" >&2
	exit 2
fi
server=$1
methods=(GET GET GET POST PUT PATCH DELETE OPTIONS)
paths=(/ /index.html /not/exist "/search?q=[1-5]")

answered=0 unanswered=0 running=true
trap 'running=false' INT TERM

echo "Sending random requests to http://$server, several over each connection. Ctrl-C ends it."
while $running; do
	method=${methods[RANDOM % ${#methods[@]}]}
	path=${paths[RANDOM % ${#paths[@]}]}
	body=()
	[[ $method != P* ]] || body=(--data "number=$RANDOM")
	# A round that has begun is completed, so that every request sent is counted.
	codes=$(
		trap '' INT TERM
		curl --silent --max-time 5 --request "$method" "${body[@]}" --output /dev/null \
			--write-out '%{http_code}\n' "http://$server$path"
	)
	for code in $codes; do
		if [[ $code == 000 ]]; then
			((unanswered++))
		else
			((answered++))
		fi
	done
	if ((unanswered > 0 && answered == 0)); then
		echo "$server does not answer HTTP: is a server listening there?" >&2
		exit 1
	fi
	sleep 0.0$((RANDOM % 10))
done
echo
echo "$answered requests answered by $server, $unanswered not."
