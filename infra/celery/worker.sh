#!/usr/bin/env bash
# A warm Celery worker: CELERY_CONCURRENCY processes that run what the daemon hands out. Told to stop (SIGTERM), it takes
# nothing new and ends what it has; the platform's patience is the limit (kill_timeout and the like: 300 s).
set -euo pipefail
umask 077
: "${CHEERFUL_CELERY_BROKER:?redis://host:6379/0}"
# By environment, not by -b: the broker's password must not stand in the process list.
export CELERY_BROKER_URL="$CHEERFUL_CELERY_BROKER" CELERY_RESULT_BACKEND="$CHEERFUL_CELERY_BROKER"
exec celery -A dagster_celery.app worker \
    --queues dagster --concurrency "${CELERY_CONCURRENCY:-2}" --prefetch-multiplier 1 --max-tasks-per-child 500 \
    --loglevel warning --hostname "dagster-$$@%h"
