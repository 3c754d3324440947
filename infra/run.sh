#!/usr/bin/env bash
# What one container or machine does: run.sh web | daemon | worker | celery | migrate | doctor [OPTIONS]
# Or a command: run.sh cheerful accounts list, run.sh dagster api grpc ... (as Dagster's Helm chart gives it)
# DAGSTER_CONFIG names the instance's settings (default: dagster.yaml), WORKER_HOST where the code location answers.
set -euo pipefail
umask 077 # mail, keys and tokens: for this user only
cd "$(dirname "${BASH_SOURCE[0]}")/.."
role="${1:-worker}"
[ $# -gt 0 ] && shift
case "$role" in
celery | doctor | cheerful | dagster) sees="worker" ;;
web | daemon | worker | migrate) sees="$role" ;;
*)
    echo "unknown role: $role (web, daemon, worker, celery, migrate, doctor, cheerful, dagster)" >&2
    exit 2
    ;;
esac

# An optional variable that the platform passes on empty is one that is not set.
for name in $(compgen -e); do
    case "$name" in CHEERFUL_* | AWS_*) [ -n "${!name}" ] || unset "$name" ;; esac
done
# Each role sees its own secrets only: platforms hand all of them to every process.
while read -r name _ roles _; do
    case "$name" in "" | \#*) continue ;; esac
    case ",$roles," in *",$sees,"*) ;; *) unset "$name" ;; esac
done <infra/secrets.txt
[ "$sees" = worker ] || unset CHEERFUL_CLASSIFIER # it would ask for the model's key

mkdir -p "${CHEERFUL_HOME:?}" "${DAGSTER_HOME:?}"
# Google's libraries read the service account from a file.
if [ -n "${CHEERFUL_SHEETS_CREDENTIALS:-}" ]; then
    file="$CHEERFUL_HOME/sheets_credentials.json"
    case "$CHEERFUL_SHEETS_CREDENTIALS" in
    *"{"*) printf '%s' "$CHEERFUL_SHEETS_CREDENTIALS" >"$file.$$" ;;
    *) base64 --decode <<<"$CHEERFUL_SHEETS_CREDENTIALS" >"$file.$$" ||
        { echo "CHEERFUL_SHEETS_CREDENTIALS is neither JSON nor base64" >&2; rm -f "$file.$$"; exit 1; } ;;
    esac
    mv -f "$file.$$" "$file"
    export CHEERFUL_SHEETS_CREDENTIALS_FILE="$file"
    unset CHEERFUL_SHEETS_CREDENTIALS
fi

# The chart mounts an instance's settings of its own.
[ "$role" = dagster ] && exec dagster "$@"

cp "${DAGSTER_CONFIG:-dagster.yaml}" "$DAGSTER_HOME/dagster.yaml"
workspace="$DAGSTER_HOME/workspace.yaml"
cat >"$workspace" <<YAML
load_from:
  - grpc_server:
      host: "${WORKER_HOST:-127.0.0.1}"
      port: ${WORKER_PORT:-4000}
      location_name: cheerful
YAML

case "$role" in
web) exec python -m cheerful_pipelines.web -w "$workspace" --port "${PORT:-3000}" ;;
daemon) exec python -m cheerful_pipelines.runtime.daemon -w "$workspace" ;;
# Both families: Fly's private network is IPv6, Compose's is IPv4.
worker) exec python -m cheerful_pipelines.runtime.worker --host "${WORKER_BIND:-[::]}" --port "${WORKER_PORT:-4000}" ;;
celery) exec infra/celery/worker.sh ;;
migrate)
    python -m cheerful_pipelines.storage.migrate
    exec dagster instance migrate
    ;;
doctor) exec python -m cheerful_pipelines.cli doctor "$@" ;;
cheerful) exec python -m cheerful_pipelines.cli "$@" ;;
esac
