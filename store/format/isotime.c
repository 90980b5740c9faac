/* SPDX-License-Identifier: MIT */
#include "store/format/isotime.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define SEC_FIRST	INT64_C(-62135596800)	/* 0001-01-01T00:00:00 */
#define SEC_LAST	INT64_C(253402300799)	/* 9999-12-31T23:59:59 */
#define NSEC_LAST	999999999u

char *isotime_encode(const struct vtime *t, char out[ISOTIME_LEN + 1])
{
	struct vtime v = *t;
	struct tm tm;
	time_t sec;
	char text[128];
	int n;

	if (v.sec < SEC_FIRST)
		v = (struct vtime){ SEC_FIRST, 0 };
	if (v.sec > SEC_LAST)
		v = (struct vtime){ SEC_LAST, NSEC_LAST };
	if (v.nsec > NSEC_LAST)
		v.nsec = NSEC_LAST;
	sec = (time_t)v.sec;
	if (!gmtime_r(&sec, &tm))
		tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };	/* not within these years */
	n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09uZ", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, v.nsec);
	assert(n == ISOTIME_LEN);
	memcpy(out, text, ISOTIME_LEN + 1);
	return out;
}

/* Digits of s from, to; -1 where one is none. */
static int number(const char *s, size_t from, size_t to)
{
	int v = 0;

	for (size_t i = from; i < to; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = 10 * v + (s[i] - '0');
	}
	return v;
}

bool isotime_decode(const char *s, struct vtime *out)
{
	char again[ISOTIME_LEN + 1];
	struct vtime v;
	struct tm tm = { 0 };
	int nsec;

	if (strlen(s) != ISOTIME_LEN)
		return false;
	tm.tm_year = number(s, 0, 4) - 1900;
	tm.tm_mon = number(s, 5, 7) - 1;
	tm.tm_mday = number(s, 8, 10);
	tm.tm_hour = number(s, 11, 13);
	tm.tm_min = number(s, 14, 16);
	tm.tm_sec = number(s, 17, 19);
	nsec = number(s, 20, 29);
	v = (struct vtime){ (int64_t)timegm(&tm), (uint32_t)nsec };
	/* What is no digit, no date, or not punctuated so does not come back the same. */
	if (nsec < 0 || strcmp(isotime_encode(&v, again), s) != 0)
		return false;
	*out = v;
	return true;
}
