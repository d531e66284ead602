#!/usr/bin/env bash
# The steps of tools/setup: "setup_steps.sh FUNCTION ARGUMENT..." runs one as a process of its own, so that set -e holds in it.
# shellcheck disable=SC2317  # called by name
set -euo pipefail
HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
TREE=$(realpath "$HERE/../..")
OFFLINE=$TREE/third_party/offline

SOURCES=(abseil/trixie cpp-httplib/trixie google-glog/bookworm googletest/bookworm hiredis/trixie librabbitmq/trixie librdkafka/trixie
  prometheus-cpp/bookworm)
# Upstream's tree at the pinned tag, packed anew by Debian: it is unpacked as an override, not taken for the archive itself.
declare -A REPACKED=(
  [com_google_absl]=df6d1f5ef540725f3851201176a60486aab332410788465c9877910bb471c34a
  [cpp_httplib]=c88f6495da71e778c82c22995b547a92ceb41cc4016f9028df67106a24b9210d
)
# Dependencies of Debian's bazel-bootstrap that running the server does not need.
UNNEEDED='^(g\+\+|gcc-[0-9]+|gcc$|cpp|binutils|libbinutils|perl|libperl|python3|libpython|openjdk-[0-9]+-jdk|default-jdk|dpkg|apt'
UNNEEDED+='|bash|coreutils|util-linux|debconf|lib(a|t|l|hwa|ub)san|linux-libc|.*-dev$|mount|login|passwd|tar|gzip|make|patch'
UNNEEDED+='|xz-utils|bzip2|sed|grep|find|diffutils|hostname|init|sysv|base-|debianutils|libpam|systemd|ncurses|libeclipse'
UNNEEDED+='|libjetty|libjgit|libbcprov|libmaven|build-essential|async-profiler$|node-|nodejs)'

apt_install() {
  local root=()
  ((EUID == 0)) || root=(sudo -n)
  "${root[@]}" true || { echo "not root, and sudo does not work; as root: apt-get install --no-install-recommends $*"; return 1; }
  root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  "${root[@]}" update || echo "going on with the package lists that are there"
  "${root[@]}" -y --no-install-recommends install "$@"
}

