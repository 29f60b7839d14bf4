#!/bin/sh
# criu.sh   puts a criu that works on this kernel at target/criu/criu, and says nothing when it is there.
# Debian's own if it is 4 or newer: older ones do not know the vDSO of new kernels. Else trixie's, from the mirror that
# this machine uses, beside the system and with its own libraries.
set -eu
cd "$(dirname "$0")/.."
directory=$PWD/target/criu
[ ! -x "$directory/criu" ] || exit 0
case $(criu --version 2>/dev/null | sed -n 's/^Version: *//p') in
    [4-9].*) mkdir -p "$directory"; ln -s "$(command -v criu)" "$directory/criu"; exit 0 ;;
esac
integration/need.sh ca-certificates debian-archive-keyring dpkg
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb  *\(\[.*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "criu.sh: no Debian mirror is set up on this machine" >&2; exit 1; }
echo "fetching criu of trixie into target/criu" >&2

work=$directory.new
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' \
    "$mirror" /usr/share/keyrings/debian-archive-keyring.gpg > "$work/trixie.sources"
: > "$work/status"
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/trixie.sources" -o Dir::Etc::sourceparts=- -o Dir::State::Lists="$work/lists" \
        -o Dir::State::status="$work/status" -o Dir::Cache="$work" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@"
}
apt update
apt install -y --no-install-recommends --download-only criu > /dev/null
for package in "$work"/archives/*.deb; do dpkg -x "$package" "$work/root"; done
rm -rf "$work/lists" "$work/archives" "$work/status" "$work/trixie.sources" "$work"/*.bin
cat > "$work/criu" <<END
#!/bin/sh
exec $directory/root/usr/lib64/ld-linux-x86-64.so.2 --library-path $directory/root/usr/lib/x86_64-linux-gnu $directory/root/usr/sbin/criu "\$@"
END
chmod +x "$work/criu"
rm -rf "$directory"
mv "$work" "$directory"
"$directory/criu" --version > /dev/null
