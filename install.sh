#!/bin/sh
# Installs a published build of korfinsts for this machine, after a comparison of its SHA-256. Nothing is built and no rights are needed.
#
#   KORFINSTS_URL      folder of published files, with SHA256SUMS (needed)
#   KORFINSTS_BIN_DIR  where the program goes [default: ~/.local/bin]
#   KORFINSTS_TARGET   kind of machine, such as x86_64-unknown-linux-gnu [default: guessed]
# The names in messages are meant as they are.
# shellcheck disable=SC2016
set -eu

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

# What `uname` says of this machine, as the name of a build.
target() {
  system=$(uname -s)
  machine=$(uname -m)
  case "$machine" in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) fail "no build is published for the processor \`$machine\`" 'build from a checkout: cargo install --path .' ;;
  esac
  case "$system" in
    Linux) echo "$machine-unknown-linux-musl" ;;
    Darwin) echo "$machine-apple-darwin" ;;
    *) fail "this script does not know the system \`$system\`" 'on Windows, unpack the published .zip file' ;;
  esac
}

# Downloads $1 to the file $2.
fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --proto "=$scheme" --retry 3 --output "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget --quiet --output-document="$2" "$1"
  else
    fail 'found neither `curl` nor `wget`' 'install one of them'
  fi || fail "cannot download $1" 'is the address right, and is the version published for this kind of machine?'
}

digest() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum "$1"
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256 "$1"
  else
    fail 'found neither `sha256sum` nor `shasum`, so the file cannot be checked' 'install coreutils'
  fi | cut -d ' ' -f 1
}

# All of it is in a function: a script that is cut off does nothing.
main() {
  url=${KORFINSTS_URL:-}
  url=${url%/}
  case "$url" in
    '') fail '`KORFINSTS_URL` is not set' 'set it to the folder of a published version' ;;
    https://*) scheme=https ;;
    http://127.0.0.1:* | http://localhost:*) scheme=http ;;
    *) fail "\`$url\` is not an address with https" 'a checksum from an open connection protects nothing' ;;
  esac
  target=${KORFINSTS_TARGET:-$(target)}
  folder=${KORFINSTS_BIN_DIR:-$HOME/.local/bin}
  archive="korfinsts-$target.tar.gz"
  mkdir -p "$folder"
  # In the folder itself, so that the last step is a rename: the program is there whole or not at all.
  work=$(mktemp -d "$folder/.korfinsts-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM

  fetch "$url/SHA256SUMS" "$work/SHA256SUMS"
  expected=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
  case "$expected" in
    '') fail "$url/SHA256SUMS does not name $archive" 'set KORFINSTS_TARGET to one of the builds that it names' ;;
    *[!0-9a-f]*) fail "$url/SHA256SUMS does not have one SHA-256 of $archive" 'the published files are damaged' ;;
  esac
  fetch "$url/$archive" "$work/$archive"
  found=$(digest "$work/$archive")
  if [ "$found" != "$expected" ]; then
    fail "$archive has SHA-256 $found, and SHA256SUMS has $expected" 'the file is damaged or was replaced; nothing was installed'
  fi
  tar -xzf "$work/$archive" -C "$work" korfinsts
  chmod 755 "$work/korfinsts"
  version=$("$work/korfinsts" --version) || fail "the build for $target does not start on this machine" 'set KORFINSTS_TARGET'
  mv -f "$work/korfinsts" "$folder/korfinsts"
  echo "$version: $folder/korfinsts"
  case ":$PATH:" in
    *":$folder:"*) ;;
    *) echo "add it to your PATH: export PATH=\"$folder:\$PATH\"" ;;
  esac
}

main
