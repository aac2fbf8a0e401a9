/// \file clones.h
/// Compiling one function for several instruction sets, of which the best is chosen when the program is loaded.
#pragma once

#include <cstdint>  // any header of the C library says whether that is glibc

#include "infoalign/macros.h"

#if INFOALIGN_X86 && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12 && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
/// Before a function whose loops gain from wide vectors; bodies that it calls must be INFOALIGN_INLINE.
///
/// It takes GCC 12 and a loader that can choose. Not under sanitizers: their runtimes are not up yet when the choice is
/// made. Lanes are columns, and no sum runs over lanes, so that all clones give the same bits.
#define INFOALIGN_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define INFOALIGN_CLONES
#endif
