#!/usr/bin/env bash
# What infra/backup.sh wrote, into empty databases: infra/restore.sh FOLDER. The same variables as there, or none. Stop
# everything first. People who were erased after the backup are in it again: erase them again. See infra/backups.py.
set -euo pipefail
umask 077
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$here/../.venv/bin/python"
[ -x "$python" ] || python=python3
exec "$python" "$here/backups.py" restore "${1:?the folder of a backup}"
