/* SPDX-License-Identifier: MIT */
/* Between parity.c, parity_file.c, parity_heal.c, parity_mend.c and parity_write.c. */
#ifndef VOUCH_ENGINE_PARITY_IMPL_H
#define VOUCH_ENGINE_PARITY_IMPL_H

#include "store/engine/pack.h"
#include "store/engine/parity.h"
#include "store/engine/parity_code.h"

#define WINDOW_SECTORS	512u		/* read at once: 2 MiB */

enum sector_state {
	SECTOR_GOOD = 1,	/* as its checksum says */
	SECTOR_UNCHECKED,	/* there, its checksum is lost */
	SECTOR_BAD		/* damaged, unreadable or not there; zeros in the buffer */
};

/** A pack and its parity file, opened to read. Sectors are numbered: the pack's from 0, parity from nr_data. */
struct parity {
	struct backend *b;
	struct object_id pack;
	char pack_file[PACK_NAME_LEN + 1], par_file[PARITY_NAME_LEN + 1];
	struct par_geometry g;
	uint64_t *checks;	/* of all sectors ... */
	bool *known;		/* ... those that are known */
	uint64_t pack_size, par_size;	/* as the files are */
	uint32_t bad_sections;	/* both copies together */
	struct err io;		/* the first read that failed; code ERR_OK: none */
};

/** ERR_NOT_FOUND: no parity file.  ERR_CORRUPT: no section of it is whole. */
MUST_CHECK enum err_code parity_open(struct backend *b, const struct object_id *pack,
				     struct parity **out, struct err *e);
void parity_close(struct parity *p);	/* NULL is allowed */

/** Sectors first ... first + nr - 1, all of the pack or all parity: their bytes (zeros for bad ones) and states. */
MUST_CHECK enum err_code parity_fetch(struct parity *p, uint32_t first, uint32_t nr, uint8_t *buf,
				      uint8_t *states, struct err *e);

/** Rebuilt sectors are kept here, a stripe at a time. */
struct parity_heal;
MUST_CHECK enum err_code parity_heal_open(struct parity *p, struct parity_heal **out,
					  struct err *e);
void parity_heal_close(struct parity_heal *h);	/* NULL is allowed */

/** Say that a sector of the pack will have to be rebuilt: those said before the first range are done in one pass. */
void parity_heal_want(struct parity_heal *h, uint32_t sector);

/**
 * Rebuild what states call bad of the pack's sectors first ... into buf.  ERR_CORRUPT or ERR_IO: more is
 * lost than can be rebuilt.
 */
MUST_CHECK enum err_code parity_heal_range(struct parity_heal *h, uint32_t first, uint32_t nr,
					   uint8_t *buf, const uint8_t *states, struct err *e);

/** Fill in the report by reading all; wanted, unless NULL, hears of each bad sector of the pack. */
MUST_CHECK enum err_code parity_scan(struct parity *p, struct parity_heal *wanted,
				     struct parity_report *report, struct err *e);

/** After parity_scan: as parity_rebuild, of what is in reach. */
MUST_CHECK enum err_code parity_stream(struct parity *p, struct parity_heal *h, parity_sink *sink,
				       void *ctx, struct err *e);

#endif
