/* SPDX-License-Identifier: MIT */
/*
 * After FIPS 180-4 (the function and its constants) and Intel's Software Developer's Manual,
 * volume 2 (SHA256RNDS2, SHA256MSG1, SHA256MSG2, VPTERNLOGD, VPRORD).
 */
#include "store/base/sha256x16.h"

const uint32_t sha256_begin[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA    __attribute__((target("sha,sse4.1,ssse3")))
#define WITH_AVX512 __attribute__((target("avx512f,avx512bw")))
#define INLINE	    static inline __attribute__((always_inline))
/* So that arrays indexed in such loops stay in registers, at -O2 too. */
#define UNROLLED _Pragma("GCC unroll 16")

/* FIPS 180-4, 4.2.2. */
static const uint32_t round_constant[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/*
 * One message.  The SHA instructions want the eight words a..h in two registers, named here as in
 * the manual for what they hold from the highest 32 bits down.
 */

struct words {
	__m128i abef, cdgh;
};

INLINE WITH_SHA __m128i load(const void *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

INLINE WITH_SHA struct words words_of(const uint32_t h[8])
{
	__m128i cdab = _mm_shuffle_epi32(load(h), 0xb1);	/* was dcba, from the highest down */
	__m128i efgh = _mm_shuffle_epi32(load(h + 4), 0x1b);	/* was hgfe */

	return (struct words){ .abef = _mm_alignr_epi8(cdab, efgh, 8),
			       .cdgh = _mm_blend_epi16(efgh, cdab, 0xf0) };
}

INLINE WITH_SHA void words_put(struct words s, uint32_t h[8])
{
	__m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)h, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* The message schedule's first sixteen words: a block's, which are big-endian. */
INLINE WITH_SHA void words_load(__m128i w[4], const uint8_t *p)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	for (int i = 0; i < 4; i++)
		w[i] = _mm_shuffle_epi8(load(p + 16 * i), swap);
}

/* Four rounds: each instruction does two, and turns abef into cdgh for the next. */
INLINE WITH_SHA void rounds(struct words *s, __m128i w, const uint32_t *k)
{
	__m128i wk = _mm_add_epi32(w, _mm_load_si128((const __m128i *)k));

	s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
	s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

/* The four words that follow the sixteen in w0 to w3. */
INLINE WITH_SHA __m128i following(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
	__m128i x = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));

	return _mm_sha256msg2_epu32(x, w3);
}

INLINE WITH_SHA struct words sum(struct words a, struct words b)
{
	return (struct words){ .abef = _mm_add_epi32(a.abef, b.abef),
			       .cdgh = _mm_add_epi32(a.cdgh, b.cdgh) };
}

/* Four rounds with w[i], whose place the words needed sixteen rounds later take. */
INLINE WITH_SHA void rounds_and_schedule(struct words *s, __m128i w[4], int i, const uint32_t *k)
{
	rounds(s, w[i], k);
	w[i] = following(w[i], w[(i + 1) & 3], w[(i + 2) & 3], w[(i + 3) & 3]);
}

WITH_SHA void sha256x16_one(uint32_t h[8], const uint8_t *p, size_t nr)
{
	const uint32_t *k = round_constant;
	struct words s = words_of(h);

	for (; nr > 0; nr--, p += SHA256_BLOCK) {
		struct words before = s;
		__m128i w[4];

		words_load(w, p);
		for (int t = 0; t < 48; t += 16) {
			rounds_and_schedule(&s, w, 0, k + t);
			rounds_and_schedule(&s, w, 1, k + t + 4);
			rounds_and_schedule(&s, w, 2, k + t + 8);
			rounds_and_schedule(&s, w, 3, k + t + 12);
		}
		for (int i = 0; i < 4; i++)
			rounds(&s, w[i], k + 48 + 4 * i);
		s = sum(s, before);
	}
	words_put(s, h);
}

/*
 * Sixteen messages: a register holds the same word of all of them.
 */

/* VPTERNLOGD's tables of three bits: x ^ y ^ z; Ch, which is x ? y : z; Maj, what two of them are. */
#define XOR3   0x96
#define CHOOSE 0xca
#define MOST   0xe8

#define BIG_SIGMA(x, a, b, c)                                                              \
	_mm512_ternarylogic_epi32(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b),          \
				  _mm512_ror_epi32(x, c), XOR3)
#define SMALL_SIGMA(x, a, b, c)                                                            \
	_mm512_ternarylogic_epi32(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b),          \
				  _mm512_srli_epi32(x, c), XOR3)

INLINE WITH_AVX512 __m512i add(__m512i a, __m512i b)
{
	return _mm512_add_epi32(a, b);
}

