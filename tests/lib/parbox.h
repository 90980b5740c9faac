/* SPDX-License-Identifier: MIT */
/* A pack of noise with its parity file, in memory. */
#ifndef VOUCH_TESTS_PARBOX_H
#define VOUCH_TESTS_PARBOX_H

#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "tests/lib/membox.h"

struct parbox {
	struct backend *b;
	struct object_id id;
	char pack[PACK_NAME_LEN + 1], par[PARITY_NAME_LEN + 1];
	size_t len, par_len;
	uint8_t *right, *right_par;	/* as they were written */
	struct par_geometry g;
	struct buf got;			/* what parbox_rebuild was given */
	struct parity_report r;
	struct err e;
};

void parbox_open(struct parbox *x, size_t len, uint32_t permille);
void parbox_close(struct parbox *x);
/** Pack and parity file as they were written. */
void parbox_reset(struct parbox *x);
/** Their bytes as they are now. */
uint8_t *parbox_pack(struct parbox *x);
uint8_t *parbox_par(struct parbox *x);
/** Change every byte of sector j of the pack (the last one is cut where the pack ends). */
void parbox_spoil(struct parbox *x, uint32_t j);
void parbox_spoil_parity(struct parbox *x, uint32_t q);

enum err_code parbox_rebuild(struct parbox *x);
/** It must give the right bytes; and so must parity_get of all of it. */
void parbox_heals(struct parbox *x);
/** Neither does; the sink was given nothing. */
void parbox_loses(struct parbox *x);

/** The seed of this run: SEED of the environment, else the time; printed. */
uint64_t parbox_seed(void);
uint64_t parbox_random(uint64_t *x);

#endif
