/// \file check.h
/// A test harness of one header: CHECK counts, names what failed and goes on; a case is a function in a list.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace check {

inline long passed = 0;
inline long failed = 0;

inline std::vector<std::pair<std::string, std::function<void()>>>& cases() {
    static std::vector<std::pair<std::string, std::function<void()>>> all;
    return all;
}

struct Register {
    Register(const char* name, std::function<void()> body) { cases().emplace_back(name, std::move(body)); }
};

inline void that(bool condition, const char* what, const char* file, int line) {
    if (condition) {
        ++passed;
        return;
    }
    // A few are enough to see what is wrong; all are counted.
    if (++failed <= 20) std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}

}  // namespace check

#define CHECK(condition) check::that((condition), #condition, __FILE__, __LINE__)
#define CASE(name)                                       \
    static void name();                                  \
    static const check::Register register_##name(#name, name); \
    static void name()
