#!/usr/bin/env bash
# What infra/backup.sh wrote, into empty databases: infra/restore.sh FOLDER. The same environment variables; stop the
# daemon and the workers first. People who were erased after the backup are in it again: erase them again.
set -euo pipefail
from="${1:?the folder of a backup}"
plain() { sed 's/^postgresql+psycopg2:/postgresql:/; s/^postgres:/postgresql:/' <<<"$1"; }
ours="$(plain "${CHEERFUL_MIGRATION_DATABASE_URL:?}")"
if [ "$(psql --no-psqlrc -Atc "select count(*) from pg_tables where schemaname = 'public'" "$ours")" != 0 ]; then
    echo "the database is not empty: nothing was restored" >&2
    exit 1
fi
for role in "cheerful_one_client nologin" "cheerful_every_client nologin" "cheerful_lookup nologin" \
    "cheerful_pipeline nologin noinherit" "anon nologin noinherit" "authenticated nologin noinherit"; do
    psql --no-psqlrc -q -v ON_ERROR_STOP=1 -c "do \$\$ begin create role $role; exception when duplicate_object then null; end \$\$" "$ours"
done
psql --no-psqlrc -q -c "grant cheerful_one_client, cheerful_every_client to cheerful_pipeline" "$ours"
pg_restore --exit-on-error --single-transaction --dbname="$ours" "$from/cheerful.dump"
pg_restore --exit-on-error --single-transaction --dbname="$(plain "${CHEERFUL_DAGSTER_DATABASE_URL:?}")" "$from/dagster.dump"
if [ -f "$from/blobs.tar" ]; then
    mkdir -p "${CHEERFUL_BLOB_URL#file://}"
    tar -C "${CHEERFUL_BLOB_URL#file://}" -xf "$from/blobs.tar"
fi
echo "restored. Migrate (infra/run.sh migrate), ask the doctor, erase again who was erased since, then start."
