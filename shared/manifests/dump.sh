#!/bin/bash
# Dumps all that a database's user has made to $1, compressed: whole, or not at all. What follows are the server's
# arguments. The image's own entrypoint starts the server, which nobody reaches but by its socket.
set -euo pipefail
dump=$1
shift
docker-entrypoint.sh mariadbd "$@" --skip-networking &
server=$!
export MYSQL_PWD=$MARIADB_ROOT_PASSWORD
account=(--no-defaults "--socket=$SOCKET" --user=root)
until mariadb "${account[@]}" --execute="DO 0" >/dev/null 2>&1; do
	kill -0 $server 2>/dev/null || {
		echo "the database server does not start" >&2
		exit 1
	}
	sleep 0.2
done
# No comments: names are their owner's to choose, and a newline in one has ended a comment in dumps before.
mariadb-dump "${account[@]}" --skip-comments --all-databases --ignore-database=mysql --ignore-database=sys \
	--single-transaction --quick --routines --events --triggers --hex-blob \
	--default-character-set=utf8mb4 --max-allowed-packet=1G | gzip --fast >"$dump.part"
mv "$dump.part" "$dump"
kill $server
wait $server
