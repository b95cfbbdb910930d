# What the scripts share that build something once and find it in the cache from then on. It is
# sourced, with `what` set to the name of what is built; the script defines `found`, which prints the
# path and ends the script if it is built already.
#
# Exit codes of such a script:
#   0  the path was printed
#   1  the build failed; stderr says why and where its log is
#   2  unknown argument
#   3  there is no Go on this machine to build it with
#   4  --path-only, and it is not built yet
#   129, 130, 143  stopped by a hangup, Ctrl-C or a termination signal

# shellcheck shell=bash disable=SC2154 # the script that sources this sets `what` and `target`
readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/otel-emqx-monitor"
readonly script="${0##*/}"
work=''
step=''

say() { printf '%s: %s\n' "$script" "$*" >&2; }

hash_of() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-16
}

# Ends the script, unless it has to build: takes the script's arguments.
find_or_go_on() {
  if [[ $# -gt 1 || ${1---path-only} != --path-only ]]; then
    say "usage: $script [--path-only]"
    exit 2
  fi
  found
  if [[ $# -eq 1 ]]; then
    say "not built yet; scripts/$script without --path-only builds it"
    exit 4
  fi
  if ! command -v go >/dev/null; then
    say "there is no Go on this machine to build it with (https://go.dev/doc/install)"
    exit 3
  fi
}

# Starts a step in a process group of its own, so that an interruption ends the compilers as well.
run() {
  local code=0
  set -m
  "$@" >>"$work/log" 2>&1 9>&- &
  step=$!
  set +m
  wait "$step" || code=$?
  step=''
  return "$code"
}

clean_up() {
  if [[ -n $step ]]; then
    kill -TERM -- "-$step" 2>/dev/null || true
    wait "$step" 2>/dev/null || true
  fi
  if [[ -n $work ]]; then rm -rf "$work"; fi
}

fail() {
  tail -n 15 "$work/log" >&2
  mv -f "$work/log" "$target.log"
  say "could not $1; the whole log is $target.log"
  exit 1
}

# Makes the folder $work for this build, and sets Go up for it.
begin() {
  mkdir -p "$cache"
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # One build at a time where flock exists. Without it a second build is wasted work, not a fault.
  if command -v flock >/dev/null; then
    exec 9>"$cache/lock-$what"
    if ! flock -n 9; then
      say "waiting for the build that another $script has begun"
      flock 9
      found
    fi
    rm -rf "$cache/building-$what".* # left by builds that were killed
  fi
  work="$(mktemp -d "$cache/building-$what.XXXXXX")"
  # Built for this machine as official releases are, whatever the surroundings say of other
  # platforms or workspaces. Go's temporary files lie in $work so that clean_up finds them.
  mkdir "$work/tmp"
  export CGO_ENABLED=0 GOWORK=off GOTMPDIR="$work/tmp"
  GOOS="$(go env GOHOSTOS)"
  GOARCH="$(go env GOHOSTARCH)"
  export GOOS GOARCH
}
