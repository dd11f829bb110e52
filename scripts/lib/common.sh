# Shared by the scripts: messages, and tools that a fresh Debian machine may lack. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*" >&2; }
step() { printf '\n== %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# need COMMAND PACKAGE: makes sure that COMMAND is there, from Debian's PACKAGE if it has to be installed.
need() {
  have "$1" && return 0
  say "installing $2 (for $1)"
  install_packages "$2" && have "$1" && return 0
  die "$1 is missing: install the package $2"
}

# want COMMAND PACKAGE: the same, but says what is skipped instead of failing.
want() {
  have "$1" && return 0
  say "installing $2 (for $1)"
  install_packages "$2" && have "$1" && return 0
  say "note: $1 is not here and cannot be installed: the tests that need it skip themselves"
}

install_packages() {
  have apt-get || return 1
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    have sudo && sudo -n true 2>/dev/null || return 1
    sudo=(sudo -n)
  fi
  if [ -z "${apt_updated:-}" ]; then
    "${sudo[@]}" apt-get -qq update || return 1
    apt_updated=1
  fi
  # Policy: a test machine does not want the services of the packages to start by themselves.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 "${sudo[@]}" apt-get -qq -y install --no-install-recommends "$@" >/dev/null
}

# What every build needs: Rust, and a C compiler for ring and zstd.
need_toolchain() {
  have cargo || { [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"; }
  have cargo || die "cargo is missing: install Rust from https://rustup.rs"
  need cc build-essential
}
