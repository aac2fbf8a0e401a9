/// \file buffers.h
/// Memory for results, taken from results that were let go: a page the system hands out costs more than to fill it, and
/// one call after the other asks for the same sizes.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include "arrays.h"

namespace infoalign::bindings {

/// Blocks that no array uses, at most kKept bytes of them. It is never destroyed: arrays may outlive the module.
class Buffers {
public:
    static Buffers& shared() {
        static Buffers* const buffers = new Buffers;
        return *buffers;
    }

    struct Block {
        void* memory;
        size_t bytes;
    };

    Block take(size_t wanted) {
        const size_t unit = wanted >= kHugePage ? kHugePage : kPage;
        const size_t bytes = (wanted + unit - 1) / unit * unit;
        {
            const std::lock_guard<std::mutex> lock(guard_);
            const auto found = free_.lower_bound(bytes);
            if (found != free_.end() && found->first <= bytes + bytes / 4) {
                const Block block{found->second, found->first};
                free_.erase(found);
                kept_ -= block.bytes;
                return block;
            }
        }
        void* memory = std::aligned_alloc(unit, bytes);
        if (memory == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        if (unit == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: what comes of it does not matter
#endif
        return {memory, bytes};
    }

    void give(Block block) noexcept {
        try {
            const std::lock_guard<std::mutex> lock(guard_);
            if (kept_ + block.bytes <= kKept) {
                free_.emplace(block.bytes, block.memory);
                kept_ += block.bytes;
                return;
            }
        } catch (const std::bad_alloc&) {
            // No room to remember it.
        }
        std::free(block.memory);
    }

private:
    static constexpr size_t kKept = size_t{128} << 20;
    static constexpr size_t kPage = 4096;
    static constexpr size_t kHugePage = size_t{2} << 20;

    std::mutex guard_;
    std::multimap<size_t, void*> free_;
    size_t kept_ = 0;
};

/// A table of results, whose values are whatever the memory held.
template <class T>
nb::ndarray<nb::numpy, T> empty_table(size_t rows, size_t columns) {
    auto* block = new Buffers::Block(Buffers::shared().take(rows * columns * sizeof(T) + 1));
    nb::capsule owner(block, [](void* pointer) noexcept {
        auto* held = static_cast<Buffers::Block*>(pointer);
        Buffers::shared().give(*held);
        delete held;
    });
    return nb::ndarray<nb::numpy, T>(static_cast<T*>(block->memory), {rows, columns}, owner);
}

}  // namespace infoalign::bindings
