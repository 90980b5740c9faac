/* SPDX-License-Identifier: MIT */
/*
 * A type of component for tests, "box": a text file of lines "NAME VALUE", each a "line" that can come back alone.  Its
 * way back is a copy of the file, or a safety dump (key way = dump).  Key trouble makes it misbehave while it restores:
 *
 *   lie     the last line comes back with another value          others   it changes a line that was not chosen
 *   fail    half of it is there, then ERR_FAILED                  kill     half of it is there, then SIGKILL
 *   cancel  it waits, half done, for the request to stop          newer    it adds a line that is not in the dump
 *   silent  no way back                                           more     a chosen line comes back with more
 *   crooked examine() finds it so                                 stuck    what a validate restored cannot be dropped
 *   lost    rollback() does not find where it belongs
 *
 * query() knows "value NAME", "sum", "names", and "nulls NAME" for not-null = box.NAME.  A place without '/' is beside the file.
 */
#ifndef VOUCH_TESTS_BOXTYPE_H
#define VOUCH_TESTS_BOXTYPE_H

#include "tools/components/component.h"

extern const struct component_ops box_type;
/** The same, as a service that leaves what is newer: "heap". */
extern const struct component_ops heap_type;

#endif
