// Drives the fuzz target without libFuzzer: fuzz_main [--runs N] [--seed S] [--only K].
//
// Input number K is a function of the seed and K: random bytes, or a harmless input with some bytes changed, so a
// failure can be run again alone. At the end it counts what the inputs came to, and fails where some kind of fault, or
// of acceptance, was never reached: a fuzz target that cannot reach a branch proves nothing about it.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fuzz_csr.h"
#include "graphs.h"

// Set by the sanitizers' run-time libraries, where those are linked.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));
// The undefined-behaviour one asks for this and, unlike the other, has no callback.
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1"; }

namespace {

unsigned long long current = 0;
unsigned long long chosen_seed = 0;

void name_the_input() {
    char line[128];
    const int length = std::snprintf(line, sizeof line, "input %llu failed: --seed %llu --only %llu runs it alone\n",
                                     current, chosen_seed, current);
    if (write(STDERR_FILENO, line, static_cast<size_t>(length)) < 0) _exit(EXIT_FAILURE);
}

void on_abort(int) {
    name_the_input();
    _exit(EXIT_FAILURE);
}

/// Bytes of which none gives trouble: short of the highest ones, which stand for everything odd.
std::vector<uint8_t> harmless(graphs::Words& words) {
    std::vector<uint8_t> bytes(1 + words.below(400));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(words.below(240));
    return bytes;
}

void mutate(graphs::Words& words, std::vector<uint8_t>& bytes) {
    for (uint32_t left = words.below(5); left > 0 && !bytes.empty(); --left) {
        const uint32_t at = words.below(static_cast<uint32_t>(bytes.size()));
        switch (words.below(6)) {
            case 0: bytes[at] = static_cast<uint8_t>(words.next()); break;
            case 1: bytes[at] = static_cast<uint8_t>(bytes[at] ^ (1u << words.below(8))); break;
            case 2: bytes[at] = static_cast<uint8_t>(240 + words.below(16)); break;
            case 3: bytes.insert(bytes.begin() + at, static_cast<uint8_t>(words.next())); break;
            case 4: bytes.erase(bytes.begin() + at); break;
            default: bytes.resize(at); break;
        }
    }
}

std::vector<uint8_t> make_input(uint64_t seed, uint64_t run) {
    graphs::Words words(seed << 40 | run);
    std::vector<uint8_t> bytes = harmless(words);
    if (words.below(4) == 0) {
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(words.next());
    } else {
        mutate(words, bytes);
    }
    return bytes;
}

struct Line {
    const char* name;
    long count;
};

/// Everything that must have been met, with how often it was.
std::vector<Line> report() {
    const fuzz::Counts& seen = fuzz::counts;
    const auto& offsets = seen.entries[fuzz::kOffsets];
    const auto& csr = seen.entries[fuzz::kCsr];
    const auto& edges = seen.entries[fuzz::kEdges];
    // The numbers of CsrFault. A list of edges with a node above the highest degree would not fit into memory.
    return {{"offsets accepted", offsets[0]},
            {"offsets: first_offset", offsets[1]},
            {"offsets: decreasing_offset", offsets[2]},
            {"offsets: last_offset", offsets[3]},
            {"offsets: degree", offsets[7]},
            {"offsets of over 2^32 arcs accepted", seen.many_arcs},
            {"csr accepted", csr[0]},
            {"csr: first_offset", csr[1]},
            {"csr: decreasing_offset", csr[2]},
            {"csr: last_offset", csr[3]},
            {"csr: target_range", csr[5]},
            {"csr: weight_range", csr[6]},
            {"csr: degree", csr[7]},
            {"edges accepted", edges[0]},
            {"edges: source_range", edges[4]},
            {"edges: target_range", edges[5]},
            {"edges: weight_range", edges[6]},
            {"graphs without a node accepted", seen.no_nodes},
            {"subnormal weights accepted", seen.subnormal},
            {"weights of -0 accepted", seen.negative_zeros},
            {"nodes without weight", seen.weightless},
            {"walk requests accepted", seen.walks[0]},
            {"walks: seed_range", seen.walks[1]},
            {"walks: negative_walk_id", seen.walks[2]},
            {"dead ends", seen.dead_ends},
            {"second-order steps", seen.second_order_steps},
            {"steps checked", seen.steps}};
}

unsigned long long number(const char* name, const char* text) {
    char* end = nullptr;
    const unsigned long long value = text == nullptr ? 0 : std::strtoull(text, &end, 10);
    if (text == nullptr || end == text || *end != '\0') {
        std::fprintf(stderr, "%s needs a number\n", name);
        std::exit(EXIT_FAILURE);
    }
    return value;
}

}  // namespace

int main(int argc, char** argv) {
    unsigned long long runs = 100000, only = ~0ull;
    for (int k = 1; k < argc; k += 2) {
        const char* value = k + 1 < argc ? argv[k + 1] : nullptr;
        if (std::strcmp(argv[k], "--runs") == 0) {
            runs = number("--runs", value);
        } else if (std::strcmp(argv[k], "--seed") == 0) {
            chosen_seed = number("--seed", value);
        } else if (std::strcmp(argv[k], "--only") == 0) {
            only = number("--only", value);
        } else {
            std::fprintf(stderr, "usage: %s [--runs N] [--seed S] [--only K]\n", argv[0]);
            return EXIT_FAILURE;
        }
    }
    std::signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(name_the_input);
    const bool alone = only != ~0ull;
    for (current = alone ? only : 0; current < (alone ? only + 1 : runs); ++current) {
        const std::vector<uint8_t> input = make_input(chosen_seed, current);
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    int missing = 0;
    for (const Line& line : report()) {
        std::printf("%12ld %s\n", line.count, line.name);
        missing += line.count == 0;
    }
    if (alone || missing == 0) return EXIT_SUCCESS;
    std::fprintf(stderr, "%d kinds were never reached in %llu runs\n", missing, runs);
    return EXIT_FAILURE;
}
