/// \file numbers.h
/// The number formats that a network's activations have, and how one becomes another.
#pragma once

#include <cstdint>
#include <cstring>

#include "infoalign/macros.h"

namespace infoalign {

/// The upper half of a float32: 8 bits of exponent, 7 of fraction.
struct BFloat16 {
    uint16_t bits;
};

/// Formats by number, as callers pass them.
enum class Number : int { float32 = 0, bfloat16 = 1, float64 = 2 };

INFOALIGN_HD INFOALIGN_INLINE float to_float(float value) { return value; }
INFOALIGN_HD INFOALIGN_INLINE double to_float(double value) { return value; }

INFOALIGN_HD INFOALIGN_INLINE float to_float(BFloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

INFOALIGN_HD INFOALIGN_INLINE void store(float& to, float value) { to = value; }
INFOALIGN_HD INFOALIGN_INLINE void store(double& to, double value) { to = value; }

/// Rounds to the nearest, ties to even; a NaN stays one.
INFOALIGN_HD INFOALIGN_INLINE void store(BFloat16& to, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    to.bits = static_cast<uint16_t>(value != value ? 0x7FC0u : rounded);
}

}  // namespace infoalign
