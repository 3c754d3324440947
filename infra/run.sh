#!/usr/bin/env bash
# What one container or machine does: run.sh web | daemon | worker | celery | migrate | doctor
# DAGSTER_CONFIG names the instance's settings (default: /app/dagster.yaml), WORKER_HOST where the code location answers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
role="${1:-worker}"
mkdir -p "$DAGSTER_HOME"
cp "${DAGSTER_CONFIG:-dagster.yaml}" "$DAGSTER_HOME/dagster.yaml"
workspace="$DAGSTER_HOME/workspace.yaml"
cat >"$workspace" <<YAML
load_from:
  - grpc_server:
      host: ${WORKER_HOST:-127.0.0.1}
      port: ${WORKER_PORT:-4000}
      location_name: cheerful
YAML

case "$role" in
web) exec python -m cheerful_pipelines.web -w "$workspace" --port "${PORT:-3000}" ;;
daemon) exec python -m cheerful_pipelines.daemon -w "$workspace" ;;
worker) exec python -m cheerful_pipelines.worker --port "${WORKER_PORT:-4000}" ;;
celery) exec infra/celery/worker.sh ;;
migrate)
    python -m cheerful_pipelines.storage.migrate
    exec dagster instance migrate
    ;;
doctor) exec python -m cheerful_pipelines.cli doctor ;;
*)
    echo "unknown role: $role (web, daemon, worker, celery, migrate, doctor)" >&2
    exit 2
    ;;
esac
