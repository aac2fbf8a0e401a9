/// \file macros.h
/// Marks for functions that the CPU and the CUDA sources share.
#pragma once

#if defined(__CUDACC__)
/// A function that both the host and a CUDA device can call.
#define INFOALIGN_HD __host__ __device__
#else
#define INFOALIGN_HD
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
/// Set where instruction sets are chosen at run time.
#define INFOALIGN_X86 1
#else
#define INFOALIGN_X86 0
#endif

/// A function body that takes the instruction set of the function it is inlined into.
#define INFOALIGN_INLINE inline __attribute__((always_inline))
