# Packages of other suites of Debian, from the mirror that this machine uses. To be read by a script that has set $dir.
find_mirror() { mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1); }
find_mirror
[ -n "$mirror" ] || { apt-get update -qq && find_mirror; }
[ -n "$mirror" ] || { echo "vm: apt has no mirror" >&2; exit 1; }
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# apt_of SUITE PROGRAM ARGUMENTS...   apt-get or apt-cache with the lists of another suite, kept apart from this machine's
apt_of() {
    suite=$1 program=$2; shift 2
    mkdir -p "$dir/apt/$suite/partial"
    echo "deb [signed-by=$keyring] $mirror $suite main" > "$dir/apt/$suite.list"
    (cd "$dir/apt" && "$program" -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$dir/apt/$suite.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$dir/apt/$suite" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@")
}

# unpack SUITE PACKAGE DIRECTORY
unpack() {
    apt_of "$1" apt-get update
    rm -f "$dir/apt/$2"_*.deb
    apt_of "$1" apt-get download "$2"
    dpkg-deb -x "$dir/apt/$2"_*.deb "$3"
    rm -f "$dir/apt/$2"_*.deb
}
