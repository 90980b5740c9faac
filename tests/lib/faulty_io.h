/* SPDX-License-Identifier: MIT */
/* The system's calls, of which one fails. For one thread. */
#ifndef VOUCH_TESTS_FAULTY_IO_H
#define VOUCH_TESTS_FAULTY_IO_H

#include <stdbool.h>

#include "store/base/io.h"

/**
 * Calls go to the system, but call number n from now (1: the next) fails with errno sys.  A write
 * that fails has written half of what it was given; a close has closed.
 */
const struct io *faulty_io(unsigned n, int sys);
/** Whether that call came. */
bool faulty_io_fired(void);
/** Descriptors opened and not closed since faulty_io. */
int faulty_io_open(void);

#endif
