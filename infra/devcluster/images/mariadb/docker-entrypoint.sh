#!/bin/bash
# The contract of the public mariadb image, in small: MARIADB_ROOT_PASSWORD (or
# MARIADB_RANDOM_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD), MARIADB_ROOT_HOST,
# MARIADB_DATABASE, MARIADB_USER, MARIADB_PASSWORD, each also as NAME_FILE and as MYSQL_NAME,
# and /docker-entrypoint-initdb.d/*.{sh,sql,sql.gz}, all on an empty data directory only.
# Arguments are the server's. Unlike there, no password is ever printed, and a first start that was
# interrupted is begun anew. Nothing but the data directory need be writable.
set -eo pipefail
shopt -s nullglob

DATADIR=/var/lib/mysql
EMPTY=/usr/share/mysql/empty
UNFINISHED=$DATADIR/.initializing

case "${1:-mariadbd}" in
-*) set -- mariadbd "$@" ;;
mariadbd | mysqld) set -- mariadbd "${@:2}" ;;
*) exec "$@" ;;
esac

# Below the data directory, the one place surely writable; my.cnf says that it is no database.
mkdir -p $DATADIR/.run
SOCKET=/run/mysqld/mysqld.sock
# The image has a link there: still seen, so no volume is mounted over it.
if [ -L $SOCKET ] || [ ! -w /run/mysqld ]; then SOCKET=$DATADIR/.run/mysqld.sock; fi
server=("$1" --datadir=$DATADIR --socket=$SOCKET --pid-file=$DATADIR/.run/mysqld.pid)
if [ ! -w /tmp ]; then server+=(--tmpdir=$DATADIR/.run); fi
server+=("${@:2}")

# setting NAME: set and export MARIADB_NAME from itself, from MYSQL_NAME, or from the file either _FILE names.
setting() {
	local prefix value="" file
	for prefix in MYSQL MARIADB; do
		local name=${prefix}_$1
		file=${name}_FILE
		if [ -n "${!name:-}" ]; then value=${!name}; elif [ -n "${!file:-}" ]; then value=$(<"${!file}"); fi
	done
	export "MARIADB_$1=$value"
}

# For an SQL string in single quotes.
quoted() {
	local text=${1//\\/\\\\}
	printf "'%s'" "${text//\'/\\\'}"
}

# An SQL identifier in backquotes.
name() { printf '`%s`' "${1//\`/\`\`}"; }

# Also for scripts: SQL from standard input, as root, in MARIADB_DATABASE where there is one. Passwords travel in
# the environment and through standard input, never in arguments.
docker_process_sql() {
	MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --protocol=socket --socket=$SOCKET -uroot \
		${MARIADB_DATABASE:+--database="$MARIADB_DATABASE"} "$@"
}

as_root_without_password() { MYSQL_PWD='' mariadb --protocol=socket --socket=$SOCKET -uroot "$@"; }

accounts() {
	local password
	echo "SET @@SESSION.SQL_LOG_BIN = 0;"
	if [ -n "$MARIADB_DATABASE" ]; then echo "CREATE DATABASE IF NOT EXISTS $(name "$MARIADB_DATABASE");"; fi
	if [ -n "$MARIADB_USER" ]; then
		password=$(quoted "$MARIADB_PASSWORD")
		echo "CREATE USER $(quoted "$MARIADB_USER")@'%' IDENTIFIED BY $password;"
		if [ -n "$MARIADB_DATABASE" ]; then
			local pattern=${MARIADB_DATABASE//_/\\_}
			echo "GRANT ALL ON $(name "${pattern//%/\\%}").* TO $(quoted "$MARIADB_USER")@'%';"
		fi
	fi
	password=$(quoted "$MARIADB_ROOT_PASSWORD")
	if [ "${MARIADB_ROOT_HOST:=%}" != localhost ]; then
		echo "CREATE USER root@$(quoted "$MARIADB_ROOT_HOST") IDENTIFIED BY $password;"
		echo "GRANT ALL ON *.* TO root@$(quoted "$MARIADB_ROOT_HOST") WITH GRANT OPTION;"
	fi
	echo "SET PASSWORD FOR root@localhost = PASSWORD($password);"
}

initialize() {
	local setting file pid tries=0
	for setting in ROOT_PASSWORD ROOT_HOST DATABASE USER PASSWORD; do setting $setting; done
	if [ -z "$MARIADB_ROOT_PASSWORD" ]; then
		if [ -n "${MARIADB_RANDOM_ROOT_PASSWORD:-${MYSQL_RANDOM_ROOT_PASSWORD:-}}" ]; then
			# For the init scripts; told to nobody else.
			MARIADB_ROOT_PASSWORD=$(od -An -N18 -tx1 /dev/urandom | tr -d ' \n')
		elif [ -z "${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:-${MYSQL_ALLOW_EMPTY_PASSWORD:-}}" ]; then
			echo "set MARIADB_ROOT_PASSWORD, MARIADB_RANDOM_ROOT_PASSWORD or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD" >&2
			exit 1
		fi
	fi
	if [ -e $UNFINISHED ]; then # half a database, of an interrupted first start
		find $DATADIR -mindepth 1 -maxdepth 1 ! -name .run ! -name lost+found ! -path $UNFINISHED -exec rm -rf {} +
	fi
	: >$UNFINISHED
	cp -r $EMPTY/. $DATADIR
	"${server[@]}" --socket=$SOCKET --skip-networking --loose-innodb-buffer-pool-dump-at-shutdown=0 \
		2>$DATADIR/.run/init.log &
	pid=$!
	until as_root_without_password -e "DO 0" >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ $tries -gt 600 ] || ! kill -0 $pid 2>/dev/null; then
			cat $DATADIR/.run/init.log >&2
			exit 1
		fi
		sleep 0.05
	done
	accounts | as_root_without_password
	for file in /docker-entrypoint-initdb.d/*; do
		case "$file" in
		*.sh)
			echo "running $file"
			if [ -x "$file" ]; then "$file"; else . "$file"; fi
			;;
		*.sql)
			echo "running $file"
			docker_process_sql <"$file"
			;;
		*.sql.gz)
			echo "running $file"
			gzip -dc "$file" | docker_process_sql
			;;
		esac
	done
	kill $pid
	wait $pid
	rm $UNFINISHED
}

if [ ! -d $DATADIR/mysql ] || [ -e $UNFINISHED ]; then
	# In a process of its own: the first process of a container ignores a signal it has no trap for, and bash
	# runs a trap at once only while it waits. Its own end ends all others in the container.
	initialize &
	trap 'exit 143' TERM INT
	wait $!
	trap - TERM INT
fi
exec "${server[@]}"
