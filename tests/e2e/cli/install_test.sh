#!/usr/bin/env bash
# Goal: an installed Cairn is enough to build against. Method: install into a prefix of its own, build both examples
# by pkg-config and by find_package, run all four against a cairnd.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
build_dir=${CAIRN_BUILD_DIR:-$source_dir/build/release}
mkdir -p "$build_dir/tests/scratch"
work=$(mktemp -d "$build_dir/tests/scratch/install-XXXXXX")
server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

fail() { echo "install_test: $*" >&2; exit 1; }

for component in client devel; do
  cmake --install "$build_dir" --prefix "$work/prefix" --component "$component" >"$work/install.log" ||
    fail "cmake --install failed: $(cat "$work/install.log")"
done
"$work/prefix/bin/cairn" --version
for text in man/man1/cairn.1 man/man1/cairn-ckpt-verify.1 bash-completion/completions/cairn zsh/site-functions/_cairn \
  fish/vendor_completions.d/cairn.fish; do
  [ -s "$work/prefix/share/$text" ] || fail "share/$text is not installed"
done

pc_dir=$(dirname "$(find "$work/prefix" -name cairn.pc)")
lib_dir=$(dirname "$(find "$work/prefix" -name libcairn.so)")
export PKG_CONFIG_PATH=$pc_dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
examples=$source_dir/client/examples
read -ra flags <<<"$(pkg-config --cflags --libs cairn)"
${CXX:-c++} -std=c++20 -Wall -Werror "$examples/save_restore.cc" -o "$work/pc_cpp" "${flags[@]}" "-Wl,-rpath,$lib_dir"
${CC:-cc} -std=c99 -Wall -Werror "$examples/save_restore.c" -o "$work/pc_c" "${flags[@]}" "-Wl,-rpath,$lib_dir"
# The header is for compilers of the last century, too, and for C++ compilers.
for header in cairn.h; do
  echo "#include \"cairn/$header\"" >"$work/header.c"
  ${CC:-cc} -std=c89 -pedantic -Wall -Werror -fsyntax-only "$work/header.c" "${flags[@]}"
  ${CXX:-c++} -std=c++20 -x c++ -Wall -Werror -fsyntax-only "$work/header.c" "${flags[@]}"
done

cmake -S "$examples/standalone" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/cmake.log" 2>&1 ||
  fail "find_package failed: $(cat "$work/cmake.log")"
cmake --build "$work/cmake" >"$work/cmake.log" 2>&1 || fail "building failed: $(cat "$work/cmake.log")"

# Nothing but the SDK may be visible: generated messages and Abseil's copies would meet those of the program.
if nm -DC --defined-only "$lib_dir/libcairn.so" | grep -vE ' (cairn_[a-z0-9_]+|cairn::(Client|Admin|Tiering|CheckpointWriter|ShardWriter|File|FileSystem|OpenFile|DirectoryReader)::.*|cairn::ErrnoOf\(.*|CAIRN_[0-9.]+)(@@CAIRN_[0-9.]+)?$'; then
  fail "libcairn.so shows more than the SDK"
fi

mkfifo "$work/board"
"$build_dir/bin/cairnd" --data "$work/data" --listen 127.0.0.1:0 --target-size 256MiB >"$work/board" 2>"$work/cairnd.log" &
server=$!
exec 3<"$work/board"
endpoint=
while read -r -t 60 -u 3 word value _; do
  if [ "$word" = endpoint ]; then endpoint=$value; break; fi
done
[ -n "$endpoint" ] || fail "cairnd did not start: $(cat "$work/cairnd.log")"

for example in "$work/pc_cpp" "$work/pc_c" "$work/cmake/save_restore_cpp" "$work/cmake/save_restore_c" \
  "$build_dir/bin/save_restore_cpp" "$build_dir/bin/save_restore_c"; do
  CAIRN_ENDPOINT=$endpoint timeout 60 "$example" >"$work/out" 2>&1 || fail "$example: $(cat "$work/out")"
  [ "$(tail -1 "$work/out")" = ok ] || fail "$example did not say ok: $(cat "$work/out")"
done
# By argument, and an endpoint where nobody listens is an error in words.
timeout 60 "$work/pc_c" "$endpoint" examples/by-argument >/dev/null || fail "the endpoint as an argument"
"$work/prefix/bin/cairn" -e "$endpoint" ckpt verify examples/by-argument/step-100
echo ok
