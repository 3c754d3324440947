#!/usr/bin/env bash
# Both databases and the raw mail into a folder: infra/backup.sh FOLDER. Restore with: infra/restore.sh FOLDER
# With no variable set: the default installation (what ./infra/dev.sh start runs), running or stopped. In production:
# CHEERFUL_MIGRATION_DATABASE_URL (the owner), CHEERFUL_DAGSTER_DATABASE_URL and CHEERFUL_BLOB_URL. Raw mail in a bucket is
# left to the bucket's own versioning or replication; in a folder it is copied. See infra/backups.py.
set -euo pipefail
umask 077
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$here/../.venv/bin/python"
[ -x "$python" ] || python=python3
exec "$python" "$here/backups.py" backup "${1:?a folder that is not there yet}"
