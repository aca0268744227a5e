#!/usr/bin/env bash
# Deploys a version by canary, smoke-tests it through the front door and takes it back when that fails.
#
#   deploy.sh UPSTREAM VERSION COMMAND [ARG ...]        deploy.sh web "$(git rev-parse --short HEAD)" node server.js
#
# The environment says the rest:
#   SWITCHYARD_ADMIN_URL, SWITCHYARD_ADMIN_TOKEN   where the proxy is
#   REPLICAS   processes to start (2)              CANARY, HOLD   steps of weight (5,25,50) and how long each is held (30s)
#   KEEP       how long the version before is kept for a rollback (10m)
#   SMOKE_URL  asked once all traffic is on the new version; anything but 2xx takes it back
#   RECEIPTS   folder that the end of each deploy is written to, as JSON
set -euo pipefail

if [ $# -lt 3 ]; then
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
upstream=$1 version=$2
shift 2

# Exit code 0 means: the new version has all the traffic, and nothing of the old one is in flight any more.
status=0
switchyard deploy "$upstream" --version "$version" --replicas "${REPLICAS:-2}" \
  --canary "${CANARY:-5,25,50}" --hold "${HOLD:-30s}" --rollback-keep "${KEEP:-10m}" -- "$@" || status=$?

case $status in
  0) ;;
  3) echo "deployed, but requests of the version before had to be cut at the drain deadline" >&2 ;;
  4) echo "not finished in time, and still going on: switchyard status $upstream --watch" >&2 && exit 4 ;;
  5) echo "somebody else is deploying $upstream; try again when they are done" >&2 && exit 5 ;;
  *) echo "nothing has moved; why: switchyard explain $upstream $version" >&2 && exit "$status" ;;
esac

if [ -n "${SMOKE_URL:-}" ] && ! curl --fail --silent --show-error --max-time 10 --output /dev/null "$SMOKE_URL"; then
  echo "the smoke test has failed; going back" >&2
  switchyard rollback "$upstream"
  exit 1
fi

if [ -n "${RECEIPTS:-}" ]; then
  mkdir -p "$RECEIPTS"
  switchyard status "$upstream" --json > "$RECEIPTS/$upstream-$version.json"
fi
exit "$status"
