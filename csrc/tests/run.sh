#!/bin/sh
# Compiles the kernels and their tests, with nothing but the standard library, and runs them plainly, under the address
# and undefined-behaviour sanitizers, and under the thread sanitizer. Objects go to build/cpp-tests.
set -eu
cd "$(dirname "$0")/../.."
CXX=${CXX:-g++}
OUT=build/cpp-tests
FLAGS="-std=c++17 -g1 -ffp-contract=off -Wall -Wextra -Werror -Icsrc/include -Icsrc/tests -pthread"
JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN)}

run_variant() {  # name, further flags
    mkdir -p "$OUT/$1"
    for source in csrc/cpu/*.cpp csrc/tests/*.cpp; do
        echo "$source"
    done | xargs -P "$JOBS" -I '{}' sh -c "$CXX $FLAGS $2 -c '{}' -o '$OUT/$1/'\$(basename '{}' .cpp).o"
    # shellcheck disable=SC2086
    $CXX $FLAGS $2 "$OUT/$1"/*.o -o "$OUT/$1/tests"
    printf "%s: " "$1"
    "$OUT/$1/tests"
}

rm -rf "$OUT"
run_variant plain "-O1"
run_variant address-undefined "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
run_variant thread "-O1 -fsanitize=thread"
