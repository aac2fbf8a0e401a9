/// \file intrinsics.h
/// The vector intrinsics of x86, where instruction sets are chosen at run time.
#pragma once

#include "infoalign/macros.h"

#if INFOALIGN_X86
#include <immintrin.h>
#if !defined(__clang__)
// GCC 12 takes the don't-care operands of its own AVX-512 intrinsics for mistakes (its bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif
