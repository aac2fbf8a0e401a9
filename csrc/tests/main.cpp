#include "check.h"

int main() {
    for (const auto& [name, body] : check::cases()) {
        const long before = check::failed;
        body();
        if (check::failed != before) std::fprintf(stderr, "FAILED %s\n", name.c_str());
    }
    std::printf("%zu cases, %ld checks, %ld failed\n", check::cases().size(), check::passed + check::failed,
                check::failed);
    return check::failed == 0 && check::passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