/* One round.  Instead of moving the words on, the next round calls them by other names. */
INLINE WITH_AVX512 void round16(__m512i s[8], int t, __m512i w, uint32_t k)
{
	__m512i a = s[-t & 7], b = s[(1 - t) & 7], c = s[(2 - t) & 7], e = s[(4 - t) & 7];
	__m512i f = s[(5 - t) & 7], g = s[(6 - t) & 7], h = s[(7 - t) & 7], t1, t2;

	t1 = add(add(h, _mm512_set1_epi32((int)k)), w);
	t1 = add(t1, add(BIG_SIGMA(e, 6, 11, 25), _mm512_ternarylogic_epi32(e, f, g, CHOOSE)));
	t2 = add(BIG_SIGMA(a, 2, 13, 22), _mm512_ternarylogic_epi32(a, b, c, MOST));
	s[(3 - t) & 7] = add(s[(3 - t) & 7], t1);
	s[(7 - t) & 7] = add(t1, t2);
}

/* And the word that is due sixteen rounds later, in the place of the one just used. */
INLINE WITH_AVX512 void round16_and_schedule(__m512i s[8], int t, __m512i w[16], const uint32_t *k)
{
	__m512i w1 = w[(t + 1) & 15], w14 = w[(t + 14) & 15];

	round16(s, t, w[t], k[t]);
	w[t] = add(add(w[t], SMALL_SIGMA(w1, 7, 18, 3)),
		   add(w[(t + 9) & 15], SMALL_SIGMA(w14, 17, 19, 10)));
}

INLINE WITH_AVX512 void sixteen_and_schedule(__m512i s[8], __m512i w[16], const uint32_t *k)
{
	UNROLLED for (int t = 0; t < 16; t++)
		round16_and_schedule(s, t, w, k);
}

INLINE WITH_AVX512 void sixteen(__m512i s[8], const __m512i w[16], const uint32_t *k)
{
	UNROLLED for (int t = 0; t < 16; t++)
		round16(s, t, w[t], k[t]);
}

/*
 * w[i] gets word i of the next block of each lane.  Each lane's sixteen words are loaded as a row
 * of a 16 by 16 matrix, which is transposed in squares of 2 by 2, 4 by 4, and by fours of words.
 */
INLINE WITH_AVX512 void words_of_lanes(__m512i w[16], const uint8_t *const p[16], size_t off)
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	__m512i r[16], t[16];

	UNROLLED for (int i = 0; i < 16; i++)
		r[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(p[i] + off), swap);
	UNROLLED for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	/* Then each 128 bits of r[i + j]: word j (of its four) of the lanes i to i + 3. */
	UNROLLED for (int i = 0; i < 16; i += 4) {
		r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	UNROLLED for (int j = 0; j < 4; j++) {
		__m512i lo = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x44);
		__m512i hi = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xee);
		__m512i lo8 = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x44);
		__m512i hi8 = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xee);

		w[j] = _mm512_shuffle_i32x4(lo, lo8, 0x88);
		w[4 + j] = _mm512_shuffle_i32x4(lo, lo8, 0xdd);
		w[8 + j] = _mm512_shuffle_i32x4(hi, hi8, 0x88);
		w[12 + j] = _mm512_shuffle_i32x4(hi, hi8, 0xdd);
	}
}

WITH_AVX512 void sha256x16_add(struct sha256x16 *state, const uint8_t *const p[SHA256_LANES],
			       size_t nr)
{
	const uint32_t *k = round_constant;
	__m512i h[8];

	UNROLLED for (int i = 0; i < 8; i++)
		h[i] = _mm512_loadu_si512(state->h[i]);
	for (size_t off = 0; nr > 0; nr--, off += SHA256_BLOCK) {
		__m512i s[8], w[16];

		words_of_lanes(w, p, off);
		UNROLLED for (int i = 0; i < 8; i++)
			s[i] = h[i];
		for (int t = 0; t < 48; t += 16)
			sixteen_and_schedule(s, w, k + t);
		sixteen(s, w, k + 48);
		UNROLLED for (int i = 0; i < 8; i++)
			h[i] = add(h[i], s[i]);
	}
	UNROLLED for (int i = 0; i < 8; i++)
		_mm512_storeu_si512(state->h[i], h[i]);
}

/* The builtin looks at what the system saves, too; gcc 12's and clang 14's know no "sha". */
bool sha256x16_usable(void)
{
	unsigned a, b, c, d;

	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

#else /* not x86-64 */

#include <stdlib.h>

bool sha256x16_usable(void)
{
	return false;
}

void sha256x16_add(struct sha256x16 *s, const uint8_t *const p[SHA256_LANES], size_t nr)
{
	(void)s;
	(void)p;
	(void)nr;
	abort();
}

void sha256x16_one(uint32_t h[8], const uint8_t *p, size_t nr)
{
	(void)h;
	(void)p;
	(void)nr;
	abort();
}

#endif