# servers_install PACKAGE...: apt_install, but the packages' services are not started
servers_install() {
  local policy=/usr/sbin/policy-rc.d
  if ((EUID == 0)) && [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
    # shellcheck disable=SC2064  # now
    trap "rm -f $policy" EXIT
  fi
  apt_install "$@"
}

# kafka DIR: Apache Kafka's server and what it needs in DIR/libs
kafka() {
  rm -rf "$1"; mkdir -p "$1"
  mvn -B -q -f "$TREE/third_party/tests/kafka.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/libs"
  [[ -e $1/libs/kafka_2.13-4.1.0.jar ]]
  echo "$1" >"$1/.done"
}

# python DIR: a Python environment with what the tests talk to us by
python() {
  rm -rf "$1"
  python3 -m venv "$1"
  "$1/bin/pip" -q --disable-pip-version-check install --require-hashes --only-binary :all: -r "$TREE/third_party/tests/requirements.txt"
  echo "$1" >"$1/.done"
}

# node DIR: the AsyncAPI project's own parser, as the lock file has it; nothing of it runs while it is installed
node() {
  rm -rf "$1"; mkdir -p "$1"
  cp "$TREE"/third_party/tests/asyncapi/*.json "$1"
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
  echo "$1" >"$1/.done"
}

# own_apt DIR "TYPE SUITE"...: from here on apt-get has lists and a cache of its own in DIR, and an empty dpkg status.
# The archive's address is the one in the machine's own apt sources, of either format; its apt.conf (proxies) is read too.
# Signatures are checked, a Valid-Until date is not: unstable's ends after a week, and mirrors and snapshots lag.
own_apt() {
  local d=$1 line site key=/usr/share/keyrings/debian-archive-keyring.gpg; shift
  site=$(apt-get update --print-uris | sed -nE "s,^'(.*)/dists/(oldstable|bookworm|stable|trixie|testing|forky|unstable|sid)/main/.*,\1,p" |
    awk '/\/debian$/ && !d {d = $0} !a {a = $0} END {print d ? d : a}')  # others have a bookworm/main, too
  [[ $site ]] || { echo "the machine's apt sources name no Debian archive"; return 1; }
  mkdir -p "$d"/{state/lists/partial,cache/archives/partial,etc/sources.list.d,etc/preferences.d}
  : >"$d/state/status"
  for line in "$@"; do
    echo "${line% *} $([[ ! -e $key ]] || echo "[signed-by=$key]") $site ${line#* } main"
  done >"$d/etc/sources.list"
  cat >"$d/apt.conf" <<END
Dir::State "$d/state"; Dir::State::status "$d/state/status"; Dir::Cache "$d/cache";
Dir::Etc::sourcelist "$d/etc/sources.list"; Dir::Etc::sourceparts "$d/etc/sources.list.d";
Dir::Etc::preferences "-"; Dir::Etc::preferencesparts "$d/etc/preferences.d";
Acquire::Languages "none"; Acquire::Retries "3"; APT::Install-Recommends "false"; APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
END
  export APT_CONFIG=$d/apt.conf
  apt-get -qq update
}

# sources DIR: third_party/offline completed: Debian's upstream tarballs that have the pins' checksums unpacked, and what
# Debian has as a library
sources() {
  local d=$1 w=$1/.work name sha file tarball
  rm -rf "$d"; mkdir -p "$w/src"
  # shellcheck disable=SC2064  # now
  trap "rm -rf '$w'" EXIT
  cp -R "$OFFLINE/." "$d"
  own_apt "$w/apt" "deb-src trixie" "deb-src bookworm"
  cd "$w/src"
  apt-get -qq source --download-only --tar-only "${SOURCES[@]}" || true  # a mirror may lack a .dsc; the checksums decide
  sha256sum ./*.orig.tar.* >"$w/sums"
  python3 "$HERE/pins.py" "$TREE/third_party/repositories.bzl" >"$w/pins"
  while read -r name sha file; do
    tarball=$(awk -v s="${REPACKED[$name]:-$sha}" '$1 == s {print $2; exit}' "$w/sums")
    [[ $tarball ]] || { echo "no Debian source has the checksum pinned for $name:"; cat "$w/sums"; return 1; }
    mkdir -p "$d/distdir/$name"
    cp "$w/src/$tarball" "$d/distdir/$name/$file"
  done <"$w/pins"
  unpack() { mkdir -p "$d/$2"; tar -xf "$d/distdir/$1/"* -C "$d/$2" --strip-components=1 --skip-old-files; }
  packaged() { mkdir -p "$d/$1/include"; cp -RL "$2" "$d/$1/include"; }
  unpack com_google_absl abseil
  unpack com_github_google_glog glog; cp "$TREE/third_party/glog.BUILD" "$d/glog/BUILD.bazel"
  unpack com_google_googletest googletest
  unpack cpp_httplib cpp_httplib; cp "$TREE/third_party/cpp_httplib.BUILD" "$d/cpp_httplib/BUILD.bazel"; : >"$d/cpp_httplib/WORKSPACE"
  ln -sfn "$(command -v protoc)" "$d/protobuf/protoc_bin"
  packaged nlohmann_json /usr/include/nlohmann
  packaged cli11 /usr/include/CLI
  packaged sqlite3 /usr/include/sqlite3.h
  mkdir "$d/sqlite3/lib"; cp /usr/lib/*/libsqlite3.a "$d/sqlite3/lib"
  packaged google_benchmark /usr/include/benchmark
  for name in "${!REPACKED[@]}"; do rm -r "$d/distdir/$name"; done
  echo "$d" >"$d/.done"
}

# rc SOURCES TEMPLATE, rc7 PREFIX SOURCES: the set-up's options
rc7() {
  cat "$1/overrides"; rc "$2" rc7.in
  for d in "$1" "$2"; do [[ $d != /tmp/* ]] || echo "build --sandbox_add_mount_pair=$d"; done  # 7's sandbox has a /tmp of its own
}
rc() {
  sed "s,@OFFLINE@,$1,g" "$1/$2"
  printf 'common --distdir=%s\n' "$1"/distdir/*
  echo 'build --symlink_prefix=/'  # Bazel 4 takes the links that 7 leaves in the tree for packages
}

# bazel7 PREFIX SOURCES: Debian unstable's Bazel 7 and the packages it needs unpacked in PREFIX, run by their own loader and JRE
bazel7() {
  local p=$1 w=$1/.work lib java f r link to deb
  rm -rf "$p"; mkdir -p "$w/debs"
  own_apt "$w/apt" "deb sid"
  apt-get install -s -y bazel-bootstrap | awk '/^Inst/ {print $2}' | grep -vE "$UNNEEDED" >"$w/list"
  (cd "$w/debs" && xargs apt-get -qq download <"$w/list")
  deb=$(basename "$w"/debs/bazel-bootstrap_*); deb=${deb#*_}
  [[ ${deb%%.*} == "$(cut -d. -f1 "$TREE/.bazelversion")" ]] || { echo "unstable has Bazel $deb"; return 1; }
  printf '%s\0' "$w"/debs/*.deb | xargs -0 -P "$(nproc)" -I '{}' dpkg-deb -x '{}' "$p"
  rm -rf "$w" "$p"/usr/share/{doc,man,locale,nodejs,javascript,perl5,bash-completion}
  java=$(dirname "$(dirname "$(find "$p"/usr/lib/jvm -path '*/bin/java' -type f | head -n 1)")")
  lib=$(dirname "$(find "$p"/usr/lib/*/ -maxdepth 1 -name 'ld-linux-*.so.*' | head -n 1)")
  for f in "$p"/usr/bin/bazel "$p"/usr/libexec/*/bazel/* "$java"/bin/java "$java"/lib/{jspawnhelper,jexec}; do
    patchelf --print-interpreter "$f" >/dev/null 2>&1 || continue
    r=$lib; [[ $f != "$java"/* ]] || r=$java/lib:$java/lib/server:$lib
    patchelf --set-interpreter "$(echo "$lib"/ld-linux-*.so.*)" --force-rpath --set-rpath "$r" "$f"
  done
  find "$p" -type l -lname '/*' ! -lname "$p/*" -printf '%p\t%l\n' | while IFS=$'\t' read -r link to; do
    [[ ! -e $p$to && ! -L $p$to ]] || ln -sfn "$p$to" "$link"
  done
  python3 "$HERE/closure.py" "$p"
  grep -E '^common --override_module' "$p/etc/bazel/bazelrc" | sed "s,=/usr/share,=$p/usr/share," >"$p/overrides"
  echo "$p/usr/bin/bazel --install_base=$p/usr/share/bazel --trust_install_base --server_javabase=$java --nosystem_rc" >"$p/command"
  rc7 "$p" "$2" >"$p/smoke.rc"
  # shellcheck disable=SC2046  # words
  smoke $(<"$p/command") --bazelrc="$p/smoke.rc"
  echo "$p" >"$p/.done"
}

# smoke COMMAND...: can this Bazel resolve the tree's modules and compile?
smoke() {
  t=$(mktemp -d)
  trap 'chmod -R u+w "$t"; rm -rf "$t"' EXIT
  mkdir "$t/w"; cd "$t/w"
  sed -n '/^bazel_dep/,/)/p' "$TREE/MODULE.bazel" >MODULE.bazel; cp "$TREE/.bazelversion" .; : >WORKSPACE
  printf '%s\n' 'load("@rules_cc//cc:defs.bzl", "cc_binary")' 'cc_binary(name = "smoke", srcs = ["smoke.cc"])' >BUILD
  echo 'int main() {}' >smoke.cc
  rc=0; timeout 300 "$@" --output_user_root="$t/o" build //:smoke >"$t/log" 2>&1 || rc=$?
  ((rc == 0)) || cat "$t"/o/*/server/jvm.out "$t/log" || true  # jvm.out: why a server did not start
  timeout 30 "$@" --output_user_root="$t/o" shutdown || true
  return "$rc"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || "$@"
