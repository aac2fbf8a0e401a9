#!/bin/sh
# Compiles the kernels and their tests, with nothing but the standard library, and runs them plainly, under the address
# and undefined-behaviour sanitizers, and under the thread sanitizer; then the fuzz target under the first two, with
# FUZZ_RUNS inputs that FUZZ_SEED chooses. Objects go to build/cpp-tests.
set -eu
cd "$(dirname "$0")/../.."
CXX=${CXX:-g++}
OUT=build/cpp-tests
FLAGS="-std=c++17 -g1 -ffp-contract=off -Wall -Wextra -Werror -Icsrc/include -Icsrc/tests -pthread"
JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
FUZZ_RUNS=${FUZZ_RUNS:-200000}
FUZZ_SEED=${FUZZ_SEED:-0}

compile() {  # folder for the objects, further flags, sources
    folder=$1
    further=$2
    shift 2
    mkdir -p "$folder"
    printf '%s\n' "$@" |
        xargs -P "$JOBS" -I '{}' sh -c "$CXX $FLAGS $further -c '{}' -o '$folder/'\$(basename '{}' .cpp).o"
}

run_variant() {  # name, further flags
    compile "$OUT/$1/cpu" "$2" csrc/cpu/*.cpp
    compile "$OUT/$1/tests" "$2" csrc/tests/main.cpp csrc/tests/test_*.cpp
    # shellcheck disable=SC2086
    $CXX $FLAGS $2 "$OUT/$1"/cpu/*.o "$OUT/$1"/tests/*.o -o "$OUT/$1/run"
    printf "%s: " "$1"
    "$OUT/$1/run"
}

run_fuzz() {  # name of a variant that has run, its flags
    compile "$OUT/$1/fuzz" "$2" csrc/tests/fuzz_*.cpp
    # shellcheck disable=SC2086
    $CXX $FLAGS $2 "$OUT/$1"/cpu/*.o "$OUT/$1"/fuzz/*.o -o "$OUT/$1/run-fuzz"
    echo "fuzz, $1:"
    "$OUT/$1/run-fuzz" --runs "$FUZZ_RUNS" --seed "$FUZZ_SEED"
}

CHECKED="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
rm -rf "$OUT"
run_variant plain "-O1"
run_variant address-undefined "$CHECKED"
run_variant thread "-O1 -fsanitize=thread"
run_fuzz address-undefined "$CHECKED"
