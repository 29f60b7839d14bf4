#!/bin/sh
# need.sh PACKAGE...   installs the Debian packages that are missing, and says nothing when none is.
set -eu
missing=
for package in "$@"; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends -o Dpkg::Use-Pty=0 $missing > /dev/null; }
install 2>/dev/null || { $sudo apt-get update -qq && install; }
