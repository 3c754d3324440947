#!/usr/bin/env bash
# Both databases and the raw mail into a folder: infra/backup.sh FOLDER. Restore with: infra/restore.sh FOLDER
# Reads CHEERFUL_MIGRATION_DATABASE_URL (the owner), CHEERFUL_DAGSTER_DATABASE_URL and CHEERFUL_BLOB_URL. Raw mail in a
# bucket is left to the bucket's own versioning or replication; in a folder it is copied. Needs pg_dump of the server's
# version or newer.
set -euo pipefail
to="${1:?a folder that is not there yet}"
[ -e "$to" ] && { echo "$to is there already" >&2; exit 1; }
plain() { sed 's/^postgresql+psycopg2:/postgresql:/; s/^postgres:/postgresql:/' <<<"$1"; }
mkdir -p -m 700 "$to"
# The database first: raw mail is only ever added, so what the dump names is in the copy that follows.
pg_dump --format=custom --file="$to/cheerful.dump" --dbname="$(plain "${CHEERFUL_MIGRATION_DATABASE_URL:?}")"
pg_dump --format=custom --file="$to/dagster.dump" --dbname="$(plain "${CHEERFUL_DAGSTER_DATABASE_URL:?}")"
case "${CHEERFUL_BLOB_URL:-file://${CHEERFUL_HOME:-.cheerful}/blobs}" in
file://*) tar -C "${CHEERFUL_BLOB_URL#file://}" -cf "$to/blobs.tar" . ;;
*) echo "raw mail is in a bucket: not copied" ;;
esac
echo "backed up into $to: it holds personal data, and no key. Keep the keys elsewhere."
