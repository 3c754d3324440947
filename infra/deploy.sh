#!/usr/bin/env bash
# Deploy an environment: ./infra/stg/deploy.sh [--preview] [FLYCTL'S OPTIONS]. Needs flyctl, logged in, and once:
#   flyctl apps create cheerful-pipelines-stg; flyctl secrets import --stage ... (infra/secrets.txt)
#   1. every required secret is there (infra/secrets.txt)   --preview stops here
#   2. the daemon, if there is one, stops: nothing new starts; running work ends at its checkpoints
#   3. the new image: migrations as the release command, then web and worker
#   4. the new worker's doctor, which must be content; no daemon starts before
#   5. the daemon; then the doctor again, of everything: a client's mailbox or sheet that fails holds up no deploy
# Back to an older image:  ./infra/stg/deploy.sh --rollback IMAGE   (flyctl releases --image lists them). Nothing is
# migrated then: migrations add, and older code ignores what it does not know.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
environment="${1:?stg or prd}"
shift
config="$here/$environment/fly.toml"
[ -f "$config" ] || { echo "no such environment: $environment" >&2; exit 2; }
app="$(sed -n 's/^app = "\(.*\)"/\1/p' "$config")"
case " ${*:2} " in
*" --preview "* | *" --rollback "*) # flyctl would refuse them, after the daemon was stopped
    echo "--preview and --rollback come first, before flyctl's options: nothing was deployed" >&2
    exit 2
    ;;
esac
command -v flyctl >/dev/null || { echo "flyctl is not installed" >&2; exit 1; }

names='import json, sys; print("\n".join(s.get("Name") or s["name"] for s in json.load(sys.stdin)))'
if ! listed="$(flyctl secrets list --app "$app" --json)"; then
    echo "Fly does not show $app. The first time: flyctl apps create $app" >&2
    exit 1
fi
set_names="$(python3 -c "$names" <<<"$listed")"
missing=0
while read -r name need _ words; do
    case "$name" in "" | \#*) continue ;; esac
    if grep -qx "$name" <<<"$set_names"; then state="set"; else
        state="missing"
        [ "$need" = required ] && missing=$((missing + 1))
    fi
    printf '%-34s %-9s %-8s %s\n' "$name" "$need" "$state" "$words"
done <"$here/secrets.txt"
if [ "$missing" -gt 0 ]; then
    echo "$missing required secrets are missing: nothing was deployed" >&2
    exit 1
fi
[ "${1:-}" = "--preview" ] && exit 0

options=("$@")
if [ "${1:-}" = "--rollback" ]; then
    options=(--image "${2:?--rollback needs the image to go back to}" --skip-release-command "${@:3}")
fi

# Before the first release there is no daemon, and flyctl refuses to scale.
daemons='import json, sys; print(sum((m.get("config") or {}).get("metadata", {}).get("fly_process_group") == "daemon"
                                     for m in json.load(sys.stdin) or []))'
if [ "$(flyctl machine list --app "$app" --json | python3 -c "$daemons")" != 0 ]; then
    flyctl scale count daemon=0 --app "$app" --yes
fi
# The repository is the build's context, wherever we were called from. Without --process-groups flyctl would make a
# daemon, and without --ha=false a spare of each.
if ! flyctl deploy "$here/.." --config "$config" --app "$app" --process-groups web,worker --ha=false ${options[@]+"${options[@]}"}; then
    echo "the deploy failed: the daemon stays stopped, so no sync and no count begins. Mend it and deploy again; or back: $environment/deploy.sh --rollback IMAGE" >&2
    exit 1
fi
doctor=(flyctl ssh console --app "$app" --process-group worker --command)
if ! "${doctor[@]}" "/app/infra/run.sh doctor --before-start"; then
    echo "the doctor is not content: the daemon stays stopped. Mend it and deploy again; or back: $environment/deploy.sh --rollback IMAGE" >&2
    exit 1
fi
flyctl scale count daemon=1 --app "$app" --yes
if ! "${doctor[@]}" "/app/infra/run.sh doctor"; then
    echo "deployed. What the doctor says above is for a person; the daemon may take a minute to be heard of" >&2
fi
